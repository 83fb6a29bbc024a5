"""Client-side codes: planned, built, updated, and rejected if out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import ApplyError, UnsupportedError
from qadapt.local import client_codes
from qadapt.local.state import index_dir
from qadapt.model import Symbol
from qadapt.testing import Sample

Recall = Callable[..., float]


@pytest.fixture
def database(address: str) -> Iterator[qa.Database]:
    """The live engine with native quantization disabled."""
    with qa.open(address, disabled=["native-quantization"]) as opened:
        yield opened


def ours(collection: Collection, text: str = "binary:rescore=4") -> qa.Change:
    return collection.plan(text, accept="client").apply(yes=True)


def folder_of(collection: Collection) -> Path:
    return index_dir(collection._store.address, collection.name, "")


def test_other_client_side_codes_replace_existing_ones(articles: Collection) -> None:
    ours(articles, "scalar")
    (step,) = articles.plan("binary:rescore=4", accept="client").steps[:1]
    assert step.action == "build client-side binary codes"
    assert step.reverse is not None
    assert "scalar" in str(step.reverse)
    assert not articles.plan("scalar", accept="client").changes


@pytest.mark.parametrize("text", ["binary:rescore=10", "binary:query_bits=8,rescore=10", "scalar"])
def test_client_side_codes_are_planned_built_and_verified(
    articles: Collection, recall: Recall, text: str
) -> None:
    plan = articles.plan(text, accept="client")
    assert {step.symbol for step in plan.steps} == {Symbol.CLIENT}
    assert not plan.needs_consent
    assert plan.steps[0].estimate.stops == "nothing"
    info = articles.info()
    assert plan.steps[0].estimate.originals_disk == 4 * info.count * info.vectors[""].dim
    assert qa.Plan.from_json(plan.to_json()) == plan
    change = plan.apply()
    assert change.state == "applied"
    vector = articles.info().vectors[""]
    assert vector.status.state is qa.State.ACTIVE
    assert vector.quantized_by == "qadapt"
    assert vector.quantization.codes_only == plan.requested.codes_only
    evidence = {item.signal: item.value for item in vector.status.evidence}
    assert evidence["stored by"].startswith("qadapt")
    assert evidence["rows in codes"] == evidence["rows in database"] == articles.count()
    assert vector.code_bytes == evidence["bytes in RAM"] + evidence["bytes on disk"]
    estimate = plan.steps[0].estimate
    assert evidence["bytes in RAM"] == estimate.codes_ram
    assert recall(articles) > 0.9
    assert not articles.plan(text, accept="client").changes
    change.undo()
    vector = articles.info().vectors[""]
    assert (vector.quantized_by, vector.status.state) == ("store", qa.State.ABSENT)
    assert not folder_of(articles).exists()
    assert articles.search(np.ones(vector.dim)).how.searcher == "store"


def test_unsupported_client_side_codes_are_rejected(articles: Collection) -> None:
    match = client_codes.match(qa.scalar(quantile=0.9, per="collection"))
    assert match.level == "differs"
    assert len(match.differences) == 2
    for text in ("binary:bits=2", "scalar:bits=6", "product", "rotational", "float16"):
        with pytest.raises(UnsupportedError) as caught:
            articles.plan(text, accept="client")
        assert caught.value.hint


def test_differences_of_client_side_codes_are_in_the_plan(articles: Collection) -> None:
    plan = articles.plan("scalar:quantile=0.99", accept="client")
    assert plan.match.level == "differs"
    assert "quantile is not applied" in " ".join(str(plan).split())


def test_writes_and_deletions_update_the_codes(articles: Collection, sample: Sample) -> None:
    ours(articles)
    count = len(sample.rows)
    fresh = np.asarray(sample.queries[:3])
    articles.write(qa.Batch([count, count + 1, count + 2], {"": fresh}))
    assert articles.search(fresh, k=1).ids[:, 0].tolist() == [count, count + 1, count + 2]
    articles.write(qa.Batch([5], {"": fresh[:1]}))  # replaced
    articles.delete([count, 99_999])
    assert articles.search(fresh[:1], k=1).ids.tolist() == [[5]]
    vector = articles.info().vectors[""]
    assert vector.status.state is qa.State.ACTIVE
    rows = {item.signal: item.value for item in vector.status.evidence}
    assert rows["rows in codes"] == rows["rows in database"] == count + 2


def test_rows_of_another_client_are_detected(articles: Collection, sample: Sample) -> None:
    ours(articles)
    articles._store.write("articles", qa.Batch([77_777], {"": sample.queries[:1]}))
    hits = articles.search(sample.queries[0], k=1)
    assert (hits.ids.tolist(), hits.how.searcher) == ([[77_777]], "store")
    assert "another client wrote" in hits.how.notes[0]
    assert "qadapt apply" in hits.how.notes[0]
    status = articles.info().vectors[""].status
    assert status.state is qa.State.IGNORED
    assert f"{len(sample.rows) + 1:,}" in status.reason
    assert "qadapt apply" in status.advice
    assert ours(articles).state == "applied"
    hits = articles.search(sample.queries[0], k=1)
    assert (hits.ids.tolist(), hits.how.searcher) == ([[77_777]], "qadapt")


def test_a_write_interrupted_before_the_codes_is_detected(
    articles: Collection, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row replaced in the store but not in the codes: the counts are equal all the same."""
    ours(articles)

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("qadapt.code_index.CodeIndex.upsert", cut_off)
        articles.write(qa.Batch([5], {"": sample.queries[:1]}))
    status = articles.info().vectors[""].status
    assert status.state is qa.State.IGNORED
    hits = articles.search(sample.queries[0], k=1)
    assert (hits.ids.tolist(), hits.how.searcher) == ([[5]], "store")
    assert "was interrupted" in hits.how.notes[0]
    articles.write(qa.Batch([6], {"": sample.queries[1:2]}))  # only the store is written
    assert articles.search(sample.queries[1], k=1).ids.tolist() == [[6]]
    assert articles.info().vectors[""].status.state is qa.State.IGNORED
    assert ours(articles).state == "applied"
    assert articles.search(sample.queries[0], k=1).ids.tolist() == [[5]]


