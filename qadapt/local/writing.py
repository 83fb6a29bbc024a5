"""Writes and deletions that keep our codes in step with the store.

What the codes would refuse is refused before the store is touched. When one of the two fails
afterwards, the codes are set to what the store holds, or are marked as out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from qadapt.errors import InputError, IntegrityError, QadaptError
from qadapt.index import CodeIndex
from qadapt.local import codes, comparing, marks
from qadapt.local.settings import read_settings
from qadapt.model import Batch, Id, Quantization, Vector
from qadapt.stores.base import Store, silent

# Seconds that a write waits for another writer of the same codes.
PATIENCE = 30.0
# Ranges of fewer rows are taken again when so many times as many rows are there.
ENOUGH_ROWS, GROWTH = 1_000, 2


@dataclass(frozen=True)
class _Held:
    """The codes of one vector, open for writing."""

    store: Store
    collection: str
    name: str
    vector: Vector
    quantization: Quantization
    index: CodeIndex

    def check(self, batch: Batch) -> None:
        codes.refuse_missing(batch, self.name)
        self.index.check(batch.ids, batch.vectors[self.name])

    def take(self, batch: Batch) -> None:
        """Take written rows in, as the store keeps them."""
        if self._thin(len(batch)):
            self.build()
            return
        ids, rows = batch.ids, batch.vectors[self.name]
        if self.vector.datatype != "float32":  # the store rounds, and codes are of what it holds
            self.sync(ids)
            return
        self.index.upsert(ids, rows)
        self.index.save()

    def _thin(self, coming: int) -> bool:
        """Whether the ranges of the int8 codes come from too few rows."""
        ranges = self.index.calibration
        if ranges is None or ranges.count < codes.FEW_ROWS:
            return True
        grown = len(self.index) + coming
        return ranges.count < ENOUGH_ROWS and grown >= GROWTH * ranges.count

    def build(self) -> None:
        self.index.close()
        place = self.index.folder
        codes.build(self.store, self.collection, self.name, self.vector, self.quantization, silent)
        comparing.remember(place)

    def sync(self, ids: Sequence[Id]) -> None:
        """Set the codes of these rows to what the store holds of them."""
        gone: list[Id] = []
        for start in range(0, len(ids), comparing.FETCH_ROWS):
            asked = ids[start : start + comparing.FETCH_ROWS]
            batch = self.store.fetch(self.collection, asked, vectors=[self.name], payload=False)
            codes.refuse_missing(batch, self.name)
            there = set(batch.ids)
            gone += [key for key in asked if key not in there]
            if len(batch):
                self.index.upsert(batch.ids, np.asarray(batch.vectors[self.name]))
        self.index.delete(gone)
        self.index.save()


def write_rows(store: Store, collection: str, batch: Batch) -> None:
    """Upsert rows in the store and in our codes, where there are any.

    Args:
        collection: also ``NAME@PART``.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError, SpecError: nothing was written.
        UnsupportedError: a row without a vector that has our codes; nothing was written.
        BusyError: another process writes to the codes; nothing was written.
        IntegrityError: the rows were written, and the codes could not be; they are marked.
    """
    with _held(store, collection) as held:
        for each in held:
            each.check(batch)
        _both(
            held,
            lambda: store.write(collection, batch),
            lambda each: each.take(batch),
            batch.ids,
            "the rows were written",
        )


def delete_rows(store: Store, collection: str, ids: Sequence[Id]) -> None:
    """Delete rows from the store and from our codes, where there are any.

    Raises:
        BusyError: another process writes to the codes; nothing was deleted.
        IntegrityError: the rows were deleted, and the codes could not be changed; they are marked.
    """

    def drop(each: _Held) -> None:
        each.index.delete(list(ids))
        each.index.save()

    with _held(store, collection) as held:
        _both(held, lambda: store.delete(collection, ids), drop, ids, "the rows were deleted")


def _both(
    held: Sequence[_Held],
    in_store: Callable[[], None],
    in_codes: Callable[[_Held], None],
    ids: Sequence[Id],
    done: str,
) -> None:
    """Change the store, then the codes; what fails leaves no codes that look right and are not."""
    if not held:
        in_store()
        return
    first = held[0]
    with marks.changing(first.store, first.collection, [each.name for each in held]):
        try:
            in_store()
        except InputError:  # refused before anything was written
            raise
        except QadaptError as error:
            # A part of the rows may be there: the codes take what is.
            for each in held:
                _sync_or_mark(each, ids, error)
            raise
        for at, each in enumerate(held):
            try:
                in_codes(each)
            except (QadaptError, OSError) as error:
                for left in held[at:]:
                    _mark(left, f"{done}, and qadapt's codes could not be changed: {error}")
                raise IntegrityError(
                    f"{done} in {each.collection!r}, but qadapt's codes beside it could not be "
                    f"changed and are not used from now on: {getattr(error, 'message', error)}",
                    hint=marks.REPAIR,
                ) from error


def _sync_or_mark(each: _Held, ids: Sequence[Id], error: QadaptError) -> None:
    try:
        each.sync(ids)
    except (QadaptError, OSError) as second:
        _mark(each, f"a write failed half-way ({error.message})")
        told = (
            f"qadapt's codes are marked as out of date, because the rows cannot be read: {second}"
        )
        error.hint = f"{error.hint}; {told}" if error.hint else told


def _mark(each: _Held, reason: str) -> None:
    comparing.record(each.store, each.collection, each.name, " ".join(reason.split()))


@contextmanager
def _held(store: Store, collection: str) -> Iterator[list[_Held]]:
    """The codes of a collection that can be kept in step, each with its lock."""
    whole = store.whole(collection)
    wanted = {
        name: each.client
        for name, each in read_settings(store, whole).vectors.items()
        if each.client is not None
    }
    there = store.info(whole).vectors if wanted else {}
    with ExitStack() as stack:
        held = []
        for name, quantization in wanted.items():
            if name not in there:
                continue
            vector = there[name].vector
            index = _open(store, whole, name, vector, quantization)
            if index is not None:
                stack.enter_context(index)
                held.append(_Held(store, whole, name, vector, quantization, index))
        yield held


def _open(
    store: Store, collection: str, name: str, vector: Vector, quantization: Quantization
) -> CodeIndex | None:
    """The codes of one vector for writing; None where they are out of date already."""
    if marks.outdated(store, collection, name) and not marks.under_way(store, collection, name):
        return None
    try:
        index = codes.open_index(store, collection, name, read_only=False, wait=PATIENCE)
    except IntegrityError as error:
        comparing.record(store, collection, name, error.message)
        return None
    # With the lock in hand, a mark of a write is that of one that was cut off.
    reason = marks.outdated(store, collection, name)
    if reason is None:
        reason = codes.misfit(index, vector, quantization)
        if reason is None:
            return index
        comparing.record(store, collection, name, reason)
    index.close()
    return None
