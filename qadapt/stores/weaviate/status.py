"""Status of a quantization, derived from a snapshot without I/O.

A schema shows the requested configuration, even if it never took effect. The shards show the actual
state: ``compressed`` in the verbose status of the nodes. It is one flag for all vectors of a shard,
so with several vectors the profile of a search is read too (1.36.9 and newer): it shows whether the
index of that vector rescored, which only happens with codes (run on 1.39.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, Kind, Quantization, State, Status
from qadapt.stores.weaviate import vector_index_config
from qadapt.stores.weaviate.schema import DYNAMIC

READY, READONLY = "READY", "READONLY"
NO_ROWS = "the collection has no rows, so nothing can be verified"
APPLY = "run `qadapt apply`, which sends the schema again and starts training"

_TRAINED = (
    "Weaviate does not train {kind} on rows written later: sending the schema again after rows "
    "exist starts it; under ASYNC_INDEXING, more than trainingLimit rows start it"
)
_BQ = "under ASYNC_INDEXING, a server applies BQ to an existing collection only at its next restart"
_BQ_ADVICE = "restart the server, or copy and switch an alias: --strategy alias"
_REST = "the schema has it, but the shards that are ready have no codes"
_OFF = (
    "the schema has no quantization, but the shards still search codes: Weaviate accepts the "
    "change but keeps the codes"
)
_OFF_ADVICE = (
    "copy without codes and switch an alias: --strategy alias; a restart of the server drops only "
    "BQ"
)


@dataclass(frozen=True)
class Shard:
    """One shard of one node.

    Attributes:
        node: the node's name.
        name: the shard's name; with tenants, the tenant's.
        compressed: whether any vector of the shard is searched by codes.
        state: READY, READONLY (building codes), INDEXING, ...
        queue: rows waiting to be indexed (ASYNC_INDEXING).
        loaded: whether it is in memory.
        empty: whether it is known to have no rows.
    """

    node: str
    name: str
    compressed: bool
    state: str
    queue: int = 0
    loaded: bool = True
    empty: bool = False


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        count: number of rows.
        native: its index, in the form of ``mapping``.
        quantization: the quantization of the index, in the common form.
        shards: running shards; None if the key may not read them.
        several: number of vectors in the collection, which share the flag ``compressed``.
        quantized: how many of them have a quantizer in the schema.
        rescored: whether a search rescored, which an hnsw index does only with codes; None if no
            search was profiled or the profile is no evidence.
        cold: tenants that are not active.
        tenants: number of all tenants; 0 without tenants.
    """

    count: int
    native: Mapping[str, Any]
    quantization: Quantization
    shards: Sequence[Shard] | None
    several: int = 1
    quantized: int = 0
    rescored: bool | None = None
    cold: Sequence[str] = field(default=())
    tenants: int = 0

    @property
    def busy(self) -> list[Shard]:
        """Shards that build codes or index rows."""
        return [each for each in self.shards or () if each.state != READY or each.queue]

    @property
    def without(self) -> list[Shard]:
        """Shards with rows and without codes."""
        return [each for each in self.shards or () if not each.compressed and not each.empty]


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(observation)
    if observation.quantization.kind is Kind.NONE:
        return _judge_none(observation, evidence)
    if observation.shards is None:
        reason = "the key may not read the state of the shards (`nodes` with verbose output)"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    if not observation.shards:
        reason = f"no shard is running{_cold(observation)}"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    building = observation.busy
    if building:
        # Waiting rows are in no index, so searches cannot find them, and `compressed` stays true
        # even if all rows wait, after an upsert of all.
        one = building[0]
        words = (
            f"{len(building)} of {len(observation.shards)} shards in progress: "
            f"{one.name} is {one.state}"
        )
        if one.queue:
            words += f", {one.queue:,} rows waiting to be indexed"
        done = (len(observation.shards) - len(building)) / len(observation.shards)
        return Status(State.BUILDING, words, done, evidence)
    if observation.without:
        return _judge_missing(observation, evidence)
    if observation.count == 0 or all(each.empty for each in observation.shards):
        # `compressed` stays true after all rows are deleted; BQ sets it before the first row.
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    return _judge_compressed(observation, evidence)


