"""Ids of consecutive rows with a sorted order for looking them up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qadapt.code_index.id_column import IdColumn, Mask

Order = npt.NDArray[np.uint32]


class IdChunk:
    """Ids of consecutive rows.

    Integers in ascending order need no other memory. Otherwise the row numbers are sorted by key
    when an id is first looked up: 4 bytes per row, and 4 more for the hash of a text.

    Args:
        column: ids.
        first: number of the first row.
    """

    def __init__(self, column: IdColumn, first: int) -> None:
        self.column = column
        self.first = first
        self._keys: npt.NDArray[np.generic] | None = None
        self._order: Order | None = None
        self._ascending: bool | None = None

    def __len__(self) -> int:
        return len(self.column)

    @property
    def nbytes(self) -> int:
        """Size in bytes, with the order if it exists."""
        extra = 0 if self._order is None else self._order.nbytes
        if self.column.kind == "text" and self._keys is not None:
            extra += self._keys.nbytes
        return self.column.nbytes + extra

    @staticmethod
    def merged(chunks: Sequence[IdChunk], alive: Mask | None) -> IdChunk:
        """One chunk of consecutive ones.

        Args:
            chunks: chunks in row order.
            alive: bool (all rows,), rows that may be found; None for all.
        """
        made = IdChunk(IdColumn.concat([chunk.column for chunk in chunks]), chunks[0].first)
        sorted_before = all(chunk._order is not None or chunk._ascending for chunk in chunks)
        if sorted_before and {chunk.column.kind for chunk in chunks} == {made.column.kind}:
            # two or more sorted runs, which a stable sort merges in linear time
            runs = [chunk._rows(alive) + np.uint32(chunk.first - made.first) for chunk in chunks]
            made._sort(np.concatenate(runs))
        return made

    def cut(self, rows: int) -> IdChunk:
        """Chunk of the first rows, at least 1."""
        return IdChunk(self.column.head(rows), self.first)

    def find(self, wanted: IdColumn, alive: Mask | None) -> npt.NDArray[np.int64]:
        """Row number of each id; -1 for ids that this chunk does not hold.

        Args:
            wanted: ids of the same kind.
            alive: bool (all rows,), rows that may be found; None for all.
        """
        found = np.full(len(wanted), -1, dtype=np.int64)
        if not len(self.column) or not len(wanted):
            return found
        self._prepare(alive)
        keys, looked = self._sortable(), wanted.keys()
        if self._order is None:
            at = np.searchsorted(keys, looked)
            rows = np.minimum(at, len(keys) - 1)
            hit = keys[rows] == looked
        else:
            if not len(self._order):
                return found
            at = _lower_bound(keys, self._order, looked)
            rows, hit = self._matches(at, looked, wanted)
        there = rows + self.first
        if alive is not None:
            hit &= alive[there]
        found[hit] = there[hit]
        return found

    def _matches(
        self, at: npt.NDArray[np.int64], looked: npt.NDArray[np.generic], wanted: IdColumn
    ) -> tuple[npt.NDArray[np.int64], Mask]:
        """Rows with these ids from the first place with an equal key, and whether there are any."""
        assert self._order is not None
        keys = self._sortable()
        rows = np.zeros(len(at), dtype=np.int64)
        hit = np.zeros(len(at), dtype=np.bool_)
        open_ = np.arange(len(at))
        while len(open_):
            inside = at[open_] < len(self._order)
            open_ = open_[inside]
            here = self._order[at[open_]].astype(np.int64)
            close = np.asarray(keys[here] == looked[open_])
            open_, here = open_[close], here[close]
            same = self.column.equal(here, wanted, open_)
            rows[open_[same]] = here[same]
            hit[open_[same]] = True
            open_ = open_[~same]  # texts with equal hashes
            at[open_] += 1
        return rows, hit

    def repeated(self) -> npt.NDArray[np.int64]:
        """Rows (from 0) whose id occurs at an earlier place of the order, each id once or more."""
        self._prepare(None)
        if self._order is None or len(self) < 2:
            return np.empty(0, dtype=np.int64)
        keys = self._sortable()[self._order]
        close = np.flatnonzero(keys[1:] == keys[:-1])
        if self.column.kind == "text":
            return self._repeated_texts(close)
        return self._order[close + 1].astype(np.int64)

    def _repeated_texts(self, close: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Of places whose next place has an equal hash: rows of texts that occur before."""
        assert self._order is not None
        if not len(close):
            return close
        rows = np.unique(self._order[np.concatenate([close, close + 1])].astype(np.int64))
        seen: set[object] = set()
        twice = []
        for row, one in zip(rows.tolist(), self.column.take(rows).tolist(), strict=True):
            if one in seen:
                twice.append(row)
            seen.add(one)
        return np.array(twice, dtype=np.int64)

    def _prepare(self, alive: Mask | None) -> None:
        """Sort the live rows once."""
        if self._order is not None or self._ascending:
            return
        self._sort(self._rows(alive))

    def _rows(self, alive: Mask | None) -> Order:
        """Live rows from 0, in the order of their keys if they are sorted."""
        if alive is None:
            return np.arange(len(self), dtype=np.uint32) if self._order is None else self._order
        own = alive[self.first : self.first + len(self)]
        if self._order is not None:
            return self._order[own[self._order]]
        return np.flatnonzero(own).astype(np.uint32)

    def _sort(self, rows: Order) -> None:
        values = self.column.values
        if self.column.kind == "int" and bool((values[1:] > values[:-1]).all()):
            self._ascending = True  # dead rows are found, and skipped
            return
        keys = self._sortable()
        self._order = rows[np.argsort(keys[rows], kind="stable")]
        self._ascending = False

    def _sortable(self) -> npt.NDArray[np.generic]:
        if self._keys is None:
            self._keys = self.column.keys()
        return self._keys


def _lower_bound(
    keys: npt.NDArray[np.generic], order: Order, wanted: npt.NDArray[np.generic]
) -> npt.NDArray[np.int64]:
    """First place in the order whose key is not below each wanted key.

    ``numpy.searchsorted`` with a sorter would copy the whole order as int64 in each call.
    """
    low = np.zeros(len(wanted), dtype=np.int64)
    high = np.full(len(wanted), len(order), dtype=np.int64)
    for _ in range(len(order).bit_length()):
        middle = (low + high) >> 1
        below = (low < high) & np.asarray(
            keys[order[np.minimum(middle, len(order) - 1)]] < wanted, dtype=np.bool_
        )
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low
