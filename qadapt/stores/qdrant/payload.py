"""Which payload numbers the engine returns unchanged.

Payloads are stored as JSON text, and the engine parses numbers with the fast algorithm: the digits
as one integer, rounded to a float, times or divided by a power of ten. The result may be the
adjacent float: 5.626707680988445e+233 is returned as 5.626707680988446e+233, and as ...447 after
another copy (observed on edge 0.9; serde_json without its feature ``float_roundtrip``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qadapt.errors import UnsupportedError

_MOST = 308


def check_index(key: str, problem: str | None) -> None:
    """Refuse an index on a payload field.

    Raises:
        UnsupportedError: there is a problem.
    """
    if problem:
        raise UnsupportedError(
            f"cannot index {key!r}: {problem}",
            hint="filters on the field work without an index",
        )


def is_exact(value: Any) -> bool:
    """Whether a payload value, including nested values, is returned unchanged."""
    if isinstance(value, float):
        return value == read(value)
    if isinstance(value, Mapping):
        return all(is_exact(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_exact(each) for each in value)
    return True


def read(value: float) -> float:
    """The float that the engine parses from a number's shortest text."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    found = float(int("".join(map(str, digits))))
    while exponent < -_MOST:
        found /= 1e308
        exponent += _MOST
    found = found * float(f"1e{exponent}") if exponent >= 0 else found / float(f"1e{-exponent}")
    return -found if sign else found
