"""Conversion of common filters to the models of qdrant-client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Id, filters
from qadapt.model.dates import moment
from qadapt.stores.qdrant.filters import FilterBuilder
from qadapt.stores.qdrant.server.connection import module


class _Models(FilterBuilder):
    """Conditions of qdrant-client."""

    def has_id(self, ids: Sequence[Id]) -> Any:
        return self.library.HasIdCondition(has_id=list(ids))

    def is_empty(self, key: str) -> Any:
        return self.library.IsEmptyCondition(is_empty=self.library.PayloadField(key=key))

    def is_null(self, key: str) -> Any:
        return self.library.IsNullCondition(is_null=self.library.PayloadField(key=key))

    def match_value(self, value: bool | str) -> Any:
        return self.library.MatchValue(value=value)

    def match_any(self, values: Sequence[int] | Sequence[str]) -> Any:
        return self.library.MatchAny(any=list(values))

    def number_range(self, bounds: Mapping[str, float]) -> Any:
        return self.library.Range(**bounds)

    def date_range(self, bounds: Mapping[str, str]) -> Any:
        """UTC without a time zone. Fractions are truncated to microseconds."""
        dates = {word: moment(bound) for word, bound in bounds.items()}
        return self.library.DatetimeRange(**dates)


def to_models(filter: Any) -> Any:
    """Convert a common filter to the client's ``Filter``, which itself passes through.

    Raises:
        SpecError: neither of the two.
        UnsupportedError: a field or a number that Qdrant's filters cannot express.
    """
    if filter is None:
        return None
    models = module().models
    if isinstance(filter, models.Filter):
        return filter
    if not filters.is_common(filter):
        raise SpecError(
            "the filter must be a mapping or a qdrant_client.models.Filter; got a "
            f"{type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    found = _Models(models).condition(filters.parse_filter(filter))
    return found if isinstance(found, models.Filter) else models.Filter(must=[found])


def has_vector(name: str) -> Any:
    """The rows that have a vector."""
    models = module().models
    return models.Filter(must=[models.HasVectorCondition(has_vector=name)])


def unread_dates(field: str, node: filters.Range | None = None) -> Any:
    """Rows with a field that the server cannot read as a date, or only in some elements."""
    return _Models(module().models).unread_dates(field, node)