def _judge_none(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    codes = [each for each in observation.shards or () if each.compressed]
    if observation.rescored or (codes and not observation.quantized):
        return Status(State.IGNORED, _OFF, evidence=evidence, advice=_OFF_ADVICE)
    return Status(State.ABSENT, _cold(observation).removeprefix(": "), evidence=evidence)


def _judge_missing(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    """No shard is building, and shards with rows have no codes of any vector."""
    if observation.count == 0:
        advice = "write rows, then run `qadapt apply`" if _trained(observation) else ""
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence, advice=advice)
    where = ""
    if len(observation.without) < len(observation.shards or ()):
        names = ", ".join(each.name for each in observation.without[:5])
        where = (
            f"; {len(observation.without)} of {len(observation.shards or ())} shards "
            f"have no codes: {names}"
        )
    reason, advice = _rule(observation)
    return Status(
        State.IGNORED, reason + where + _cold(observation), evidence=evidence, advice=advice
    )


def _rule(observation: Observation) -> tuple[str, str]:
    name, block = vector_index_config.quantizer(observation.native) or ("", {})
    config = observation.native["vectorIndexConfig"]
    threshold = int(config.get("threshold") or 0)
    if observation.native["vectorIndexType"] == DYNAMIC and observation.count <= threshold:
        return (
            f"a dynamic index is flat up to {threshold:,} rows, and its flat part has no quantizer",
            f"write more than {threshold:,} rows, or use the index hnsw",
        )
    centroids = int(block.get("centroids") or vector_index_config.CENTROIDS)
    if name == "pq" and observation.count < centroids:
        return (
            f"PQ needs at least {centroids} rows to train on, one per centroid",
            f"write at least {centroids} rows, then run `qadapt apply`",
        )
    if name == "sq":
        return _TRAINED.format(kind="SQ") + "; a killed server also loses SQ codes", APPLY
    if name == "pq":
        return _TRAINED.format(kind="PQ"), APPLY
    if name == "bq":
        return _BQ, _BQ_ADVICE
    return _REST, APPLY


def _trained(observation: Observation) -> bool:
    found = vector_index_config.quantizer(observation.native)
    return found is not None and found[0] in ("pq", "sq")


def _judge_compressed(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    if observation.rescored:
        return Status(State.ACTIVE, _cold(observation).removeprefix(": "), evidence=evidence)
    dynamic = observation.native["vectorIndexType"] == DYNAMIC
    if observation.several == 1 and not dynamic:
        return Status(State.ACTIVE, _cold(observation).removeprefix(": "), evidence=evidence)
    if observation.rescored is False and not dynamic:
        reason, advice = _rule(observation)
        reason = f"a search of this vector does not rescore, so it does not use codes; {reason}"
        return Status(State.IGNORED, reason + _cold(observation), evidence=evidence, advice=advice)
    if dynamic:
        reason = "a dynamic index does not show whether it is currently flat or hnsw"
    else:
        reason = (
            f"`compressed` is one flag for all {observation.several} vectors of a shard, "
            "and does not show which of them have codes"
        )
    return Status(State.UNKNOWN, reason + _cold(observation), evidence=evidence)


def _cold(observation: Observation) -> str:
    if not observation.cold:
        return ""
    names = ", ".join(observation.cold[:5]) + (", ..." if len(observation.cold) > 5 else "")
    return (
        f": {len(observation.cold)} of {observation.tenants} tenants are not active, and "
        f"neither verified nor changed: {names}"
    )


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    found = vector_index_config.quantizer(observation.native)
    message_text = {"none": True} if found is None else {found[0]: dict(found[1])}
    evidence = [
        Evidence(
            f"schema: {observation.native['vectorIndexType']} (not sufficient alone)", message_text
        ),
        Evidence("aggregate: rows", observation.count),
    ]
    config = observation.native["vectorIndexConfig"]
    if config.get("trackDefaultQuantization"):
        evidence.append(Evidence("schema: set by the server's DEFAULT_QUANTIZATION", True))
    if observation.shards is not None:
        compressed = sum(each.compressed for each in observation.shards)
        states = sorted({each.state for each in observation.shards})
        evidence += [
            Evidence("nodes: shards", len(observation.shards)),
            Evidence("nodes: compressed shards", compressed),
            Evidence("nodes: vectorIndexingStatus", ", ".join(states)),
            Evidence("nodes: rows waiting to be indexed", sum(s.queue for s in observation.shards)),
        ]
    if observation.several > 1:
        evidence.append(Evidence("vectors that share the flag compressed", observation.several))
    if observation.rescored is not None:
        evidence.append(Evidence("search profile: knn_search_rescore_took", observation.rescored))
    if observation.tenants:
        evidence.append(Evidence("tenants that are not active", len(observation.cold)))
    return tuple(evidence)
