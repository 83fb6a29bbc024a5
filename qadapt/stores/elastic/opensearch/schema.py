"""Fields of the type ``knn_vector``, and settings of indexes.

The mapping shows what was sent: ``mode`` and ``compression_level`` are not resolved to an encoder,
and the method ``flat`` has codes of 1 bit that the mapping does not mention
(docs/engines/opensearch.md#what-the-mapping-does-not-show).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Metric, Quantization, Rescore, Vector
from qadapt.model.arrays import Floats
from qadapt.stores.elastic.opensearch.version import (
    OLDEST,
    SINCE_ONE_BIT,
    SINCE_RESCORE_OFF,
    ServerVersion,
)
from qadapt.stores.elastic.product import ParsedVector, Product, number_lists, similarity_score
from qadapt.stores.elastic.schema import Index, VectorField, quoted

LUCENE, FAISS = "lucene", "faiss"
HNSW, FLAT = "hnsw", "flat"
ON_DISK = "on_disk"
SPACES = {
    Metric.COSINE: "cosinesimil", Metric.DOT: "innerproduct", Metric.EUCLIDEAN: "l2"
}  # fmt: skip
METRICS = {space: metric for metric, space in SPACES.items()}
# Bits of the codes of a compression level. 8x and 16x exist from 3.9 on.
LEVELS = {"1x": 32, "2x": 16, "4x": 7, "8x": 4, "16x": 2, "32x": 1}
FAISS_LEVELS = {**LEVELS, "4x": 8}
FEWEST_CANDIDATES = 100  # of a rescored search
MAX_DIM = 16_000
FULL = 32  # bits of a value that has no code


@dataclass(frozen=True)
class Field:
    """The settings of one field.

    Attributes:
        dim: 0 for a field that a trained model defines.
        space: ``space_type``.
        data_type: ``float``, ``byte`` or ``binary``.
        engine: ``lucene``, ``faiss`` or ``nmslib``.
        method: ``hnsw``, ``flat`` or ``ivf``.
        bits: bits per dimension of the codes; 32 without codes, 0 for product codes.
        encoder: its name; ``""`` if a compression level or the method determines the codes.
        parameters: of the encoder.
        mode: ``on_disk``, ``in_memory`` or ``""``.
        model: id of the trained model; ``""`` for none.
        raw: as read.
    """

    dim: int
    space: str
    data_type: str
    engine: str
    method: str
    bits: int
    encoder: str
    parameters: Mapping[str, Any]
    mode: str
    model: str
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, raw: Mapping[str, Any], version: ServerVersion) -> Field:
        """Read a field of a mapping."""
        method = raw.get("method") or {}
        parameters = method.get("parameters") or {}
        encoder = parameters.get("encoder") or {}
        engine = str(method.get("engine") or FAISS).lower()
        found = cls(
            dim=int(raw.get("dimension") or 0),
            space=str(raw.get("space_type") or method.get("space_type") or "l2").lower(),
            data_type=str(raw.get("data_type") or "float").lower(),
            engine=engine,
            method=str(method.get("name") or HNSW).lower(),
            bits=FULL,
            encoder="" if encoder.get("name") in (None, "flat") else str(encoder["name"]),
            parameters=encoder.get("parameters") or {},
            mode=str(raw.get("mode") or "").lower(),
            model=str(raw.get("model_id") or ""),
            raw=raw,
        )
        return dataclasses.replace(found, bits=_bits(found, version))

    @property
    def metric(self) -> Metric | None:
        """The metric; None for a space that qadapt does not have, such as ``hamming``."""
        return METRICS.get(self.space)

    @property
    def quantization(self) -> Quantization:
        """The quantization that the settings result in."""
        if self.bits == FULL or self.data_type != "float":
            return Quantization(Kind.NONE)
        if self.encoder == "pq":
            return Quantization(Kind.PRODUCT, segments=int(self.parameters.get("m") or 1))
        if self.bits == 16:
            return Quantization(Kind.FLOAT16)
        if self.bits in (1, 2):
            query_bits = 4 if self.engine == LUCENE else None
            return Quantization(Kind.BINARY, bits=self.bits, query_bits=query_bits)
        if self.bits == 7:
            return Quantization(Kind.SCALAR, bits=7, quantile=self._quantile)
        return Quantization(Kind.SCALAR, bits=self.bits)

    @property
    def _quantile(self) -> float | None:
        """The share of the values that the interval of 7 bits covers; None for all of them.

        The interval 0 is found by trial.
        """
        interval = self.parameters.get("confidence_interval")
        if interval is None:
            interval = max(0.9, round(1 - math.log2(self.dim) / 100, 4))
        return float(interval) if 0.5 <= interval < 1 else None

    @property
    def code_bytes(self) -> int | None:
        """Bytes of the codes of one vector in the files of the engine lucene; None if unknown.

        Corrections of 4 bytes follow codes of 7 bits, and of 16 bytes other codes
        (docs/engines/opensearch.md#sizes).
        """
        if self.quantization.kind is Kind.NONE:
            return 0
        if self.engine != LUCENE:
            return None
        if self.bits == 7:
            return self.dim + 4
        return -(-self.dim * self.bits // 8) + 16

    @property
    def has_graph(self) -> bool:
        """Whether segments have a graph."""
        return self.method == HNSW

    def default_rescore(self, version: ServerVersion) -> Rescore | None:
        """The rescoring of a search that sets none; None without codes."""
        if self.quantization.kind is Kind.NONE:
            return None
        if self.bits == 7 and self.mode != ON_DISK:
            return Rescore(source="off")
        if self.engine == LUCENE and self.bits == 1:
            return Rescore(2)
        if self.mode == ON_DISK or self.raw.get("compression_level"):
            return Rescore(_factor_of(self.dim))
        return Rescore(source="off")

    def honors_off(self, version: ServerVersion) -> bool:
        """Whether ``rescore: false`` has an effect."""
        return version.has(SINCE_RESCORE_OFF) or self.mode != ON_DISK


def _factor_of(dim: int) -> float:
    """The default factor of a field without one, by its dimensions."""
    return 1 if dim >= 1000 else 2 if dim >= 768 else 3


def _bits(field: Field, version: ServerVersion) -> int:
    """Bits per dimension of the codes."""
    if field.data_type != "float":
        return FULL
    if field.encoder == "pq":
        return 0
    given = field.parameters.get("bits")
    if field.encoder in ("sq", "binary"):
        default = 7 if field.engine == LUCENE else 16 if field.encoder == "sq" else 1
        return int(given) if given is not None else default
    level = str(field.raw.get("compression_level") or "").lower()
    if level in LEVELS:
        return (LEVELS if field.engine == LUCENE else FAISS_LEVELS)[level]
    if field.method == FLAT and field.engine == LUCENE:
        return 1
    if field.mode == ON_DISK:
        return 7 if field.engine == LUCENE and not version.has(SINCE_ONE_BIT) else 1
    return FULL


class OpenSearch(Product):
    """OpenSearch at one version."""

    title = "OpenSearch"
    refresh_privilege = "indices:admin/refresh*"
    vector_types = ("knn_vector",)
    oldest = OLDEST

    @property
    def server_version(self) -> ServerVersion:
        return ServerVersion(self.version)

    def field_of(self, field: VectorField) -> Field:
        """The settings of a field."""
        return Field.of(field.definition, self.server_version)

    def parse_vector(self, definition: Mapping[str, Any]) -> ParsedVector:
        found = Field.of(definition, self.server_version)
        if found.model:
            return ParsedVector(None, f"is defined by the trained model {found.model!r}")
        if found.data_type != "float":
            return ParsedVector(None, f"has the data_type {found.data_type}, not float")
        if found.metric is None:
            return ParsedVector(None, f"has the space_type {found.space}")
        return ParsedVector(Vector(found.dim, found.metric))

    def new_field(self, vector: Vector, native: Mapping[str, Any]) -> dict[str, Any]:
        """The definition of a field.

        Raises:
            UnsupportedError: the datatype, or the number of dimensions.
        """
        if vector.datatype != "float32":
            raise UnsupportedError(
                f"qadapt writes float32 to OpenSearch, not {vector.datatype}",
                hint="use datatype float32",
            )
        if vector.dim > MAX_DIM:
            raise UnsupportedError(
                f"OpenSearch stores at most {MAX_DIM:,} dimensions; got {vector.dim:,}",
                hint="use fewer dimensions",
            )
        method = native.get("method") or {"name": HNSW, "engine": LUCENE, "parameters": {}}
        made = {**native, "method": {**method, "space_type": SPACES[vector.metric]}}
        return {"type": "knn_vector", "dimension": vector.dim, **made}

    def new_settings(self, vectors: Mapping[str, Vector]) -> dict[str, Any]:
        return {"index.knn": True}

    def encoded(self, rows: Floats) -> Sequence[bytes]:
        """Lists of numbers: base64 is read as a vector without dimensions."""
        return number_lists(rows)

    def reads_doc_values(self, index: Index) -> bool:
        return False

    def open_pit(self, index: str, keep_alive: str) -> tuple[str, dict[str, Any], str]:
        path = f"/{quoted(index)}/_search/point_in_time"
        return path, {"keep_alive": keep_alive}, "pit_id"

    def close_pit(self, pit: str) -> tuple[str, dict[str, Any]]:
        return "/_search/point_in_time", {"pit_id": [pit]}

    def scores(self, field: VectorField, found: Floats) -> Floats:
        return similarity_score(field.vector.metric, found)


def is_searchable(index: Index) -> bool:
    """Whether the k-NN plugin indexes the vectors of an index."""
    return str(index.setting("knn")).lower() == "true"


def without_search(index: Index) -> Index:
    """An index whose vectors are stored, while every search of them is refused."""
    why = "cannot be searched, because the setting index.knn is not true"
    others = {each.path: why for each in index.vectors.values()}
    return dataclasses.replace(index, vectors={}, others={**index.others, **others})
