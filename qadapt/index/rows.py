"""Mapping between ids and row numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError

Id = int | str


def clean_ids(ids: Any, *, what: str = "ids") -> list[Id]:
    """Convert ids to int and str.

    1 and "1" are different ids. NumPy integers and strings are converted; other types are rejected
    (including bool and float, which may compare equal to an int).

    Raises:
        InputError: an invalid type of id, or not a list.
    """
    if isinstance(ids, np.ndarray):
        ids = ids.reshape(-1).tolist()
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InputError(
            f"{what} must be a list of int or str; got {ids!r}", hint="for one id: [id]"
        )
    plain = list(ids)
    if set(map(type, plain)) <= {int, str}:
        return plain
    return [_plain(one, what) for one in plain]


def _plain(one: Any, what: str) -> Id:
    if isinstance(one, np.integer):
        return int(one)
    if isinstance(one, str):
        return str(one)
    if isinstance(one, int) and not isinstance(one, bool):
        return int(one)
    raise InputError(
        f"{what} must be int or str; got {one!r} of type {type(one).__name__}",
        hint="write UUIDs as strings: str(uuid)",
    )


def shown(ids: Sequence[Id]) -> str:
    """Format the first ids for a message."""
    text = ", ".join(repr(one) for one in ids[:10])
    return text + (f", ... ({len(ids)} in total)" if len(ids) > 10 else "")


def repeated(ids: Sequence[Id]) -> list[Id]:
    """Duplicate ids, each once, in order."""
    if len(set(ids)) == len(ids):
        return []
    seen: set[Id] = set()
    twice: dict[Id, None] = {}
    for one in ids:
        if one in seen:
            twice[one] = None
        seen.add(one)
    return list(twice)


class RowMap:
    """Ids by row and rows by id, with a mask of deleted rows.

    Rows are numbered in the order of addition and never reused; :meth:`compacted` renumbers.
    """

    def __init__(self, ids: Sequence[Id] = ()) -> None:
        self._ids: list[Id] = list(ids)
        self._row_of: dict[Id, int] = {one: row for row, one in enumerate(self._ids)}
        self._dead: set[int] = set()
        self._mask: npt.NDArray[np.bool_] | None = None  # created on demand

    @property
    def total(self) -> int:
        """Number of rows, including deleted ones."""
        return len(self._ids)

    @property
    def live(self) -> int:
        """Number of live rows."""
        return len(self._row_of)

    @property
    def deleted(self) -> int:
        """Number of deleted rows."""
        return len(self._dead)

    def __contains__(self, one: object) -> bool:
        return one in self._row_of

    def ids(self, start: int = 0) -> list[Id]:
        """Live ids from row ``start``, in row order."""
        tail = self._ids[start:] if start else self._ids
        if not self._dead:
            return list(tail)
        return [one for row, one in enumerate(tail, start) if row not in self._dead]

    def append(self, ids: Sequence[Id]) -> None:
        """Add rows for new ids."""
        self._row_of.update(zip(ids, range(len(self._ids), len(self._ids) + len(ids)), strict=True))
        self._ids.extend(ids)
        self._mask = None

    def remove(self, ids: Iterable[Id]) -> int:
        """Mark the rows of these ids as deleted; unknown ids are ignored."""
        before = len(self._row_of)
        self._mask = None
        for one in ids:
            row = self._row_of.pop(one, None)
            if row is not None:
                self._dead.add(row)
        return before - len(self._row_of)

    def live_mask(self) -> npt.NDArray[np.bool_] | None:
        """Mask of live rows, bool (total,); None if nothing is deleted. Read-only."""
        if self._dead and self._mask is None:
            self._mask = np.ones(len(self._ids), dtype=np.bool_)
            self._mask[np.fromiter(self._dead, dtype=np.int64, count=len(self._dead))] = False
        return self._mask

    def rows_of(self, ids: Iterable[Id]) -> npt.NDArray[np.int64]:
        """Rows of the known ids, in the given order."""
        found = (self._row_of.get(one, -1) for one in ids)
        return np.fromiter((row for row in found if row >= 0), dtype=np.int64)

    def places(self, ids: Sequence[Id]) -> npt.NDArray[np.int64]:
        """Row of each id, int64 ``(n,)``; -1 for unknown ids."""
        found = (self._row_of.get(one, -1) for one in ids)
        return np.fromiter(found, dtype=np.int64, count=len(ids))

    def at(self, rows: npt.NDArray[np.int64]) -> list[Id | None]:
        """Ids of these rows; None for negative numbers."""
        ids = self._ids
        return [ids[row] if row >= 0 else None for row in rows.ravel().tolist()]

    def compacted(self) -> RowMap:
        """Copy without deleted rows."""
        return RowMap(self.ids())
