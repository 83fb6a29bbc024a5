"""Filters as JSON, for documents and tables."""

from __future__ import annotations

import json
from typing import Any

from qadapt.errors import SpecError
from qadapt.model.filters import (
    FIELD_WORDS,
    JOIN_WORDS,
    AllOf,
    AnyOf,
    Equals,
    Exists,
    Filter,
    IsNull,
    Not,
    OneOf,
    is_common,
    parse_filter,
)


def filter_document(node: Filter) -> dict[str, Any]:
    """A parsed filter as JSON types; ``parse_filter`` reads it back."""
    if isinstance(node, AllOf):
        return {"all": [filter_document(child) for child in node.children]}
    if isinstance(node, AnyOf):
        return {"any": [filter_document(child) for child in node.children]}
    if isinstance(node, Not):
        if isinstance(node.child, Exists):
            return {node.child.field: {"missing": True}}
        return {"not": filter_document(node.child)}
    if isinstance(node, Exists):
        return {node.field: {"exists": True}}
    reserved = node.field in FIELD_WORDS or node.field in JOIN_WORDS
    if isinstance(node, IsNull):
        return {node.field: {"eq": None} if reserved else None}
    if isinstance(node, Equals):
        return {node.field: {"eq": node.value} if reserved else node.value}
    if isinstance(node, OneOf):
        values = list(node.values)
        return {node.field: {"in": values} if reserved else values}
    return {node.field: dict(node.bounds)}


def saved_filter(filter: Any) -> Any:
    """A filter in the form in which documents keep it: a mapping or the text of an expression.

    Raises:
        SpecError: an object of a database client, which has no JSON form.
    """
    if isinstance(filter, str):
        return filter
    if not is_common(filter):
        raise SpecError(
            f"a {type(filter).__name__} cannot be saved in a plan",
            hint='write the filter as a mapping, such as {"topic": "art"}',
        )
    return filter_document(parse_filter(filter))


def filter_text(filter: Any) -> str:
    """A filter as text, for tables and messages: JSON, or the native form."""
    if isinstance(filter, str):
        return filter
    if is_common(filter):
        return json.dumps(filter_document(parse_filter(filter)), ensure_ascii=False)
    return f"a {type(filter).__name__}"
