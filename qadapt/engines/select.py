"""Deterministic top-k selection.

Among equal values the earlier one is selected, as with a stable sort, without sorting all values.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from qadapt.engines.base import Array, Rows


class Select(Protocol):
    """Selects the positions of the ``k`` smallest keys, ascending; first ones on a tie."""

    def __call__(self, keys: Array, k: int) -> npt.NDArray[np.intp]:
        """Select from ``keys`` (m,)."""
        ...


def counting_select(keys: Array, k: int) -> npt.NDArray[np.intp]:
    """Positions of the ``k`` smallest of small integers.

    The first half of a counting sort: count each value, and find the value at which ``k`` is
    reached. For Hamming distances, which are at most the number of dimensions, it is about four
    times faster than partitioning.

    Args:
        keys: (m,) nonnegative integers.
        k: number of positions.

        Returns:
            min(k, m) positions, ascending. Among equal keys at the cut the first ones are taken.
    """
    if k >= len(keys):
        return np.arange(len(keys), dtype=np.intp)
    if k < 1:
        return np.empty(0, dtype=np.intp)
    cut = int(np.searchsorted(np.cumsum(np.bincount(keys)), k))
    return _up_to(keys, cut, k)


def score_select(keys: Array, k: int) -> npt.NDArray[np.intp]:
    """Positions of the ``k`` smallest of real numbers.

    Args:
        keys: (m,) floats. NaN is never selected.
        k: number of positions.

    Returns:
        Positions, ascending; fewer than ``k`` if there are fewer numbers. Among equal keys
        at the cut the first ones are taken.
    """
    if k < 1:
        return np.empty(0, dtype=np.intp)
    if k >= len(keys):
        return np.flatnonzero(~np.isnan(keys))
    cut = np.partition(keys, k - 1)[k - 1]
    if np.isnan(cut):
        return np.flatnonzero(~np.isnan(keys))
    return _up_to(keys, cut, k)


def _up_to(keys: Array, cut: float, k: int) -> npt.NDArray[np.intp]:
    """Positions of all keys below ``cut`` and of the first equal ones, ``k`` in total."""
    below = np.flatnonzero(keys < cut)
    equal = np.flatnonzero(keys == cut)[: k - len(below)]
    return np.sort(np.concatenate([below, equal]))


class Best:
    """The ``k`` smallest keys in a stream of blocks, for one query.

    Rows must be added in ascending order. Once there are ``k``, only keys below the largest one can
    enter, so later blocks cost one comparison per row.
    """

    def __init__(self, k: int, select: Select) -> None:
        self._k = k
        self._select = select
        self._keys: Array | None = None
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._worst: float | None = None

    def offer(self, keys: Array, first_row: int, rows: npt.NDArray[np.intp] | None = None) -> None:
        """Add the next keys.

        Args:
            keys: (m,), smaller is better.
            first_row: number of the row at position 0.
            rows: (m,) row numbers relative to ``first_row``, ascending; None is 0..m-1.
        """
        if self._worst is None:
            found = self._select(keys, self._k)
        else:
            found = np.flatnonzero(keys < self._worst)
        if not len(found):
            return
        new_keys = keys[found]
        new_rows = (found if rows is None else rows[found]).astype(np.int64) + first_row
        if self._keys is not None:
            new_keys = np.concatenate([self._keys, new_keys])
            new_rows = np.concatenate([self._rows, new_rows])
            kept = self._select(new_keys, self._k)
            new_keys, new_rows = new_keys[kept], new_rows[kept]
        self._keys, self._rows = new_keys, new_rows
        if len(new_keys) == self._k:
            self._worst = new_keys.max()

    def ranked(self) -> tuple[Rows, Array]:
        """Selected rows and keys, smallest key first, equal keys in row order."""
        if self._keys is None:
            return self._rows, np.empty(0)
        order = np.argsort(self._keys, kind="stable")
        return self._rows[order], self._keys[order]
