"""From how many KB of vectors on a segment is indexed, in the words of the server and of ``edge:``.

Codes that need an index are built in no smaller segment; ``indexing_threshold`` 0 means never, and
under 1 KB, the least that it can say, none is indexed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qadapt.errors import TooFewRowsError
from qadapt.model import Vector

NO_INDEX = "codes that need no index (binary:bits=1, rotational)"


def needed(sizes: Iterable[float]) -> int | None:
    """The highest threshold in KB at which segments are indexed; None under 1 KB.

    Args:
        sizes: KB of each segment's widest vector.
    """
    return min((int(size) for size in sizes if size >= 1), default=None)


def lowered(
    wanted: Mapping[str, Any], threshold: int, sizes: Iterable[float], count: int, vector: Vector
) -> dict[str, Any] | None:
    """The change by which segments without an index get one; None where they are about to.

    Args:
        wanted: the ``quantization_config``, of a kind that needs an index.
        threshold: as it is now.
        sizes: KB of each such segment's widest vector.
        count, vector: rows and what they have, for the message.

    Raises:
        TooFewRowsError: all are too small.
    """
    least = needed(sizes)
    if least is None:
        raise TooFewRowsError(
            f"{next(iter(wanted))} codes require an indexed segment of at least 1 KB of vectors; "
            f"the collection has {count:,} rows of {vector.dim} dimensions",
            hint=f"write more rows first, or use {NO_INDEX}",
        )
    return None if threshold and threshold <= least else {"indexing_threshold": least}


def action(threshold: int, lowered: int) -> str:
    """What a step does that changes the threshold alone."""
    former = f"{threshold:,} KB" if threshold else "0 (never)"
    return f"set indexing_threshold {former} -> {lowered:,} KB"


def why_indexed(lowered: int) -> str:
    """What a step says of it for binary codes of more than one bit."""
    return (
        "binary codes of more than 1 bit require the statistics of an indexed segment, so "
        f"indexing_threshold is lowered to {lowered:,} KB"
    )


def why_lowered(threshold: int, lowered: int) -> str:
    """What a step says of it."""
    if threshold:
        return (
            f"these codes are built only in segments with at least {threshold:,} KB of vectors, so "
            f"indexing_threshold is lowered to {lowered:,} KB"
        )
    return (
        "these codes require an index, so indexing_threshold is changed from 0 (never) to "
        f"{lowered:,} KB"
    )


def why_ignored(
    target: Mapping[str, Any] | None, threshold: int, sizes: Iterable[float], count: int
) -> str:
    """Why no segment holds the codes that are configured."""
    kind = next(iter(target or {}), "these")
    if threshold == 0:
        return f"{kind} codes require an index, and indexing_threshold 0 disables indexing"
    return (
        f"{kind} codes are built in segments with at least {threshold:,} KB of vectors; the "
        f"largest segment has {max(sizes, default=0.0):,.1f} KB ({count:,} rows)"
    )


def how_to_index(sizes: Iterable[float], afterwards: str) -> str:
    """What to do about that.

    Args:
        afterwards: what ``qadapt apply`` does once the threshold is lower.
    """
    wanted = needed(sizes)
    if wanted is None:
        return f"write at least 1 KB of vectors, or use {NO_INDEX}"
    return f"run `qadapt apply`, which lowers indexing_threshold to {wanted:,} KB and {afterwards}"
