"""The steps in place: a setting of a running index, and a quantizer where there is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Step, Symbol
from qadapt.stores.base import MappedQuantization
from qadapt.stores.operations import Operation
from qadapt.stores.weaviate import copy_switch, index_config, mapping
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW
from qadapt.stores.weaviate.schema_update import Put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.version import ServerVersion

# Numbers (rows times dimensions) that PQ trained and coded in a second, on 2 cores: 5,183 rows of
# 384 dimensions took 6 to 8 seconds.
PQ_SPEED = 280_000

_HNSW_LIVE = (
    "ef",
    "dynamicEfMin",
    "dynamicEfMax",
    "dynamicEfFactor",
    "flatSearchCutoff",
    "filterStrategy",
    "vectorCacheMaxObjects",
    "sq.rescoreLimit",
    "rq.rescoreLimit",
    "pq.trainingLimit",
    "sq.trainingLimit",
)
# Settings that a running index takes over: docs/engines/weaviate.md#settings-of-a-running-index.
LIVE: Mapping[str, tuple[str, ...]] = {
    HNSW: _HNSW_LIVE,
    FLAT: ("bq.rescoreLimit", "rq.rescoreLimit", "vectorCacheMaxObjects"),
    HFRESH: ("searchProbe", "rq.rescoreLimit", "maxPostingSizeKB"),
    DYNAMIC: tuple(f"hnsw.{each}" for each in _HNSW_LIVE),
}

NO_WAY_BACK = (
    "there is no way back in place: Weaviate takes a switch-off and keeps the codes; to take it "
    "back is a copy, for which readers go by an alias"
)
BY_COPY = "the way back is a copy and a switched alias, since Weaviate switches no codes off"
IN_PLACE_WHY = "an hnsw index takes a quantizer while it runs; originals stay"


def settings_step(snapshot: Snapshot, vector: str, explicit: Mapping[str, Any]) -> Step:
    """Settings that a running index takes over."""
    field = snapshot.layout.field(vector)
    changed = index_config.differences(field.config, explicit)
    reported = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    operation = Put(field.name, dict(explicit), codes=False)
    former = operation.reverse(snapshot)
    return Step(
        Symbol.IN_PLACE,
        f"set {reported}",
        "a running index takes it over; it is a setting of the collection, for all who search it",
        operation.to_request(),
        None if former is None else former.to_request(),
    )


def put_step(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    config: Mapping[str, Any],
    server_version: ServerVersion,
    taken: Collection[str],
) -> Step:
    """A quantizer on an index that has none.

    Raises:
        UnsupportedError: too few rows to train on.
    """
    name, block = index_config.quantizer(mapped.native or {}) or ("", {})
    refuse_few_rows(snapshot, name, block)
    reverse, way_back = undone_by(snapshot, vector, server_version, taken)
    return codes_step(
        snapshot,
        vector,
        f"switch on {mapped.target} ({name.upper()})",
        f"{IN_PLACE_WHY}; {way_back}",
        config,
        reverse,
    )


def codes_step(
    snapshot: Snapshot,
    vector: str,
    action: str,
    reason: str,
    config: Mapping[str, Any],
    reverse: Operation | None,
) -> Step:
    """A step that sends the schema and waits for codes."""
    field = snapshot.layout.field(vector)
    native = {
        "vectorIndexType": field.index,
        "vectorIndexConfig": index_config.merged(field.config, config),
    }
    if "trainingLimit" not in (config.get("pq") or config.get("sq") or {}):
        config = index_config.merged(config, mapping.trainable(native, snapshot.count))
    name, _ = index_config.quantizer(native) or ("", {})
    numbers = snapshot.count * (field.dim or 0)
    if name == "pq":
        seconds = max(1, round(numbers / PQ_SPEED))
        reason += (
            f"; PQ trains, and until it is done searches wait and writes are refused: about "
            f"{seconds:,} s (on 2 cores), so give searches a long time limit"
        )
    if name == "bq":
        reason += "; a server with ASYNC_INDEXING applies BQ at its next restart alone"
    if snapshot.cold:
        reason += (
            f"; {len(snapshot.cold)} of "
            f"{len(snapshot.cold) + len(snapshot.tenants or {})} tenants are "
            "not active and stay as they are"
        )
    codes = snapshot.count * mapping.code_bytes(native, field.vector)
    return Step(
        Symbol.BLOCKING if name == "pq" else Symbol.BACKGROUND,
        action,
        reason,
        Put(vector, dict(config), codes=True).to_request(),
        None if reverse is None else reverse.to_request(),
        Estimate(
            codes_ram=codes,
            codes_disk=codes,
            originals_disk=4 * numbers,
            stops="searches and writes" if name == "pq" else "writes",
        ),
    )


def refuse_few_rows(snapshot: Snapshot, name: str, block: Mapping[str, Any]) -> None:
    """Refuse what is trained where there is too little to train on.

    Raises:
        UnsupportedError
    """
    centroids = int(block.get("centroids") or index_config.CENTROIDS)
    if name == "pq" and snapshot.count < centroids:
        raise UnsupportedError(
            f"PQ is trained on at least {centroids} rows, one for each centroid; "
            f"{snapshot.layout.name!r} has {snapshot.count:,}",
            hint="write more rows first; or `scalar`, which needs no training",
        )
    if name == "sq" and not snapshot.count:
        raise UnsupportedError(
            f"SQ is trained on rows, and {snapshot.layout.name!r} has none",
            hint="write rows first; or `rotational:bits=8`, which needs no training",
        )


def undone_by(
    snapshot: Snapshot, vector: str, server_version: ServerVersion, taken: Collection[str]
) -> tuple[Operation | None, str]:
    """The reverse of a quantizer, and what it says of the way back; None where there is none."""
    layout = snapshot.layout
    if copy_switch.problem(snapshot, server_version) is not None:
        return None, NO_WAY_BACK
    return copy_switch.planned(snapshot, vector, layout.field(vector).native, taken), BY_COPY
