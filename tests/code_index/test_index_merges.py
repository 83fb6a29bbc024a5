"""Merges in the background: nothing waits for them, and nothing is lost."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.code_index import CodeIndex, background_merge, merging, storage
from qadapt.codecs import Calibration
from qadapt.errors import IntegrityError

Make = Callable[..., CodeIndex]

DIM = 8
RANGES = Calibration.from_ranges(np.array([[-1.0] * DIM, [1.0] * DIM], dtype=np.float32))


class Gate:
    """Holds merges until it is opened."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._open = threading.Event()
        self.begun = 0
        real = background_merge.BackgroundMerge._write

        def held(merge: background_merge.BackgroundMerge) -> None:
            self.begun += 1
            assert self._open.wait(60)
            real(merge)

        patch.setattr(background_merge.BackgroundMerge, "_write", held)

    def let(self, index: CodeIndex) -> None:
        """Let the present merge end."""
        if index._merge is not None:
            self._open.set()
            index._merge.wait()
            self._open.clear()

    def open(self) -> None:
        """Hold none any more."""
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate(monkeypatch)
    yield found
    found.open()


def segments(index: CodeIndex) -> int:
    return len(storage.read_header(index.folder).segments)


def same(index: CodeIndex, ids: list[int], vectors: np.ndarray) -> None:
    """The index holds these vectors, in memory and for a reader of its files."""
    assert index.ids == ids
    assert index.differing(ids, vectors) == []
    with CodeIndex.open(index.folder, read_only=True, verify="full") as reader:
        assert reader.ids == ids
        assert reader.differing(ids, vectors) == []


@pytest.mark.parametrize("changed", [False, True])
def test_saves_return_while_a_merge_runs(
    make: Make, vectors: np.ndarray, gate: Gate, changed: bool
) -> None:
    """Two saves in a row, with and without deleted rows in the segments that are merged."""
    rows = {number: vectors[number] for number in range(300)}
    with make() as index:
        for number in range(300, 320):
            rows[number] = vectors[number - 300] + 1
            index.add([number], rows[number][None])
            if changed and number == 306:
                assert index.delete([301, 303, 7]) == 3
                for one in (301, 303, 7):
                    del rows[one]
            index.save()
        assert gate.begun == 1, "the second merge waits for the end of the first one"
        assert segments(index) > 10
        before = index.search(vectors[:30], 5)
        if changed:
            # rows of the segments that are merged, of later ones, and before all of them
            index.upsert([302, 318, 9], vectors[50:53])
            index.delete([304, 319, 11])
            for one in (302, 318, 9, 304, 319, 11):
                del rows[one]
            rows |= {302: vectors[50], 318: vectors[51], 9: vectors[52]}
            index.save()
            before = index.search(vectors[:30], 5)
        same(index, list(rows), np.stack(list(rows.values())))
        many = segments(index)
        gate.let(index)
        index.save()
        assert segments(index) < many
        after = index.search(vectors[:30], 5)
        assert after.ids.tolist() == before.ids.tolist()
        assert after.scores.tolist() == before.scores.tolist()
        same(index, list(rows), np.stack(list(rows.values())))
        gate.open()
    with CodeIndex.open(index.folder, verify="full") as again:
        same(again, list(rows), np.stack(list(rows.values())))
        again.verify()


def test_closing_waits_for_the_merge(make: Make, vectors: np.ndarray, gate: Gate) -> None:
    index = make()
    index.save()
    index.delete(range(100))
    index.save()
    assert segments(index) == 2
    timer = threading.Timer(0.05, gate.open)
    timer.start()
    index.close()
    timer.join()
    assert segments(index) == 1
    with CodeIndex.open(index.folder, verify="full") as again:
        same(again, list(range(100, 300)), vectors[100:])


