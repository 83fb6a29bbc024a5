"""What a migration would do, as plain data: MigrationPlan and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qadapt.model import Beside, Id, Match, Plain, Quantization, Rescore, Server, Vector

# How a vector of the target is compared with the one of the source.
Comparison = Literal["bit for bit", "length 1", "float16", "uint8", "without zeros"]

# What cannot be carried can be left behind by these names (--allow NAME).
ALLOWED = {
    "sparse-vectors": "sparse vectors stay behind",
    "multivectors": "vectors of many rows each stay behind",
    "other-metrics": "vectors of a metric that qadapt does not know stay behind",
    "other-vectors": "vectors of a type that qadapt does not read stay behind",
    "payload-indexes": "indexes on the payload, or settings of them, are not made again",
    "typed-fields": "what fields were declared as stays behind; their values do not",
    "partitions": "rows of all partitions come into one collection, each with its partition noted",
    "shard-keys": "rows of all shard keys come into one",
    "tenants": "rows of all tenants come into one collection, each with its tenant noted",
    "inactive-tenants": "rows of tenants that are not active stay behind",
    "references": "references to other collections stay behind",
    "quantization": "the target is not quantized where it has nothing like it",
    "duplicate-ids": "of rows with the same id one stays, which is not defined",
    "impossible-rows": "rows that the target cannot hold are left out and listed",
    "missing-vectors": "rows that lack a vector are left out and listed",
    "payload": "entries of payloads that the target changes are changed",
    "existing-target": "rows are added to a collection that is there already",
}


@dataclass(frozen=True)
class VectorPlan(Plain):
    """One vector on its way.

    Attributes:
        source, target: dimensions, metric and datatype on both sides.
        count: rows that have it.
        current: the source's quantization.
        wanted: what is asked of the target, in common words; ``none`` for nothing.
        becomes: what the target makes of that.
        match: how near the target comes to the source's.
        comparison: how ``check`` compares the floats.
        held_by: whose codes the source's are, ``store`` or ``qadapt``.
        rescore: how searches of the source rescore, where it was set; carried along.
    """

    source: Vector
    target: Vector
    count: int
    current: Quantization
    wanted: Quantization
    becomes: Quantization
    match: Match
    comparison: Comparison
    held_by: Literal["store", "qadapt"] = "store"
    rescore: Rescore | None = None


@dataclass(frozen=True)
class IdPlan(Plain):
    """What becomes of the ids; all of them were read.

    Attributes:
        kept: taken as they are.
        mapped: become UUIDs, with the id itself in the payload.
        home: come back from an earlier migration and get their own id again.
        examples: pairs of id and target id.
        duplicates, impossible: the first of them.
        duplicate_count, impossible_count: how many.
    """

    kept: int = 0
    mapped: int = 0
    home: int = 0
    examples: tuple[tuple[Id, Id], ...] = ()
    duplicates: tuple[Id, ...] = ()
    impossible: tuple[Id, ...] = ()
    duplicate_count: int = 0
    impossible_count: int = 0


@dataclass(frozen=True)
class Loss(Plain):
    """Something that cannot be carried.

    Attributes:
        name: by which it is allowed.
        what: what it is, in words.
        allowed: whether it was.
    """

    name: str
    what: str
    allowed: bool


@dataclass(frozen=True)
class Probe(Plain):
    """Some rows that were really copied, to a scratch collection that was dropped again.

    Attributes:
        rows: how many.
        read_rate, write_rate: rows a second, one at a time.
        row_bytes: mean bytes of a row, payload included.
        entries: for each key of a payload, the types that were seen in it.
        wrapped: keys that travel as JSON text in one entry, because the target does not keep them.
        noted: keys whose values are noted there too, because the target keeps them nearly.
        changed: what came back otherwise, the first few.
        created: whether the target made the scratch collection; False when it was not asked to.
        refused: the first row that the target cannot hold, why, and how many; empty for none.
    """

    rows: int = 0
    read_rate: float | None = None
    write_rate: float | None = None
    row_bytes: int = 0
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wrapped: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    created: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Parting(Plain):
    """How rows go from part to part: tenants of Weaviate, partitions of Milvus.

    Attributes:
        by: where the part of a row is told: by the ``store`` that has it in a tenant or partition,
            by a ``note`` in its payload (``qadapt_part``), or by ``nothing``.
        apart: whether rows are in parts in the target, too. Else they come into one collection,
            each with the name of its part in its payload.
        here, there: what parts are called on both sides.
        places: the target's part by the source's; empty where rows come into one collection.
        counts: rows by the source's part.
    """

    by: Literal["nothing", "store", "note"] = "nothing"
    apart: bool = False
    here: str = ""
    there: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MigrationPlan(Plain):
    """What would be done.

    Attributes:
        source, target: addresses without keys.
        source_collection, target_collection: names.
        source_server, target_server: which engines answered.
        count: rows of the source.
        vectors: by name.
        ids: what becomes of them.
        probe: what a few rows showed.
        losses: what cannot be carried.
        allow: what may be left behind, met or not.
        notes: what a reader must know.
        parts, workers: how it is read, and how many read and write at the same time.
        batch_bytes: of one write, to begin with; it follows the server's answers.
        bytes: of all rows, estimated.
        seconds: expected, from the probe; None where it was not asked for.
        keep_norms: lengths of vectors that the target normalises go into the payload.
        updated_at: the payload's entry that says when a row was written; None for none.
        mark: its highest value when the plan was made.
        fingerprint: of the source's configuration.
        created: when, UTC.
        qadapt: version.
        indexes: on the payload, made after the load: the kind by key.
        index_settings: what else they are told, by key, in the words of the target's family.
        beside: what the target is created with beside its vectors.
        compared: how ``check`` compares its extra vectors, by name.
        parting: how rows go from tenant or partition to tenant or partition.
    """

    source: str
    source_collection: str
    target: str
    target_collection: str
    source_server: Server
    target_server: Server
    count: int
    vectors: Mapping[str, VectorPlan]
    ids: IdPlan
    probe: Probe
    losses: tuple[Loss, ...]
    allow: tuple[str, ...]
    notes: tuple[str, ...]
    parts: int
    workers: int
    batch_bytes: int
    bytes: int
    seconds: float | None
    keep_norms: bool
    updated_at: str | None
    mark: Any
    fingerprint: str
    created: str
    qadapt: str
    indexes: Mapping[str, str] = field(default_factory=dict)
    beside: Beside = field(default_factory=Beside)
    compared: Mapping[str, Comparison] = field(default_factory=dict)
    index_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parting: Parting = field(default_factory=Parting)

    @property
    def refused(self) -> tuple[Loss, ...]:
        """What cannot be carried and was not allowed."""
        return tuple(loss for loss in self.losses if not loss.allowed)

    @property
    def made(self) -> dict[str, Vector]:
        """The target's vectors."""
        return {name: each.target for name, each in self.vectors.items()}
