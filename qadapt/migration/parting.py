"""Tenants and partitions: which both ends have, and which rows go where.

A part is a collection of its own, ``NAME@PART``. So rows of a source that has parts are read part
by part, and rows of a target that has parts are written, counted and compared part by part: an id
is unique in one part, and not in two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qadapt.errors import StoreError
from qadapt.migration.carrier import PART, Carrier, parts_noted
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.picking import pick
from qadapt.migration.plan import Parting
from qadapt.model import Batch, Beside
from qadapt.stores.base import Part

# Of rows without a note, where others have one; Milvus' own name for it.
DEFAULT = "_default"
ENTRY = "payload entries 'qadapt_part'"
_IN = "in"
# Rows under which a part is not worth its own reading.
PART_ROWS = 2_000
PARTS_A_WORKER = 4


# -- before the copy -----------------------------------------------------------------------------


def planned(source: Endpoint, target: Endpoint, wanted: Beside) -> tuple[Parting, str | None]:
    """How rows go from part to part, and why the target has none for those of the source.

    Args:
        wanted: what the source has beside its vectors, in words that the target knows.
    """
    here = source.store.traits.partition_kind or "parts"
    if wanted.keyed is not None:
        return Parting(), _refused(target, wanted)
    if wanted.parted:
        why = _refused(target, Beside(parted=True))
        words = target.store.traits.partition_kind if why is None else ""
        return Parting("store", why is None, here, words), why
    if _noted(source) and _refused(target, Beside(parted=True)) is None:
        return Parting("note", True, ENTRY, target.store.traits.partition_kind), None
    return Parting(), None


def _refused(target: Endpoint, wanted: Beside) -> str | None:
    if not target.there:
        return target.store.refuses_beside(wanted).get("parts")
    found = target.store.beside(target.name)
    fits = found.parted and found.keyed == wanted.keyed
    return None if fits else f"{target.name!r} has none"


def _noted(source: Endpoint) -> bool:
    """Whether the first rows carry notes of their part."""
    first = next(iter(source.store.read(source.name, vectors=(), page=100)), None)
    payloads = (first.payloads or ()) if first is not None else ()
    return any(isinstance(each.get(PART), str) for each in payloads)


def as_they_are(source: Endpoint, target: Endpoint) -> Parting:
    """How the rows of two collections that are there compare."""
    return planned(source, target, source.store.beside(source.name))[0]


def told(parting: Parting, counts: Mapping[str, int], carrier: Carrier) -> Parting:
    """With what the scan found; an empty part that is always there is none.

    Raises:
        UnsupportedError: a name that the target does not take.
    """
    kept = {name: n for name, n in counts.items() if n or name != DEFAULT}
    places = {name: carrier.place(name) for name in kept} if parting.apart else {}
    return parting.replace(counts=kept, places=places)


def clash(source: Endpoint, target: Endpoint, parting: Parting) -> str:
    """What to do about ids that several parts have, in words; empty where no part has to do."""
    if parting.by != "store" or (parting.apart and target.store.ids_by_part):
        return ""
    why = "keeps an id once in all of them" if parting.apart else "has them in one collection"
    return (
        f"; an id is unique in each of the {parting.here} alone, and the target {why}: copy them "
        f"one by one to collections of their own ({source.name}@NAME)"
    )


# -- parts of a journal --------------------------------------------------------------------------


def reading(
    source: Endpoint, parting: Parting, workers: int, count: int, n: int | None = None
) -> list[Part]:
    """What lanes read side by side; each part of the source is one of them, or several.

    Args:
        n: how many, where the source has no parts; None for what so many workers can use.
    """
    wanted = min(workers * PARTS_A_WORKER, max(1, count // PART_ROWS))
    if parting.by != "store":
        many = wanted if n is None else n
        return source.store.parts(source.name, many) if many > 1 else [{}]
    found: list[Part] = []
    for label, end in sources(source, parting):
        share = wanted * parting.counts.get(label or "", 0) // max(1, count)
        inside = end.store.parts(end.name, share) if share > 1 else [{}]
        found += [{_IN: label, **each} for each in inside]
    return found


def one(source: Endpoint, part: Part) -> tuple[Endpoint, Part | None, str | None]:
    """Where a part of a journal is read: the end, the part in its words, the source's part."""
    label = part.get(_IN)
    rest = {key: value for key, value in part.items() if key != _IN}
    return (source if label is None else part_of(source, label)), rest or None, label


