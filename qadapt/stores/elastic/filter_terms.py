"""Terms that make a payload filterable by the common rules.

A mapping has one type for a field, which the first value decides; later values of other types are
refused, or are not found (docs/engines/elasticsearch.md#dynamic-mappings). So qadapt stores the
payload without a mapping, and one keyword field with a term for each value: the path of the field,
a letter for the type, and the value, with numbers and times as text that sorts like them. Equality
is a term, and a range of numbers is a range of terms. Values of different types, such as 1 and
"1", have different terms.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from qadapt.model.dates import moment

SEPARATOR = "\x1f"
TEXT, NUMBER, TIME, BOOL, NULL, EXISTS = "s", "n", "t", "b", "0", "e"
# Longer texts are stored as their hash: a term has at most 32,766 bytes.
_LONGEST = 512
_MOST_REST = 1 << 15
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def terms(payload: Mapping[str, Any]) -> list[str]:
    """The terms of a payload, without duplicates."""
    return list(dict.fromkeys(_of_object(payload, "")))


def _of_object(payload: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in payload.items():
        if "." in key:  # a filter reads the dot as a level, which this key is not
            continue
        path = f"{prefix}{key}"
        elements = list(value) if isinstance(value, (list, tuple)) else [value]
        exists = value is not None and not (isinstance(value, (list, tuple)) and not value)
        if exists:
            yield term(path, EXISTS, "")
        for each in elements:
            yield from _of_value(path, each)
        if isinstance(value, Mapping):
            yield from _of_object(value, f"{path}.")


def _of_value(path: str, value: Any) -> Iterator[str]:
    if value is None:
        yield term(path, NULL, "")
    elif isinstance(value, (bool, int, float)):
        yield equal(path, value)
    elif isinstance(value, str):
        yield equal(path, value)
        when = moment(value)
        if when is not None:
            yield term(path, TIME, sortable_time(when))


def equal(path: str, value: bool | int | float | str) -> str:
    """The term of rows whose field has a value."""
    if isinstance(value, bool):
        return term(path, BOOL, str(value).lower())
    if isinstance(value, (int, float)):
        return term(path, NUMBER, sortable_number(value))
    return term(path, TEXT, _short(value))


def term(path: str, kind: str, value: str) -> str:
    """Path, type and value as one text."""
    shown = path if len(path) <= _LONGEST else hashlib.sha256(path.encode()).hexdigest()
    return f"{shown}{SEPARATOR}{kind}{SEPARATOR}{value}"


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[:64]}{SEPARATOR}{hashlib.sha256(text.encode()).hexdigest()}"


def sortable_number(value: int | float) -> str:
    """A number as text whose order is that of the numbers, exactly.

    The bits of the nearest float, with the sign bit flipped or all bits for negative numbers,
    then what remains of an integer beyond 2^53.
    """
    try:
        nearest = float(value)
    except OverflowError:
        nearest = math.copysign(1.7976931348623157e308, value)
    rest = value - int(nearest) if isinstance(value, int) else 0
    rest = max(-_MOST_REST, min(_MOST_REST, rest))  # payloads have integers of 64 bits
    (bits,) = struct.unpack(">Q", struct.pack(">d", nearest + 0.0))
    bits = bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63)
    return f"{bits:016x}{rest + _MOST_REST:05x}"


def sortable_time(when: datetime) -> str:
    """Microseconds since the year 1, as text whose order is that of the times."""
    micro = (when - datetime.min.replace(tzinfo=timezone.utc)) // _MICRO
    return f"{micro + (1 << 59):016x}"


_MICRO = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc) - _EPOCH


def bounds(path: str, limits: Mapping[str, Any], *, times: bool) -> dict[str, str]:
    """The range of terms for a range of numbers or times."""
    kind = TIME if times else NUMBER
    found = {"gte": term(path, kind, ""), "lt": term(path, kind, "g")}  # after all digits
    for word, limit in limits.items():
        text = sortable_time(limit) if times else sortable_number(limit)
        if word in ("gt", "gte"):
            found.pop("gte", None)
        else:
            found.pop("lt", None)
        found[word] = term(path, kind, text)
    return found
