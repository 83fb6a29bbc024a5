"""Ranges over dates that Qdrant's engine cannot read: times with a zone and without seconds.

The engine reads ``2025-03-28T10:00`` and ``2025-03-28T10:00:00Z``, but not ``2025-03-28T10:00Z``
(observed on edge 0.9.0 and in local mode). Rows with these dates are read separately, compared
here, and added to the filter by their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import filters

# Maximum number of ids in a filter.
MOST = 10_000
# Earlier than all dates that the engine reads.
FIRST = "0001-01-01T00:00:00Z"

Rows = Iterable[tuple[Any, Mapping[str, Any]]]


@dataclass(frozen=True)
class ById:
    """Rows with these ids, in the engine's format."""

    ids: Sequence[Any]


def resolved(filter: Any, suspects: Callable[[filters.Range], Rows]) -> Any:
    """Extend each date range of a filter by the rows that the engine does not find.

    Args:
        filter: in the common format; None and native filters pass through.
        suspects: ids and payloads of rows whose field the engine cannot read as a date, or only in
            part.

    Raises:
        SpecError
        UnsupportedError: too many of these rows for a filter.
    """
    if filter is None or not filters.is_common(filter):
        return filter
    return _resolved(filters.parse_filter(filter), suspects)


def _resolved(node: Any, suspects: Callable[[filters.Range], Rows]) -> Any:
    if isinstance(node, filters.Not):
        return filters.Not(_resolved(node.child, suspects))
    if isinstance(node, (filters.AnyOf, filters.AllOf)):
        return type(node)(tuple(_resolved(child, suspects) for child in node.children))
    if not isinstance(node, filters.Range) or not node.over_dates:
        return node
    ids: list[Any] = []
    for key, payload in suspects(node):
        if filters.matches(node, payload):
            ids.append(key)
        if len(ids) > MOST:
            raise UnsupportedError(
                f"more than {MOST:,} rows have a time with a zone but without seconds in "
                f"{node.field!r}, such as '10:00Z', which Qdrant does not parse as a date",
                hint="store times with seconds: '2025-03-28T10:00:00Z'",
            )
    return filters.AnyOf((node, ById(ids))) if ids else node  # type: ignore[arg-type]