def test_a_refused_write_keeps_the_codes(articles: Collection, sample: Sample) -> None:
    ours(articles)
    with pytest.raises(qa.errors.DimensionError):
        articles.write(qa.Batch([5], {"": np.ones((1, 3))}))
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE
    assert articles.search(sample.queries, k=3).how.searcher == "qadapt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "damage"),
    some([*product(("undo", "apply"), ("gone", "empty", "flipped", "header"))], 3),
)
def test_a_damaged_index_is_reported_and_can_be_undone_or_rebuilt(
    articles: Collection, sample: Sample, damage: str, way: str
) -> None:
    change = ours(articles)
    folder = folder_of(articles)
    if damage == "gone":
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    else:
        header = [path for path in folder.iterdir() if path.suffix == ".json"]
        largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        path = header[0] if damage == "header" and header else largest
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(b"" if damage == "empty" else bytes(content))
    status = articles.info().vectors[""].status
    assert status.state is qa.State.IGNORED
    assert status.reason
    assert status.advice
    if damage != "flipped":  # a flipped bit is found by the checksums, which no search compares
        how = articles.search(sample.queries).how
        assert (how.searcher, how.scores) == ("store", "exact")
        assert "client-side codes are not used" in how.notes[0]
    if way == "undo":
        assert change.undo().state == "undone"
        vector = articles.info().vectors[""]
        assert (vector.quantized_by, vector.status.state) == ("store", qa.State.ABSENT)
        assert not folder.exists()
    else:
        assert ours(articles).state == "applied"
        assert articles.info().vectors[""].status.state is qa.State.ACTIVE
        assert articles.search(sample.queries).how.searcher == "qadapt"


def test_one_client_side_kind_replaces_another(articles: Collection) -> None:
    ours(articles, "scalar")
    change = ours(articles, "binary:rescore=8")
    assert articles.info().vectors[""].quantization.kind is qa.Kind.BINARY
    change.undo()
    vector = articles.info().vectors[""]
    assert vector.quantization == qa.scalar()
    assert (vector.quantized_by, vector.status.state) == ("qadapt", qa.State.ACTIVE)
    assert vector.default_rescore == qa.Rescore(1)


