"""Mapping between ids and row numbers, without a Python object per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.code_index.id_chunk import IdChunk
from qadapt.code_index.id_column import IdColumn, IdKind, Mask
from qadapt.code_index.rows import Id
from qadapt.errors import InputError

_TAIL_ROWS = 4096
"""Rows that were added one by one and are in a dict, before they become an array."""
_FEW = 256  # ids that are looked up in the dict
_MERGE_FACTOR = 2


class RowMap:
    """Ids by row and rows by id, with a mask of deleted rows.

    Rows are numbered in the order of addition and never reused. Ids are in arrays of consecutive
    rows, whose lengths fall by at least a factor of two, so that an addition rarely copies many
    ids. Rows that are added in small batches are kept in a dict first.
    """

    def __init__(self) -> None:
        self._chunks: list[IdChunk] = []
        self._chunked = 0  # rows in chunks
        self._tail: list[Id] = []
        self._tail_rows: dict[Id, int] = {}
        self._alive: Mask | None = None  # may be longer than the rows; None if nothing is deleted
        self._dead = 0

    @property
    def total(self) -> int:
        """Number of rows, including deleted ones."""
        return self._chunked + len(self._tail)

    @property
    def live(self) -> int:
        """Number of live rows."""
        return self.total - self._dead

    @property
    def deleted(self) -> int:
        """Number of deleted rows."""
        return self._dead

    @property
    def nbytes(self) -> int:
        """Bytes of ids, of their order and of the mask; about 120 per row of the dict."""
        chunks = sum(chunk.nbytes for chunk in self._chunks)
        mask = 0 if self._alive is None else self._alive.nbytes
        return chunks + mask + 120 * len(self._tail)

    def __contains__(self, one: object) -> bool:
        try:
            wanted = IdColumn.of([one])
        except InputError:
            return False
        return bool(self.places(wanted)[0] >= 0)

    # -- ids of rows ---------------------------------------------------------------------------

    def column(self, start: int = 0, *, deleted: bool = False) -> IdColumn:
        """Live ids from row ``start``, in row order.

        Args:
            start: first row.
            deleted: include the ids of deleted rows.
        """
        parts = []
        for chunk in self._all_chunks():
            last = chunk.first + len(chunk)
            if last <= start:
                continue
            own = None if deleted else self._living(chunk)
            if chunk.first >= start and own is None:
                parts.append(chunk.column)
                continue
            rows = np.arange(len(chunk)) if own is None else own
            parts.append(chunk.column.take(rows[rows >= start - chunk.first]))
        return IdColumn.concat(parts)

    def ids(self, start: int = 0) -> list[Id]:
        """Live ids from row ``start``, in row order."""
        return self.column(start).tolist()

    def at(self, rows: npt.NDArray[np.int64]) -> list[Id | None]:
        """Ids of these rows; None for negative numbers."""
        flat = rows.ravel()
        if len(self._chunks) == 1 and not self._tail and len(flat) and flat.min() >= 0:
            return [*self._chunks[0].column.take(flat).tolist()]
        found = np.full(len(flat), None, dtype=object)
        for chunk in self._all_chunks():
            here = (flat >= chunk.first) & (flat < chunk.first + len(chunk))
            if here.any():
                ids = chunk.column.take(flat[here] - chunk.first).tolist()
                found[here] = np.fromiter(ids, dtype=object, count=len(ids))
        return found.tolist()

    def sample(self, rows: npt.NDArray[np.int64]) -> list[Id]:
        """Ids of live rows, which are counted without the deleted ones."""
        alive = self.live_mask()
        places = rows if alive is None else np.flatnonzero(alive)[rows]
        return [one for one in self.at(places) if one is not None]

    # -- changes -------------------------------------------------------------------------------

    def append(self, ids: IdColumn) -> None:
        """Add rows for ids that have no live row."""
        if len(ids) < _FEW:
            first = self.total
            listed = ids.tolist()
            self._tail += listed
            self._tail_rows.update(zip(listed, range(first, first + len(listed)), strict=True))
            self._grow()
            if len(self._tail) >= _TAIL_ROWS:
                self._settle_tail()
            return
        self._settle_tail()
        self._add_chunk(ids)

    def _add_chunk(self, ids: IdColumn) -> None:
        self._chunks.append(IdChunk(ids, self._chunked))
        self._chunked += len(ids)
        self._grow()
        while len(self._chunks) > 1 and (
            len(self._chunks[-2]) < _MERGE_FACTOR * len(self._chunks[-1])
        ):
            self._chunks[-2:] = [IdChunk.merged(self._chunks[-2:], self._alive)]

    def _settle_tail(self) -> None:
        """Move the rows of the dict to an array."""
        if self._tail:
            ids, self._tail, self._tail_rows = self._tail, [], {}
            self._add_chunk(IdColumn.of_list(ids))

    def _grow(self) -> None:
        """Extend the mask to all rows, and to an eighth more."""
        total = self.total
        if self._alive is not None and len(self._alive) < total:
            longer = np.ones(total + total // 8, dtype=np.bool_)
            longer[: len(self._alive)] = self._alive
            self._alive = longer

    def remove(self, ids: IdColumn) -> npt.NDArray[np.int64]:
        """Mark the rows of these ids as deleted; unknown ids are ignored.

        Returns:
            Their rows, int64 (m,), ascending.
        """
        rows = self.places(ids)
        return self.remove_rows(np.unique(rows[rows >= 0]))

    def remove_rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Mark live rows as deleted; returns them."""
        if len(rows):
            if self._alive is None:
                self._alive = np.ones(self.total, dtype=np.bool_)
            self._alive[rows] = False
            self._dead += len(rows)
        return rows

    def cut(self, rows: int) -> None:
        """Remove all rows from number ``rows``."""
        self._settle_tail()
        kept = [chunk for chunk in self._chunks if chunk.first < rows]
        if kept and kept[-1].first + len(kept[-1]) > rows:
            kept[-1] = kept[-1].cut(rows - kept[-1].first)
        self._chunks, self._chunked = kept, min(rows, self._chunked)
        if self._alive is not None:
            self._alive = self._alive[:rows].copy()
            self._dead = rows - int(np.count_nonzero(self._alive))
        if not self._dead:
            self._alive = None

    # -- rows of ids ---------------------------------------------------------------------------

    def live_mask(self) -> Mask | None:
        """Mask of live rows, bool (total,); None if nothing is deleted. Read-only."""
        return None if self._alive is None else self._alive[: self.total]

    def rows_of(self, ids: IdColumn) -> npt.NDArray[np.int64]:
        """Rows of the known ids, in the given order."""
        rows = self.places(ids)
        return rows[rows >= 0]

    def places(self, ids: IdColumn) -> npt.NDArray[np.int64]:
        """Row of each id, int64 ``(n,)``; -1 for unknown ids. Threads may call it at once."""
        found = np.full(len(ids), -1, dtype=np.int64)
        few = len(ids) < _FEW
        if self._tail and few:
            found[:] = [self._tail_rows.get(one, -1) for one in ids.tolist()]
            if self._alive is not None:
                found[(found >= 0) & ~self._alive[found]] = -1
        chunks = self._chunks if few else self._all_chunks()
        if chunks:
            left = _Wanted(ids, np.flatnonzero(found < 0))
            for chunk in reversed(chunks):
                left.look_in(chunk, self._alive, found)
        return found

    def repeated(self) -> list[Id]:
        """Ids of several live rows, which a damaged or foreign file may have."""
        twice: list[Id] = []
        for chunk in self._all_chunks():
            own = self._living(chunk)
            if own is None:
                own = np.arange(len(chunk))
            ids = chunk.column.take(own)
            wrong = self.places(ids) != own + chunk.first
            twice += ids.take(np.flatnonzero(wrong)).tolist()
        return twice

    def _living(self, chunk: IdChunk) -> npt.NDArray[np.int64] | None:
        """Live rows of a chunk, from 0; None if all are live."""
        if self._alive is None:
            return None
        own = self._alive[chunk.first : chunk.first + len(chunk)]
        return None if bool(own.all()) else np.flatnonzero(own)

    def _all_chunks(self) -> list[IdChunk]:
        if not self._tail:
            return self._chunks
        return [*self._chunks, IdChunk(IdColumn.of_list(self._tail), self._chunked)]


