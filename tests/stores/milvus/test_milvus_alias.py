"""Copy and switch on live engines: no row is lost, and an interrupted change continues."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from milvus_alias_helpers import FIRST, PLAIN, SECOND, alias_plan, fill, same, whole
from milvus_helpers import NAME, carry_out, kind, status, take_back
from slow import SLOW

from qadapt.errors import (
    AlreadyExistsError,
    NotFoundError,
    SpecError,
    StoreError,
    StoreTimeoutError,
    UnsupportedError,
)
from qadapt.model import Batch, Quantization, State, Vector
from qadapt.stores.base import Progress, SearchRequest, silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.milvus import copy_rows, rows
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample

CHANGES = {
    "create_collection",
    "create_partition",
    "create_index",
    "load_collection",
    "insert",
    "upsert",
    "delete",
    "flush",
    "alter_collection_properties",
    "alter_alias",
    "drop_collection",
}


class Killed(BaseException):
    """Simulates the end of the process."""


@contextmanager
def killed_at(store: MilvusStore, number: int) -> Iterator[list[str]]:
    """End the process after this number of changing requests."""
    seen: list[str] = []
    real = Connection.call

    def call(self: Connection, doing: str, function: Callable[..., Any], *a: Any, **k: Any) -> Any:
        name = getattr(function, "__name__", "")
        counts = self is store.connection and name in CHANGES
        if counts:
            seen.append(name)
        found = real(self, doing, function, *a, **k)
        if counts and len(seen) == number:
            raise Killed
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "call", call)
        yield seen


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_change_killed_at_any_request_continues_on_the_next_apply(
    either: MilvusStore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK_ROWS", 120)
    fill(either, sample.rows[:300])
    original = whole(either, NAME)
    steps = alias_plan(either, "scalar")
    cuts: list[str] = []
    # On the server, which make test-slow does not start, always at every request.
    every = SLOW or not either.connection.lite
    for number in itertools.count(1, 1 if every else 4):
        with killed_at(either, number) as seen:
            try:
                carry_out(either, steps)
                break
            except Killed:
                cuts.append(seen[-1])
        # The alias points to complete data after every interruption.
        assert either.count(NAME) == len(original)
        carry_out(either, steps)
        assert either.aliases().get(NAME) == SECOND
        assert same(whole(either, NAME), original)
        assert kind(either) == steps[0].request["target_vector"]["indexes"]["vector"]["index_type"]
        assert status(either).state is not State.BUILDING
        take_back(either, steps)
        assert either.aliases().get(NAME) == FIRST
        assert (kind(either), same(whole(either, NAME), original)) == ("HNSW", True)
        assert SECOND in either.collections(), "the copy may have newer rows and is kept"
        either.drop(SECOND)
    write = "insert" if either.connection.lite else "upsert"
    changes = ["create_collection", "create_index", write, write, write, "flush",
               "alter_collection_properties", "alter_alias"]  # fmt: skip
    if every:
        assert [name for name in cuts if name != "load_collection"] == changes
    else:
        assert len(cuts) > 1 and set(cuts) <= {*changes, "load_collection"}
    carry_out(either, steps)
    assert same(whole(either, SECOND), original), "a second run changes nothing"
    assert not alias_plan(either, "scalar")


def test_undo_before_the_switch_drops_the_unfinished_copy(
    either: MilvusStore, sample: Sample
) -> None:
    fill(either, sample.rows[:300])
    steps = alias_plan(either, "scalar")
    with killed_at(either, 4), pytest.raises(Killed):
        carry_out(either, steps)
    assert SECOND in either.collections()
    take_back(either, steps)
    assert SECOND not in either.collections()
    assert {NAME, FIRST} <= set(either.collections())
    assert either.aliases().get(NAME) == FIRST


def test_searches_never_stop(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows)
    steps = alias_plan(server, "scalar")
    assert [str(step.symbol) for step in steps] == ["-/+"]
    assert not steps[0].needs_consent
    other, ended = MilvusStore.open(server.address), threading.Event()
    found: list[int] = []
    problems: list[Exception] = []

    def probe() -> None:
        while not ended.wait(0.05):
            try:
                ids = other.search(NAME, sample.queries[:1], SearchRequest(k=10)).ids[0].tolist()
                found.append(sum(key is not None for key in ids))
            except StoreError as error:
                problems.append(error)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        carry_out(server, steps)
    finally:
        ended.set()
        thread.join()
        other.close()
    assert problems == []
    assert len(found) > 20
    assert set(found) == {10}
    assert kind(server) == "IVF_SQ8"


def test_rows_written_during_the_copy_are_copied(either: MilvusStore, sample: Sample) -> None:
    fill(either, sample.rows[:300])
    (step,) = alias_plan(either, "scalar")
    assert "rows replaced during the copy" in step.reason
    extra = np.ones((3, 64), dtype=np.float32)

    def meanwhile(event: Progress) -> None:
        if event.stage.startswith("checking for rows"):
            either.write(FIRST, Batch([5, 9000, 9001], {"": extra}))
            either.delete(FIRST, [7])

    carry_out(either, [step], meanwhile)
    held = whole(either, NAME)
    assert set(held.ids) == set(range(300)) - {7} | {9000, 9001}


def test_the_alias_does_not_switch_to_a_copy_that_differs(
    either: MilvusStore, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(either, sample.rows[:50])
    (step,) = alias_plan(either, "scalar")
    real = copy_rows._changed
    monkeypatch.setattr(copy_rows, "_changed", lambda *a: [{**r, "group": 9} for r in real(*a)])
    with pytest.raises(StoreError, match="alias was not switched"):
        carry_out(either, [step])
    assert either.aliases().get(NAME) == FIRST


def test_a_timeout_reports_progress_and_the_next_apply_continues(
    either: MilvusStore, sample: Sample
) -> None:
    fill(either, sample.rows[:300])
    (step,) = alias_plan(either, "scalar")
    with pytest.raises(StoreTimeoutError, match="of 300 rows"):
        either.run(NAME, step.request, silent, 0)
    carry_out(either, [step])
    assert either.aliases().get(NAME) == SECOND


def test_a_collection_name_cannot_be_switched(either: MilvusStore) -> None:
    either.create(FIRST, {"": Vector(8)}, {})
    with pytest.raises(UnsupportedError, match="not an alias") as caught:
        either.plan_change(
            ChangeRequest(either.inspect(FIRST), "", Quantization.parse("scalar"), strategy="alias")
        )
    assert "switch_alias" in str(caught.value.hint)


def test_an_unrelated_collection_is_not_used_as_the_copy(either: MilvusStore) -> None:
    fill(either, np.eye(8, dtype=np.float32))
    (step,) = alias_plan(either, "scalar")
    either.create(SECOND, {"": Vector(8)}, {})
    with pytest.raises(StoreError, match="not an unfinished copy"):
        carry_out(either, [step])
    assert either.aliases().get(NAME) == FIRST
    with pytest.raises(SpecError, match="form"):
        either.run(NAME, {**step.request, "form": 1}, silent, 5)


def test_dropping_by_an_alias_or_under_one_is_refused(either: MilvusStore) -> None:
    """2.3.5 leaves the alias behind; Lite silently ignores a drop by alias."""
    fill(either, np.eye(8, dtype=np.float32))
    with pytest.raises(UnsupportedError, match="alias of"):
        either.drop(NAME)
    with pytest.raises(UnsupportedError, match="points to it"):
        either.drop(FIRST)
    with pytest.raises(AlreadyExistsError):
        either.create(NAME, {"": Vector(8)}, {})
    assert either.count(NAME) == 8
    either.drop_alias(NAME)
    either.drop(FIRST)
    assert not {NAME, FIRST}.intersection(either.collections())
    with pytest.raises(NotFoundError):
        either.drop_alias(NAME)


def test_an_alias_switch_by_another_client_makes_a_plan_stale(either: MilvusStore) -> None:
    fill(either, np.eye(8, dtype=np.float32))
    before = either.info(NAME)
    assert before.config["alias_of"] == FIRST
    either.create(PLAIN, {"": Vector(8)}, {})
    either.switch_alias(NAME, PLAIN)
    assert either.info(NAME).fingerprint != before.fingerprint
    either.drop_alias(NAME)
    either.drop(PLAIN)
