"""The indexing threshold: the KB of vectors from which a segment is indexed.

Codes that require an index are built only in segments that reach it; ``indexing_threshold`` 0 means
never. Segments below 1 KB, the smallest possible value, are never indexed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qadapt.errors import TooFewRowsError
from qadapt.model import Vector

NO_INDEX = "codes that need no index (binary:bits=1, rotational)"


def needed(sizes: Iterable[float]) -> int | None:
    """The highest threshold in KB at which the segments are indexed; None if all are below 1 KB.

    Args:
        sizes: KB of each segment's widest vector.
    """
    return min((int(size) for size in sizes if size >= 1), default=None)


def lowered(
    wanted: Mapping[str, Any], threshold: int, sizes: Iterable[float], count: int, vector: Vector
) -> dict[str, Any] | None:
    """The change that lets segments without an index get one; None if they are about to be indexed.

    Args:
        wanted: the ``quantization_config``, of a kind that requires an index.
        threshold: the current threshold.
        sizes: KB of each such segment's widest vector.
        count, vector: number of rows and their vector, for the message.

    Raises:
        TooFewRowsError: all segments are too small.
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
    """The action of a step that only changes the threshold."""
    former = f"{threshold:,} KB" if threshold else "0 (never)"
    return f"set indexing_threshold {former} -> {lowered:,} KB"


def why_indexed(lowered: int) -> str:
    """The reason of a lower threshold for binary codes of more than 1 bit."""
    return (
        "binary codes of more than 1 bit require the statistics of an indexed segment, so "
        f"indexing_threshold is lowered to {lowered:,} KB"
    )


def why_lowered(threshold: int, lowered: int) -> str:
    """The reason of a lower threshold."""
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
    """Why no segment holds the configured codes."""
    kind = next(iter(target or {}), "these")
    if threshold == 0:
        return f"{kind} codes require an index, and indexing_threshold 0 disables indexing"
    return (
        f"{kind} codes are built in segments with at least {threshold:,} KB of vectors; the "
        f"largest segment has {max(sizes, default=0.0):,.1f} KB ({count:,} rows)"
    )


def how_to_index(sizes: Iterable[float], afterwards: str) -> str:
    """The advice for codes that are not built.

    Args:
        afterwards: the effect of ``qadapt apply`` after the threshold is lowered.
    """
    wanted = needed(sizes)
    if wanted is None:
        return f"write at least 1 KB of vectors, or use {NO_INDEX}"
    return f"run `qadapt apply`, which lowers indexing_threshold to {wanted:,} KB and {afterwards}"
