"""Writes and deletions that keep our codes in step with the store.

What the codes would refuse is refused before the store is touched. When one of the two fails
afterwards, the codes are set to what the store holds, or are marked as out of date. Codes are
found under the collection's own name and under each alias of it.

The store's change counter is recorded again after each write, when that write alone moved it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from qadapt.errors import InputError, IntegrityError, QadaptError
from qadapt.index import CodeIndex
from qadapt.local import change_counters, client_codes, code_freshness, code_marks
from qadapt.local.change_counters import Since
from qadapt.local.settings import read_settings
from qadapt.local.state import any_indexes
from qadapt.model import Batch, Id, Quantization, Vector
from qadapt.stores.base import Store, silent
from qadapt.stores.change_counter import ChangeCounter

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
        client_codes.refuse_missing(batch, self.name)
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
        if ranges is None or ranges.count < client_codes.FEW_ROWS:
            return True
        grown = len(self.index) + coming
        return ranges.count < ENOUGH_ROWS and grown >= GROWTH * ranges.count

    def build(self) -> None:
        self.index.close()
        place = self.index.folder
        client_codes.build(
            self.store, self.collection, self.name, self.vector, self.quantization, silent
        )
        code_freshness.remember(place)

    def sync(self, ids: Sequence[Id]) -> None:
        """Set the codes of these rows to what the store holds of them."""
        gone: list[Id] = []
        for start in range(0, len(ids), code_freshness.FETCH_ROWS):
            asked = ids[start : start + code_freshness.FETCH_ROWS]
            batch = self.store.fetch(self.collection, asked, vectors=[self.name], payload=False)
            client_codes.refuse_missing(batch, self.name)
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
            written=len(batch),
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
    *,
    written: int = 0,
) -> None:
    """Change the store, then the codes; what fails leaves no codes that look right and are not.

    Args:
        written: rows that ``in_store`` writes; 0 where it deletes ``ids``.
    """
    if not held:
        in_store()
        return
    with ExitStack() as stack:
        for each in held:
            stack.enter_context(code_marks.changing(each.store, each.collection, [each.name]))
        try:
            count = _Count(held, written)
            count.around(in_store)
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
                    hint=code_marks.REPAIR,
                ) from error
            count.record(at)


class _Count:
    """The store's change counter around one write."""

    def __init__(self, held: Sequence[_Held], written: int) -> None:
        self._former = [
            change_counters.recorded(each.store, each.collection, each.name) for each in held
        ]
        self._rows = [len(each.index) for each in held]
        self._held, self._written = held, written
        self._before: ChangeCounter | None = None
        self._after: ChangeCounter | None = None
        self._alone = False

    def around(self, in_store: Callable[[], None]) -> None:
        """Read the counter before and after the store is changed."""
        store, collection = self._held[0].store, self._held[0].collection
        with store.exclusive(collection) as self._alone:
            self._before = store.change_counter(collection)
            in_store()
            self._after = store.change_counter(collection)

    def record(self, at: int) -> None:
        """Record the counter for codes that took the write, when they described all rows before
        it and nothing but this write moved the counter; else all rows are compared by the next
        status."""
        each = self._held[at]
        if self._before is None or self._after is None or not self._after.complete:
            return
        if change_counters.since(self._former[at], self._before) is not Since.UNCHANGED:
            return
        deleted = 0 if self._written else self._rows[at] - len(each.index)
        if self._alone or self._after.accounted(
            self._before, written=self._written, deleted=deleted
        ):
            change_counters.record(each.store, each.collection, each.name, self._after)


def _sync_or_mark(each: _Held, ids: Sequence[Id], error: QadaptError) -> None:
    try:
        each.sync(ids)
    except (QadaptError, OSError) as second:
        _mark(each, f"a write failed half-way ({error.message})")
        reported = (
            f"qadapt's codes are marked as out of date, because the rows cannot be read: {second}"
        )
        error.hint = f"{error.hint}; {reported}" if error.hint else reported


def _mark(each: _Held, reason: str) -> None:
    code_freshness.record(each.store, each.collection, each.name, " ".join(reason.split()))


@contextmanager
def _held(store: Store, collection: str) -> Iterator[list[_Held]]:
    """The codes of a collection that can be kept in step, each with its lock."""
    with ExitStack() as stack:
        held = []
        for known, name, quantization in remembered(store, collection):
            there = store.info(known).vectors
            if name not in there:
                continue
            vector = there[name].vector
            index = _open(store, known, name, vector, quantization)
            if index is not None:
                stack.enter_context(index)
                held.append(_Held(store, known, name, vector, quantization, index))
        yield held


def remembered(store: Store, collection: str) -> list[tuple[str, str, Quantization]]:
    """Our codes of a collection: the name that they were made for, which may be an alias, the
    vector, and the quantization.

    Args:
        collection: by any of its names; also ``NAME@PART``.
    """
    if not any_indexes():
        return []
    whole = store.collection_of(collection)
    aliases = store.aliases()
    real = aliases.get(whole, whole)
    names = [real, *sorted(alias for alias, behind in aliases.items() if behind == real)]
    return [
        (known, name, each.client)
        for known in names
        for name, each in read_settings(store, known).vectors.items()
        if each.client is not None
    ]


def _open(
    store: Store, collection: str, name: str, vector: Vector, quantization: Quantization
) -> CodeIndex | None:
    """The codes of one vector for writing; None where they are out of date already."""
    if code_marks.outdated(store, collection, name) and not code_marks.under_way(
        store, collection, name
    ):
        return None
    try:
        index = client_codes.open_index(store, collection, name, read_only=False, wait=PATIENCE)
    except IntegrityError as error:
        code_freshness.record(store, collection, name, error.message)
        return None
    # With the lock in hand, a mark of a write is that of one that was cut off.
    reason = code_marks.outdated(store, collection, name)
    if reason is None:
        reason = client_codes.mismatch_reason(index, vector, quantization)
        if reason is None:
            return index
        code_freshness.record(store, collection, name, reason)
    index.close()
    return None