def test_a_failed_build_keeps_the_former_codes(
    articles: Collection, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours(articles, "binary:rescore=4")

    def full(*_: Any, **__: Any) -> None:
        raise qa.errors.StoreError("no space left")

    with monkeypatch.context() as patch, pytest.raises(ApplyError, match="no space left"):
        patch.setattr("qadapt.code_index.CodeIndex.save", full)
        ours(articles, "scalar")
    assert articles.search(sample.queries, k=3).how.searcher == "qadapt"
    assert articles.info().vectors[""].status.state is qa.State.ACTIVE


def test_none_deletes_client_side_codes(articles: Collection) -> None:
    ours(articles)
    plan = articles.plan("none")
    assert plan.steps[1].action == "delete the client-side binary codes"
    plan.apply(yes=True)
    vector = articles.info().vectors[""]
    assert (vector.quantization, vector.quantized_by) == (qa.none(), "store")
    assert not folder_of(articles).exists()


def test_native_codes_replace_client_side_codes(
    address: str, database: qa.Database, articles: Collection
) -> None:
    ours(articles)
    database.close()
    with qa.open(address) as native:
        collection = native["articles"]
        assert collection.info().vectors[""].quantized_by == "qadapt"
        change = collection.plan("binary:rescore=4").apply(yes=True)
        vector = collection.info().vectors[""]
        assert (vector.quantized_by, vector.status.state) == ("store", qa.State.ACTIVE)
        change.undo()
        vector = collection.info().vectors[""]
        assert (vector.quantized_by, vector.status.state) == ("qadapt", qa.State.ACTIVE)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "first"), some([*product(("binary", "scalar"), (0, 1, 3))], 2))
def test_codes_of_a_tiny_collection_include_later_rows(
    database: qa.Database, sample: Sample, text: str, first: int
) -> None:
    rows = sample.rows[:400]
    collection = database.create("empty", dim=rows.shape[1])
    if first:
        collection.write(qa.Batch(range(first), {"": rows[:first]}))
    change = ours(collection, text)
    assert change.state == "applied"
    status = collection.info().vectors[""].status
    assert status.state is (qa.State.ACTIVE if first else qa.State.UNKNOWN)
    assert first or "no rows" in status.reason
    assert not collection.plan(text, accept="client").changes
    assert collection.search(rows[0], k=2).how.searcher == "qadapt"
    if not first:
        assert collection.search(rows[0], k=2).ids.tolist() == [[None, None]]
    for start in range(first, 400, 66):
        stop = min(400, start + 66)
        collection.write(qa.Batch(range(start, stop), {"": rows[start:stop]}))
    assert collection.info().vectors[""].status.state is qa.State.ACTIVE
    hits = collection.search(rows[::7], k=1, rescore="4@codes")
    assert hits.how.searcher == "qadapt"
    found = hits.ids[:, 0].tolist()
    assert np.mean([key == row for key, row in zip(found, range(0, 400, 7), strict=True)]) > 0.95
    change.undo()
    assert collection.info().vectors[""].quantized_by == "store"


def test_dropping_the_collection_drops_the_codes(
    database: qa.Database, articles: Collection
) -> None:
    ours(articles)
    folder = folder_of(articles)
    assert folder.exists()
    database.drop("articles")
    assert not folder.exists()
    again = database.create("articles", dim=4)
    assert again.info().vectors[""].quantized_by == "store"


@pytest.mark.parametrize("text", ["binary:rescore=4", "scalar"])
def test_rows_without_the_vector_are_refused_before_a_change(text: str) -> None:
    """Local mode counts the vectors, so that no step needs to start."""
    from qdrant_client import QdrantClient

    with qa.wrap(QdrantClient(":memory:")) as database:
        docs = database.create("docs", vectors={"a": qa.Vector(8), "b": qa.Vector(8)})
        rows = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float32)
        lacking = np.arange(300) == 299
        docs.write(qa.Batch(range(300), {"a": rows, "b": rows}, missing={"b": lacking}))
        assert docs.plan(text, vector="a", accept="client").changes
        with pytest.raises(UnsupportedError, match="1 row has no vector 'b'"):
            docs.plan(text, vector="b", accept="client")
        assert docs.info().vectors["b"].status.state == "absent"
