"""Tests of many cases: a few of them by default, all with ``QADAPT_SLOW=1``.

``make test-slow`` sets the variable and runs the tests with the mark ``slow``, which all tests of
hypothesis have too (``conftest.py``). ``make test`` runs the same tests with fewer cases: kills
and corruptions that differ most, a choice of settings, a quarter of the generated examples.

A test, or a parameter of one, with the mark ``long`` runs with ``QADAPT_SLOW=1`` only, because
``make test`` has a shorter test of the same feature. ``make test-long`` runs these, and so does CI.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")

SLOW = bool(os.environ.get("QADAPT_SLOW"))
# Set by ``make test-servers``, because ``make test-slow`` has no servers.
EVERY_EXAMPLE = SLOW or bool(os.environ.get("QADAPT_EVERY_EXAMPLE"))


def some(points: Sequence[T], count: int, seed: int = 0) -> list[T]:
    """A random choice of ``count`` points in their order; all of them with ``QADAPT_SLOW=1``."""
    if SLOW or len(points) <= count:
        return list(points)
    chosen = random.Random(seed).sample(range(len(points)), count)
    return [points[at] for at in sorted(chosen)]


def examples(count: int) -> int:
    """The number of generated examples: a quarter of ``count``, at least 15; all with
    ``QADAPT_SLOW=1`` or ``QADAPT_EVERY_EXAMPLE=1``."""
    return count if EVERY_EXAMPLE else min(count, max(15, count // 4))


def mark_slow(item: pytest.Item) -> None:
    """Add the mark to a test of hypothesis, and to one with the mark ``long``."""
    generated = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if generated or item.get_closest_marker("long"):
        item.add_marker("slow")


def left_out(item: pytest.Item) -> bool:
    """Whether this run leaves out a test: a long one, unless it needs a server."""
    long = item.get_closest_marker("long") is not None
    return long and not SLOW and item.get_closest_marker("server") is None


def moments(stages: Sequence[str], count: int) -> list[int]:
    """Numbers of stages, from 1: the last one and, of ``count``, others with different names; all
    with ``QADAPT_SLOW=1``."""
    if SLOW:
        return list(range(1, len(stages) + 1))
    firsts = sorted({stages.index(stage) + 1 for stage in stages} - {len(stages)})
    return [*some(firsts, count - 1), len(stages)]
