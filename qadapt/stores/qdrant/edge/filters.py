"""Conversion of common filters to the objects of the embedded engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.errors import SpecError
from qadapt.model import Id, filters
from qadapt.stores.qdrant.edge.connection import client_module
from qadapt.stores.qdrant.filters import FilterBuilder

if TYPE_CHECKING:
    import qdrant_edge

_NO_SECONDS = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})([Zz]|[+-].*)?")


class _Engine(FilterBuilder):
    """Conditions of qdrant-edge-py."""

    def has_id(self, ids: Sequence[Id]) -> Any:
        return self.library.HasIdCondition(set(ids))

    def is_empty(self, key: str) -> Any:
        return self.library.IsEmptyCondition(key)

    def is_null(self, key: str) -> Any:
        return self.library.IsNullCondition(key)

    def match_value(self, value: bool | str) -> Any:
        # The binding of 0.9.0 treats Python's True as the number 1, and numpy's True as a bool.
        return self.library.MatchValue(np.bool_(value) if isinstance(value, bool) else value)

    def match_any(self, values: Sequence[int] | Sequence[str]) -> Any:
        return self.library.MatchAny(list(values))

    def number_range(self, bounds: Mapping[str, float]) -> Any:
        return self.library.RangeFloat(**bounds)

    def date_range(self, bounds: Mapping[str, str]) -> Any:
        dates = {word: _with_seconds(bound) for word, bound in bounds.items()}
        return self.library.RangeDateTime(**dates)


def to_engine(filter: Any) -> qdrant_edge.Filter | None:
    """Convert a common filter to the engine's ``Filter``, which itself passes through.

    Raises:
        SpecError: neither of the two.
        UnsupportedError: a field or a number that the engine's filters cannot express.
    """
    if filter is None:
        return None
    edge = client_module()
    if isinstance(filter, edge.Filter):
        own: qdrant_edge.Filter = filter
        return own
    if not filters.is_common(filter):
        raise SpecError(
            f"the filter must be a mapping or a qdrant_edge.Filter; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    found = _Engine(edge).condition(filters.parse_filter(filter))
    tree: qdrant_edge.Filter = edge.Filter(must=[found])
    return tree


def unread_dates(field: str, node: filters.Range | None = None) -> qdrant_edge.Filter:
    """Rows with a field that the engine cannot read as a date, or only in some elements."""
    found: qdrant_edge.Filter = _Engine(client_module()).unread_dates(field, node)
    return found


def _with_seconds(text: str) -> str:
    """An ISO date in the engine's format: a time must include seconds."""
    found = _NO_SECONDS.fullmatch(text)
    return f"{found[1]}T{found[2]}:00{found[3] or ''}" if found else text
