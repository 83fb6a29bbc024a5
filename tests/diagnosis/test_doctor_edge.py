"""Each check finds its problem on the live engine, and a healthy collection has no findings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from diagnosis_helpers import DIM, HEALTHY, ROWS, Make, codes, mend, one

import qadapt as qa
from qadapt.diagnosis import Diagnosis, checks, status_checks
from qadapt.diagnosis.context import CheckContext
from qadapt.errors import InputError, NotFoundError, SpecError, StoreError, UnreachableError
from qadapt.model import Severity
from qadapt.stores.base import SearchRequest
from qadapt.stores.change import ChangeRequest
from qadapt.stores.qdrant.edge.store import EdgeStore

# -- healthy -------------------------------------------------------------------------------------


def test_a_healthy_collection_has_no_findings(make: Make) -> None:
    found = make(HEALTHY).doctor()
    assert found.findings == () and found.healthy and found.skipped == ()
    assert list(found.checked) == [check.code for check in checks()]
    assert Diagnosis.from_json(found.to_json()) == found


def test_healthy_real_embeddings_have_no_findings(database: qa.Database, embeddings: Any) -> None:
    articles = database.create("articles", dim=embeddings.dim)
    articles.write(qa.Batch(range(2000), {"": embeddings.docs[:2000]}))
    for setting in ("scalar", "binary:bits=2,rescore=4"):
        setting += f"{',' if ':' in setting else ':'}codes=ram,originals=disk"
        articles.plan(setting).apply(yes=True)
        assert codes(articles, model_metric="cosine") == []


def test_unit_vectors_with_dot_have_no_findings(database: qa.Database, embeddings: Any) -> None:
    docs = embeddings.docs[:1500]
    articles = database.create("articles", dim=embeddings.dim, metric="dot")
    articles.write(qa.Batch(range(len(docs)), {"": docs}))
    articles.plan("binary:bits=2,rescore=4,codes=ram,originals=disk").apply(yes=True)
    assert codes(articles, model_metric="cosine") == [], "of length 1, dot is cosine"


@pytest.mark.parametrize(
    "setting",
    [
        "scalar",
        "rotational:bits=1,rescore=4",
        "binary:bits=1.5,query_bits=8,rescore=4",
        "product:ratio=16,rescore=4",
        *(
            pytest.param(further, marks=pytest.mark.long)
            for further in (
                "scalar:rescore=2", "rotational:bits=8", "rotational:bits=4", "product:ratio=4",
                "rotational:bits=2,rescore=4", "binary:bits=2,rescore=4",
            )
        ),
    ],
)  # fmt: skip
def test_every_healthy_quantization_has_no_findings(
    make: Make, rows: np.ndarray, setting: str
) -> None:
    both = f"{setting}{',' if ':' in setting else ':'}codes=ram,originals=disk"
    few = rows[:600] if setting.startswith("product") else rows  # k-means is slow
    assert codes(make(both, few)) == []


def test_without_quantization_there_are_no_findings(make: Make) -> None:
    assert codes(make()) == []


# -- active --------------------------------------------------------------------------------------


def test_ignored_quantization_is_found(database: qa.Database, rows: np.ndarray) -> None:
    quantization = qa.scalar(codes="ram", originals="disk")
    articles = database.create("articles", dim=DIM, quantization=quantization)
    articles.write(qa.Batch(range(ROWS), {"": rows}))
    found = one(articles, "no-effect")
    assert found.severity is Severity.ERROR
    assert "segments with at least 10,000 KB" in found.message
    # The same rows, reported by the check of segments.
    assert one(articles, "small-segments").evidence[0].value == ROWS
    mend(found)
    assert codes(articles) == []


def test_default_rescoring_without_quantization_is_found(make: Make) -> None:
    articles = make("binary:rescore=4,codes=ram,originals=disk")
    store = articles._store
    for step in store.plan_change(
        ChangeRequest(store.inspect("articles"), "", qa.none())
    ).steps:  # by another client
        store.run("articles", step.request, lambda _: None, 60)
    found = one(articles, "stale-setting")
    assert "rescore=4 is ignored" in found.message
    mend(found)
    assert "stale-setting" not in codes(articles)


def test_rows_without_codes_are_found(make: Make, rows: np.ndarray) -> None:
    articles = make("scalar:codes=ram,originals=disk")
    more = [row + ROWS for row in range(ROWS)]
    articles.write(qa.Batch(more, {"": rows[::-1].copy()}))
    found = one(articles, "still-building")
    assert found.severity is Severity.WARNING and "50%" in found.message
    mend(found)
    assert codes(articles) == []


def test_segments_below_the_threshold_are_found(make: Make, rows: np.ndarray) -> None:
    articles = make("scalar:codes=ram,originals=disk")
    articles.write(qa.Batch([row + ROWS for row in range(200)], {"": rows[:200]}))
    assert codes(articles) == [], "the newest rows are always in a separate segment"
    articles.write(qa.Batch([row + ROWS for row in range(200, 600)], {"": rows[200:600]}))
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    assert one(articles, "small-segments").evidence[0].value == 600


def test_wide_binary_codes_without_an_index_are_found(make: Make, rows: np.ndarray) -> None:
    articles = make("scalar")  # builds an index, and leaves an empty segment
    articles.plan("binary:bits=2,rescore=4,codes=ram,originals=disk").apply(yes=True)
    assert codes(articles) == []
    articles.write(qa.Batch([row + ROWS for row in range(800)], {"": rows[:800]}))
    found = one(articles, "one-bit-until-indexed")
    assert found.evidence[0].value == 800


def test_wasteful_padding_is_found(make: Make, rows: np.ndarray) -> None:
    narrow = np.ascontiguousarray(rows[:, :130])
    found = one(make("binary:rescore=8,codes=ram,originals=disk", narrow), "bits-lost-to-padding")
    assert found.severity is Severity.INFO
    assert [item.value for item in found.evidence] == [32, 17]


def test_an_unverifiable_status_is_found(make: Make) -> None:
    """As on a server that reports no segments; simulated on a live collection."""
    articles = make("scalar:codes=ram,originals=disk")
    info = articles.info()
    vector = info.vectors[""]
    hidden = vector.status.replace(state=qa.State.UNKNOWN, reason="telemetry is not shown")
    blind = info.replace(vectors={"": vector.replace(status=hidden)})
    context = CheckContext(articles._store, blind, "")  # type: ignore[attr-defined]
    (found,) = status_checks.unobserved(context)
    assert found.code == "unverifiable" and found.severity is Severity.INFO
    assert "telemetry is not shown" in found.message and "qadapt verify" in found.command
    assert status_checks.unobserved(CheckContext(articles._store, info, "")) == []  # type: ignore[attr-defined]


# -- placement -----------------------------------------------------------------------------------


def test_original_vectors_in_ram_are_found(make: Make) -> None:
    articles = make("binary:rescore=4")
    found = one(articles, "originals-in-ram")
    assert found.severity is Severity.WARNING
    mend(found)
    assert codes(articles) == []
    articles.plan("binary:rescore=4,originals=ram").apply(yes=True)
    assert one(articles, "originals-in-ram").severity is Severity.INFO, "it was requested"


def test_rescoring_from_a_slow_disk(
    make: Make, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is the real one; a rescored search moves the clock by 25 ms."""
    articles = make(HEALTHY)
    assert "slow-rescoring" not in codes(articles)
    whole = EdgeStore.search

    def slow(self: EdgeStore, collection: str, queries: Any, search: SearchRequest) -> Any:
        if search.rescore is not None and search.rescore.on:
            clock.now += 0.025
        return whole(self, collection, queries, search)

    monkeypatch.setattr(EdgeStore, "search", slow)
    found = one(articles, "slow-rescoring")
    assert "original vectors are on disk" in found.message and "originals=ram" in found.command
    assert [each.value for each in found.evidence[:2]] == [25, 0]


