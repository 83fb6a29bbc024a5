"""Writes and deletions that keep client-side codes and database in sync.

Rows that the codes cannot encode are rejected before the database is modified. If the database or
the codes fail afterwards, the codes are updated from the database or marked as outdated. Codes are
looked up by the name of the collection and by each of its aliases.

The change counter of the database is recorded after each write, if only that write changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from qadapt.code_index import CodeIndex
from qadapt.errors import InputError, IntegrityError, QadaptError
from qadapt.local import change_counters, client_codes, code_freshness, code_marks
from qadapt.local.change_counters import Since
from qadapt.local.settings import read_settings
from qadapt.local.state import any_indexes
from qadapt.model import Batch, Id, Quantization, Vector
from qadapt.stores.base import Store, silent
from qadapt.stores.change_counter import ChangeCounter

# Seconds to wait for another writer of the same codes.
PATIENCE = 30.0
# Ranges of fewer rows are measured again when the number of rows has grown by this factor.
ENOUGH_ROWS, GROWTH = 1_000, 2


@dataclass(frozen=True)
class _Held:
    """Codes of a vector, open for writing."""

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
        """Add written rows as the database returns them."""
        if self._thin(len(batch)):
            self.build()
            return
        ids, rows = batch.ids, batch.vectors[self.name]
        if (
            self.vector.datatype != "float32"
        ):  # the database may round, and codes must match the stored vectors
            self.sync(ids)
            return
        self.index.upsert(ids, rows)
        self.index.save()

    def _thin(self, coming: int) -> bool:
        """Whether the ranges of the int8 codes were measured from too few rows."""
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
        """Update the codes of these rows from the database."""
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
    """Upsert rows in the database and in the client-side codes, if any.

    Args:
        collection: name; also ``NAME@PARTITION``.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError, SpecError: nothing was written.
        UnsupportedError: a row lacks a vector with client-side codes; nothing was written.
        BusyError: another process writes to the codes; nothing was written.
        IntegrityError: the rows were written, but not the codes; the codes are marked.
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
    """Delete rows from the database and from the client-side codes, if any.

    Raises:
        BusyError: another process writes to the codes; nothing was deleted.
        IntegrityError: the rows were deleted, but not their codes; the codes are marked.
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
    """Change the database, then the codes; after an error, wrong codes are always marked.

    Args:
        written: rows that ``in_store`` writes; 0 if it deletes ``ids``.
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
        except InputError:  # rejected before anything was written
            raise
        except QadaptError as error:
            # Some of the rows may exist: update the codes from the database.
            for each in held:
                _sync_or_mark(each, ids, error)
            raise
        for at, each in enumerate(held):
            try:
                in_codes(each)
            except (QadaptError, OSError) as error:
                for left in held[at:]:
                    _mark(left, f"{done}, but the client-side codes could not be changed: {error}")
                raise IntegrityError(
                    f"{done} in {each.collection!r}, but its client-side codes could not be "
                    f"changed and are no longer used: {getattr(error, 'message', error)}",
                    hint=code_marks.REPAIR,
                ) from error
            count.record(at)


class _Count:
    """Change counter of the database before and after a write."""

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
        """Read the counter before and after the change."""
        store, collection = self._held[0].store, self._held[0].collection
        with store.exclusive(collection) as self._alone:
            self._before = store.change_counter(collection)
            in_store()
            self._after = store.change_counter(collection)

    def record(self, at: int) -> None:
        """Record the counter for codes that were updated, if they matched all rows before and only
        this write changed the counter; else the next status compares all rows."""
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
        _mark(each, f"a write failed partially ({error.message})")
        reported = f"the client-side codes are marked as outdated; reading rows failed: {second}"
        error.hint = f"{error.hint}; {reported}" if error.hint else reported


def _mark(each: _Held, reason: str) -> None:
    code_freshness.record(each.store, each.collection, each.name, " ".join(reason.split()))


@contextmanager
def _held(store: Store, collection: str) -> Iterator[list[_Held]]:
    """Open all codes of a collection that can be updated, each with its lock."""
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
    """Client-side codes of a collection: the name they were built for (which may be an alias), the
    vector, and the quantization.

    Args:
        collection: name or alias; also ``NAME@PARTITION``.
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
    """Open the codes of a vector for writing; None if they are already outdated."""
    if code_marks.outdated(store, collection, name) and not code_marks.under_way(
        store, collection, name
    ):
        return None
    try:
        index = client_codes.open_index(store, collection, name, read_only=False, wait=PATIENCE)
    except IntegrityError as error:
        code_freshness.record(store, collection, name, error.message)
        return None
    # While the lock is held, a mark belongs to an interrupted write.
    reason = code_marks.outdated(store, collection, name)
    if reason is None:
        reason = client_codes.mismatch_reason(index, vector, quantization)
        if reason is None:
            return index
        code_freshness.record(store, collection, name, reason)
    index.close()
    return None
