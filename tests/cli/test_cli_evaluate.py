"""eval, simulate and advise on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.cli.arguments import milliseconds, size
from qadapt.errors import SpecError
from qadapt.evaluation.documents import Advice, Evaluation, Simulation

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def queries(tmp_path: Path, embeddings: Any) -> Path:
    path = tmp_path / "q.npy"
    np.save(path, embeddings.queries[:60])
    return path


def test_eval_shows_each_setting(cli: Cli, shared_articles: str, queries: Path) -> None:
    ran = cli(
        "eval", shared_articles, "articles", "binary:rescore=4", "scalar:bits=4",
        "--queries", queries, "--seconds", "0.1",
    )  # fmt: skip
    assert ran.code == 0
    for text in ("live", "binary:rescore=4", "Recall@10", "p50 ms", "unsupported", "7 bits"):
        assert text in ran.out
    assert "copying a sample" in ran.err


def test_eval_as_json_is_an_evaluation(cli: Cli, shared_articles: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    words = ("articles", "binary", "--queries", "40", "--concurrency", "0", "-o", kept)
    document = cli("eval", shared_articles, *words, "--json").json
    assert document.pop("gate") is None
    found = Evaluation.from_dict(document)
    assert found == Evaluation.from_json(kept.read_text())
    assert found.command.startswith("qadapt eval edge:")
    assert [item.latency for item in found.results] == [(), ()]


def test_a_gate_applies_to_the_requested_settings(cli: Cli, shared_articles: str) -> None:
    words = ("articles", "--queries", "40", "--concurrency", "0", "--json")
    met = cli("eval", shared_articles, *words, "--gate", "recall@10>=0.95")
    assert (met.code, met.json["gate"]["met"]) == (0, True)
    # The live collection has no codes and meets it; one bit without rescoring does not.
    missed = cli("eval", shared_articles, *words, "binary:rescore=off", "--gate", "recall@10>=0.95")
    assert (missed.code, missed.json["gate"]["met"]) == (3, False)
    assert 0.3 < missed.json["gate"]["value"] < 0.95
    assert "gate missed" in cli(
        "simulate", shared_articles, "articles", "binary:rescore=off", "--gate", "recall@10>=0.95"
    ).out  # fmt: skip


def test_labels_on_the_command_line(
    cli: Cli, filled: Any, embeddings: Any, queries: Path, tmp_path: Path
) -> None:
    url = filled("articles")
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join(embeddings.query_ids[:60]), encoding="utf-8")
    # Rows are numbered in `filled`; the labels' documents are renamed to those numbers.
    places = {key: at for at, key in enumerate(embeddings.doc_ids)}
    labels = tmp_path / "labels.tsv"
    lines = [
        f"{query}\t{places[document]}\t1"
        for query, known in embeddings.qrels.items()
        for document in known
    ]
    labels.write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]), encoding="utf-8")
    ran = cli(
        "eval", url, "articles", "--queries", queries, "--labels", labels, "--query-ids", ids,
        "--concurrency", "0",
    )  # fmt: skip
    assert ran.code == 0
    assert "with labels, recall@10" in ran.out


def test_simulate_without_settings_tries_all_kinds(cli: Cli, shared_articles: str) -> None:
    document = cli("simulate", shared_articles, "articles", "--queries", "30", "--json").json
    document.pop("gate")
    found = Simulation.from_dict(document)
    assert {"none", "scalar", "binary", "rotational:bits=4"} <= {
        item.setting for item in found.results
    }
    assert "predicted" in {item.state for item in found.results}


def test_advise_writes_a_spec_that_plan_accepts(
    cli: Cli, shared_articles: str, queries: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    ran = cli(
        "advise", shared_articles, "articles", "--recall", "0.95", "--price", "3.8",
        "--queries", queries, "--code", "binary", "--code", "scalar", "-o", spec,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "✓ best" in ran.out and "ruled out" in ran.out
    planned = cli("plan", "-f", spec)
    assert planned.code == 0
    assert "guard: recall@10>=0.95" in planned.out
    with qa.open(shared_articles) as db:
        assert list(db.collections()) == ["articles"]


def test_advise_exits_with_3_when_nothing_meets_the_target(
    cli: Cli, shared_articles: str, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    ran = cli(
        "advise", shared_articles, "articles", "--recall", "0.9", "--max-ram", "1kB",
        "--queries", "20", "-o", spec, "--json",
    )  # fmt: skip
    assert ran.code == 3
    found = Advice.from_dict(ran.json)
    assert found.best is None and found.ruled_out
    assert not spec.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "--gate", "nonsense"),
        ("eval", "--gate", "recall@5>=0.9", "--k", "10"),
        ("eval", "--concurrency", "many"),
        ("eval", "--memory", "a lot"),
        ("eval", "--queries", "nowhere.npy"),
        ("eval", "--query-ids", "nowhere.txt"),
        ("eval", "nothing"),
        ("simulate", "live"),
        ("advise", "--recall", "2"),
        ("advise", "--recall", "0.9", "--max-latency", "soon"),
    ],
)
def test_usage_errors_are_one_message(
    cli: Cli, shared_articles: str, words: tuple[str, ...]
) -> None:
    ran = cli(words[0], shared_articles, "articles", *words[1:])
    assert ran.code in (1, 2)
    assert ran.err.count("error:") == 1
    assert "Traceback" not in ran.err


def test_an_interrupted_eval_removes_its_copies(
    cli: Cli, articles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qadapt.evaluation import candidates as module

    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.CandidateRunner, "_measured", broken)
    words = ("eval", articles, "articles", "binary", "--queries", "10", "--concurrency", "0")
    ran = cli(*words)
    assert ran.code == 130
    assert "live" in ran.out  # what was measured before
    assert "1 of 2 settings were measured" in ran.out
    assert "these results are partial" in ran.err
    assert ran.err.rstrip().endswith("--concurrency 0 --resume")
    again = cli(*words, "--json", "--resume")
    assert (again.code, again.json["partial"]) == (130, True)
    with qa.open(articles) as db:
        assert list(db.collections()) == ["articles"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("8GB", 8e9), ("8GiB", 8 * 2**30), ("512 MiB", 512 * 2**20), ("1.5kb", 1500), ("7", 7)],
)
def test_sizes(text: str, wanted: float) -> None:
    assert size(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), [("20ms", 20), ("0.5s", 500), ("3", 3)])
def test_times(text: str, wanted: float) -> None:
    assert milliseconds(text) == wanted
    for wrong in ("", "latency_ms", "-1s", "1h"):
        with pytest.raises(SpecError):
            milliseconds(wrong)


def test_unsupported_kinds_are_measured_with_client_side_codes(
    cli: Cli, shared_articles: str
) -> None:
    words = ("eval", shared_articles, "articles", "binary", "--no-live", "--queries", "30",
             "--concurrency", "0", "--disable", "native-quantization", "--json")  # fmt: skip
    (refused,) = cli(*words).json["results"]
    assert refused["state"] == "unsupported"
    assert "--accept client" in " ".join(refused["notes"])
    (taken,) = cli(*words, "--accept", "client").json["results"]
    assert (taken["state"], taken["how"]["searcher"]) == ("measured", "qadapt")
    wrong = cli(*words, "--accept", "clint")
    assert (wrong.code, wrong.json["error"]["type"]) == (2, "SpecError")