def test_unsaved_changes_at_the_end_drop_the_merge(
    make: Make, vectors: np.ndarray, gate: Gate
) -> None:
    gate.open()
    index = make()
    index.save()
    index.delete(range(100))
    index.save()
    index.delete([200])
    with pytest.warns(UserWarning, match="unsaved changes"):
        index.close()
    with CodeIndex.open(index.folder, verify="full") as again:
        same(again, list(range(100, 300)), vectors[100:])
        assert {path.name for path in again.folder.iterdir()} == {
            *again._header.names, "index.json", "lock",
        }  # fmt: skip


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), "damaged"])
def test_a_merge_that_fails_warns_and_is_tried_again(
    make: Make, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    index = make()
    index.save()
    index.delete(range(100))

    def failing(*_: object) -> None:
        raise IntegrityError("a page is damaged") if error == "damaged" else error

    with monkeypatch.context() as patch:
        patch.setattr(background_merge, "finish_segment", failing)
        index.save()
        assert index._merge is not None
        index._merge.wait()
        index.add(["new"], vectors[:1])
        with pytest.warns(UserWarning, match="were not merged: .*(No space|damaged)") as caught:
            index.save()
        assert caught[0].filename == __file__
        assert segments(index) == 3
        assert index._merge is not None
        index._merge.wait()
        held = weakref.ref(index._merge.__dict__["_files"][0])
        with pytest.warns(UserWarning, match="were not merged"):
            index.close()
    assert held() is None, "a failed merge keeps no file open"
    with CodeIndex.open(index.folder, verify="full") as again:
        assert again.ids == [*range(100, 300), "new"]
        assert segments(again) == 3
        again.save()  # nothing changed, but it begins the merge
    assert segments(again) == 1


def test_compact_and_recalibrate_end_a_merge(make: Make, vectors: np.ndarray, gate: Gate) -> None:
    gate.open()
    for change in ("compact", "recalibrate"):
        with make(change) as index:
            index.save()
            index.delete(range(100))
            index.save()
            if change == "compact":
                index.compact()
            else:
                index.recalibrate(lambda ids: vectors[ids])
                index.save()
            assert segments(index) == 1
            same(index, list(range(100, 300)), vectors[100:])


@settings(max_examples=examples(40), deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("upsert"), st.lists(st.integers(0, 9), min_size=1, unique=True)),
            st.tuples(st.just("delete"), st.lists(st.integers(0, 9), min_size=1, unique=True)),
            st.tuples(st.sampled_from(["save", "save", "merge", "read", "reopen"]), st.just([])),
        ),
        max_size=40,
    ),
    codes=st.sampled_from(["binary", "int8", "rotational"]),
)
def test_any_sequence_of_changes_saves_and_ends_of_merges(
    steps: list[tuple[str, list[int]]], codes: Any
) -> None:
    """A dict is the model. Two segments of a size are merged, so that merges are frequent, and a
    merge ends at a chosen step."""
    rng = np.random.default_rng(1)
    model: dict[int, np.ndarray] = {}
    saved: dict[int, np.ndarray] = {}
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "FACTOR", 2)
        gate = Gate(patch)
        index = CodeIndex.create(Path(folder, "i"), DIM, codes=codes, calibration=RANGES)
        for what, ids in steps:
            if what == "upsert":
                x = rng.standard_normal((len(ids), DIM)).astype(np.float32)
                index.upsert(ids, x)
                for one, vector in zip(ids, x, strict=True):
                    model.pop(one, None)
                    model[one] = vector
            elif what == "delete":
                index.delete(ids)
                for one in ids:
                    model.pop(one, None)
            elif what == "merge":
                gate.let(index)
            elif what == "read":
                with CodeIndex.open(index.folder, read_only=True, verify="full") as reader:
                    assert reader.ids == list(saved)
            else:
                index.save()
                saved = dict(model)
                if what == "reopen":
                    gate.open()
                    index.close()
                    index = CodeIndex.open(Path(folder, "i"), verify="full")
                    gate = Gate(patch)
            assert index.ids == list(model)
            if model:
                assert index.differing(list(model), np.stack(list(model.values()))) == []
                found = index.search(np.stack(list(model.values())), 1, rescore=10, source="bits"
                                     if codes == "rotational" else None)  # fmt: skip
                if codes != "binary":
                    assert found.ids[:, 0].tolist() == list(model)
        gate.open()
        index.save()
        index.close()
        with CodeIndex.open(Path(folder, "i"), verify="full") as again:
            assert again.ids == list(model)
            again.verify()
