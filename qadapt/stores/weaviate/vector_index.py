"""Changes in place: settings of a running index, and a quantizer for an index that has none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Step, Symbol
from qadapt.stores.base import MappedQuantization
from qadapt.stores.operations import Operation
from qadapt.stores.weaviate import copy_switch, mapping
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW
from qadapt.stores.weaviate.schema_update import Put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.vector_index_config import CENTROIDS, differences, merged, quantizer
from qadapt.stores.weaviate.version import ServerVersion

# Values (rows times dimensions) that PQ trains and encodes per second, on 2 cores: 5,183 rows of
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
# Settings that a running index adopts: docs/engines/weaviate.md#settings-of-a-running-index.
LIVE: Mapping[str, tuple[str, ...]] = {
    HNSW: _HNSW_LIVE,
    FLAT: ("bq.rescoreLimit", "rq.rescoreLimit", "vectorCacheMaxObjects"),
    HFRESH: ("searchProbe", "rq.rescoreLimit", "maxPostingSizeKB"),
    DYNAMIC: tuple(f"hnsw.{each}" for each in _HNSW_LIVE),
}

NO_WAY_BACK = (
    "cannot be undone in place: Weaviate accepts disabling a quantizer but keeps the codes; a copy "
    "and an alias restore it"
)
BY_COPY = "undo copies the collection and switches the alias, since Weaviate cannot disable codes"
IN_PLACE_WHY = "a quantizer can be added to a running hnsw index; the original vectors stay"


def settings_step(snapshot: Snapshot, vector: str, explicit: Mapping[str, Any]) -> Step:
    """The step that changes settings of a running index."""
    field = snapshot.layout.field(vector)
    changed = differences(field.config, explicit)
    reported = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
    operation = Put(field.name, dict(explicit), codes=False)
    former = operation.reverse(snapshot)
    return Step(
        Symbol.IN_PLACE,
        f"set {reported}",
        "applies to the running index; a setting of the collection, for all searches",
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
    """The step that adds a quantizer to an index that has none.

    Raises:
        UnsupportedError: there are too few rows to train on.
    """
    name, block = quantizer(mapped.native or {}) or ("", {})
    refuse_few_rows(snapshot, name, block)
    reverse, way_back = undone_by(snapshot, vector, server_version, taken)
    return codes_step(
        snapshot,
        vector,
        f"enable {mapped.target} ({name.upper()})",
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
    """The step that sends the schema and waits for codes."""
    field = snapshot.layout.field(vector)
    native = {
        "vectorIndexType": field.index,
        "vectorIndexConfig": merged(field.config, config),
    }
    if "trainingLimit" not in (config.get("pq") or config.get("sq") or {}):
        config = merged(config, mapping.trainable(native, snapshot.count))
    name, _ = quantizer(native) or ("", {})
    numbers = snapshot.count * (field.dim or 0)
    if name == "pq":
        seconds = max(1, round(numbers / PQ_SPEED))
        reason += (
            f"; while PQ trains, searches wait and writes are refused: about {seconds:,} s (on 2 "
            f"cores), so use a long time limit for searches"
        )
    if name == "bq":
        reason += "; a server with ASYNC_INDEXING applies BQ only at its next restart"
    if snapshot.cold:
        reason += (
            f"; {len(snapshot.cold)} of "
            f"{len(snapshot.cold) + len(snapshot.tenants or {})} tenants are "
            "not active and do not change"
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
    """Refuse quantizers that need training if there are too few rows.

    Raises:
        UnsupportedError
    """
    centroids = int(block.get("centroids") or CENTROIDS)
    if name == "pq" and snapshot.count < centroids:
        raise UnsupportedError(
            f"PQ needs at least {centroids} rows to train on, one per centroid; "
            f"{snapshot.layout.name!r} has {snapshot.count:,}",
            hint="write more rows first, or use `scalar`, which needs no training",
        )
    if name == "sq" and not snapshot.count:
        raise UnsupportedError(
            f"SQ needs rows to train on, and {snapshot.layout.name!r} has none",
            hint="write rows first, or use `rotational:bits=8`, which needs no training",
        )


def undone_by(
    snapshot: Snapshot, vector: str, server_version: ServerVersion, taken: Collection[str]
) -> tuple[Operation | None, str]:
    """The reverse of adding a quantizer, and a note about it; None if it cannot be undone."""
    layout = snapshot.layout
    if copy_switch.problem(snapshot, server_version) is not None:
        return None, NO_WAY_BACK
    return copy_switch.planned(snapshot, vector, layout.field(vector).native, taken), BY_COPY
