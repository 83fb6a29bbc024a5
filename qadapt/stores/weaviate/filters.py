"""Conversion of common filters to the server's messages.

A filter selects the same rows as ``matches`` of the common form, or it is refused. The server
compares tokenized text word by word, strips whitespace, compares numbers as 64-bit floats, and lets
two elements of a list satisfy the two bounds of a range. ``NOT`` selects rows without the property,
as the common form does (all run on 1.39.0).
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import filters
from qadapt.model.capabilities import older
from qadapt.model.dates import moment
from qadapt.model.filter_checks import Scalar
from qadapt.stores.weaviate import payload
from qadapt.stores.weaviate.connection import module, proto
from qadapt.stores.weaviate.schema import Layout

_EXACT, _BEYOND = 2**53, 2**64
_RANGE = {
    "gt": "GREATER_THAN",
    "gte": "GREATER_THAN_EQUAL",
    "lt": "LESS_THAN",
    "lte": "LESS_THAN_EQUAL",
}
NOT_SINCE = "1.33"
_NATIVE = 'Filter.by_property("...") of weaviate.classes.query is passed to the server unchanged'


def to_message(filter: Any, layout: Layout, version: str) -> Any:
    """Convert a filter in the common form, or the client's ``Filter``, to the server's message.

    Raises:
        SpecError: the filter is neither of the two, or a property does not exist.
        UnsupportedError: the server would select other rows than the common form.
    """
    if filter is None:
        return None
    own = module("collections.classes.filters")._Filters
    if isinstance(filter, own):
        return module("collections.filters")._FilterToGRPC.convert(filter)
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping or a weaviate Filter; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    return _Writer(layout, version).node(filters.parse_filter(filter))


def by_ids(ids: list[str]) -> Any:
    """Rows with one of these ids."""
    values = proto().base_pb2.TextArray(values=ids)
    return _value("_id", "CONTAINS_ANY", value_text_array=values)


def from_the_first() -> Any:
    """All rows."""
    return _value("_id", "GREATER_THAN_EQUAL", value_text=str(uuid.UUID(int=0)))


def behind(key: str) -> Any:
    """Rows after an id."""
    return _value("_id", "GREATER_THAN", value_text=key)


def up_to(key: str) -> Any:
    """Rows up to and including an id."""
    return _value("_id", "LESS_THAN_EQUAL", value_text=key)


def both(*messages: Any) -> Any:
    """The conjunction of those that are not None; None if all are."""
    found = [each for each in messages if each is not None]
    return _join("AND", found) if len(found) > 1 else (found or [None])[0]


def _join(operator: str, children: list[Any]) -> Any:
    return proto().base_pb2.Filters(operator=_operator(operator), filters=children)


def _value(name: str, operator: str, **value: Any) -> Any:
    target = proto().base_pb2.FilterTarget(property=name)
    return proto().base_pb2.Filters(operator=_operator(operator), target=target, **value)


def _operator(name: str) -> Any:
    kind = proto().base_pb2.Filters
    if not hasattr(kind, f"OPERATOR_{name}"):
        raise UnsupportedError(
            f"this weaviate-client has no filter {name}", hint="upgrade the client"
        )
    return getattr(kind, f"OPERATOR_{name}")


class _Writer:
    """Converts filters on the properties of one collection."""

    def __init__(self, layout: Layout, version: str) -> None:
        self.layout = layout
        self.version = version
        self.raw: Mapping[str, Any] = {
            each["name"]: each for each in layout.raw.get("properties") or ()
        }

    def node(self, node: filters.Filter) -> Any:
        if isinstance(node, filters.AllOf):
            return _join("AND", [self.node(child) for child in node.children])
        if isinstance(node, filters.AnyOf):
            return _join("OR", [self.node(child) for child in node.children])
        if isinstance(node, filters.Not):
            if older(self.version, NOT_SINCE):
                raise UnsupportedError(
                    f"'not' needs Weaviate {NOT_SINCE}; this is {self.version}",
                    hint="rewrite the filter without 'not'",
                )
            return _join("NOT", [self.node(node.child)])
        if isinstance(node, filters.Range):
            return self.range(node)
        if isinstance(node, filters.Exists):
            return self.exists(node.field)
        if isinstance(node, filters.IsNull):
            raise UnsupportedError(
                f"Weaviate does not distinguish null from a missing value: {node.field!r}",
                hint=f'use {{"{node.field}": {{"missing": true}}}}',
            )
        values = node.values if isinstance(node, filters.OneOf) else (node.value,)
        found = [self.equals(node.field, value) for value in values]
        return found[0] if len(found) == 1 else _join("OR", found)

    def kind(self, field: str) -> str:
        """The type of a property that filters can use."""
        if "." in field:
            raise UnsupportedError(
                f"Weaviate cannot filter by fields of objects: {field!r}",
                hint="store the value under a separate top-level key of the payload",
            )
        if field not in self.raw or field == payload.REST:
            if payload.has_own_properties(self.layout) and not payload.can_copy(field):
                raise UnsupportedError(
                    f"Weaviate cannot filter by {field!r}: it is not a valid property name",
                    hint="use a lowercase letter, then letters, digits and _; 'id' and 'vector' "
                    "are reserved",
                )
            known = sorted(name for name in self.raw if name != payload.REST)
            raise SpecError.unknown("property", field, known, where=repr(self.layout.name))
        found = self.raw[field]
        kind = str(found["dataType"][0])
        if found.get("indexFilterable") is False:
            raise UnsupportedError(
                f"the property {field!r} has no filter index (indexFilterable)",
                hint="filter on another property, or create the collection with this index",
            )
        if payload.has_own_properties(self.layout) and payload.base(kind) not in payload.KINDS:
            raise UnsupportedError(
                f"the property {field!r} has type {kind}, which qadapt does not support",
                hint=_NATIVE,
            )
        return kind

    def exists(self, field: str) -> Any:
        """Rows with a value of a property, by the null index of the collection."""
        kind = self.kind(field)
        if payload.has_own_properties(self.layout):
            raise UnsupportedError(
                f"Weaviate cannot tell whether {field!r} exists: values of a type other than the "
                f"property are stored in {payload.REST}, which has no index",
                hint="filter by a value",
            )
        inverted = self.layout.raw.get("invertedIndexConfig") or {}
        if not inverted.get("indexNullState"):
            raise UnsupportedError(
                f"Weaviate cannot tell whether {field!r} exists: the collection "
                f"{self.layout.name!r} has no null index",
                hint="create the collection with indexNullState: true in invertedIndexConfig, and "
                "copy the rows",
            )
        there = _value(field, "IS_NULL", value_boolean=False)
        if kind != "text":
            return there
        # The null index holds empty text too (run on 1.39.0).
        self._check_text(field, "")
        return _join("OR", [there, _value(field, "EQUAL", value_text="")])

    def equals(self, field: str, value: Scalar) -> Any:
        kind = self.kind(field)
        base = payload.base(kind)
        if base == "text" and isinstance(value, str):
            self._check_text(field, value)
            return _value(field, "EQUAL", value_text=value)
        if base == "boolean" and isinstance(value, bool):
            return _value(field, "EQUAL", value_boolean=value)
        if base == "number" and _is_number(value):
            return _value(field, "EQUAL", value_number=_float(field, value))
        if base == "int" and _is_number(value) and value == int(value) and _fits(value):
            return _value(field, "EQUAL", value_int=int(value))
        if base in ("uuid", "date") and isinstance(value, str):
            return _value(field, "EQUAL", value_text=_moment(value) if base == "date" else value)
        raise _other_type(field, kind, value)

    def _check_text(self, field: str, value: str) -> None:
        if self.raw[field].get("tokenization") != "field":
            raise UnsupportedError(
                f"the property {field!r} is tokenized (tokenization "
                f"{self.raw[field].get('tokenization')}), so Weaviate finds text that contains "
                f"{value!r}, not text that is equal to it",
                hint=_NATIVE,
            )
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise SpecError(
                f"the filter on {field!r} has text with a lone surrogate, which is not Unicode",
                hint="check how the text was decoded",
            )
        if value != value.strip():
            raise UnsupportedError(
                f"Weaviate strips whitespace from the text {value!r} before it compares",
                hint="remove the whitespace from the payload and the filter",
            )

    def range(self, node: filters.Range) -> Any:
        kind = self.kind(node.field)
        base = payload.base(kind)
        dates = node.over_dates
        if (base == "date") != dates or base not in ("date", "number", "int"):
            bound = next(iter(node.bounds.values()))
            raise _other_type(node.field, kind, bound)
        if kind.endswith("[]") and len(node.bounds) > 1:
            raise UnsupportedError(
                f"{node.field!r} is a list: two different elements would satisfy the two bounds",
                hint="use one bound, or store single values",
            )
        found = [self._bound(node.field, base, word, bound) for word, bound in node.bounds.items()]
        return both(*found)

    def _bound(self, field: str, base: str, word: str, bound: Any) -> Any:
        if base == "date":
            return _value(field, _RANGE[word], value_text=_moment(str(bound)))
        if base == "number":
            return _value(field, _RANGE[word], value_number=_float(field, bound))
        if bound != int(bound):
            # Integers only: above 2.5 means from 3.
            word = "gte" if word in ("gt", "gte") else "lte"
            bound = math.ceil(bound) if word == "gte" else math.floor(bound)
        if not _fits(bound):
            raise UnsupportedError(
                f"Weaviate cannot compare {field!r} with {bound}: it exceeds signed 64-bit "
                "integers",
                hint="omit the bound if it excludes nothing, or store the numbers as text",
            )
        return _value(field, _RANGE[word], value_int=int(bound))


def _fits(value: float) -> bool:
    return -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float(field: str, value: Any) -> float:
    # No integer of a payload exceeds 2^64, so larger floats are compared with floats only.
    if abs(value) >= _EXACT and (isinstance(value, int) or abs(value) <= _BEYOND):
        raise UnsupportedError(
            f"Weaviate compares {field!r} as 64-bit floats, which cannot distinguish {value} from "
            "adjacent integers",
            hint="store these numbers as text",
        )
    return float(value) + 0.0


def _moment(text: str) -> str:
    """Convert an ISO date to RFC 3339, the format of the server."""
    found = moment(text)
    if found is None:
        raise SpecError(
            f"{text!r} is not an ISO date", hint="use the format '2024-05-01T12:00:00Z'"
        )
    return found.isoformat()


def _other_type(field: str, kind: str, value: Any) -> UnsupportedError:
    return UnsupportedError(
        f"the property {field!r} has type {kind}, so Weaviate cannot compare it with {value!r}",
        hint="use one type per payload key: values of other types are stored but not filtered"
        if kind != "date"
        else "use an ISO date",
    )
