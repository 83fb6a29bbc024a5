"""Combinations of options: each pair is refused with an error that names both, or has an effect.

Limits that are not reached (--copy-rows, --memory, --retry-timeout), permissions that are not
needed (--allow, --accept, --yes) and an unused seed are accepted, so they are not listed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import InputError

Cli = Callable[..., Any]
AT = ("{url}", "articles")

REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # eval, verify, simulate, advise
    "eval: an encoder of a number": (
        ("eval", *AT, "--queries", "20", "--encoder", "x"), ("encoder", "queries=20")),
    "eval: an encoder of vectors": (
        ("eval", *AT, "--queries", "{npy}", "--encoder", "x"), ("encoder", "q.npy")),
    "verify: an encoder of a number": (
        ("verify", *AT, "--encoder", "x"), ("encoder", "queries=200")),
    "verify: an encoder of vectors": (
        ("verify", *AT, "--queries", "{npy}", "--encoder", "x"), ("encoder", "q.npy")),
    "simulate: an encoder of a number": (
        ("simulate", *AT, "--encoder", "x"), ("encoder", "queries=200")),
    "advise: an encoder of vectors": (
        ("advise", *AT, "--recall", "0.9", "--queries", "{npy}", "--encoder", "x"),
        ("encoder", "q.npy")),
    "eval: names of queries without labels": (
        ("eval", *AT, "--queries", "{npy}", "--query-ids", "{ids}"), ("--query-ids", "--labels")),
    "eval: a field of labels without labels": (
        ("eval", *AT, "--label-field", "topic"), ("--label-field", "--labels")),
    "eval: labels of the collection's own vectors": (
        ("eval", *AT, "--labels", "{qrels}", "--queries", "20"), ("--labels", "--queries")),
    "eval: labels of other queries": (
        ("eval", *AT, "--labels", "{qrels}", "--queries", "{npy}"), ("'q0'", "--query-ids")),
    "eval: rows of a truth that nobody asks for": (
        ("eval", *AT, "binary", "--no-live", "--rows", "50"), ("--rows", "--no-live")),
    "eval: memory of a truth over a sample": (
        ("eval", *AT, "--rows", "50", "--memory", "1GiB"), ("--memory", "--rows")),
    "eval: seconds of no timing": (
        ("eval", *AT, "--concurrency", "0", "--seconds", "5"), ("--seconds", "--concurrency")),
    "eval: nothing to measure": (("eval", *AT, "--no-live"), ("nothing to measure",)),
    "eval: k and a gate": (
        ("eval", *AT, "--k", "5", "--gate", "recall@10>=0.9"),
        ("--k is 5", "--gate is for recall@10")),
    "verify: k and a gate": (
        ("verify", *AT, "--k", "5", "--gate", "recall@10>=0.9"),
        ("--k is 5", "--gate is for recall@10")),
    "simulate: k and a gate": (
        ("simulate", *AT, "--k", "5", "--gate", "recall@10>=0.9"),
        ("--k is 5", "--gate is for recall@10")),
    "advise: a time of no trial": (
        ("advise", *AT, "--recall", "0.9", "--no-confirm", "--max-latency", "20ms"),
        ("--max-latency", "--no-confirm")),
    # search
    "search: queries and texts": (
        ("search", *AT, "--queries", "{npy}", "--text", "a", "--encoder", "x"),
        ("--queries", "--text")),
    "search: queries and an encoder": (
        ("search", *AT, "--queries", "{npy}", "--encoder", "x"), ("--queries", "--encoder")),
    "search: texts without an encoder": (
        ("search", *AT, "--text", "a"), ("--text", "--encoder")),
    # plan, apply
    **{
        f"{verb}: a spec file and {option}": (
            (verb, "-f", "{spec}", option, value), ("-f", "read from the spec file"))
        for verb in ("plan", "apply")
        for option, value in (
            ("--vector", "x"), ("--metric", "dot"), ("--datatype", "float16"),
            ("--strategy", "alias"), ("--guard", "recall@10>=0.9"), ("--disable", "native-rescore"),
        )
    },
    **{
        f"apply: a saved plan and {option}": (
            ("apply", "{plan}", option, value), (option, "PLAN.json"))
        for option, value in (
            ("--vector", "x"), ("--metric", "dot"), ("--datatype", "float16"),
            ("--strategy", "alias"), ("--accept", "client"), ("--disable", "native-rescore"),
        )
    },
    # cost, doctor
    "cost: rows of a collection": (("cost", *AT, "--rows", "5"), ("--rows", "URL")),
    "cost: dimensions of a collection": (("cost", *AT, "--dim", "5"), ("--dim", "URL")),
    "cost: a vector of plain numbers": (
        ("cost", "--rows", "5", "--dim", "5", "--vector", "x"), ("--vector", "--rows")),
    "cost: rows without dimensions": (("cost", "--rows", "5"), ("--rows N --dim D",)),
    "doctor: one check that is skipped": (
        ("doctor", *AT, "--check", "unverifiable", "--skip", "unverifiable"),
        ("--check", "--skip")),
    "doctor: search parameters for another check": (
        ("doctor", *AT, "--check", "unverifiable", "--search-params", '{{"exact": true}}'),
        ("--search-params", "--check")),
    "doctor: a model's metric for another check": (
        ("doctor", *AT, "--skip", "metric-mismatch", "--model-metric", "dot"),
        ("--model-metric", "--skip")),
    # files
    "export: a vector into parquet": (
        ("export", "{url}#articles", "{folder}/x.parquet", "--vector", ""),
        ("--vector", ".parquet")),
    "import: a metric for a collection that is there": (
        ("import", "{npy}", "{url}#articles", "--add", "--metric", "dot"), ("--metric", "--add")),
    # migrate, alias
    "migrate: resume and restart": (
        ("migrate", "{url}#articles", "{url}#copy", "--resume", "--restart"),
        ("--resume", "--restart")),
    "migrate: a gate of no check": (
        ("migrate", "{url}#articles", "{url}#copy", "--check", "off", "--gate", "recall@10>=0.9"),
        ("--gate", "--check off")),
    "alias: drop and switch": (
        ("alias", "{url}", "a", "articles", "--drop"), ("--drop", "COLLECTION")),
}  # fmt: skip


@pytest.fixture(scope="module")
def places(
    shared_articles: str, tmp_path_factory: pytest.TempPathFactory, embeddings: Any
) -> dict[str, str]:
    """Values of the placeholders; no test changes them."""
    tmp_path = tmp_path_factory.mktemp("places")
    np.save(tmp_path / "q.npy", embeddings.queries[:20])
    (tmp_path / "ids.txt").write_text("\n".join(f"q{at}" for at in range(20)))
    (tmp_path / "qrels.tsv").write_text("q0\t1\t1\n")
    (tmp_path / "spec.yaml").write_text(
        f"stores:\n  {shared_articles}:\n    articles: {{quantization: binary}}\n"
    )
    with qa.open(shared_articles) as db:
        (tmp_path / "plan.json").write_text(db["articles"].plan("binary").to_json())
    names = {"npy": "q.npy", "ids": "ids.txt", "qrels": "qrels.tsv", "spec": "spec.yaml",
             "plan": "plan.json"}  # fmt: skip
    found = {key: str(tmp_path / name) for key, name in names.items()}
    return {"url": shared_articles, "folder": str(tmp_path), **found}


@pytest.mark.parametrize("case", REFUSED)
def test_an_option_without_effect_is_refused_with_both_names(
    cli: Cli, places: dict[str, str], case: str
) -> None:
    words, named = REFUSED[case]
    ran = cli(*(word.format_map(places) for word in words))
    assert ran.code == 2, (ran.out, ran.err)
    told = " ".join(ran.err.split())
    for name in named:
        assert name in told, told
    with qa.open(places["url"]) as db:
        assert db.collections() == ["articles"]
        assert db["articles"].count() == 400


EFFECT: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # a command, an additional option, and the field of its document that shows the effect
    "eval: rows beside candidates": (
        ("eval", *AT, "binary", "--queries", "20", "--concurrency", "0"),
        ("--rows", "50"), ("truth", "rows")),
    "verify: k beside queries": (
        ("verify", *AT, "--queries", "{npy}"), ("--k", "3"), ("k",)),
    "simulate: segments beside a sample": (
        ("simulate", *AT, "binary", "--queries", "20", "--sample-rows", "200"),
        ("--segments", "4"), ("results", "0", "recall", "value")),
    "search: a filter beside a number of results": (
        ("search", *AT, "--queries", "{npy}", "--k", "3"),
        ("--filter", '{{"topic": "a"}}'), ("ids",)),
    "cost: settings beside a quantization": (
        ("cost", *AT, "binary"), ("--setting", "scalar"), ("lines",)),
    "doctor: what fails beside a check": (
        ("doctor", *AT, "--check", "unverifiable"), ("--fail-on", "error"), ("fail_on",)),
    "plan: a guard beside a strategy": (
        ("plan", *AT, "binary", "--strategy", "in-place"),
        ("--guard", "recall@10>=0.5"), ("guard",)),
    "migrate: a datatype beside a quantization": (
        ("migrate", "{url}#articles", "{url}#copy", "--dry-run", "--quantize", "binary"),
        ("--datatype", "float16"), ("vectors", "", "target", "datatype")),
}  # fmt: skip


@pytest.mark.parametrize("case", EFFECT)
def test_accepted_options_have_an_effect(cli: Cli, places: dict[str, str], case: str) -> None:
    words, more, where = EFFECT[case]

    def shown(*extra: str) -> Any:
        ran = cli(*(word.format_map(places) for word in (*words, *extra)), "--json")
        assert ran.code in (0, 3), ran.err
        found = ran.json
        for key in where:
            found = found[int(key) if isinstance(found, list) else key]
        return found

    assert shown() != shown(*more)


# -- the same options in Python -------------------------------------------------------------------


def test_api_calls_refuse_options_without_effect(articles: str, embeddings: Any) -> None:
    queries = embeddings.queries[:5]

    def encoder(texts: list[str]) -> np.ndarray:
        raise AssertionError("not called")

    with qa.open(articles) as db:
        col = db["articles"]
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: col.verify(queries=queries, encoder=encoder), "encoder"),
            (lambda: col.evaluate(queries=queries, encoder=encoder), "encoder"),
            (lambda: col.simulate("binary", queries=50, encoder=encoder), "encoder"),
            (lambda: col.search(queries, exact=True, rescore=4), "rescore.*exact"),
            (lambda: db.create("x", vectors={"a": qa.Vector(4)}, metric="dot"), "metric.*vectors"),
            (lambda: db.create("x", vectors={"a": qa.Vector(4)}, datatype="float16"), "datatype"),
            (lambda: qa.simulate(embeddings.docs[:200], ["scalar"], store="weaviate", segments=4),
             "segments.*weaviate"),
            (lambda: qa.simulate(embeddings.docs[:200], ["scalar"], segments=0), "segments"),
        ]  # fmt: skip
        for call, names in calls:
            with pytest.raises(InputError, match=names):
                call()
        assert db.collections() == ["articles"]
        assert col.search(queries, exact=True, rescore="off").how.searcher == "store exact"


def test_a_resumed_migration_refuses_other_options(articles: str, cli: Cli) -> None:
    ends = (f"{articles}#articles", f"{articles}#copy")
    done = qa.migrate(*ends, quantization="binary:rescore=4", check="off", trial_copy=False)
    assert done.plan.vectors[""].requested_quantization == qa.Quantization.parse("binary")
    again = qa.migrate(*ends, quantization="binary:rescore=4", check="off", workers=3)
    assert again.resumed and again.plan.workers == 3
    for option, value in (
        ("--quantize", "scalar"), ("--quantize", "none"), ("--quantize", "binary:rescore=8"),
        ("--datatype", "float16"), ("--updated-at", "when"),
    ):  # fmt: skip
        for more in ((), ("--dry-run",)):
            ran = cli("migrate", *ends, option, value, *more)
            assert ran.code == 2 and option in ran.err and "planned" in ran.err, ran.err
    assert cli("migrate", *ends, "--keep-norms").code == 2
    with pytest.raises(InputError, match="titel"):
        qa.plan_migration(ends[0], f"{articles}#other", quantization={"titel": "binary"})
    plan = qa.plan_migration(ends[0], f"{articles}#third", quantization="scalar", trial_copy=False)
    with pytest.raises(InputError, match="planned scalar"):
        qa.migrate(ends[0], f"{articles}#third", plan=plan, quantization="binary")
