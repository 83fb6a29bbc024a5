"""Filters that no expression of Milvus covers: existence, null, and ranges over lists.

On a server, ``exists`` is true for null and for an empty list, and no expression is true for
objects alone (run on 2.3.5). In Lite it is false for null, and true for an empty list (3.2.2).
Rows with text, numbers, booleans or list elements are found by an expression. The others, whose
value is null, an object or an empty list, are read, compared here, and added by their keys. The
same applies to long lists under a range (``list_ranges``), and to values of another type under
``not`` in Lite.
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
    one_of,
    path_of,
    to_expression,
    tree_expression,
)
from qadapt.stores.milvus.list_ranges import FIRST, list_range
from qadapt.stores.milvus.rows import STRONG, query, read
from qadapt.stores.milvus.schema import Layout
from qadapt.stores.store_types import ReadRequest

MOST = 10_000  # keys in a filter
# What too many rows have, and what to do.
_VALUES = (
    "null, an object or a list in {!r}, which Milvus cannot filter by existence",
    "store a boolean that tells whether the field has a value",
)
_LISTS = (
    f"lists of more than {FIRST} elements in {{!r}}, which Milvus cannot filter by a range",
    "store the smallest and the largest element in two more fields, or pass a Milvus expression",
)
_TYPES = (
    "values of other types in {!r} than the filter, for which `not` matches no row in Milvus Lite",
    "store values of one type in the field, or use a Milvus server",
)

Rows = Callable[[str], Iterator[tuple[Any, Any]]]
Keys = Callable[[str, int | None], list[Any]]


def compiled(connection: Connection, layout: Layout, filter: Any, consistency: str = STRONG) -> str:
    """The Milvus expression of a filter; rows are read where no expression covers it.

    Args:
        consistency: consistency level of these reads.

    Raises:
        SpecError, UnsupportedError: see ``to_expression``; or more than 10,000 rows would have to
            be listed.
    """
    if filter is None or not filters.is_common(filter):
        return to_expression(filter, layout.fields)

    def rows(expression: str) -> Iterator[tuple[Any, Any]]:
        for page in read(connection, layout, {}, ReadRequest(filter=expression), consistency):
            payloads = page.payloads or ({},) * len(page)
            yield from zip(layout.keys.checked(page.ids), payloads, strict=True)

    def keys(expression: str, limit: int | None) -> list[Any]:
        most = {} if limit is None else {"limit": limit}
        found = query(connection, layout, expression, [layout.keys.field], consistency, **most)
        return [row[layout.keys.field] for row in found]

    resolver = _Resolver(layout.fields, layout.keys.field, rows, keys)
    return tree_expression(resolver.resolved(filters.parse_filter(filter)), layout.fields)


@dataclass(frozen=True)
class _Resolver:
    """Replaces conditions that no expression covers by expressions and keys.

    Attributes:
        key: name of the primary key.
        rows: reads the keys and payloads of the rows that match an expression.
        keys: reads the keys of the rows that match an expression, up to a limit.
    """

    fields: Fields
    key: str
    rows: Rows
    keys: Keys

    def resolved(self, node: Any, *, negated: bool = False) -> Any:
        """Resolve a node.

        Args:
            negated: whether it is inside of a ``Not``.
        """
        if isinstance(node, filters.Not):
            return filters.Not(self.resolved(node.child, negated=True))
        if isinstance(node, (filters.AnyOf, filters.AllOf)):
            children = (self.resolved(child, negated=negated) for child in node.children)
            return type(node)(tuple(children))
        if isinstance(node, (filters.Exists, filters.IsNull)):
            return self._existence(node)
        found = self._range(node) if isinstance(node, filters.Range) else node
        return self._not_null(node.field, found) if negated and self.fields.lite else found

    def _existence(self, node: filters.Exists | filters.IsNull) -> Any:
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
        return ById(self.key, tuple(self._listed(node, unclear, _VALUES)), certain)

    def _range(self, node: filters.Range) -> Any:
        if node.over_dates:
            return node
        found = list_range(node, self.fields)
        if found is None or (found.any_list and not self.keys(found.any_list, 1)):
            return node
        certain = " or ".join(part for part in (found.scalar, found.elements) if part)
        unclear = found.longer
        if not self.fields.lite:  # in Lite, `not` of a comparison with another type is null
            unclear = f"({unclear} and (not ({certain})))"
        return ById(self.key, tuple(self._listed(node, unclear, _LISTS)), f"({certain})")

    def _not_null(self, field: str, node: Any) -> Any:
        """A node that is false in Lite where a comparison with another type would be null.

        In Lite, ``not`` null is null, so ``not`` would match none of these rows.
        """
        path = path_of(field, self.fields)
        if path is None or self.fields.old_lite:
            return node
        expression = tree_expression(node, self.fields)
        there = set(self.keys(f"(exists {path})", None))
        there -= {*self.keys(expression, None), *self.keys(f"(not {expression})", None)}
        if len(there) > MOST:
            raise self._too_many(field, _TYPES)
        if not there:
            return node
        return ById(self.key, (), f"({expression} and (not {one_of(self.key, sorted(there))}))")

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

    def _listed(self, node: Any, unclear: str, why: tuple[str, str]) -> Iterator[Any]:
        found = 0
        for key, payload in self.rows(unclear):
            if filters.matches(node, payload):
                found += 1
                yield key
            if found > MOST:
                raise self._too_many(node.field, why)

    def _too_many(self, field: str, why: tuple[str, str]) -> UnsupportedError:
        return UnsupportedError(f"more than {MOST:,} rows have {why[0].format(field)}", hint=why[1])
