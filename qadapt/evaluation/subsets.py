"""The rows that are measured: all, those of each filter, or those of each value of a field.

The rows of a filter are read through the filter of the database. In collections of up to
``SCANNED`` rows, they are also counted by their payloads with the reference implementation of
filters, and a difference is reported: a filter that loses rows hides them from the ground truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import InputError, SpecError
from qadapt.model import Batch, filters
from qadapt.model.filter_checks import Scalar
from qadapt.model.filter_documents import filter_text
from qadapt.stores.base import ReadRequest, Store

BY_LIMIT = 10  # values of a field that are measured
SCANNED = 20_000  # rows whose payloads are read
PARTITION = "@"  # one part per partition or tenant

LOST = "{}: the filter of the database finds {:,} rows, and the payloads of {:,} rows match"
MOST = "the {:,} most frequent of {:,} values of {} were measured (by_limit, --by-limit)"
AMONG = "; the frequencies are those of {:,} sampled rows"
WITHOUT = "{:,} of {:,} rows have no value of {} and were not measured"


@dataclass(frozen=True, eq=False)
class Subset:
    """Rows that are measured together.

    Attributes:
        collection: the collection, or one of its partitions (``name@partition``).
        filter: None for all rows.
        label: the filter as text, or ``@partition``; empty for all rows.
    """

    collection: str
    filter: Any = None
    label: str = ""

    @classmethod
    def of(cls, collection: str, filter: Any) -> Subset:
        """The rows of a collection that match a filter; all rows for None."""
        return cls(collection, filter, "" if filter is None else filter_text(filter))


@dataclass(frozen=True, eq=False)
class Subsets:
    """What is measured, and notes about what is not."""

    parts: tuple[Subset, ...]
    notes: tuple[str, ...] = ()


def subsets_of(
    store: Store, collection: str, filter: Any, by: str | None, limit: int, seed: int
) -> Subsets:
    """The subsets of a collection that are measured separately.

    Args:
        filter: one filter, a list of them, or None for all rows.
        by: payload field, one subset for each of its values; ``"@"``: each partition or tenant.
        limit: maximum number of values.

    Raises:
        InputError: the collection has no partitions, or no row has a value of ``by``.
    """
    if by == PARTITION:
        return _partitions(store, collection, filter, limit)
    if by is not None:
        return _values(store, collection, filter, by, limit, seed)
    listed = list(filter) if isinstance(filter, (list, tuple)) else [filter]
    parts = tuple(Subset.of(collection, each) for each in listed)
    return Subsets(parts, _lost(store, collection, parts))


def _partitions(store: Store, collection: str, filter: Any, limit: int) -> Subsets:
    schema = store.collection_schema(collection)
    names = [name for name in schema.partitions if name not in schema.inactive_partitions]
    if not names:
        raise InputError(
            f"{collection!r} has no partitions or tenants that can be read",
            hint="pass the payload field that separates tenants: by='tenant' (--by tenant)",
        )
    also = "" if filter is None else f" {filter_text(filter)}"
    counted = [(store.count(f"{collection}@{name}", filter), name) for name in names]
    counted.sort(key=lambda pair: (-pair[0], pair[1]))
    chosen = [name for rows, name in counted if rows][:limit]
    parts = tuple(Subset(f"{collection}@{name}", filter, f"@{name}{also}") for name in chosen)
    if not parts:
        raise InputError(
            f"no partition of {collection!r} has rows, so nothing can be measured",
            hint="write rows, or use a filter that matches some",
        )
    notes = [] if len(chosen) == len(names) else [MOST.format(len(chosen), len(names), "partition")]
    return Subsets(parts, tuple(notes))


def _values(store: Store, collection: str, filter: Any, by: str, limit: int, seed: int) -> Subsets:
    node = None if filter is None else filters.parse_filter(filter)
    counts: Counter[tuple[str, Scalar]] = Counter()
    rows = without = 0
    payloads, complete = _payloads(store, collection, seed)
    for payload in payloads:
        if node is not None and not filters.matches(node, payload):
            continue
        rows += 1
        found = {(type(value).__name__, value) for value in _scalars(payload, by)}
        counts.update(found)
        without += not found
    if not counts:
        raise InputError(
            f"no row of {collection!r} has a value of {by!r}, so nothing can be measured",
            hint="pass a payload field with text, numbers or booleans",
        )
    most = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0][1])))[:limit]
    parts = []
    for (_, value), _rows in most:
        own: filters.Filter = filters.Equals(by, value)
        part = own if node is None else filters.AllOf((node, own))
        parts.append(Subset.of(collection, part))
    notes = []
    if len(most) < len(counts):
        among = "" if complete else AMONG.format(rows)
        notes.append(MOST.format(len(most), len(counts), by) + among)
    if without:
        notes.append(WITHOUT.format(without, rows, by))
    lost = _lost_by_count(store, parts, [count for _, count in most]) if complete else []
    return Subsets(tuple(parts), (*notes, *lost))


def _scalars(payload: Mapping[str, Any], field: str) -> Iterator[Scalar]:
    for value in filters.elements(payload, field):
        if isinstance(value, (str, bool, int, float)):
            yield value


def _payloads(store: Store, collection: str, seed: int) -> tuple[Iterable[Mapping[str, Any]], bool]:
    """The payloads of all rows, or of a sample; and whether they are all."""
    if store.count(collection) > SCANNED:
        batch = store.sample(collection, SCANNED, seed=seed, vectors=())
        return batch.payloads or ({},) * len(batch), False
    pages = store.read(collection, ReadRequest(vectors=(), payload=True))
    return (each for page in pages for each in page.payloads or ({},) * len(page)), True


def _lost(store: Store, collection: str, parts: Sequence[Subset]) -> tuple[str, ...]:
    """Notes about filters that find other rows than their payloads tell."""
    common = [part for part in parts if filters.is_common(part.filter)]
    if not common or store.count(collection) > SCANNED:
        return ()
    nodes = [filters.parse_filter(part.filter) for part in common]
    counts = [0] * len(nodes)
    payloads, _ = _payloads(store, collection, 0)
    for payload in payloads:
        for at, node in enumerate(nodes):
            counts[at] += filters.matches(node, payload)
    return tuple(_lost_by_count(store, common, counts))


def _lost_by_count(store: Store, parts: Sequence[Subset], counts: Sequence[int]) -> list[str]:
    found = [store.count(part.collection, part.filter) for part in parts]
    return [
        LOST.format(part.label, native, own)
        for part, native, own in zip(parts, found, counts, strict=True)
        if native != own
    ]


def sample_rows(
    store: Store, subset: Subset, n: int, *, seed: int, vectors: Sequence[str]
) -> Batch:
    """A uniform random sample of the rows of a subset; all of them if there are fewer."""
    if subset.filter is None:
        return store.sample(subset.collection, n, seed=seed, vectors=vectors)
    ids = store.sample_ids(subset.collection, n, seed=seed, filter=subset.filter)
    return store.fetch(subset.collection, ids, vectors=vectors, payload=False)


def check_filters(filter: Any, by: str | None, limit: Any) -> None:
    """Check the options that choose the rows to measure.

    Raises:
        InputError: a list of filters with ``by``, an empty list, or ``limit`` is out of range.
        SpecError: an invalid filter in the common form.
    """
    listed = list(filter) if isinstance(filter, (list, tuple)) else [filter]
    if isinstance(filter, (list, tuple)) and (not listed or None in listed):
        raise InputError("the list of filters is empty or contains None", hint="pass filters")
    if by is not None and (not isinstance(by, str) or not by):
        raise SpecError(
            f"by must be the name of a payload field; got {by!r}", hint="for example by='topic'"
        )
    if by is not None and isinstance(filter, (list, tuple)):
        raise InputError(
            "a list of filters (--filter) conflicts with by (--by)",
            hint="pass one filter, which applies to all values, or no by",
        )
    if by is not None and by != PARTITION and not (filter is None or filters.is_common(filter)):
        raise InputError(
            "by (--by) needs a filter in the common form",
            hint='for example {"topic": "art"}',
        )
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InputError(
            f"by_limit (--by-limit) must be an integer from 1; got {limit!r}",
            hint="for example by_limit=10",
        )
    for each in listed:
        if filters.is_common(each):
            filters.parse_filter(each)
