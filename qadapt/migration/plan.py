"""The plan of a migration as plain data: MigrationPlan and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qadapt.model import (
    CollectionSchema,
    Id,
    Match,
    MemoryChange,
    Quantization,
    Rescore,
    Serializable,
    Server,
    Vector,
)
from qadapt.model.table import Table, Tabular, pair_table

# How a vector of the target is compared with the vector of the source.
Comparison = Literal[
    "exact",
    "normalized",
    "rounded",
    "float16",
    "bfloat16",
    "uint8",
    "nonzero",
    "turbo4",
    "turbo8",
    "turbo16",
]

# Payload fields that a migration adds to rows, see ``row_codec``.
SOURCE_ID = "qadapt_source_id"
FIELDS = "qadapt_fields"
NORMS = "qadapt_norms"
PARTITION = "qadapt_partition"
RESERVED_FIELDS = frozenset({SOURCE_ID, FIELDS, NORMS, PARTITION})


@dataclass(frozen=True)
class VectorPlan(Serializable):
    """The plan for one dense vector.

    Attributes:
        source, target: dimensions, metric and datatype on each side.
        count: rows that have the vector.
        source_quantization: the quantization of the source.
        requested_quantization: the quantization that the target is asked for, in the common form;
            ``none`` for no quantization.
        target_quantization: the quantization that the target builds for that request.
        match: how closely the target's quantization matches the source's.
        comparison: how ``check`` compares the values.
        quantized_by: who holds the source's codes, ``store`` or ``qadapt``.
        rescore: the rescoring set for searches of the source, which is copied; None for none.
        full_dim: dimensions of the model if the target holds the first of them; None for all.
    """

    source: Vector
    target: Vector
    count: int
    source_quantization: Quantization
    requested_quantization: Quantization
    target_quantization: Quantization
    match: Match
    comparison: Comparison
    quantized_by: Literal["store", "qadapt"] = "store"
    rescore: Rescore | None = None
    full_dim: int | None = None


@dataclass(frozen=True)
class IdPlan(Serializable):
    """How ids are mapped. All ids of the source were read.

    Attributes:
        unchanged: ids that the target accepts.
        mapped: ids that become UUIDs; the payload holds the original id.
        restored: ids that an earlier migration mapped and that become the original id again.
        examples: pairs of source id and target id.
        duplicates, invalid: the first of them.
        duplicate_count, invalid_count: their number.
    """

    unchanged: int = 0
    mapped: int = 0
    restored: int = 0
    examples: tuple[tuple[Id, Id], ...] = ()
    duplicates: tuple[Id, ...] = ()
    invalid: tuple[Id, ...] = ()
    duplicate_count: int = 0
    invalid_count: int = 0


@dataclass(frozen=True)
class Loss(Serializable):
    """Data or a setting that cannot be copied.

    Attributes:
        name: one of ``LOSSES``.
        detail: what is lost, and why.
        allowed: whether ``allow`` names it.
    """

    name: str
    detail: str
    allowed: bool


@dataclass(frozen=True)
class TrialCopy(Serializable):
    """The result of copying some rows to a scratch collection, which was dropped again.

    Attributes:
        rows: number of rows.
        read_rate, write_rate: rows per second, with one reader and one writer.
        row_bytes: mean size of a row with its payload.
        payload_types: the observed types of each payload field.
        dropped_fields: payload fields that the target does not preserve; copied as JSON text.
        lossy_fields: payload fields that the target rounds; the exact values are added as JSON
            text.
        differences: the first differences between the rows sent and the rows read back.
        created: whether the scratch collection was created; False where rows were only read.
        rejected: the first row that the target rejects, the reason and the number of such rows;
            empty for none.
    """

    rows: int = 0
    read_rate: float | None = None
    write_rate: float | None = None
    row_bytes: int = 0
    payload_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped_fields: tuple[str, ...] = ()
    lossy_fields: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    created: bool = False
    rejected: str = ""


@dataclass(frozen=True)
class PartitionMap(Serializable):
    """How the partitions (Milvus) or tenants (Weaviate) of the source map to the target's.

    Attributes:
        assigned_by: how the partition of a row is known: the ``store`` has it in a partition, the
            ``payload`` names it (``qadapt_partition``), or there is ``none``.
        preserved: whether the target has partitions as well. If not, all rows go to one collection
            and the payload of each row names its partition.
        source_kind, target_kind: the stores' names for partitions, such as ``tenants``.
        names: the target's partition for each partition of the source; empty unless preserved.
        rows: number of rows in each partition of the source.
    """

    assigned_by: Literal["none", "store", "payload"] = "none"
    preserved: bool = False
    source_kind: str = ""
    target_kind: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MigrationPlan(Tabular, Serializable):
    """The plan of a migration.

    Attributes:
        source, target: addresses without keys.
        source_collection, target_collection: collection names.
        source_server, target_server: the engines that answered.
        count: rows of the source.
        vectors: the dense vectors by name.
        fingerprint: of the source's configuration.
        created: time of the plan, UTC.
        qadapt: version.
        ids: how ids are mapped.
        trial_copy: result of the trial copy.
        losses: what cannot be copied.
        allow: names of accepted losses, whether or not they occur.
        notes: further information for the reader.
        scan_ranges: number of ranges that the source is read in.
        workers: number of workers that each copy one range at a time.
        batch_bytes: initial size of one write; it adapts to the target's response times.
        estimated_bytes: size of all rows.
        estimated_seconds: duration of the copy, from the trial copy; None without one.
        keep_norms: whether the payload keeps the lengths of vectors that the target normalizes.
        updated_at: payload field with the time of a row's last change; None for none.
        watermark: the highest value of that field when the plan was made.
        payload_indexes: kind of each payload index to create, by key.
        payload_index_settings: further settings of those indexes, in the terms of the target's
            family.
        schema: schema of the target apart from its dense vectors.
        extra_comparisons: how ``check`` compares sparse vectors and multivectors, by name.
        partitions: how partitions are mapped.
        aliases: aliases of the source.
        cutover: what cut-over means for clients of the source.
        memory: RAM and disk of the dense vectors in the source, and computed for the target; None
            without a cost model on both sides.
    """

    source: str
    source_collection: str
    target: str
    target_collection: str
    source_server: Server
    target_server: Server
    count: int
    vectors: Mapping[str, VectorPlan]
    fingerprint: str
    created: str
    qadapt: str
    ids: IdPlan = field(default_factory=IdPlan)
    trial_copy: TrialCopy = field(default_factory=TrialCopy)
    losses: tuple[Loss, ...] = ()
    allow: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    scan_ranges: int = 1
    workers: int = 1
    batch_bytes: int = 0
    estimated_bytes: int = 0
    estimated_seconds: float | None = None
    keep_norms: bool = False
    updated_at: str | None = None
    watermark: Any = None
    payload_indexes: Mapping[str, str] = field(default_factory=dict)
    payload_index_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schema: CollectionSchema = field(default_factory=CollectionSchema)
    extra_comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    partitions: PartitionMap = field(default_factory=PartitionMap)
    aliases: tuple[str, ...] = ()
    cutover: str = ""
    memory: MemoryChange | None = None

    def table(self) -> Table:
        """Sizes, mappings and losses: a label and a value per row."""
        from qadapt.migration.text import plan_lines

        return pair_table(plan_lines(self))

    @property
    def refused(self) -> tuple[Loss, ...]:
        """Losses that are not allowed."""
        return tuple(loss for loss in self.losses if not loss.allowed)

    @property
    def target_vectors(self) -> dict[str, Vector]:
        """The dense vectors of the target."""
        return {name: each.target for name, each in self.vectors.items()}


def vector_label(name: str) -> str:
    """A vector's name in a sentence."""
    return f"vector {name!r}" if name else "the vector"
