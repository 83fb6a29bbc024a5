"""Checks of the fields and values of filters."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from qadapt.errors import SpecError
from qadapt.model.dates import moment
from qadapt.model.numbers import is_huge

Scalar = str | bool | int | float
Bound = int | float | str

RANGE_WORDS = ("gt", "gte", "lt", "lte")

FORMS = (
    'forms: {"topic": "art"}, {"topic": ["a", "b"]}, {"year": {"gte": 1990}}, '
    '{"topic": {"exists": true}}, any, all, not'
)


def check_field(name: Any) -> None:
    """Raise an error for a name that cannot be a field."""
    if not isinstance(name, str) or not all(name.split(".")):
        raise SpecError(
            f"a field must be a name such as 'topic' or 'author.name'; got {brief(name)}",
            hint="name a key of the payload; a dot separates the keys of nested objects",
        )
    _check_text(name, "the field of a filter")
    if "[" in name or "]" in name:
        raise SpecError(
            f"the field {brief(name)} has brackets, which the common syntax does not support",
            hint="use a native filter of the database",
        )


def check_scalar(value: Any, name: str) -> Scalar:
    """A value of a filter, as a Python scalar; dates as ISO text."""
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None:
        raise SpecError(f"a value of the filter on {name!r} is null", hint="use IsNull(field)")
    if isinstance(value, date):
        return value.isoformat()
    if is_huge(value):
        raise SpecError(
            f"the filter on {name!r} has an integer of more than 4,000 digits",
            hint="pass a smaller number, or remove the bound",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(
            f"the filter on {name!r} has the value {value!r}, which is not finite",
            hint="pass a finite number, or remove the bound",
        )
    if isinstance(value, str):
        _check_text(value, f"the filter on {name!r}")
        return str(value)
    if not isinstance(value, (bool, int, float)):
        raise SpecError(
            f"the filter on {name!r} has {brief(value)}; values are strings, numbers or booleans",
            hint=FORMS,
        )
    return value


def _check_text(text: str, where: str) -> None:
    """Raise an error for text that cannot be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SpecError(
            f"{where} contains text that is not valid Unicode: {text!r:.80}",
            hint="it contains an unpaired surrogate; check how the text was decoded",
        ) from None


def check_bound(given: Any, name: str) -> Bound:
    """A bound of a range: a number or an ISO date."""
    value = check_scalar(given, name)
    if isinstance(value, bool):
        raise SpecError(f"the range on {name!r} has the bound {value!r}", hint=known_range())
    if isinstance(value, str) and moment(value) is None:
        raise SpecError(
            f"the range on {name!r} has {brief(value)}, which is neither a number nor an ISO date",
            hint="dates look like '2024-05-01' or '2024-05-01T12:00:00Z'",
        )
    return value


def known_range() -> str:
    """Describe the operators of ranges."""
    return f"valid operators: {', '.join(RANGE_WORDS)}, with numbers or ISO dates"


def brief(value: Any) -> str:
    """Describe a value in an error message."""
    try:
        text = repr(value) if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
    except ValueError:  # Python does not format integers with thousands of digits
        return "a very large number"
    return text if len(text) <= 80 else text[:80] + "..."
