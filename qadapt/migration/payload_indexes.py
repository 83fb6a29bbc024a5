"""Payload indexes: which the target gets, and creating them after the rows are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import StoreError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import PARTITION, MigrationPlan, PartitionMap, TrialCopy
from qadapt.model import CollectionSchema
from qadapt.stores.base import OnProgress, Progress

Settings = Mapping[str, Any]
PARTITION_KIND = "keyword"  # kind of the index on ``qadapt_partition``
# Settings of how an index is built; they do not affect what a filter finds.
_BUILD_SETTINGS = frozenset({"index_type"})


@dataclass(frozen=True)
class PayloadIndexPlan:
    """The payload indexes of the target.

    Attributes:
        kinds: kind of each index to create, by key.
        automatic: keys that the target indexes without a request.
        lost: indexes and settings that the target cannot have, each with the reason.
        settings: further settings of the indexes to create, by key.
    """

    kinds: Mapping[str, str]
    automatic: tuple[str, ...]
    lost: tuple[str, ...]
    settings: Mapping[str, Settings] = field(default_factory=dict)


def plan_payload_indexes(
    source: Endpoint,
    target: Endpoint,
    trial: TrialCopy,
    schema: CollectionSchema,
    partitions: PartitionMap,
    *,
    existing: bool,
) -> PayloadIndexPlan:
    """The payload indexes that the target gets.

    Where payloads note the partition of each row, that field is indexed as well.

    Args:
        schema: schema of the target apart from its dense vectors.
        existing: whether the target exists already.
    """
    current = target.store.payload_indexes(target.name) if existing else {}
    current_settings = target.store.payload_index_settings(target.name) if existing else {}
    source_settings = source.store.payload_index_settings(source.name)
    same_family = source.same_family(target)
    kinds: dict[str, str] = {}
    settings: dict[str, Settings] = {}
    automatic: list[str] = []
    lost: list[str] = []
    for key, kind in _wanted(source, target, partitions).items():
        wanted = source_settings.get(key) or {}
        if _top_level(key) in trial.dropped_fields or key in trial.dropped_fields:
            lost.append(f"{key} ({kind}): the field is stored as JSON text")
            continue
        if target.store.indexes_payload_automatically(key, kind):
            automatic.append(key)
            lost += _lost_settings(key, wanted, {})
            continue
        if current.get(key, kind) != kind:
            lost.append(f"{key} ({kind}): the target has an index of kind {current[key]}")
            continue
        if key in current:
            fitted, problem = current_settings.get(key) or {}, None
        else:
            request = wanted if same_family else {}
            fitted, problem = target.store.adapt_payload_index(key, kind, request, schema)
        if problem:
            lost.append(f"{key} ({kind}): {problem}")
            continue
        kinds[key] = kind
        if fitted:
            settings[key] = dict(fitted)
        lost += _lost_settings(key, wanted, fitted if same_family else {})
    return PayloadIndexPlan(kinds, tuple(automatic), tuple(lost), settings)


def _wanted(source: Endpoint, target: Endpoint, partitions: PartitionMap) -> dict[str, str]:
    """The kinds of the source's indexes by key, with that of ``qadapt_partition``."""
    wanted = dict(source.store.payload_indexes(source.name))
    if partitions.assigned_by == "payload":
        wanted.pop(PARTITION, None)
    merged = partitions.assigned_by == "store" and not partitions.preserved
    if merged and not target.store.unsupported_payload_index(PARTITION_KIND):
        wanted[PARTITION] = PARTITION_KIND
    return wanted


def _lost_settings(key: str, wanted: Settings, fitted: Settings) -> list[str]:
    """Settings of the source's index that the target's does not have."""
    names = [
        name for name in wanted if name not in _BUILD_SETTINGS and fitted.get(name) != wanted[name]
    ]
    return [f"settings of the index of {key} ({', '.join(names)})"] if names else []


def _top_level(key: str) -> str:
    """The top-level payload field of a path: ``tags`` for ``tags[].name``."""
    return key.partition(".")[0].partition("[")[0]


def create_payload_indexes(plan: MigrationPlan, target: Endpoint, progress: OnProgress) -> None:
    """Create the planned indexes that do not exist yet, and verify all of them.

    Raises:
        StoreError: the target accepted the request, but lacks the index or one of its settings.
    """
    if not plan.payload_indexes:
        return
    store, settings = target.store, plan.payload_index_settings
    existing = store.payload_indexes(target.name)
    for number, (key, kind) in enumerate(plan.payload_indexes.items()):
        progress(Progress(f"indexing {key}", number, len(plan.payload_indexes), "indexes"))
        if existing.get(key) != kind:
            if settings.get(key):
                store.create_payload_index(target.name, key, kind, settings[key])
            else:
                store.create_payload_index(target.name, key, kind)
    existing = store.payload_indexes(target.name)
    missing = [key for key, kind in plan.payload_indexes.items() if existing.get(key) != kind]
    if missing:
        raise StoreError(
            f"{target} accepted the requests for indexes on {', '.join(missing)}, but does not "
            "list them",
            hint="check the server's log; run the same command again to continue",
        )
    _verify_settings(plan, target)


def _verify_settings(plan: MigrationPlan, target: Endpoint) -> None:
    if not plan.payload_index_settings:
        return
    actual = target.store.payload_index_settings(target.name)
    wrong = [
        f"{key}: {name} is {(actual.get(key) or {}).get(name)!r}, expected {value!r}"
        for key, settings in plan.payload_index_settings.items()
        for name, value in settings.items()
        if (actual.get(key) or {}).get(name) != value
    ]
    if wrong:
        raise StoreError(
            f"{target} created indexes with other settings than requested: {'; '.join(wrong)}",
            hint="the server's version may not support them; drop the index and create it with the "
            "client",
        )