class _Wanted:
    """Ids that were not found yet, in the kind of each chunk."""

    def __init__(self, ids: IdColumn, left: npt.NDArray[np.int64]) -> None:
        self._ids = ids
        self._left = left
        self._texts: IdColumn | None = None

    def look_in(self, chunk: IdChunk, alive: Mask | None, found: npt.NDArray[np.int64]) -> None:
        """Look up the remaining ids, and write their rows to ``found``."""
        if not len(self._left):
            return
        wanted, places = self._of_kind(chunk.column.kind)
        rows = chunk.find(wanted, alive)
        hit = rows >= 0
        if hit.any():
            found[places[hit]] = rows[hit]
            self._left = self._left[found[self._left] < 0]

    def _of_kind(self, kind: IdKind) -> tuple[IdColumn, npt.NDArray[np.int64]]:
        """Remaining ids that a chunk of this kind may hold, and their places."""
        if self._ids.kind == kind:
            return self._ids.take(self._left), self._left
        if kind == "text":
            if self._texts is None:
                self._texts = self._ids.as_text()
            return self._texts.take(self._left), self._left
        # texts may be integers or UUIDs; other kinds have none in common
        if self._ids.kind != "text":
            return self._ids.head(1).take(np.empty(0, dtype=np.int64)), self._left[:0]
        listed = self._ids.take(self._left).tolist()
        which, some = _compact(listed, kind)
        return some, self._left[which]


def _compact(ids: list[Id], kind: IdKind) -> tuple[npt.NDArray[np.int64], IdColumn]:
    """Places and column of those ids that fit a compact kind."""
    chosen: list[tuple[int, Any]] = []
    for at, one in enumerate(ids):
        if kind == "int":
            if isinstance(one, int) and -(1 << 63) <= one < 1 << 63:
                chosen.append((at, one))
        elif isinstance(one, str) and IdColumn.of_list([one]).kind == "uuid":
            chosen.append((at, one))
    places = np.fromiter((at for at, _ in chosen), dtype=np.int64, count=len(chosen))
    return places, IdColumn.of_list([one for _, one in chosen])


def first_repeated(ids: IdColumn) -> list[Id]:
    """Ids that occur more than once in a column, each once, in order."""
    rows = IdChunk(ids, 0).repeated()
    return list(dict.fromkeys(ids.take(np.sort(rows)).tolist()))
