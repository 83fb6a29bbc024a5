"""Whether a vector's quantization is in force: a judgement from what was read, no I/O.

A schema says what was asked for, and says it also where nothing came of it. What is, the shards
say: ``compressed`` of the nodes' verbose status. It is one word for all vectors of a shard, so with
several vectors a search is looked at besides: its profile (1.36.9 and newer) tells whether the
index of that vector rescored, which it does of codes alone (seen on 1.39.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, Kind, Quantization, State, Status
from qadapt.stores.weaviate import index_config
from qadapt.stores.weaviate.schema import DYNAMIC

READY, READONLY = "READY", "READONLY"
NO_ROWS = "the collection has no rows, so there is nothing to see"
APPLY = "`qadapt apply` sends the schema again, which starts it"

_TRAINED = (
    "Weaviate does not train {kind} on rows that come later: a schema that is sent once rows are "
    "there starts it; under ASYNC_INDEXING more than trainingLimit rows do"
)
_BQ = (
    "under ASYNC_INDEXING a server applies BQ, set on a collection that is there, at its restart "
    "alone"
)
_BQ_ADVICE = "restart the server; or a copy and a switched alias: --strategy alias"
_REST = "the schema says so, and the shards that are ready do not hold codes"
_OFF = (
    "the schema says none, and the shards still search codes: Weaviate takes the change and keeps "
    "the codes"
)
_OFF_ADVICE = (
    "a copy without them and a switched alias: --strategy alias; a restart of the server drops BQ "
    "alone"
)


@dataclass(frozen=True)
class Shard:
    """One shard of one node.

    Attributes:
        node: the node's name.
        name: its own; with tenants that of the tenant.
        compressed: whether any vector of it is searched by codes.
        state: READY, READONLY (it builds codes), INDEXING, ...
        queue: rows that wait to be indexed (ASYNC_INDEXING).
        loaded: whether it is in memory.
        empty: it is known to have no rows.
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
    """What is known of one vector.

    Attributes:
        count: rows.
        native: its index, as ``mapping`` has it.
        quantization: of the index, in common words.
        shards: those that run; None where they may not be read.
        several: vectors in the collection, for all of which ``compressed`` is one word.
        quantized: how many of them have a quantizer in the schema.
        rescored: whether a search was seen to score again, as an hnsw index does of codes alone;
            None where it was not looked at or can't be told.
        cold: tenants that are not active.
        tenants: all tenants; 0 without.
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
    """The state, its reason and the evidence for it."""
    evidence = _evidence(observation)
    if observation.quantization.kind is Kind.NONE:
        return _judge_none(observation, evidence)
    if observation.shards is None:
        reason = "the server does not show its shards to this key (`nodes` with verbose output)"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    if not observation.shards:
        reason = f"no shard runs{_cold(observation)}"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    building = observation.busy
    if building:
        # Rows that wait are in no index: searches find them neither by codes nor by floats, and
        # `compressed` stays true where every live row waits, after an upsert of all.
        one = building[0]
        words = (
            f"{len(building)} of {len(observation.shards)} shards are at it: "
            f"{one.name} is {one.state}"
        )
        if one.queue:
            words += f", {one.queue:,} rows wait to be indexed"
        done = (len(observation.shards) - len(building)) / len(observation.shards)
        return Status(State.BUILDING, words, done, evidence)
    if observation.without:
        return _judge_missing(observation, evidence)
    if observation.count == 0 or all(each.empty for each in observation.shards):
        # `compressed` stays true when all rows are deleted, and is true of BQ before the first.
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    return _judge_compressed(observation, evidence)


def _judge_none(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    codes = [each for each in observation.shards or () if each.compressed]
    if observation.rescored or (codes and not observation.quantized):
        return Status(State.IGNORED, _OFF, evidence=evidence, advice=_OFF_ADVICE)
    return Status(State.ABSENT, _cold(observation).removeprefix(": "), evidence=evidence)


def _judge_missing(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    """All is calm, and shards with rows hold no codes of any vector."""
    if observation.count == 0:
        advice = "write rows, then `qadapt apply`" if _trained(observation) else ""
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence, advice=advice)
    where = ""
    if len(observation.without) < len(observation.shards or ()):
        names = ", ".join(each.name for each in observation.without[:5])
        where = (
            f"; {len(observation.without)} of {len(observation.shards or ())} shards "
            f"are without: {names}"
        )
    reason, advice = _rule(observation)
    return Status(
        State.IGNORED, reason + where + _cold(observation), evidence=evidence, advice=advice
    )


def _rule(observation: Observation) -> tuple[str, str]:
    name, block = index_config.quantizer(observation.native) or ("", {})
    config = observation.native["vectorIndexConfig"]
    threshold = int(config.get("threshold") or 0)
    if observation.native["vectorIndexType"] == DYNAMIC and observation.count <= threshold:
        return (
            f"a dynamic index is flat up to {threshold:,} rows, and its flat half has no quantizer",
            f"write more than {threshold:,} rows, or take the index hnsw",
        )
    centroids = int(block.get("centroids") or index_config.CENTROIDS)
    if name == "pq" and observation.count < centroids:
        return (
            f"PQ is trained on at least as many rows as it has centroids: {centroids}",
            f"write at least {centroids} rows, then `qadapt apply`",
        )
    if name == "sq":
        return _TRAINED.format(kind="SQ") + "; a killed server loses SQ codes too", APPLY
    if name == "pq":
        return _TRAINED.format(kind="PQ"), APPLY
    if name == "bq":
        return _BQ, _BQ_ADVICE
    return _REST, APPLY


def _trained(observation: Observation) -> bool:
    found = index_config.quantizer(observation.native)
    return found is not None and found[0] in ("pq", "sq")


def _judge_compressed(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    if observation.rescored:
        return Status(State.ACTIVE, _cold(observation).removeprefix(": "), evidence=evidence)
    dynamic = observation.native["vectorIndexType"] == DYNAMIC
    if observation.several == 1 and not dynamic:
        return Status(State.ACTIVE, _cold(observation).removeprefix(": "), evidence=evidence)
    if observation.rescored is False and not dynamic:
        reason, advice = _rule(observation)
        reason = f"a search of this vector does not rescore, so it is not by codes; {reason}"
        return Status(State.IGNORED, reason + _cold(observation), evidence=evidence, advice=advice)
    if dynamic:
        reason = "a dynamic index does not tell which of its halves is live: flat or hnsw"
    else:
        reason = (
            f"`compressed` is one word for all {observation.several} vectors of a shard, "
            "and does not "
            "tell which of them it is true of"
        )
    return Status(State.UNKNOWN, reason + _cold(observation), evidence=evidence)


def _cold(observation: Observation) -> str:
    if not observation.cold:
        return ""
    names = ", ".join(observation.cold[:5]) + (", ..." if len(observation.cold) > 5 else "")
    return (
        f": {len(observation.cold)} of {observation.tenants} tenants are not active, and "
        "neither seen nor "
        f"changed: {names}"
    )


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    found = index_config.quantizer(observation.native)
    message_text = {"none": True} if found is None else {found[0]: dict(found[1])}
    evidence = [
        Evidence(
            f"schema: {observation.native['vectorIndexType']} (not enough by itself)", message_text
        ),
        Evidence("aggregate: rows", observation.count),
    ]
    config = observation.native["vectorIndexConfig"]
    if config.get("trackDefaultQuantization"):
        evidence.append(Evidence("schema: by the server's DEFAULT_QUANTIZATION", True))
    if observation.shards is not None:
        compressed = sum(each.compressed for each in observation.shards)
        states = sorted({each.state for each in observation.shards})
        evidence += [
            Evidence("nodes: shards", len(observation.shards)),
            Evidence("nodes: shards that say compressed", compressed),
            Evidence("nodes: vectorIndexingStatus", ", ".join(states)),
            Evidence(
                "nodes: rows that wait to be indexed", sum(s.queue for s in observation.shards)
            ),
        ]
    if observation.several > 1:
        evidence.append(Evidence("vectors that share the word compressed", observation.several))
    if observation.rescored is not None:
        evidence.append(Evidence("search profile: knn_search_rescore_took", observation.rescored))
    if observation.tenants:
        evidence.append(Evidence("tenants that are not active", len(observation.cold)))
    return tuple(evidence)
