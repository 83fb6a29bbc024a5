"""Indexes on the payload: which come along, and making them once the rows are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qadapt.errors import StoreError
from qadapt.migration.carrier import PART
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import MigrationPlan, Parting, Probe
from qadapt.stores.base import OnProgress, Progress

NOTED = "keyword"  # the index on the note of a row's part


@dataclass(frozen=True)
class Indexes:
    """What becomes of the source's indexes on its payload.

    Attributes:
        made: the kind by key, of those that are made in the target.
        by_itself: keys that the target indexes without being told.
        lost: others, and why.
    """

    made: Mapping[str, str]
    by_itself: tuple[str, ...]
    lost: tuple[str, ...]


def sort_out(
    source: Endpoint, target: Endpoint, tried: Probe, ways: Parting, *, existing: bool
) -> Indexes:
    """Which of them the target can have; where it notes the parts that rows were in, notes too."""
    there = target.store.payload_indexes(target.name) if existing else {}
    made: dict[str, str] = {}
    by_itself: list[str] = []
    lost: list[str] = []
    wanted = dict(source.store.payload_indexes(source.name))
    if ways.by == "note":
        wanted.pop(PART, None)
    if ways.by == "store" and not ways.apart and not target.store.refuses_payload_index(NOTED):
        wanted[PART] = NOTED
    for key, kind in wanted.items():
        if _entry(key) in tried.wrapped or key in tried.wrapped:
            lost.append(f"{key} ({kind}): its entries travel as JSON text")
        elif target.store.indexes_itself(key, kind):
            by_itself.append(key)
        elif there.get(key, kind) != kind:
            lost.append(f"{key} ({kind}): the target has one of the kind {there[key]}")
        elif problem := target.store.refuses_payload_index(kind):
            lost.append(f"{key} ({kind}): {problem}")
        else:
            made[key] = kind
    return Indexes(made, tuple(by_itself), tuple(lost))


def _entry(key: str) -> str:
    """The entry of the payload in which a path begins: ``tags[].name`` in ``tags``."""
    return key.partition(".")[0].partition("[")[0]


def make(plan: MigrationPlan, target: Endpoint, progress: OnProgress) -> None:
    """Make the planned ones that are not there yet, and look whether all of them are.

    Raises:
        StoreError: the target took the request and has no such index.
    """
    if not plan.indexes:
        return
    there = target.store.payload_indexes(target.name)
    for at, (key, kind) in enumerate(plan.indexes.items()):
        progress(Progress(f"indexing {key}", at, len(plan.indexes), "indexes"))
        if there.get(key) != kind:
            target.store.index_payload(target.name, key, kind)
    there = target.store.payload_indexes(target.name)
    lacking = [key for key, kind in plan.indexes.items() if there.get(key) != kind]
    if lacking:
        raise StoreError(
            f"{target} took the indexes of {', '.join(lacking)} and does not show them",
            hint="look at the server's log; the same command again goes on from here",
        )