# -- searching -----------------------------------------------------------------------------------


def test_rescoring_without_oversampling_is_found(make: Make, rows: np.ndarray) -> None:
    articles = make("binary:codes=ram,originals=disk")
    found = one(articles, "rescoring-without-oversampling")
    assert found.severity is Severity.WARNING and "rescore=1" in found.message
    before = articles.verify(queries=50).recall.value
    mend(found)
    assert articles.verify(queries=50).recall.value > before + 0.1, "the advice helps"
    assert codes(articles) == []


@pytest.mark.parametrize(
    ("setting", "params", "code"),
    [
        ("scalar", {"quantization": {"oversampling": 3}}, "oversampling-without-rescoring"),
        ("scalar", {"quantization": {"oversampling": 3, "rescore": False}},
         "oversampling-without-rescoring"),
        ("binary", {"quantization": {"oversampling": 3, "rescore": False}},
         "oversampling-without-rescoring"),
        ("scalar", {"exact": True}, "quantization-bypassed"),
        ("scalar", {"quantization": {"ignore": True}}, "quantization-bypassed"),
    ],
)  # fmt: skip
def test_ineffective_search_parameters_are_found(
    make: Make, setting: str, params: Any, code: str
) -> None:
    articles = make(f"{setting}:rescore=4,codes=ram,originals=disk")
    assert codes(articles) == []
    assert one(articles, code, options=params).evidence[0].value == params
    better = {"quantization": {"oversampling": 3, "rescore": True}, "hnsw_ef": 64}
    assert codes(articles, options=better) == []


