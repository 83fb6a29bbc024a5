"""Filters for values that exist or are null, in the dynamic field and in JSON fields.

On a server, ``exists`` is true for null and for an empty list, and no expression is true for
objects alone (run on 2.3.5). In Lite it is false for null, and true for an empty list (3.2.2).
Rows with text, numbers, booleans or list elements are found by an expression. The others, whose
value is null, an object or an empty list, are read, compared here, and added by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import filters
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.filters import (
    ById,
    Fields,
    is_plain,
    path_of,
    to_expression,
    tree_expression,
)
from qadapt.stores.milvus.rows import read
from qadapt.stores.milvus.schema import Layout
from qadapt.stores.store_types import ReadRequest

MOST = 10_000  # keys in a filter

Rows = Callable[[str], Iterator[tuple[Any, Any]]]


def compiled(connection: Connection, layout: Layout, filter: Any) -> str:
    """The Milvus expression of a filter; rows are read if it asks whether a value exists.

    Raises:
        SpecError, UnsupportedError: see ``to_expression``; or more than 10,000 rows would have to
            be listed.
    """
    if filter is None or not filters.is_common(filter):
        return to_expression(filter, layout.fields)

    def rows(expression: str) -> Iterator[tuple[Any, Any]]:
        for page in read(connection, layout, {}, ReadRequest(filter=expression)):
            payloads = page.payloads or ({},) * len(page)
            yield from zip(layout.keys.checked(page.ids), payloads, strict=True)

    tree = _Resolver(layout.fields, layout.keys.field, rows).resolved(filters.parse_filter(filter))
    return tree_expression(tree, layout.fields)


@dataclass(frozen=True)
class _Resolver:
    """Replaces conditions on existence by expressions and keys.

    Attributes:
        key: name of the primary key.
        rows: reads the keys and payloads of the rows that match an expression.
    """

    fields: Fields
    key: str
    rows: Rows

    def resolved(self, node: Any) -> Any:
        if isinstance(node, filters.Not):
            return filters.Not(self.resolved(node.child))
        if isinstance(node, (filters.AnyOf, filters.AllOf)):
            return type(node)(tuple(self.resolved(child) for child in node.children))
        if not isinstance(node, (filters.Exists, filters.IsNull)):
            return node
        path = path_of(node.field, self.fields)
        if path is None:  # a typed field
            return node
        if self.fields.old_lite:
            raise UnsupportedError(
                "Milvus Lite 2 has no `exists` in a filter",
                hint="use Milvus Lite 3 or a Milvus server",
            )
        if self.fields.lite:
            certain, unclear = self._in_lite(node, path)
        else:
            certain, unclear = self._on_a_server(node, path)
        return ById(self.key, tuple(self._listed(node, unclear)), certain)

    def _on_a_server(self, node: Any, path: str) -> tuple[str, str]:
        """An expression whose rows match, and one for the rows that must be read."""
        scalar = (
            f'(({path} like "%") or ({path} >= 0) or ({path} < 0) '
            f"or ({path} == true) or ({path} == false))"
        )
        if isinstance(node, filters.IsNull):
            return "", f"((exists {path}) and (not {scalar}))"
        certain = f"({scalar} or (exists {path}[0]))"
        return certain, f"((exists {path}) and (not {certain}))"

    def _in_lite(self, node: Any, path: str) -> tuple[str, str]:
        there = f"(exists {path})"
        if not is_plain(node.field):  # functions accept plain names only
            return "", there if isinstance(node, filters.Exists) else f"({there} or (not {there}))"
        lists = f"(json_contains_all({node.field}, []))"
        if isinstance(node, filters.IsNull):
            return "", f"((not {there}) or {lists})"
        first = f"(exists {path}[0])"
        return f"({there} and ((not {lists}) or {first}))", f"({lists} and (not {first}))"

    def _listed(self, node: Any, unclear: str) -> Iterator[Any]:
        found = 0
        for key, payload in self.rows(unclear):
            if filters.matches(node, payload):
                found += 1
                yield key
            if found > MOST:
                raise UnsupportedError(
                    f"more than {MOST:,} rows have null, an object or a list in {node.field!r}, "
                    "which Milvus cannot filter by existence",
                    hint="store a boolean that tells whether the field has a value",
                )
