"""Cost model of LanceDB: the index with its codes, and the column of the original vectors.

The sizes follow from the layout of the index files (docs/engines/lancedb.md#sizes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Quantization, Vector
from qadapt.stores.lancedb import mapping

LAYOUT = "index files of lance 13"
CACHED = (
    "the engine maps the files, and the caches of the engine and of the system hold what is read"
)
# Rows of a partition by default, of an inverted file and of a graph.
PARTITION = {"ivf": 8192, "hnsw": 1 << 20}
# Bytes of a row id on disk, where ascending ids are packed, and in RAM.
ROW_ID, ROW_ID_RAM = 2, 8
# A link has a row number and a distance. The engine keeps fewer than the 2m possible links of the
# lowest level; 1.2m were measured.
LINK, LINKS = 8, 1.2


class LanceDbCostModel(CostModel):
    """Footprint of the index of one vector and of its column."""

    store = "lancedb"
    note = CACHED

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = supported(mapping.to_native(quantization.replace(rescore=None), vector))
        native = dict(mapped.native or {})
        current = str(index.get("type", ""))
        if native and "index" not in quantization.native:
            native = mapping.with_family(native, current)
        if not native and current in mapping.KINDS and not mapping.has_codes({"type": current}):
            native = {key: value for key, value in index.items() if key != "name"}
        originals = original_bytes(count, vector)
        codes = graph = ids = 0
        if native:
            codes = row_bytes(native, vector) * count
            graph = index_bytes(count, vector, native) - codes
            ids = (ROW_ID_RAM - ROW_ID) * count
        coded = bool(native) and mapping.has_codes(native)
        parts = (
            Component("codes", codes, codes, f"entries of {native.get('type')}", LAYOUT),
            Component("graph", graph + ids, graph, "row ids, centroids, codebook, links", LAYOUT),
            Component(
                "originals",
                0 if native else originals,
                originals,
                f"the column of {vector.datatype}" + ("" if coded else ", which a search reads"),
                LAYOUT,
            ),
        )
        return self.of_parts(mapped, parts, native)


def index_bytes(count: int, vector: Vector, config: Mapping[str, Any]) -> int:
    """Bytes of an index: entries, row ids, centroids, codebook and links."""
    if not count:
        return 0
    family = "hnsw" if "HNSW" in str(config["type"]) else "ivf"
    size = int(config.get("target_partition_size") or PARTITION[family])
    partitions = int(config.get("num_partitions") or max(1, count // size))
    centroids = 4 * partitions * vector.dim
    book = 0
    if "num_sub_vectors" in config:
        book = 4 * vector.dim * (1 << int(config.get("num_bits", 8)))
    links = count * link_bytes(config) if family == "hnsw" else 0
    return count * row_bytes(config, vector) + count * ROW_ID + centroids + book + links


def row_bytes(config: Mapping[str, Any], vector: Vector) -> int:
    """Bytes of the entry of one row, without its id."""
    kind, dim = str(config["type"]), vector.dim
    if kind.endswith("_SQ"):
        return dim
    if kind.endswith("_PQ"):
        return int(config["num_sub_vectors"]) * int(config.get("num_bits", 8)) // 8
    if kind.endswith("_RQ"):
        bits = int(config.get("num_bits", 1))
        # Factors of the estimator: three of float32 for the signs, two for the other bits, whose
        # dimensions are padded to a multiple of 64.
        more = math.ceil(dim / 64) * 8 * (bits - 1) + 8 if bits > 1 else 0
        return dim // 8 + 12 + more
    return original_bytes(1, vector)


def link_bytes(config: Mapping[str, Any]) -> int:
    """Bytes of the links of one row on all levels."""
    return round(LINK * LINKS * int(config.get("m", 20)))
