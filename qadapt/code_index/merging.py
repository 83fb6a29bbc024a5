"""Choice of the segments that a save merges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FACTOR = 10
"""Segments of a size tier; the sizes of two tiers differ by this factor."""
_DEAD_SHARE = 3  # a suffix is written again when it has a deleted row for each three live ones


@dataclass(frozen=True)
class Load:
    """Rows of a segment, in units of one row.

    Attributes:
        live: rows that a merge writes.
        dead: deleted rows.
    """

    live: int
    dead: int


def merge_start(saved: Sequence[Load], new: Load) -> int:
    """Number of the first segment to merge with the new rows; ``len(saved)`` for none.

    Segments are merged with all later ones only, so that row numbers of earlier segments, which
    delete marks refer to, stay valid. Ten segments of a size tier become one of the next tier: a
    row is written by its save and once per tier, log10(n) + 2 times for n saves of one row. A
    suffix with a deleted row for each three live ones is written again, at most three rows for each
    deleted row.

    Args:
        saved: saved segments, in row order.
        new: rows of the last save.
    """
    start = len(saved)
    size = new.live
    while start:
        tier = _tier(size)
        before = [_tier(each.live) for each in saved[:start]]
        smaller = _trailing(before, tier - 1)
        equal = _trailing(before[: start - smaller], tier)
        taken = smaller + (equal if equal >= FACTOR - 1 else 0)
        if not taken:
            break
        size += sum(each.live for each in saved[start - taken : start])
        start -= taken
    return min(start, _sparse(saved, new))


def is_sparse(rows: Load) -> bool:
    """Whether rows have a deleted one for each three live ones."""
    return bool(rows.dead) and rows.dead * _DEAD_SHARE >= rows.live


def _sparse(saved: Sequence[Load], new: Load) -> int:
    """First segment of the longest suffix with many deleted rows."""
    suffix = new
    start = len(saved)
    for at in range(len(saved) - 1, -1, -1):
        suffix = Load(suffix.live + saved[at].live, suffix.dead + saved[at].dead)
        if is_sparse(suffix):
            start = at
    return start


def _tier(rows: int) -> int:
    """Size tier; 0 for less than FACTOR rows."""
    return int(math.log10(rows) / math.log10(FACTOR) + 1e-9) if rows > 1 else 0


def _trailing(tiers: Sequence[int], most: int) -> int:
    """Number of last segments whose tier is at most ``most``."""
    count = 0
    for tier in reversed(tiers):
        if tier > most:
            break
        count += 1
    return count
