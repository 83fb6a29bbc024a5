"""Scan ranges as ranges of ids, the same for server, local mode and embedded engine.

All three scroll in the order of ids, integers before UUIDs, starting at the first id that is not
before the offset, which need not exist (observed on server 1.16.3, client 1.20 and edge 0.9). A
range therefore needs no filter and no index, and an interrupted read continues at the next id.
"""

from __future__ import annotations

import itertools
import uuid
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import InputError, SpecError
from qadapt.model import Id
from qadapt.model.numbers import shown
from qadapt.stores.base import ScanRange
from qadapt.stores.qdrant import ids as qdrant_ids

_FIRST_UUID = str(uuid.UUID(int=0))
_LAST_UUID = 2**128 - 1
_KEYS = ("from", "to")
# Ids held per range: with 50 sampled ids the largest range has about 1.4 times the average size.
SAMPLED = 50


@dataclass(frozen=True)
class Range:
    """Ids from ``start`` (inclusive) to ``stop`` (exclusive); None for no limit.

    Attributes:
        empty: whether the range cannot contain ids.
    """

    start: Id | None = None
    stop: Id | None = None
    empty: bool = False

    def cut(self, records: Sequence[Any]) -> tuple[Sequence[Any], bool]:
        """The records in this range, and whether its end was reached."""
        if self.stop is None or not records or rank(records[-1].id) < rank(self.stop):
            return records, False
        end = bisect_left([rank(record.id) for record in records], rank(self.stop))
        return records[:end], True


ALL = Range()


def rank(key: Any) -> tuple[bool, int]:
    """The sort key of an id of the engine."""
    if isinstance(key, int):
        return False, key
    return True, uuid.UUID(str(key)).int


def range_of(part: ScanRange | None, after: Id | None) -> Range:
    """The range of a read.

    Raises:
        SpecError, InputError: an invalid scan range or id.
    """
    for key in part or {}:
        if key not in _KEYS:
            raise SpecError.unknown("key", str(key), _KEYS, where="a scan range")
    start, stop = (_known((part or {}).get(key)) for key in _KEYS)
    if after is None:
        return Range(start, stop)
    behind = _behind(_known(after))
    if behind is None:
        return Range(empty=True)
    if start is None or rank(behind) > rank(start):
        start = behind
    return Range(start, stop, empty=stop is not None and rank(start) >= rank(stop))


def _known(key: Any) -> Id | None:
    good = None if key is None else qdrant_ids.canonical(key)
    if good is None and key is not None:
        raise InputError(
            f"{shown(key)} is not a valid Qdrant id (unsigned integer or UUID)",
            hint="ids are integers from 0 to 2^64 - 1 or UUIDs",
        )
    return good


def _behind(key: Id | None) -> Id | None:
    """The smallest possible id after this one; None after the last possible id."""
    if isinstance(key, int):
        return key + 1 if key < qdrant_ids.MAX else _FIRST_UUID
    number = uuid.UUID(key).int
    return str(uuid.UUID(int=number + 1)) if number < _LAST_UUID else None


def split(ids: Iterable[Any], n: int) -> list[ScanRange]:
    """Ranges that each contain about the same number of the sampled ``ids``.

    Raises:
        InputError
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(
            f"the number of scan ranges must be at least 1; got {n!r}",
            hint="for example scan_ranges(8)",
        )
    ordered = sorted(subsample(ids, SAMPLED * n), key=rank)
    count = min(n, max(1, len(ordered)))
    cuts = [ordered[at * len(ordered) // count] for at in range(1, count)]
    edges: list[Id | None] = [None, *dict.fromkeys(map(_plain, cuts)), None]
    return [
        {key: each for key, each in (("from", start), ("to", stop)) if each is not None}
        for start, stop in itertools.pairwise(edges)
    ]


def subsample(ids: Iterable[Any], most: int) -> list[Any]:
    """Every k-th id, so that the list has fewer than twice ``most`` ids."""
    kept: list[Any] = []
    step = 1
    for at, key in enumerate(ids):
        if at % step == 0:
            kept.append(key)
            if len(kept) >= 2 * most:
                kept = kept[::2]
                step *= 2
    return kept


def _plain(key: Any) -> Id:
    return key if isinstance(key, int) else str(key)
