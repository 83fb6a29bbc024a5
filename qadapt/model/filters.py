"""Common filter syntax: parser, tree and semantics.

    {"topic": "art"}                          the field equals
    {"topic": ["art", "music"]}               the field is one of
    {"year": {"gte": 1990, "lt": 2000}}       the field is in a range: gt, gte, lt, lte
    {"topic": {"exists": true}}               the field has a value
    {"topic": {"missing": true}}              the field is absent, null or an empty list
    {"topic": null}                           the field, or one element if it is a list, is null
    {"topic": {"eq": "art"}}, {"topic": {"in": ["art", "music"]}}   the first two forms, in full
    {"any": [...]}, {"all": [...]}, {"not": {...}}
    {"topic": "art", "year": 1999}            several keys: all of them

``author.name`` is the field ``name`` inside of ``author``. The words of operators, such as
``exists``, are not field names on their own: a field with this name needs an operator,
``{"exists": {"eq": "art"}}``. ``matches`` is the reference implementation; the filters of each
database must return the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from qadapt.errors import SpecError
from qadapt.model.dates import moment
from qadapt.model.filter_checks import (
    FORMS,
    RANGE_WORDS,
    Bound,
    Scalar,
    brief,
    check_bound,
    check_field,
    check_scalar,
    known_range,
)

PRESENCE_WORDS = ("exists", "missing")
VALUE_WORDS = ("eq", "in")
FIELD_WORDS = (*RANGE_WORDS, *PRESENCE_WORDS, *VALUE_WORDS)
JOIN_WORDS = ("any", "all", "not")
MAX_DEPTH = 32


@dataclass(frozen=True)
class Equals:
    """The field, or one element if it is a list, equals ``value``."""

    field: str
    value: Scalar

    def __post_init__(self) -> None:
        check_field(self.field)
        object.__setattr__(self, "value", check_scalar(self.value, self.field))


@dataclass(frozen=True)
class OneOf:
    """The field, or one element if it is a list, is one of ``values``."""

    field: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        check_field(self.field)
        values = tuple(check_scalar(value, self.field) for value in self.values)
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
        check_field(self.field)
        for word in RANGE_WORDS:
            if getattr(self, word) is not None:
                object.__setattr__(self, word, check_bound(getattr(self, word), self.field))
        if not self.bounds:
            raise SpecError(f"the range on {self.field!r} has no bounds", hint=known_range())
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
class Exists:
    """The field has a value: it is not null, and not an empty list."""

    field: str

    def __post_init__(self) -> None:
        check_field(self.field)


@dataclass(frozen=True)
class IsNull:
    """The field, or one element if it is a list, is null. An absent field is not null."""

    field: str

    def __post_init__(self) -> None:
        check_field(self.field)


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


Filter = Equals | OneOf | Range | Exists | IsNull | AnyOf | AllOf | Not
_NODES = (Equals, OneOf, Range, Exists, IsNull, AnyOf, AllOf, Not)


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
        raise SpecError(f"a filter must be a mapping; got {brief(obj)}", hint=FORMS)
    if not obj:
        raise SpecError("the filter is empty", hint="omit the filter to match all rows")
    parts = [_parse_key(key, value, depth) for key, value in obj.items()]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _parse_key(key: Any, value: Any, depth: int) -> Filter:
    if not isinstance(key, str):
        raise SpecError(f"the name of a field must be a string; got {brief(key)}", hint="quote it")
    if _is_operators(value, (*VALUE_WORDS,) if key in JOIN_WORDS else FIELD_WORDS):
        return _operators(key, value)
    if key in FIELD_WORDS:
        raise _two_meanings(key, value)
    if key == "not":
        if not is_common(value):
            raise SpecError(
                f"'not' takes one filter; got {brief(value)}",
                hint='for example {"not": {"topic": "art"}}; {"not": {"any": [...]}} for several; '
                f"{_as_field(key)}",
            )
        return Not(_parse(value, depth + 1))
    if key in JOIN_WORDS:
        if not isinstance(value, (list, tuple)):
            raise SpecError(
                f"{key!r} takes a list of filters; got {brief(value)}",
                hint=f'for example {{"{key}": [{{"topic": "art"}}, {{"year": 1999}}]}}; '
                f"{_as_field(key)}",
            )
        children = tuple(_parse(child, depth + 1) for child in value)
        return AnyOf(children) if key == "any" else AllOf(children)
    return _operators(key, value) if isinstance(value, Mapping) else _values(key, value)


def _is_operators(value: Any, words: tuple[str, ...]) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(word in words for word in value)


def _operators(name: str, value: Mapping[Any, Any]) -> Filter:
    """The conjunction of the operators of a field."""
    if not value:
        raise SpecError(f"the field {name!r} has no operators", hint=_known_words())
    found: list[Filter] = []
    for word, operand in value.items():
        if word in JOIN_WORDS:
            raise SpecError(
                f"{word!r} is nested in the field {name!r}",
                hint=f'write it outside of the field: {{"{word}": ... {{"{name}": ...}}}}',
            )
        if word not in FIELD_WORDS:
            error = SpecError.unknown("operator", str(word), FIELD_WORDS, where=name)
            error.hint = f"{error.hint}; write a nested field as {f'{name}.{word}'!r}"
            raise error
        if word in RANGE_WORDS:
            if operand is None:
                raise SpecError(f"the operator {word!r} of {name!r} has null", hint=known_range())
        elif word in VALUE_WORDS:
            listed = isinstance(_as_list(operand), (list, tuple))
            if listed != (word == "in"):
                takes = "a list of values" if word == "in" else "one value"
                raise SpecError(
                    f"{word!r} takes {takes}; got {brief(operand)} for {name!r}",
                    hint=f"use {'eq' if word == 'in' else 'in'!r}",
                )
            found.append(_values(name, operand))
        else:
            found.append(_presence(name, str(word), operand))
    bounds = {word: bound for word, bound in value.items() if word in RANGE_WORDS}
    if bounds:
        found.append(Range(name, **bounds))
    return found[0] if len(found) == 1 else AllOf(tuple(found))


def _presence(name: str, word: str, operand: Any) -> Filter:
    if not isinstance(operand, bool):
        raise SpecError(
            f"{word!r} takes true or false; got {brief(operand)} for the field {name!r}",
            hint=f'for example {{"{name}": {{"{word}": true}}}}',
        )
    there = Exists(name)
    return there if operand == (word == "exists") else Not(there)


def _values(name: str, value: Any) -> Filter:
    value = _as_list(value)
    if value is None:
        return IsNull(name)
    if not isinstance(value, (list, tuple)):
        return Equals(name, value)
    if not any(each is None for each in value):
        return OneOf(name, tuple(value))
    values = tuple(each for each in value if each is not None)
    return AnyOf((IsNull(name), OneOf(name, values))) if values else IsNull(name)


def _as_list(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _two_meanings(word: str, value: Any) -> SpecError:
    """A word of an operator that is used as a field, or in front of one."""
    name = value if isinstance(value, str) and value else "topic"
    operand = {**dict.fromkeys(PRESENCE_WORDS, "true"), "in": '["art"]', "eq": '"art"'}
    return SpecError(
        f"{word!r} is an operator and follows a field",
        hint=f'write {{"{name}": {{"{word}": {operand.get(word, "1990")}}}}}; {_as_field(word)}',
    )


def _as_field(word: str) -> str:
    return f'for a field named {word!r}: {{"{word}": {{"eq": ...}}}}'


def _children(children: Iterable[Filter], word: str) -> tuple[Filter, ...]:
    listed = tuple(children)
    if not listed:
        raise SpecError(f"{word!r} has no filters", hint="pass at least one, or remove it")
    return listed


def _known_words() -> str:
    return f"valid operators: {', '.join(FIELD_WORDS)}"


# -- meaning -------------------------------------------------------------------------------------


def matches(filter: Filter, payload: Mapping[str, Any] | None) -> bool:
    """Whether a row with this payload matches the filter.

    A list matches if one of its elements does. ``True`` is not 1. A field that is missing or
    null matches no ``Equals``, ``OneOf`` or ``Range``, and therefore matches their ``Not``. A
    list with elements exists, even if all of them are null.
    """
    if isinstance(filter, Not):
        return not matches(filter.child, payload)
    if isinstance(filter, AnyOf):
        return any(matches(child, payload) for child in filter.children)
    if isinstance(filter, AllOf):
        return all(matches(child, payload) for child in filter.children)
    held = elements(payload or {}, filter.field)
    if isinstance(filter, IsNull):
        return any(element is None for element in held)
    if isinstance(filter, Exists):
        value = _value(payload or {}, filter.field)
        return value is not None and not (isinstance(value, (list, tuple)) and not value)
    if isinstance(filter, Range):
        return any(inside(filter, element) for element in held)
    wanted = filter.values if isinstance(filter, OneOf) else (filter.value,)
    return any(_same(element, value) for element in held for value in wanted)


def top_fields(filter: Filter) -> tuple[str, ...]:
    """The payload keys that a filter reads, without duplicates."""
    if isinstance(filter, Not):
        return top_fields(filter.child)
    if isinstance(filter, (AnyOf, AllOf)):
        return tuple(dict.fromkeys(key for child in filter.children for key in top_fields(child)))
    return (filter.field.split(".")[0],)


def _value(payload: Mapping[str, Any], name: str, absent: Any = None) -> Any:
    value: Any = payload
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return absent
        value = value[part]
    return value


def elements(payload: Mapping[str, Any], name: str) -> list[Any]:
    """The values of a field: the elements of a list, one value, or none if it is absent."""
    value = _value(payload, name, absent=())
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
