"""Conversion of common filters to Qdrant's conditions, for the server and the embedded engine.

Numbers are equal if their values are, such as 1990 and 1990.0; the engine's ``match`` compares
integers only with integers, so numbers are compared by a range, which uses 64-bit floats. Near a
number beyond 2^53, which shares its float with others, integers are listed for ``match``
(``integer_ranges``). Dates that the engine cannot read are found by ``unread_dates``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Id, filters
from qadapt.model.filter_checks import Scalar
from qadapt.stores.qdrant import integer_ranges
from qadapt.stores.qdrant.date_ranges import FIRST, ById

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class FilterBuilder(ABC):
    """Builds conditions from the classes of a client library.

    Args:
        library: has ``Filter``, ``FieldCondition`` and ``ValuesCount`` with the server's keywords.
    """

    def __init__(self, library: Any) -> None:
        self.library = library

    @abstractmethod
    def has_id(self, ids: Sequence[Id]) -> Any:
        """Rows with one of the ids."""

    @abstractmethod
    def is_empty(self, key: str) -> Any:
        """Rows without a value in a field."""

    @abstractmethod
    def is_null(self, key: str) -> Any:
        """Rows with null in a field, or in an element of a list."""

    @abstractmethod
    def match_value(self, value: bool | str) -> Any:
        """A match of one value."""

    @abstractmethod
    def match_any(self, values: Sequence[int] | Sequence[str]) -> Any:
        """A match of any of the values."""

    @abstractmethod
    def number_range(self, bounds: Mapping[str, float]) -> Any:
        """A range of numbers, by ``gt``, ``gte``, ``lt`` and ``lte``."""

    @abstractmethod
    def date_range(self, bounds: Mapping[str, str]) -> Any:
        """A range of ISO dates, by ``gt``, ``gte``, ``lt`` and ``lte``."""

    def condition(self, node: filters.Filter | ById) -> Any:
        """The condition of a parsed filter.

        Raises:
            UnsupportedError: a field or a number that Qdrant's filters cannot express.
        """
        group = self.library.Filter
        if isinstance(node, ById):
            return self.has_id(list(node.ids))
        if isinstance(node, filters.AllOf):
            return group(must=[self.condition(child) for child in node.children])
        if isinstance(node, filters.AnyOf):
            return group(should=[self.condition(child) for child in node.children])
        if isinstance(node, filters.Not):
            return group(must_not=[self.condition(node.child)])
        if isinstance(node, filters.Exists):
            return group(must_not=[self.is_empty(field_path(node.field))])
        if isinstance(node, filters.IsNull):
            return self.is_null(field_path(node.field))
        if isinstance(node, filters.Range):
            return self._range(node)
        if isinstance(node, filters.Equals):
            return self._equals(node.field, node.value)
        return self._one_of(node)

    def unread_dates(self, field: str, node: filters.Range | None = None) -> Any:
        """Rows with a field that the engine cannot read as a date, or only in some elements.

        Args:
            node: excludes rows that the engine finds with this range.
        """
        key = field_path(field)
        ever = self._field(key, range=self.date_range({"gte": FIRST}))
        several = self._field(key, values_count=self.library.ValuesCount(gt=1))
        read = self.library.Filter(must=[ever], must_not=[several])
        without = [self.is_empty(key), read] + ([] if node is None else [self._range(node)])
        return self.library.Filter(must_not=without)

    def _field(self, key: str, **condition: Any) -> Any:
        return self.library.FieldCondition(key=key, **condition)

    def _one_of(self, node: filters.OneOf) -> Any:
        texts = [value for value in node.values if isinstance(value, str)]
        rest = [value for value in node.values if not isinstance(value, str)]
        parts = [self._equals(node.field, value) for value in rest]
        if texts:
            parts.append(self._field(field_path(node.field), match=self.match_any(texts)))
        return self.library.Filter(should=parts)

    def _equals(self, field: str, value: Scalar) -> Any:
        if isinstance(value, (bool, str)):
            return self._field(field_path(field), match=self.match_value(value))
        return self._numbers(filters.Range(field, gte=value, lte=value))

    def _range(self, node: filters.Range) -> Any:
        if not node.over_dates:
            return self._numbers(node)
        dates = {word: str(bound) for word, bound in node.bounds.items()}
        return self._field(field_path(node.field), range=self.date_range(dates))

    def _numbers(self, node: filters.Range) -> Any:
        key = field_path(node.field)

        def between(bounds: Mapping[str, float]) -> Any:
            return self._field(key, range=self.number_range(bounds))

        def whole(numbers: Sequence[int]) -> Any:
            return self._field(key, match=self.match_any(list(numbers)))

        ranges = integer_ranges.split_range(node)
        return integer_ranges.condition(ranges, self.library.Filter, between, whole)


def field_path(field: str) -> str:
    """The field as Qdrant's path, with quotes around parts that contain special characters.

    Raises:
        UnsupportedError: a quote or backslash, which cannot be escaped.
    """
    parts = field.split(".")
    for part in parts:
        if '"' in part or "\\" in part:
            raise UnsupportedError(
                f"the field {part!r} cannot be used in a Qdrant filter",
                hint="rename the field: quotes and backslashes cannot be escaped",
            )
    return ".".join(part if _PLAIN_KEY.fullmatch(part) else f'"{part}"' for part in parts)
