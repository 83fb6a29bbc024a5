"""Checks of numbers that callers pass."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def is_whole(value: Any) -> bool:
    """Whether a value is an integer; ``4.0`` is one, ``True`` and ``"4"`` are not.

    numpy's scalars are recognized by the abstract classes that numpy registers them with.
    """
    if isinstance(value, bool):
        return False
    if isinstance(value, Integral):
        return True
    return isinstance(value, Real) and float(value).is_integer()
