"""Common filters as Chroma's ``where``.

Chroma has no condition for ranges of dates, presence and null, and none that negates a range. A
filter with one of them, or on a field whose values Chroma cannot compare, is applied by qadapt to
the payloads (docs/engines/chroma.md#filters).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import filters
from qadapt.model.filter_checks import Scalar
from qadapt.stores.chroma.payload import DOCUMENT, OTHER_DOCUMENT

Where = dict[str, Any]
_INT64 = 2**63
_LARGEST = 1.7e308


def parsed(filter: Any) -> filters.Filter:
    """The tree of a filter in the common form.

    Raises:
        SpecError
    """
    if not filters.is_common(filter):
        raise SpecError(
            f"a filter is a mapping; got a {type(filter).__name__}",
            hint='for example {"topic": "art"}',
        )
    return filters.parse_filter(filter)


def where(node: filters.Filter, unfiltered: Collection[str]) -> Where | None:
    """The native condition that selects the same rows; None if there is none.

    Args:
        unfiltered: top-level fields with values that Chroma cannot compare.
    """
    known = {*unfiltered, DOCUMENT, OTHER_DOCUMENT}
    if any(name in known for name in filters.top_fields(node)):
        return None
    return _condition(node, negated=False)


def _condition(node: filters.Filter, *, negated: bool) -> Where | None:
    if isinstance(node, filters.Not):
        return _condition(node.child, negated=not negated)
    if isinstance(node, (filters.AllOf, filters.AnyOf)):
        parts = [_condition(child, negated=negated) for child in node.children]
        if any(part is None for part in parts):
            return None
        return _joined(isinstance(node, filters.AllOf) != negated, [p for p in parts if p])
    if isinstance(node, filters.Range):
        return None if negated else _range(node)
    if isinstance(node, (filters.Equals, filters.OneOf)):
        values = node.values if isinstance(node, filters.OneOf) else (node.value,)
        return _one_of(node.field, values, negated=negated)
    return None


def _joined(all_of: bool, parts: Sequence[Where]) -> Where:
    """Chroma requires two parts or more."""
    return parts[0] if len(parts) == 1 else {"$and" if all_of else "$or": list(parts)}


def _range(node: filters.Range) -> Where | None:
    bounds = node.bounds
    if node.over_dates or not all(_sendable(each) for each in bounds.values()):
        return None
    return _joined(True, [_bound(node.field, f"${word}", each) for word, each in bounds.items()])


def _bound(name: str, word: str, value: Any) -> Where:
    """A comparison with one value.

    Chroma compares a stored integer with ``_cast(value)`` (1.5.9: 1 is equal to 1.5, and not less).
    The condition about that integer has the result that it should have.
    """
    found: Where = {name: {word: value}}
    cast = _cast(value)
    if cast == value:
        return found
    holds = {
        "$eq": False, "$ne": True, "$lt": cast < value, "$lte": cast < value,
        "$gt": cast > value, "$gte": cast > value,
    }[word]  # fmt: skip
    if holds:
        return _joined(False, [found, {name: {"$eq": cast}}])
    return _joined(True, [found, {name: {"$ne": cast}}])


def _cast(value: Any) -> Any:
    """What Chroma compares stored integers with."""
    if not isinstance(value, float):
        return value
    return min(max(int(value), -_INT64), _INT64 - 1)


def _one_of(name: str, values: Sequence[Scalar], *, negated: bool) -> Where | None:
    """A field that is one of the values, or a list that contains one.

    ``$in`` and ``$contains`` compare one type; a row without the field matches their negations.
    """
    if not all(_sendable(each) for each in values):
        return None
    word = "$not_contains" if negated else "$contains"
    parts: list[Where] = []
    for kind in (str, bool, int, float):
        group = [each for each in values if type(each) is kind]
        whole = [each for each in group if _cast(each) == each]
        if whole:
            parts.append(_scalar(name, whole, negated))
        parts += [
            _bound(name, "$ne" if negated else "$eq", each) for each in group if _cast(each) != each
        ]
        parts += [{name: {word: each}} for value in group for each in _as_elements(value)]
    return _joined(negated, parts)


def _scalar(name: str, values: Sequence[Any], negated: bool) -> Where:
    if len(values) == 1:
        return {name: {"$ne" if negated else "$eq": values[0]}}
    return {name: {"$nin" if negated else "$in": list(values)}}


def _sendable(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return -_INT64 <= value < _INT64
    return not isinstance(value, float) or (math.isfinite(value) and abs(value) <= _LARGEST)


def _as_elements(value: Any) -> list[Any]:
    """The values that equal one in a list; a list of floats has no element that equals an integer
    for Chroma."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value, float(value)] if int(float(value)) == value else [value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _INT64:
        return [value, int(value)]
    return [value]
