"""Unsupported candidates are rejected, or measured with client-side codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import SpecError
from qadapt.evaluation import candidates
from qadapt.evaluation.documents import Evaluation
from qadapt.evaluation.results import Result
from qadapt.local import scratch
from qadapt.testing import Sample, clustered

ROWS, DIM = 700, 48

STORES = ("edge", "qdrant-local", "milvus-lite")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return clustered(ROWS, DIM, queries=40)


@pytest.fixture
def opened(live: Callable[[str], str], tmp_path: Path) -> Any:
    """Open and fill a store; native quantization of edge is disabled."""
    made: list[qa.Database] = []

    def opening(kind: str, sample: Sample) -> Collection:
        if kind == "qdrant-local":
            pytest.importorskip("qdrant_client")
            database = qa.open(f"qdrant:{tmp_path / 'local'}")
        else:
            off = ["native-quantization"] if kind == "edge" else []
            database = qa.open(live(kind), disabled=off)
        made.append(database)
        collection = database.create("articles", dim=DIM)
        collection.write(qa.Batch(range(ROWS), {"": sample.rows}))
        return collection

    yield opening
    for each in made:
        each.close()


def leftovers(state: Path) -> list[Path]:
    folders = ("copies", "indexes", "settings")
    return [path for each in folders for path in (state / each).glob("*")]


def result(found: Evaluation, setting: str) -> Result:
    each = found.result(setting)
    assert each.recall is not None, each.notes
    return each


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES if SLOW else STORES[:2])
def test_unsupported_codes_are_measured_client_side(
    opened: Any, sample: Sample, state_folder: Path, kind: str
) -> None:
    articles = opened(kind, sample)
    before = articles.info()
    settings = ("binary:rescore=off", "binary:rescore=10")
    options = {"queries": sample.queries, "live": False, "concurrency": ()}
    refused = articles.evaluate(*settings, **options)
    assert {item.state for item in refused.results} == {"unsupported"}
    assert "accept='client'" in " ".join(refused.results[0].notes)

    found = articles.evaluate(*settings, accept="client", **{**options, "concurrency": (1, 2)},
                              seconds=0.05)  # fmt: skip
    off, ten = (result(found, setting) for setting in settings)
    assert off.recall.value < ten.recall.value
    assert ten.recall.value > 0.8
    for each in (off, ten):
        assert (each.state, each.where) == ("measured", "copy")
        assert each.how is not None and each.how.searcher == "qadapt"
        assert each.status is not None and each.status.state is qa.State.ACTIVE
        assert candidates.OURS in each.notes
        assert each.bytes is not None and each.bytes.codes_ram == 8 * ROWS  # 48 bits, one word
        assert [item.client_ms for item in each.latency] == [None] * 3
    assert articles.info() == before
    assert articles._store.collections() == ["articles"]
    assert leftovers(state_folder) == []

    # A plan builds the same codes from the same rows, so recall is equal.
    articles.plan("binary:rescore=10", accept="client").apply(yes=True)
    planned = articles.evaluate(queries=sample.queries, concurrency=())
    assert planned.results[0].recall == ten.recall


def test_native_and_client_side_codes_are_measured_in_one_call(
    live: Callable[[str], str], sample: Sample, state_folder: Path
) -> None:
    """Edge has native binary codes, so accept='client' does not change them."""
    with qa.open(live("edge")) as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        found = articles.evaluate(
            "binary:rescore=4", "scalar:bits=6", accept="client", live=False,
            queries=sample.queries, concurrency=(),
        )  # fmt: skip
        own = found.result("binary:rescore=4")
        assert own.how is not None and own.how.searcher == "store"
        assert candidates.OURS not in own.notes
        # Neither edge nor qadapt supports it.
        assert found.result("scalar:bits=6").state == "unsupported"
        assert database._store.collections() == ["articles"]
    assert leftovers(state_folder) == []


def test_accept_exact_rejects_nearest_equivalents(
    live: Callable[[str], str], sample: Sample
) -> None:
    with qa.open(live("edge")) as database:
        articles = database.create("articles", dim=DIM)
        articles.write(qa.Batch(range(ROWS), {"": sample.rows}))
        cousin = "scalar"
        options = {"queries": sample.queries, "live": False, "concurrency": ()}
        assert articles._store.map(qa.Quantization.parse(cousin), qa.Vector(DIM)).match.differences
        (taken,) = articles.evaluate(cousin, **options).results
        (refused,) = articles.evaluate(cousin, accept="exact", **options).results
        assert (taken.state, refused.state) == ("measured", "unsupported")
        with pytest.raises(SpecError, match="accept"):
            articles.evaluate(cousin, accept="clint", **options)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, pytest.param(MemoryError, marks=pytest.mark.long)]
)
def test_client_side_codes_are_removed_after_any_failure(
    opened: Any,
    sample: Sample,
    state_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    articles = opened("qdrant-local", sample)

    def broken(self: object, *_: object) -> None:
        assert list((state_folder / "indexes").glob("*"))
        raise error

    monkeypatch.setattr(candidates.CandidateRunner, "_measured", broken)
    with pytest.raises(error):
        articles.evaluate("binary", accept="client", queries=10, concurrency=())
    assert articles._store.collections() == ["articles"]
    assert leftovers(state_folder) == []


def test_client_side_codes_of_a_killed_process_are_removed(
    opened: Any, sample: Sample, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    articles = opened("qdrant-local", sample)
    store, dropped = articles._store, scratch._remove
    # The state after a kill: copy, note and codes exist, and no process holds the lock.
    monkeypatch.setattr(scratch, "_remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        articles.evaluate("binary", accept="client", queries=10, concurrency=())
    monkeypatch.setattr(scratch, "_remove", dropped)
    assert list((state_folder / "indexes").glob("*"))
    (left,) = [name for name in store.collections() if name.startswith(scratch.EVAL)]
    told = articles.evaluate(queries=10, concurrency=())
    assert any(left in note for note in told.notes)
    assert store.collections() == ["articles"]
    assert leftovers(state_folder) == []
