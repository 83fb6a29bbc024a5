"""Tests of many kills or corruptions: a few of them by default, all with ``QADAPT_SLOW=1``.

``make test-slow`` sets the variable and runs the tests with the mark ``slow``. ``make test`` runs
the same tests with the points that differ most.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SLOW = bool(os.environ.get("QADAPT_SLOW"))


def some(points: Sequence[T], count: int, seed: int = 0) -> list[T]:
    """A random choice of ``count`` points in their order; all of them with ``QADAPT_SLOW=1``."""
    if SLOW or len(points) <= count:
        return list(points)
    chosen = random.Random(seed).sample(range(len(points)), count)
    return [points[at] for at in sorted(chosen)]


def moments(stages: Sequence[str], count: int) -> list[int]:
    """Numbers of stages, from 1: the last one and, of ``count``, others with different names; all
    with ``QADAPT_SLOW=1``."""
    if SLOW:
        return list(range(1, len(stages) + 1))
    firsts = sorted({stages.index(stage) + 1 for stage in stages} - {len(stages)})
    return [*some(firsts, count - 1), len(stages)]
