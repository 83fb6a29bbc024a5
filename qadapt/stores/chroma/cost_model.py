"""Cost model of Chroma: HNSW with float32 vectors in memory, its files, and the SQLite file.

Sizes follow from the layout of the files (docs/engines/chroma.md#files).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Quantization, Vector
from qadapt.stores.chroma import mapping

MAX_NEIGHBORS = 16
LAYOUT = "files of chromadb 1.5.9"
LABEL = 8  # of a row in the graph
LENGTH = 4  # of length.bin, for each row
NOTE = (
    "client-side codes add to this: Chroma keeps its graph of float32 vectors in memory and on disk"
)


class ChromaCostModel(CostModel):
    """Footprint of a graph, which Chroma loads at the first search."""

    store = "chroma"
    note = NOTE

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = supported(mapping.to_native(quantization.replace(rescore=None), vector))
        links = round(count * link_bytes(int(index.get("max_neighbors") or MAX_NEIGHBORS)))
        size = original_bytes(count, vector)
        ids = count * LABEL
        parts = (
            Component("originals", size, size, "float32 in the graph", LAYOUT),
            Component("graph", links, links, "2 M + 1 links of 4 B, and upper levels", LAYOUT),
            Component("ids", ids, ids + count * LENGTH, "labels of 8 B; lengths of 4 B", LAYOUT),
        )
        return self.of_parts(mapped, parts, {})


def link_bytes(max_neighbors: int) -> float:
    """Bytes of links for each row: level 0 has twice the links, and 1 of M rows is on the next."""
    upper = 4 + (4 * max_neighbors + 4) / max(1, max_neighbors - 1)
    return 4 * (2 * max_neighbors + 1) + upper
