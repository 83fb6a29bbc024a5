"""Weaviate: vector cache or codes in RAM, originals always on disk, the graph in RAM.

Code layouts were read in the source of 1.39.0 (adapters/repos/db/vector/compressionhelpers); the
graph's bytes are those of Weaviate's own page on resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.costing.footprint import Footprint, Part, centroids, original_bytes
from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Quantization, Vector

LAYOUT = "code layouts in the source of Weaviate 1.39.0"
RESOURCES = "https://docs.weaviate.io/weaviate/concepts/resources"
MAX_CONNECTIONS = 32
_PER_CONNECTION = 10


def footprint(
    count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
) -> Footprint:
    """Of one vector under an hnsw index.

    Raises:
        UnsupportedError: a kind that Weaviate does not have.
    """
    dim = vector.dim
    each, target, words, differences = _code(dim, quantization)
    floats = original_bytes(count, vector.replace(datatype="float32"))
    connections = int(index.get("maxConnections") or MAX_CONNECTIONS)
    links = count * connections * _PER_CONNECTION
    parts = (
        Part("codes", each * count, each * count, words, LAYOUT),
        centroids(dim, target, LAYOUT),
        Part(
            "originals",
            0 if each else floats,
            floats,
            "float32 on disk; in RAM only while nothing is compressed",
            RESOURCES,
        ),
        Part(
            "graph",
            links,
            links,
            f"10 B for each of maxConnections = {connections} a point",
            RESOURCES,
        ),
    )
    notes = ("Go's garbage collector needs headroom on top: Weaviate's page says up to twice",)
    return Footprint.of("weaviate", target, parts, differences=differences, notes=notes)


def _code(dim: int, asked: Quantization) -> tuple[int, Quantization, str, tuple[str, ...]]:
    """Bytes of one code, what it is in common words, how they come about, differences."""
    padded = -(-dim // 64) * 64
    kind, bits = asked.kind, asked.bits
    if kind is Kind.NONE:
        return 0, Quantization(kind), "none", ()
    if kind is Kind.SCALAR and bits == 8:
        target = Quantization(kind, bits=8, per="collection")
        one = ("one range for the whole collection, not one for each dimension",)
        return dim + 8, target, "SQ: dim + 8 B", one if asked.per == "dimension" else ()
    if kind is Kind.BINARY and bits == 1:
        return padded // 8, Quantization(kind), "BQ: dim rounded up to 64 bits", ()
    if kind is Kind.ROTATIONAL and bits in (1, 4, 8):
        sizes = {8: padded + 16, 4: padded // 2 + 16, 1: max(padded, 256) // 8 + 8}
        words = {
            8: "RQ-8: dim rounded up to 64, + 16 B",
            4: "RQ-4: half of that, + 16 B",
            1: "RQ-1: at least 256 bits, + 8 B",
        }
        return sizes[int(bits)], Quantization(kind, bits=bits), words[int(bits)], ()
    if kind is Kind.PRODUCT:
        segments = asked.segments or max(1, round(4 * dim / float(asked.ratio or 16)))
        if dim % segments:
            raise UnsupportedError(f"{segments} segments do not divide {dim} dimensions")
        return segments, Quantization(kind, segments=segments), "PQ: one byte a segment", ()
    raise UnsupportedError(f"Weaviate has no {asked.codes_only}")
