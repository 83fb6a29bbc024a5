"""Cost model of ClickHouse: codes and graphs of indexes, codes of codecs, vectors on disk.

The sizes of an index follow from the layout of its graph (docs/engines/clickhouse.md#sizes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Quantization, Vector
from qadapt.stores.clickhouse import mapping
from qadapt.stores.clickhouse.schema import ALL_PLANES, EF, M

LAYOUT = "layout of usearch's graph, and of the codes of a codec"
CACHED = (
    "a search reads all codes of a codec, or all vectors without codes, and holds the index in the "
    "vector similarity index cache; the page cache holds the rest"
)
# A node has a key of 8 bytes and a level of 2, lists with 4 bytes and 4 per neighbor.
_NODE, _LIST, _SLOT = 10, 4, 4


class ClickHouseCostModel(CostModel):
    """Footprint of the codes that a search reads as a whole (RAM) and of the files."""

    store = "clickhouse"
    note = CACHED

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = supported(mapping.to_native(quantization.replace(rescore=None), vector))
        native = dict(mapped.native or {})
        if not native and index.get("type") == "hnsw":
            m, ef = int(index.get("m") or M), int(index.get("ef_construction") or EF)
            word = str(index.get("quantization") or "f32")
            native = {"using": "index", "quantization": word, "m": m, "ef_construction": ef}
        size = original_bytes(count, vector)
        codes = graph = books = on_disk = 0
        if native.get("using") == mapping.INDEX:
            codes = count * mapping.code_bytes(native["quantization"], (), vector.dim)
            graph = count * graph_bytes(native["m"])
        elif native.get("using") == mapping.QBIT:
            codes = count * mapping.code_bytes(mapping.QBIT, (native["bits"],), vector.dim)
            on_disk = count * mapping.code_bytes(mapping.QBIT, (ALL_PLANES,), vector.dim)
        elif native:
            numbers = tuple(native["numbers"])
            codes = count * mapping.code_bytes(native["method"], numbers, vector.dim)
            books = 4 * vector.dim * 2 ** numbers[0] if numbers else 0
        parts = (
            Component("codes", codes, on_disk or codes, "bits of all dimensions", LAYOUT),
            Component("graph", graph, graph, "neighbors of each row", LAYOUT),
            Component("centroids", books, books, "float32 centroids of a part", LAYOUT),
            Component(
                "originals", 0 if native else size, size, "float32, without compression", LAYOUT
            ),
        )
        return self.of_parts(mapped, parts, native)


def graph_bytes(m: int) -> int:
    """Bytes of the neighbors of a row: 2 m on the lowest level, and m on each higher one, which
    one row in m has."""
    lowest = _NODE + _LIST + _SLOT * 2 * m
    higher = (_LIST + _SLOT * m) / (m - 1)
    return round(lowest + higher)
