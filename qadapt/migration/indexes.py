"""Indexes on the payload: which come along, and making them once the rows are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import StoreError
from qadapt.migration.carrier import PART
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import MigrationPlan, Parting, Probe
from qadapt.model import Beside
from qadapt.stores.base import OnProgress, Progress

Settings = Mapping[str, Any]
NOTED = "keyword"  # the index on the note of a row's part
# How an index is built, which says nothing of what a filter finds by it.
_BUILT = frozenset({"index_type"})


@dataclass(frozen=True)
class Indexes:
    """What becomes of the source's indexes on its payload.

    Attributes:
        made: the kind by key, of those that are made in the target.
        by_itself: keys that the target indexes without being told.
        lost: others, and settings of these, and why.
        settings: what else those that are made are told, by key.
    """

    made: Mapping[str, str]
    by_itself: tuple[str, ...]
    lost: tuple[str, ...]
    settings: Mapping[str, Settings] = field(default_factory=dict)


def sort_out(
    source: Endpoint,
    target: Endpoint,
    tried: Probe,
    made_with: Beside,
    ways: Parting,
    *,
    existing: bool,
) -> Indexes:
    """Which of them the target can have, and with which of their settings; where it notes the
    parts that rows were in, notes too.

    Args:
        made_with: what the target is created with beside its vectors.
    """
    there = target.store.payload_indexes(target.name) if existing else {}
    own = target.store.payload_index_settings(target.name) if existing else {}
    theirs = source.store.payload_index_settings(source.name)
    related = source.related(target)
    made: dict[str, str] = {}
    settings: dict[str, Settings] = {}
    by_itself: list[str] = []
    lost: list[str] = []
    wanted = dict(source.store.payload_indexes(source.name))
    if ways.by == "note":
        wanted.pop(PART, None)
    if ways.by == "store" and not ways.apart and not target.store.refuses_payload_index(NOTED):
        wanted[PART] = NOTED
    for key, kind in wanted.items():
        told = theirs.get(key) or {}
        asked = told if related else {}
        if _entry(key) in tried.wrapped or key in tried.wrapped:
            lost.append(f"{key} ({kind}): its entries travel as JSON text")
            continue
        if target.store.indexes_itself(key, kind):
            by_itself.append(key)
            lost += _unset(key, told, {})
            continue
        if there.get(key, kind) != kind:
            lost.append(f"{key} ({kind}): the target has one of the kind {there[key]}")
            continue
        if key in there:
            fitted, problem = own.get(key) or {}, None
        else:
            fitted, problem = target.store.fit_payload_index(key, kind, asked, made_with)
        if problem:
            lost.append(f"{key} ({kind}): {problem}")
            continue
        made[key] = kind
        if fitted:
            settings[key] = dict(fitted)
        lost += _unset(key, told, fitted if related else {})
    return Indexes(made, tuple(by_itself), tuple(lost), settings)


def _unset(key: str, told: Settings, fitted: Settings) -> list[str]:
    """What the source's index was told and the target's is not."""
    names = [name for name in told if name not in _BUILT and fitted.get(name) != told[name]]
    return [f"settings of the index of {key} ({', '.join(names)})"] if names else []


def _entry(key: str) -> str:
    """The entry of the payload in which a path begins: ``tags[].name`` in ``tags``."""
    return key.partition(".")[0].partition("[")[0]


def settings_words(settings: Settings) -> list[str]:
    """Settings for people."""
    return [f"{name} {value}" for name, value in settings.items()]


def make(plan: MigrationPlan, target: Endpoint, progress: OnProgress) -> None:
    """Make the planned ones that are not there yet, and look whether all of them are, with their
    settings.

    Raises:
        StoreError: the target took the request and has no such index, or not its settings.
    """
    if not plan.indexes:
        return
    store, wanted = target.store, plan.index_settings
    there = store.payload_indexes(target.name)
    for at, (key, kind) in enumerate(plan.indexes.items()):
        progress(Progress(f"indexing {key}", at, len(plan.indexes), "indexes"))
        if there.get(key) != kind:
            if wanted.get(key):
                store.index_payload(target.name, key, kind, wanted[key])
            else:
                store.index_payload(target.name, key, kind)
    there = store.payload_indexes(target.name)
    lacking = [key for key, kind in plan.indexes.items() if there.get(key) != kind]
    if lacking:
        raise StoreError(
            f"{target} took the indexes of {', '.join(lacking)} and does not show them",
            hint="look at the server's log; the same command again goes on from here",
        )
    _look_at_settings(plan, target)


def _look_at_settings(plan: MigrationPlan, target: Endpoint) -> None:
    if not plan.index_settings:
        return
    there = target.store.payload_index_settings(target.name)
    other = [
        f"{key}: {name} is {(there.get(key) or {}).get(name)!r} and not {value!r}"
        for key, settings in plan.index_settings.items()
        for name, value in settings.items()
        if (there.get(key) or {}).get(name) != value
    ]
    if other:
        raise StoreError(
            f"{target} made indexes with other settings than it was told: {'; '.join(other)}",
            hint="a server of another version, perhaps; drop the index there, and make it by hand",
        )