def test_oversampling_without_rescoring_has_no_effect_on_the_engine(
    make: Make, rows: np.ndarray
) -> None:
    """The engine behavior that the check of search parameters relies on."""
    import qdrant_edge as edge

    articles = make("product:ratio=64")
    queries = rows[:40]

    def found(**quantization: Any) -> list[list[int]]:
        shard = articles._store.shard("articles")  # type: ignore[attr-defined]
        params = edge.SearchParams(quantization=edge.QuantizationSearchParams(**quantization))
        with shard.lock, shard.use("search") as opened:
            return [
                [hit.id for hit in opened.search(
                    edge.SearchRequest(
                        query=edge.Query.Nearest(row.tolist()), limit=10, params=params)
                )]
                for row in queries
            ]  # fmt: skip

    assert found(oversampling=5.0) == found() == found(rescore=False)
    assert found(oversampling=5.0, rescore=True) != found()


def test_unreachable_rows_are_found(make: Make) -> None:
    # Many rows share the sign bits of 16 dimensions, so most rows miss the top results.
    narrow = np.random.default_rng(0).standard_normal((3000, 16)).astype(np.float32)
    narrow[:, :10] = np.abs(narrow[:, :10])
    articles = make("binary:codes=ram,originals=disk", narrow)
    found = one(articles, "unreachable-rows")
    assert found.severity is Severity.ERROR
    assert found.evidence[1].value > 20


def test_equal_rows_are_not_found_unreachable(make: Make, rows: np.ndarray) -> None:
    twins = np.repeat(rows[:20], 50, axis=0)
    assert "unreachable-rows" not in codes(make(HEALTHY, twins))


# -- diagnosis -----------------------------------------------------------------------------------


def test_named_vectors_are_checked_separately(database: qa.Database, rows: np.ndarray) -> None:
    books = database.create("books", vectors={"good": qa.Vector(DIM), "bad": qa.Vector(96)})
    books.write(qa.Batch(range(ROWS), {"good": rows, "bad": rows[:, :96].copy()}))
    books.plan(HEALTHY, vector="good").apply(yes=True)
    books.plan(HEALTHY, vector="bad").apply(yes=True)
    found = books.doctor()
    assert {each.vector for each in found.findings} == {"bad"}
    assert "--vector bad" in found.findings[0].command
    assert books.doctor(vector="good").healthy


def test_an_empty_collection_has_no_findings(database: qa.Database) -> None:
    found = database.create("empty", dim=8, quantization=qa.binary(originals="disk")).doctor()
    assert "no-effect" not in [each.code for each in found.findings]
    assert {each.code for each in found.skipped} >= {"dimension-collapse"}


def test_checks_without_searches_run_when_searches_fail(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example, a Milvus collection that is not loaded."""
    articles = make("binary:rescore=4")

    def refuse(*_: Any, **__: Any) -> None:
        raise StoreError("not loaded")

    monkeypatch.setattr(EdgeStore, "search", refuse)
    found = articles.doctor()
    assert [each.code for each in found.findings] == ["originals-in-ram"]
    assert {each.code for each in found.skipped} == {"slow-rescoring", "unreachable-rows"}
    assert {each.reason for each in found.skipped} == {"not loaded"}

    def gone(*_: Any, **__: Any) -> None:
        raise UnreachableError("gone")

    monkeypatch.setattr(EdgeStore, "search", gone)
    with pytest.raises(UnreachableError):
        articles.doctor()


def test_only_and_skip(make: Make) -> None:
    articles = make("binary")
    assert codes(articles, only=["originals-in-ram"]) == ["originals-in-ram"]
    assert "originals-in-ram" not in codes(articles, skip=["originals-in-ram"])
    assert qa.doctor(articles, only=["low-dimensions"]).checked == ("low-dimensions",)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"only": ["low-dimension"]}, SpecError),
        ({"sample": 1}, InputError),
        ({"vector": "title"}, NotFoundError),
        ({"model_metric": "cosinus"}, SpecError),
    ],
)
def test_invalid_arguments_are_rejected(
    make: Make, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make().doctor(**options)
