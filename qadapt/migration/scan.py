"""All ids of a source, read before the copy: duplicates, impossible ones, how they are mapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import InputError
from qadapt.migration import ids
from qadapt.migration.carrier import OURS, Carrier
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.idset import IdSet, hashed
from qadapt.migration.parting import Piece, pieces, sources
from qadapt.migration.plan import IdPlan
from qadapt.model import Batch, Id
from qadapt.stores.base import OnProgress, Progress

PAGE = 10_000
SHOWN = 20


@dataclass
class Scan:
    """What the ids showed.

    Attributes:
        ids: for the plan.
        count: rows that were read.
        mark: the highest value of the entry that says when a row was written.
        parts: rows of each part.
    """

    ids: IdPlan
    count: int
    mark: Any = None
    parts: Mapping[str, int] = field(default_factory=dict)


def scan(
    source: Endpoint,
    target: Endpoint,
    carrier: Carrier,
    *,
    updated_at: str | None,
    progress: OnProgress,
) -> Scan:
    """Read all ids once; payloads too where notes of an earlier migration or dates are in them."""
    parting = carrier.parting
    payload = updated_at is not None or parting.by == "note" or carries_notes(source)
    parts = {name: 0 for name, _ in sources(source, parting) if name is not None}
    total = source.store.count(source.name)
    kept = mapped = back = wrong = count = 0
    examples: list[tuple[Id, Id]] = []
    impossible: list[Id] = []
    mark: Any = None
    with IdSet() as seen:
        for piece in every_piece(source, carrier, payload=payload):
            batch = piece.rows
            good = [key for key in batch.ids if ids.possible(key)]
            bad = len(batch) - len(good)
            wrong += bad
            if bad:
                odd = [key for key in batch.ids if not ids.possible(key)]
                impossible += odd[: SHOWN - len(impossible)]
            back += sum(new != old for new, old in zip(batch.ids, piece.native.ids, strict=True))
            there = [carrier.target_id(key) for key in good]
            pairs = [(a, b) for a, b in zip(good, there, strict=True) if a != b]
            mapped += len(pairs)
            kept += len(good) - len(pairs)
            examples += pairs[: 3 - len(examples)]
            seen.add(there, _unique_in(piece, target))
            count += len(batch)
            if piece.label is not None:
                parts[piece.label] = parts.get(piece.label, 0) + len(batch)
            if updated_at is not None:
                mark = highest(batch, updated_at, mark)
            progress(Progress("reading the ids", count, total))
        twice = seen.twice()
        found = _again(source, target, carrier, payload, twice) if twice else []
    hidden, some = _hidden(source, carrier, total, count)
    plan = IdPlan(
        kept=kept,
        mapped=mapped,
        home=back,
        examples=tuple(examples),
        duplicates=tuple([*found, *some][:SHOWN]),
        impossible=tuple(impossible),
        duplicate_count=len(found) + hidden,
        impossible_count=wrong,
    )
    return Scan(plan, count, mark, parts)


def _hidden(source: Endpoint, carrier: Carrier, total: int, read: int) -> tuple[int, list[Id]]:
    """Rows that are counted and not read, since their id is another row's too; and some ids.

    Args:
        total: rows before ids were read; fewer by now were deleted, and are not hidden.
        read: rows that were read.
    """
    if min(total, source.store.count(source.name)) <= read:
        return 0, []
    told = [end.store.hidden_rows(end.name) for _, end in sources(source, carrier.parting)]
    return sum(hidden for hidden, _ in told), [key for _, ids in told for key in ids]


def _unique_in(piece: Piece, target: Endpoint) -> str | None:
    """The part that an id must be unique in; None for the whole target."""
    return piece.place if target.store.ids_by_part else None


def every_piece(source: Endpoint, carrier: Carrier, *, payload: bool) -> Iterator[Piece]:
    """All rows without vectors, by where they go; what they go to is not looked at."""
    for within, end in sources(source, carrier.parting):
        for native in pages(end, payload=payload):
            yield from pieces(carrier, end, native, within)


def pages(source: Endpoint, *, payload: bool) -> Iterator[Batch]:
    """All rows without vectors."""
    return source.store.read(source.name, vectors=(), payload=payload, page=PAGE)


def carries_notes(source: Endpoint) -> bool:
    """Whether the first rows have notes of an earlier migration in their payloads."""
    first = next(iter(source.store.read(source.name, vectors=(), page=100)), None)
    payloads = (first.payloads or ()) if first is not None else ()
    return any(OURS.intersection(each) for each in payloads)


def highest(batch: Batch, entry: str, mark: Any) -> Any:
    """The highest value of an entry so far.

    Raises:
        InputError: values that cannot be compared with one another.
    """
    for payload in batch.payloads or ():
        value = payload.get(entry)
        if value is None:
            continue
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise InputError(f"{entry!r} says when a row was written; {value!r:.80} does not")
        if mark is not None and isinstance(value, str) != isinstance(mark, str):
            raise InputError(f"{entry!r} is text in some rows and a number in others")
        mark = value if mark is None or value > mark else mark
    return mark


def _again(
    source: Endpoint, target: Endpoint, carrier: Carrier, payload: bool, twice: set[int]
) -> list[Id]:
    """The ids behind hashes that occur twice, if it was not by chance."""
    counts: dict[tuple[str | None, Id], int] = {}
    for piece in every_piece(source, carrier, payload=payload):
        good = [key for key in piece.rows.ids if ids.possible(key)]
        within = _unique_in(piece, target)
        numbers = hashed(map(carrier.target_id, good), within).tolist()
        for key, number in zip(good, numbers, strict=True):
            if number in twice:
                counts[within, key] = counts.get((within, key), 0) + 1
    by_target: dict[tuple[str | None, Id], list[Id]] = {}
    for (within, key), count in counts.items():
        by_target.setdefault((within, carrier.target_id(key)), []).extend([key] * count)
    return sorted({key for keys in by_target.values() if len(keys) > 1 for key in keys}, key=str)
