"""Checks of numbers that callers pass."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

# Digits of larger integers are not shown: Python refuses to convert them from 4,300 digits.
_SHOWN_BITS = 256


# Integers with 4,000 digits.
_LARGEST_BITS = 13_288


def is_huge(value: Any) -> bool:
    """Whether a value is an integer with more than 4,000 digits, which Python may not convert."""
    return isinstance(value, int) and value.bit_length() > _LARGEST_BITS


def shown(value: Any) -> str:
    """A value in a message: its first 60 characters, or the size of an integer."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"an integer of {value.bit_length():,} bits"
    return f"{value!r:.60}"


def is_whole(value: Any) -> bool:
    """Whether a value is an integer; ``4.0`` is one, ``True`` and ``"4"`` are not.

    numpy's scalars are recognized by the abstract classes that numpy registers them with.
    """
    if isinstance(value, bool):
        return False
    if isinstance(value, Integral):
        return True
    return isinstance(value, Real) and float(value).is_integer()
