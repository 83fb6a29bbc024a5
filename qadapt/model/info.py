"""What a store holds, as configured and as seen: CollectionInfo, VectorInfo, Status."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from qadapt.model.data import Datatype, Vector
from qadapt.model.metric import Metric
from qadapt.model.quantization import Quantization
from qadapt.model.rescore import Rescore
from qadapt.model.serializable import Serializable


class State(str, Enum):
    """Whether the engine obeys, as seen and not as configured."""

    ACTIVE = "active"
    BUILDING = "building"
    IGNORED = "ignored"
    ABSENT = "absent"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Evidence(Serializable):
    """One signal that was read, with its value."""

    signal: str
    value: Any


@dataclass(frozen=True)
class Status(Serializable):
    """Whether a vector's quantization is in force, and how that was seen.

    Attributes:
        state: active, building, ignored, absent or unknown.
        reason: by what rule it is ignored, how far it is built, why it can't be seen.
        progress: share done while building, 0 to 1; None where it can't be told.
        evidence: the signals read, with their values.
        advice: what to do next; empty when nothing is.
    """

    state: State
    reason: str = ""
    progress: float | None = None
    evidence: tuple[Evidence, ...] = ()
    advice: str = ""


@dataclass(frozen=True)
class Server(Serializable):
    """The engine that answered: which store, which version, deployed how."""

    store: str
    version: str | None = None
    deployment: str = "server"


@dataclass(frozen=True)
class VectorInfo(Serializable):
    """One vector of a collection.

    Attributes:
        name: ``""`` for the unnamed one.
        dim, metric, datatype: as stored.
        count: vectors of this name, where the store tells (else the collection's count).
        index: the store's index and its parameters, in the store's own words.
        quantization: as configured, in common words (``quantized_by`` says whose codes they are).
        status: as seen.
        quantized_by: ``"store"``, or ``"qadapt"`` when the codes are ours.
        default_rescore: what happens to a search that says nothing about rescoring.
        code_bytes, float_bytes: bytes of codes and originals, as the store reports or as files
            show; None where it can't be told.
        notes: default search parameters that are ignored, and why.
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
    notes: tuple[str, ...] = ()

    @property
    def vector(self) -> Vector:
        """Dimensions, metric and datatype alone."""
        return Vector(self.dim, self.metric, self.datatype)


@dataclass(frozen=True)
class UnknownDimension(Serializable):
    """A vector of the schema whose dimension is unknown, because no row that was read has it.

    Attributes:
        rows_read: rows that were read.
        collection_of: these are all rows, so the vector is empty.
    """

    rows_read: int
    complete: bool


@dataclass(frozen=True)
class CollectionInfo(Serializable):
    """One collection.

    Attributes:
        name: its name.
        count: rows.
        vectors: one VectorInfo for each vector.
        server: the engine that answered.
        config: the store's own configuration, as it was read; no secrets.
        unknown_dimensions: vectors of the schema that are not in ``vectors``, because a store that
        keeps
            no dimensions has shown no row with one; by name.
        notes: settings of vectors that the collection does not have.
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
        """sha256 of the configuration that a plan is made from (not of the data)."""
        parts = {
            "config": self.config,
            "vectors": {
                name: [v.dim, v.metric.value, v.datatype, str(v.quantization), v.quantized_by]
                for name, v in self.vectors.items()
            },
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()
