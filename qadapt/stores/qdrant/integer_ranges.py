"""Exact ranges over numbers beyond 2^53, expressed in conditions that Qdrant's engine supports.

The engine compares a range as 64-bit floats, and beyond 2^53 several integers share one float:
``t > 1768907725507217522`` also matches numbers that are up to 128 smaller. With an integer index
it compares integers with the rounded bound, which is wrong in the other direction (both observed
on edge 0.9.0). ``match`` compares integers exactly, so the few integers near a bound are listed::

    t > N   =   t >= B                                  B: the next float above float(N)
                or t is one of N + 1 ... B - 1
                or t is the float F = float(N) itself, if F > N: a range of F alone, without
                   the integers that round to it

This is correct with both comparisons. There are at most about 2,000 numbers between the floats
next to a bound. One limitation remains: an integer index treats a bound beyond 64 bits as its
greatest or least integer, so ``t > 1e30`` finds 2^63 - 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import filters

# From here on several integers share one float.
WIDE = 2**53
# The integers that `match` accepts, and those that a payload can hold.
LEAST, BEYOND, PAYLOAD = -(2**63), 2**63, 2**64


@dataclass(frozen=True)
class SplitRange:
    """A range as conditions, of which one must hold.

    Attributes:
        inner: bounds that the engine compares correctly; None if nothing is between them.
        whole: additional integers in the range, for ``match``.
        floats: additional floats in the range, each with the integers that the engine cannot
            distinguish from it and that must be excluded.
    """

    inner: Mapping[str, float] | None
    whole: tuple[int, ...]
    floats: tuple[tuple[float, tuple[int, ...]], ...]


def is_wide(value: float) -> bool:
    """Whether the engine may confuse this number with another one."""
    return abs(value) >= WIDE


def split_range(node: filters.Range) -> SplitRange:
    """Split a range over numbers into conditions.

    Raises:
        UnsupportedError: a bound near integers that no condition can express.
    """
    inner: dict[str, float] = {}
    whole: set[int] = set()
    floats: dict[float, tuple[int, ...]] = {}
    for word, bound in node.bounds.items():
        assert not isinstance(bound, str)
        if not is_wide(bound):
            inner[word] = float(bound)
            continue
        nearest = _float(bound)
        below, above = math.nextafter(nearest, -math.inf), math.nextafter(nearest, math.inf)
        near = _between(below, above)
        inside = [each for each in near if filters.inside(node, each)]
        itself = filters.inside(node, nearest)
        named = near if itself else inside
        if named and named[-1] >= BEYOND:
            raise UnsupportedError(
                f"Qdrant cannot compare {node.field!r} with {bound}: integers near it exceed 64 "
                "signed bits and are compared as rounded floats",
                hint="store these numbers as text",
            )
        whole.update(inside)
        if itself:
            floats[nearest] = tuple(near)
        if word in ("gt", "gte"):
            inner |= {"gte": above} if math.isfinite(above) else {"gt": nearest}
        else:
            inner |= {"lte": below} if math.isfinite(below) else {"lt": nearest}
    empty = inner.get("gte", -math.inf) > inner.get("lte", math.inf)
    return SplitRange(None if empty else inner, tuple(sorted(whole)), tuple(floats.items()))


def condition(
    found: SplitRange,
    join: Callable[..., Any],
    between: Callable[[Mapping[str, float]], Any],
    whole: Callable[[Sequence[int]], Any],
) -> Any:
    """Join the parts into one condition.

    Args:
        join: creates a filter from ``must``, ``should`` and ``must_not``.
        between: creates a range from bounds.
        whole: creates a match of any of these integers.
    """
    some = [] if found.inner is None else [between(found.inner)]
    some += [whole(found.whole)] if found.whole else []
    for each, others in found.floats:
        alone = between({"gte": each, "lte": each})
        some.append(join(must=[alone], must_not=[whole(others)]) if others else alone)
    if not some:
        # No part can hold, and an empty `should` would match all rows.
        return between({"gt": 0.0, "lt": 0.0})
    return some[0] if len(some) == 1 else join(should=some)


def _float(bound: float) -> float:
    """The nearest float; the greatest one of its sign if none is near."""
    try:
        return float(bound)
    except OverflowError:
        return sys.float_info.max if bound > 0 else -sys.float_info.max


def _between(below: float, above: float) -> range:
    """The integers between two floats that a payload can hold."""
    first = LEAST if below < LEAST else int(below) + 1
    return range(first, PAYLOAD if above > PAYLOAD else int(above))