# -- both ends, part by part ---------------------------------------------------------------------


def part_of(end: Endpoint, part: str | None) -> Endpoint:
    """One part of an end; None for all of it."""
    return end if part is None else Endpoint(end.store, f"{end.name}@{part}")


def sources(source: Endpoint, parting: Parting) -> Iterator[tuple[str | None, Endpoint]]:
    """The source's parts as they are now, and where to read them."""
    if parting.by != "store":
        yield None, source
        return
    for name in source.store.beside(source.name).parts:
        yield name, part_of(source, name)


def targets(
    source: Endpoint, target: Endpoint, carrier: Carrier
) -> list[tuple[str | None, Endpoint]]:
    """The target's parts as they are now; not those whose source cannot be read now.

    Raises:
        StoreError: a tenant is not active.
    """
    if not carrier.parting.apart:
        return [(None, target)]
    here, there = source.store.beside(source.name), target.store.beside(target.name)
    left = {carrier.place(name) for name in here.asleep}
    asleep = [name for name in there.asleep if name not in left]
    if asleep:
        raise StoreError(
            f"{len(asleep)} {carrier.parting.there} of {target} are not active: "
            f"{', '.join(asleep[:5])}",
            hint="activate them with the client: collection.tenants.activate(name)",
        )
    return [(name, part_of(target, name)) for name in there.parts if name not in left]


def make_missing(source: Endpoint, target: Endpoint, carrier: Carrier) -> None:
    """Make the target's parts for those that the source has by now.

    Raises:
        StoreError: a tenant of the target is not active.
    """
    if carrier.parting.by == "store" and carrier.parting.apart:
        known = {place for place, _ in targets(source, target, carrier)}
        new = []
        for name, end in sources(source, carrier.parting):
            place = carrier.place(name or DEFAULT)
            # The one that is always there in Milvus, and mostly empty.
            empty = name == DEFAULT and place not in known and not end.store.count(end.name)
            if place not in known and not empty:
                new.append(place)
        if new:
            target.store.add_parts(target.name, new)


@dataclass(frozen=True)
class Piece:
    """Rows of one page that go to one place.

    Attributes:
        label: the source's part; None where it has none.
        within: that, where ids are unique in it alone.
        place: the target's part; None where it has none.
        target: where they go.
        native: as the source has them.
        rows: at home.
        carrier: carries them, with the note that they need.
    """

    label: str | None
    within: str | None
    place: str | None
    target: Endpoint
    native: Batch
    rows: Batch
    carrier: Carrier

    def pick(self, rows: list[int]) -> Piece:
        """Some of them, in their order."""
        if len(rows) == len(self.rows):
            return self
        return replace(self, native=pick(self.native, rows), rows=pick(self.rows, rows))


def pieces(carrier: Carrier, target: Endpoint, native: Batch, within: str | None) -> list[Piece]:
    """A page of the source, by where its rows go."""
    rows = carrier.home(native)
    parting = carrier.parting
    if parting.by == "store" and within is not None:
        place = carrier.place(within) if parting.apart else None
        noting = carrier if parting.apart else carrier.noting(within)
        return [Piece(within, within, place, part_of(target, place), native, rows, noting)]
    noted = parts_noted(native, rows)
    if parting.by == "nothing":
        return [Piece(None, None, None, target, native, rows, carrier.noting(noted))]
    groups: dict[str, list[int]] = {}
    for row, key in enumerate(rows.ids):
        groups.setdefault(noted.get(key, DEFAULT), []).append(row)
    found = []
    for label, there in groups.items():
        place = carrier.place(label)
        whole = Piece(label, None, place, part_of(target, place), native, rows, carrier)
        found.append(whole if len(groups) == 1 else whole.pick(there))
    return found


def inside(label: str | None, parting: Parting, *, here: bool) -> dict[str, Any] | None:
    """The filter that finds rows of one part where they are all in one collection."""
    noted = parting.by == "note" if here else not parting.apart
    return {PART: label} if noted and label is not None else None
