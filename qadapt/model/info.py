"""Configuration and observed state of collections: CollectionInfo, VectorInfo, Status."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from qadapt.model.metric import Metric
from qadapt.model.quantization import Quantization
from qadapt.model.rescore import Rescore
from qadapt.model.serializable import Serializable
from qadapt.model.table import DASH, Table, Tabular, size_text
from qadapt.model.vector import Datatype, Vector

VECTOR_COLUMNS = (
    "Vector", "#Rows", "#Dim", "Metric", "Configured", "Verified", "#Codes", "#Vectors"
)  # fmt: skip


class State(str, Enum):
    """Observed (not configured) state of the quantization."""

    ACTIVE = "active"
    BUILDING = "building"
    IGNORED = "ignored"
    ABSENT = "absent"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Evidence(Serializable):
    """Observed signal and its value."""

    signal: str
    value: Any


@dataclass(frozen=True)
class Status(Serializable):
    """Whether the quantization of a vector is active, with evidence.

    Attributes:
        state: active, building, ignored, absent or unknown.
        reason: why it is ignored, how much is built, or why it cannot be observed.
        progress: fraction built, 0 to 1; None if unknown.
        evidence: observed signals with their values.
        advice: what to do next; empty if nothing needs to be done.
    """

    state: State
    reason: str = ""
    progress: float | None = None
    evidence: tuple[Evidence, ...] = ()
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else str(self.state)


@dataclass(frozen=True)
class Server(Serializable):
    """Database that answered: type, version and deployment."""

    store: str
    version: str | None = None
    deployment: str = "server"


@dataclass(frozen=True)
class VectorInfo(Tabular, Serializable):
    """Vector of a collection: configuration, observed status and sizes.

    Attributes:
        name: ``""`` for the unnamed vector.
        dim, metric, datatype: definition in the database.
        count: vectors with this name if the database reports it, else rows of the collection.
        index: native index and its parameters.
        quantization: configured quantization; ``quantized_by`` says who computes the codes.
        status: observed status.
        quantized_by: ``"store"``, or ``"qadapt"`` for client-side codes.
        default_rescore: rescoring of searches that do not set it.
        code_bytes, float_bytes: size of codes and original vectors as reported by the database
            or by its files; None if unknown.
        graph_bytes: size of the index's graph as reported by the database or by its files; None
            if unknown, or if the index is not complete.
        notes: default search parameters that are ignored, and other information.
    """

    name: str
    dim: int
    metric: Metric
    datatype: Datatype
    count: int
    index: Mapping[str, Any]
    quantization: Quantization
    status: Status
    quantized_by: Literal["store", "qadapt"] = "store"
    default_rescore: Rescore | None = None
    code_bytes: int | None = None
    float_bytes: int | None = None
    graph_bytes: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the vector has no codes."""
        return self.quantization.is_plain(self.dim)

    @property
    def vector(self) -> Vector:
        """Definition of the vector: dimensions, metric and datatype."""
        return Vector(self.dim, self.metric, self.datatype)

    def table(self) -> Table:
        """Configuration, observed status and sizes; one row."""
        notes = [self.status.reason, self.status.advice, *self.notes]
        return Table(VECTOR_COLUMNS, (self.cells(),), notes=tuple(filter(None, notes)))

    def cells(self) -> tuple[str, ...]:
        """The cells of ``VECTOR_COLUMNS``."""
        return (
            self.name or "(unnamed)",
            f"{self.count:,}",
            str(self.dim),
            str(self.metric),
            str(self.quantization),
            self.status.state.value,
            size_text(self.code_bytes or None),
            size_text(self.float_bytes),
        )


@dataclass(frozen=True)
class UnknownDimension(Serializable):
    """Vector of the schema with an unknown dimension, because no row that was read has it.

    Attributes:
        rows_read: number of rows that were read.
        complete: whether all rows were read, so that the vector is empty.
    """

    rows_read: int
    complete: bool


@dataclass(frozen=True)
class CollectionInfo(Tabular, Serializable):
    """Collection: rows, vectors and configuration.

    Attributes:
        name: name of the collection.
        count: number of rows.
        vectors: one VectorInfo per vector.
        server: database that answered.
        config: native configuration, without secrets.
        unknown_dimensions: vectors of the schema that are not in ``vectors``, because the
            database stores no dimensions and no row has the vector; by name.
        notes: settings of vectors that the collection does not have, and other information.
    """

    name: str
    count: int
    vectors: Mapping[str, VectorInfo]
    server: Server
    config: Mapping[str, Any] = field(default_factory=dict)
    unknown_dimensions: Mapping[str, UnknownDimension] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the configuration that a plan is based on (not of the data)."""
        parts = {
            "config": self.config,
            "vectors": {
                name: [v.dim, v.metric.value, v.datatype, str(v.quantization), v.quantized_by]
                for name, v in self.vectors.items()
            },
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def table(self) -> Table:
        """One row per vector."""
        rows = [vector.cells() for vector in self.vectors.values()]
        unknown = [
            (name or "(unnamed)", *[DASH] * 4, "dimension unknown", DASH, DASH)
            for name in self.unknown_dimensions
        ]
        reasons = [
            f"{name or '(unnamed)'}: {text}"
            for name, vector in self.vectors.items()
            for text in (vector.status.reason, vector.status.advice, *vector.notes)
            if text
        ]
        server = f"{self.server.store} {self.server.version or ''}".strip()
        return Table(
            VECTOR_COLUMNS,
            (*rows, *unknown),
            title=f"{self.name}: {self.count:,} rows, {server} ({self.server.deployment})",
            notes=(*reasons, *self.notes),
        )
