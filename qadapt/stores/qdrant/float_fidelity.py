"""Which numbers in a payload the engine gives back as they were.

Payloads are kept as JSON text, and the engine reads numbers in it the quick way: the digits as one
whole number, rounded to a float, times or divided by a power of ten. The result may be the next
float: 5.626707680988445e+233 comes back as 5.626707680988446e+233, and copied once more as
...447 (seen on edge 0.9; it is serde_json without its feature ``float_roundtrip``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_MOST = 308


def is_exact(value: Any) -> bool:
    """Whether a value of a payload, with all inside of it, comes back as it was."""
    if isinstance(value, float):
        return value == read(value)
    if isinstance(value, Mapping):
        return all(is_exact(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_exact(each) for each in value)
    return True


def read(value: float) -> float:
    """What the engine makes of a number's shortest text."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    found = float(int("".join(map(str, digits))))
    while exponent < -_MOST:
        found /= 1e308
        exponent += _MOST
    found = found * float(f"1e{exponent}") if exponent >= 0 else found / float(f"1e{-exponent}")
    return -found if sign else found
