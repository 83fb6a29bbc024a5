"""Common filter syntax: parser, tree and semantics.

    {"topic": "art"}                          the field equals
    {"topic": ["art", "music"]}               the field is one of
    {"year": {"gte": 1990, "lt": 2000}}       the field is in a range: gt, gte, lt, lte
    {"any": [...]}, {"all": [...]}, {"not": {...}}
    {"topic": "art", "year": 1999}            several keys: all of them

``author.name`` is the field ``name`` inside of ``author``. ``matches`` is the reference
implementation; the filters of each database must return the same rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, NoReturn

from qadapt.errors import SpecError

Scalar = str | bool | int | float
Bound = int | float | str

RANGE_WORDS = ("gt", "gte", "lt", "lte")
JOIN_WORDS = ("any", "all", "not")
MAX_DEPTH = 32

_FORMS = 'forms: {"topic": "art"}, {"topic": ["a", "b"]}, {"year": {"gte": 1990}}, any, all, not'
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)


@dataclass(frozen=True)
class Equals:
    """The field, or one element if it is a list, equals ``value``."""

    field: str
    value: Scalar

    def __post_init__(self) -> None:
        _check_field(self.field)
        object.__setattr__(self, "value", _scalar(self.value, self.field))


@dataclass(frozen=True)
class OneOf:
    """The field, or one element if it is a list, is one of ``values``."""

    field: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        _check_field(self.field)
        values = tuple(_scalar(value, self.field) for value in self.values)
        if not values:
            raise SpecError(f"the filter on {self.field!r} has no values", hint="pass at least one")
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Range:
    """The field, or one element if it is a list, is between the bounds.

    Bounds are numbers, or ISO dates such as ``"2024-05-01"`` or ``"2024-05-01T12:00:00Z"``
    (without a time zone: UTC).
    """

    field: str
    gt: Bound | None = None
    gte: Bound | None = None
    lt: Bound | None = None
    lte: Bound | None = None

    def __post_init__(self) -> None:
        _check_field(self.field)
        for word in RANGE_WORDS:
            if getattr(self, word) is not None:
                object.__setattr__(self, word, _bound(getattr(self, word), self.field))
        if not self.bounds:
            raise SpecError(f"the range on {self.field!r} has no bounds", hint=_known_range())
        for pair in (("gt", "gte"), ("lt", "lte")):
            if all(word in self.bounds for word in pair):
                raise SpecError(
                    f"the range on {self.field!r} has both {pair[0]} and {pair[1]}",
                    hint="remove one of them",
                )
        if len({isinstance(bound, str) for bound in self.bounds.values()}) > 1:
            raise SpecError(
                f"the range on {self.field!r} mixes numbers and dates",
                hint="use either numbers or dates",
            )

    @property
    def bounds(self) -> dict[str, Bound]:
        """Bounds that are set, by keyword."""
        return {w: getattr(self, w) for w in RANGE_WORDS if getattr(self, w) is not None}

    @property
    def over_dates(self) -> bool:
        """Whether the bounds are dates."""
        return any(isinstance(bound, str) for bound in self.bounds.values())


@dataclass(frozen=True)
class AnyOf:
    """At least one child matches."""

    children: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", _children(self.children, "any"))


@dataclass(frozen=True)
class AllOf:
    """Every child matches."""

    children: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", _children(self.children, "all"))


@dataclass(frozen=True)
class Not:
    """The child does not match."""

    child: Filter


Filter = Equals | OneOf | Range | AnyOf | AllOf | Not
_NODES = (Equals, OneOf, Range, AnyOf, AllOf, Not)


def is_common(obj: Any) -> bool:
    """Whether ``obj`` uses the common syntax (or is its tree), and is not a native filter."""
    return isinstance(obj, (Mapping, *_NODES))


def parse_filter(obj: Any) -> Filter:
    """Parse a filter in the common syntax.

    Raises:
        SpecError: the filter is invalid; the message contains the place.
    """
    return _parse(obj, 0)


# -- reading -------------------------------------------------------------------------------------


def _parse(obj: Any, depth: int) -> Filter:
    if isinstance(obj, _NODES):
        return obj
    if depth > MAX_DEPTH:
        raise SpecError(f"the filter is nested deeper than {MAX_DEPTH} levels", hint="flatten it")
    if not isinstance(obj, Mapping):
        raise SpecError(f"a filter must be a mapping; got {_brief(obj)}", hint=_FORMS)
    if not obj:
        raise SpecError("the filter is empty", hint="omit the filter to match all rows")
    parts = [_parse_key(key, value, depth) for key, value in obj.items()]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _parse_key(key: Any, value: Any, depth: int) -> Filter:
    if not isinstance(key, str):
        raise SpecError(f"the name of a field must be a string; got {_brief(key)}", hint="quote it")
    if key == "not":
        if not is_common(value):
            raise SpecError(
                f"'not' takes one filter; got {_brief(value)}",
                hint='for example {"not": {"topic": "art"}}; {"not": {"any": [...]}} for several',
            )
        return Not(_parse(value, depth + 1))
    if key in JOIN_WORDS:
        if not isinstance(value, (list, tuple)):
            raise SpecError(
                f"{key!r} takes a list of filters; got {_brief(value)}",
                hint=f'for example {{"{key}": [{{"topic": "art"}}, {{"year": 1999}}]}}',
            )
        children = tuple(_parse(child, depth + 1) for child in value)
        return AnyOf(children) if key == "any" else AllOf(children)
    return _parse_field(key, value)


def _parse_field(name: str, value: Any) -> Filter:
    if isinstance(value, Mapping):
        if not value:
            raise SpecError(f"the range on {name!r} has no bounds", hint=_known_range())
        for word, bound in value.items():
            if word in JOIN_WORDS:
                raise SpecError(
                    f"{word!r} is nested in the field {name!r}",
                    hint=f'write it outside of the field: {{"{word}": ... {{"{name}": ...}}}}',
                )
            if word not in RANGE_WORDS:
                error = SpecError.unknown("range operator", str(word), RANGE_WORDS, where=name)
                error.hint = f"{error.hint}; write a nested field as {f'{name}.{word}'!r}"
                raise error
            if bound is None:
                _refuse_none(f"{name}: {word}")
        return Range(name, **value)
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return OneOf(name, tuple(value))
    return Equals(name, value)


def _children(children: Iterable[Filter], word: str) -> tuple[Filter, ...]:
    listed = tuple(children)
    if not listed:
        raise SpecError(f"{word!r} has no filters", hint="pass at least one, or remove it")
    return listed


def _check_field(name: Any) -> None:
    if not isinstance(name, str) or not all(name.split(".")):
        raise SpecError(
            f"a field must be a name such as 'topic' or 'author.name'; got {_brief(name)}",
            hint="name a key of the payload; a dot separates the keys of nested objects",
        )
    _check_text(name, "the field of a filter")
    if "[" in name or "]" in name:
        raise SpecError(
            f"the field {_brief(name)} has brackets, which the common syntax does not support",
            hint="use a native filter of the database",
        )


def _scalar(value: Any, name: str) -> Scalar:
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None:
        _refuse_none(name)
    if isinstance(value, date):
        return value.isoformat()
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
            f"the filter on {name!r} has {_brief(value)}; values are strings, numbers or booleans",
            hint=_FORMS,
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


def _bound(given: Any, name: str) -> Bound:
    value = _scalar(given, name)
    if isinstance(value, bool):
        raise SpecError(f"the range on {name!r} has the bound {value!r}", hint=_known_range())
    if isinstance(value, str) and moment(value) is None:
        raise SpecError(
            f"the range on {name!r} has {_brief(value)}, which is neither a number nor an ISO date",
            hint="dates look like '2024-05-01' or '2024-05-01T12:00:00Z'",
        )
    return value


def _refuse_none(name: str) -> NoReturn:
    raise SpecError(
        f"the filter on {name!r} has the value null",
        hint="remove the field; the common syntax cannot filter for rows without a field",
    )


def _known_range() -> str:
    return f"valid operators: {', '.join(RANGE_WORDS)}, with numbers or ISO dates"


def _brief(value: Any) -> str:
    try:
        text = repr(value) if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
    except ValueError:  # Python does not format integers with thousands of digits
        return "a very large number"
    return text if len(text) <= 80 else text[:80] + "..."


# -- meaning -------------------------------------------------------------------------------------


def matches(filter: Filter, payload: Mapping[str, Any] | None) -> bool:
    """Whether a row with this payload matches the filter.

    A list matches if one of its elements does. ``True`` is not 1. A field that is missing or
    null matches no ``Equals``, ``OneOf`` or ``Range``, and therefore matches their ``Not``.
    """
    if isinstance(filter, Not):
        return not matches(filter.child, payload)
    if isinstance(filter, AnyOf):
        return any(matches(child, payload) for child in filter.children)
    if isinstance(filter, AllOf):
        return all(matches(child, payload) for child in filter.children)
    elements = _elements(payload or {}, filter.field)
    if isinstance(filter, Range):
        return any(inside(filter, element) for element in elements)
    wanted = filter.values if isinstance(filter, OneOf) else (filter.value,)
    return any(_same(element, value) for element in elements for value in wanted)


def _elements(payload: Mapping[str, Any], name: str) -> list[Any]:
    value: Any = payload
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return []
        value = value[part]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _same(element: Any, value: Scalar) -> bool:
    if isinstance(element, date) and isinstance(value, str):
        return element.isoformat() == value
    if isinstance(element, bool) or isinstance(value, bool):
        return element is value
    return isinstance(element, (str, int, float)) and element == value


def inside(wanted: Range, element: Any) -> bool:
    """Whether a value is between the bounds; integers are compared exactly."""
    found = moment(element) if wanted.over_dates else element
    if found is None or isinstance(found, bool) or not isinstance(found, (int, float, datetime)):
        return False
    compare = {
        "gt": lambda bound: found > bound,
        "gte": lambda bound: found >= bound,
        "lt": lambda bound: found < bound,
        "lte": lambda bound: found <= bound,
    }
    for word, bound in wanted.bounds.items():
        if not compare[word](moment(bound) if wanted.over_dates else bound):
            return False
    return True


def moment(value: Any) -> datetime | None:
    """Parse an ISO date; None if the value is not one."""
    if isinstance(value, date):
        value = value.isoformat()
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    micro = int((fraction or "0").ljust(6, "0")[:6])
    try:
        return datetime(
            *(int(year), int(month), int(day)),
            *(int(hour or 0), int(minute or 0), int(second or 0), micro),
            tzinfo=_zone(zone or "Z"),
        )
    except ValueError:
        return None


def _zone(text: str) -> timezone:
    if text in "Zz":
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
