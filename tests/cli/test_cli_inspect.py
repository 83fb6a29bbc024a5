"""stores, matrix, inspect, schema, verify, search on a live engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa

Cli = Callable[..., Any]


def test_stores(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("stores", "--json").json["stores"]}
    assert rows["edge"]["installed"] is True
    assert rows["edge"]["version"]
    assert "edge" in cli("stores").out


def test_a_store_without_its_client_names_the_extra(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qadapt.stores.profile import StoreProfile

    monkeypatch.setattr(StoreProfile, "installed", False)
    assert "pip install 'qadapt-vectors[edge]'" in cli("stores").out


def test_matrix_shows_quantization_strings(cli: Cli) -> None:
    ran = cli("matrix")
    assert "binary:bits=1.5" in ran.out
    assert "native-rescore" in ran.out
    one = cli("matrix", "edge")
    assert "clamped" in one.out
    features = cli("matrix", "edge", "--json").json["stores"]["edge"]["features"]
    assert features["native-binary"]["support"] == "native"


def test_every_kind_of_the_matrix_can_be_typed(cli: Cli) -> None:
    lines = cli("matrix", "--quiet").out.split("\n\n")[0].splitlines()[1:]
    for line in lines:
        qa.Quantization.parse(line.split()[0])


def test_schema(cli: Cli) -> None:
    names = cli("schema").out.split()
    assert "Plan" in names
    assert set(cli("schema", "--json").json) == set(names)
    assert cli("schema", "plan").json == cli("schema", "Plan", "--json").json


# -- inspect -----------------------------------------------------------------------------------


def test_inspect_all(cli: Cli, filled: Callable[..., str]) -> None:
    url = filled("articles", "notes")
    ran = cli("inspect", url)
    assert (ran.code, ran.err) == (0, "")
    assert "articles" in ran.out and "notes" in ran.out and "· absent" in ran.out
    told = cli("inspect", url, "--json").json
    assert told["address"] == url
    assert [one["name"] for one in told["collections"]] == ["articles", "notes"]
    assert told["failed"] == {}


def test_inspect_shows_configured_and_verified_state(cli: Cli, articles: str) -> None:
    with qa.open(articles) as db:
        db["articles"].plan("binary:rescore=4").apply(yes=True)
    ran = cli("inspect", articles, "articles")
    assert "configured  binary:rescore=4" in ran.out
    assert "✓ active" in ran.out
    assert "rescore     x4 by originals" in ran.out
    assert "KiB" in ran.out
    assert "evidence" not in ran.out
    assert "evidence" in cli("inspect", articles, "articles", "-v").out


def test_codes_of_few_rows_are_larger_than_the_vectors(
    cli: Cli, live: Callable[[str], str]
) -> None:
    """The graph of the index counts, too: not "0.2x smaller"."""
    url = live("milvus-lite")
    with qa.open(url) as db:
        docs = db.create("docs", dim=8)
        docs.write(qa.Batch(range(100), {"": np.eye(100, 8, dtype="f4") + 1}))
        docs.plan("scalar", accept="differs").apply(yes=True)
    assert "x larger than the vectors)" in cli("inspect", url, "docs").out


def test_a_store_without_collections(cli: Cli, live: Callable[[str], str]) -> None:
    ran = cli("inspect", live("edge"))
    assert ran.code == 0
    assert "no collections" in ran.out


def test_one_damaged_collection_does_not_hide_the_others(
    cli: Cli, filled: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from qadapt.api import Collection
    from qadapt.errors import IntegrityError

    url = filled("articles", "broken")
    info = Collection.info

    def damaged(self: Collection) -> Any:
        if self.name == "broken":
            raise IntegrityError("its file is torn", hint="restore it")
        return info(self)

    monkeypatch.setattr(Collection, "info", damaged)
    ran = cli("inspect", url)
    assert ran.code == 1
    assert "articles" in ran.out
    assert "its file is torn" in ran.out
    assert cli("inspect", url, "--json").json["failed"]["broken"]["hint"] == "restore it"
    monkeypatch.setattr(Collection, "info", lambda self: damaged(Collection(self._store, "broken")))
    ran = cli("inspect", url)
    assert ran.code == 1
    assert "its file is torn" in ran.out
    assert "no collections" not in ran.out


def test_a_missing_collection_suggests_a_similar_name(cli: Cli, articles: str) -> None:
    ran = cli("inspect", articles, "artcles")
    assert ran.code == 1
    assert "did you mean 'articles'?" in ran.err


def test_collections_are_completed(articles: str, process: Cli) -> None:
    ran = process(
        _QADAPT_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=f"qadapt inspect {articles} art"
    )
    assert "articles" in ran.out


# -- verify ------------------------------------------------------------------------------------


def test_verify_measures_and_gates(
    cli: Cli, articles: str, tmp_path: Path, embeddings: Any
) -> None:
    with qa.open(articles) as db:
        db["articles"].plan("binary").apply(yes=True)
    np.save(tmp_path / "q.npy", embeddings.queries[:50])
    queries = ["--queries", tmp_path / "q.npy"]
    met = cli("verify", articles, "articles", *queries, "--gate", "recall@5>=0.1")
    assert met.code == 0
    assert "Recall@5" in met.out
    assert "✓ gate met" in met.out
    missed = cli("verify", articles, "articles", *queries, "--gate", "recall@10>=1", "--json")
    assert missed.code == 3
    assert missed.json["gate"]["met"] is False
    assert missed.json["queries"] == 50
    assert missed.json["matches_configuration"] is True


def test_verify_accepts_texts_with_an_encoder(
    cli: Cli, articles: str, tmp_path: Path, embeddings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "q.txt"
    path.write_text("\n".join(embeddings.query_ids[:20]), encoding="utf-8")
    vectors = dict(zip(embeddings.query_ids, embeddings.queries, strict=True))
    named: list[str] = []

    def load(name: str) -> Any:
        named.append(name)
        return lambda texts: np.stack([vectors[text] for text in texts])

    words = ("verify", articles, "articles", "--queries", path)
    refused = cli(*words, "--json")
    assert (refused.code, refused.json["error"]["type"]) == (2, "InputError")
    monkeypatch.setattr("qadapt.encoder.load", load)
    found = cli(*words, "--encoder", "a-model", "--json")
    assert (found.code, named) == (0, ["a-model"])
    assert found.json["source"] == f"20 texts from {path}, encoded"
    assert found.json["queries"] == 20


def test_verify_exits_3_if_the_setting_is_not_active(
    cli: Cli, articles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qadapt.evaluation.verify.matches_configuration", lambda vector: False)
    ran = cli("verify", articles, "articles", "--queries", "20")
    assert ran.code == 3
    assert "✗ no" in ran.out


# -- search ------------------------------------------------------------------------------------


def test_search(cli: Cli, articles: str, tmp_path: Path, embeddings: Any) -> None:
    np.save(tmp_path / "q.npy", embeddings.docs[:3])
    words = ["search", articles, "articles", "--queries", tmp_path / "q.npy", "--k", "2"]
    ran = cli(*words)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["Query", "Rank", "Score", "Id"]
    assert [line.split()[3] for line in lines[1::2]] == ["0", "1", "2"]
    assert "searched by the database" in ran.err
    told = cli(*words, "--payload", "--filter", '{"topic": "a"}', "--json").json
    assert [[item["topic"] for item in row] for row in told["payloads"]] == [["a", "a"]] * 3
    assert told["how"]["searcher"] == "store"


def test_a_disabled_feature_uses_the_client_side_fallback(
    cli: Cli, articles: str, tmp_path: Path, embeddings: Any
) -> None:
    with qa.open(articles) as db:
        db["articles"].plan("binary").apply(yes=True)
    np.save(tmp_path / "q.npy", embeddings.queries[:3])
    words = ["search", articles, "articles", "--queries", tmp_path / "q.npy", "--rescore", "4"]
    assert cli(*words, "--json").json["how"]["rescorer"] == "store"
    ours = cli(*words, "--disable", "native-rescore")
    assert "rescored by qadapt over 40 candidates on originals (set in this search)" in ours.err
    wrong = cli(*words, "--disable", "native-rescor")
    assert wrong.code == 2
    assert "did you mean 'native-rescore'?" in wrong.err


def test_queries_of_other_dimensions(cli: Cli, articles: str, tmp_path: Path) -> None:
    np.save(tmp_path / "q.npy", np.ones((2, 3), dtype=np.float32))
    ran = cli("search", articles, "articles", "--queries", tmp_path / "q.npy")
    assert ran.code == 2
    assert "3 dimensions, expected 256" in ran.err


# -- demo --------------------------------------------------------------------------------------


@pytest.fixture
def short_demo(monkeypatch: pytest.MonkeyPatch, articles: str) -> None:
    """A demo that prints a line, a table and a plan; tests/demo tests the workflow."""
    from qadapt.stores.base import Progress

    def run(
        *,
        folder: Path | None,
        rows: int | None,
        say: Any,
        progress: Any,
        show: Any,
        plan: Any,
        prices: Any,
    ) -> dict[str, Any]:
        assert prices == qa.Prices()
        say("once upon a time")
        progress(Progress("embedding", 1, 2, "texts"))
        show("what was measured", ["kind", "recall"], [["binary", "0.934"], ["none", "-"]])
        with qa.open(articles) as db:
            plan(db["articles"].plan("binary"))
        return {"rows": rows, "folder": folder and str(folder)}

    monkeypatch.setattr("qadapt.demo.run", run)


@pytest.mark.usefixtures("short_demo")
def test_demo_prints_all_sections(cli: Cli) -> None:
    ran = cli("demo")
    assert ran.code == 0
    assert "once upon a time" in ran.out
    assert "kind    recall\nbinary   0.934\nnone         -\n" in ran.out
    assert "none  ->  binary" in ran.out
    assert ran.err == "embedding\n"


@pytest.mark.usefixtures("short_demo")
def test_demo_as_json(cli: Cli, tmp_path: Path) -> None:
    ran = cli("demo", "--rows", "7", "--keep", tmp_path, "--json")
    assert ran.json == {"rows": 7, "folder": str(tmp_path)}
    assert ran.err == "once upon a time\nembedding\n"
    assert cli("demo", "--rows", "0").code == 2


def test_a_column_of_ids_becomes_an_option_of_the_address(cli: Cli) -> None:
    """A store without this option names those that it has."""
    ran = cli("inspect", "qdrant+http://localhost:1?timeout=2#docs", "--id", "a b&c")
    assert ran.code != 0
    assert "unknown option 'id' in qdrant+http://localhost:1?id=a%20b%26c&timeout=2#docs" in ran.err
