"""Cost model of Weaviate: graph, and vector cache or codes, in RAM; original vectors on disk.

Code layouts come from the source of 1.39.0 (adapters/repos/db/vector/compressionhelpers), the size
of the graph from Weaviate's documentation on resource planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, centroids, original_bytes, supported
from qadapt.model import Quantization, Vector
from qadapt.stores.weaviate import mapping, vector_index_config
from qadapt.stores.weaviate.schema import FLAT, HFRESH

LAYOUT = "code layouts from the source of Weaviate 1.39.0"
RESOURCES = "https://docs.weaviate.io/weaviate/concepts/resources"
MAX_CONNECTIONS = 32
GARBAGE = "add headroom for Go's garbage collector, up to twice the size (Weaviate's documentation)"
_PER_CONNECTION = 10
# Measured on 1.39.0: a row of lsm/vectors_compressed is its code + 65 B, one of lsm/property__id
# 137 B (3,000 rows; RQ-8 and BQ).
_ROW, _ID = 65, 137
WEIGHED = "files of Weaviate 1.39.0"
_WORDS = {
    "sq": "SQ: dim + 8 B",
    "bq": "BQ: dim rounded up to 64 bits",
    "rq": "RQ: dim rounded up to 64, times the bits, + 8 or 16 B",
    "pq": "PQ: one byte per segment",
}


class WeaviateCostModel(CostModel):
    """Footprint on one node; a cluster multiplies it by its replication factor."""

    store = "weaviate"

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """The footprint of one vector and its index.

        Args:
            index: the current index, whose type and connections are kept; empty means hnsw.

        Raises:
            UnsupportedError: Weaviate does not support the quantization.
        """
        current = index if index.get("vectorIndexType") else None
        wanted = quantization.replace(rescore=None, codes=None, originals=None)
        mapped = supported(mapping.to_native(wanted, vector, current=current))
        assert mapped.native is not None
        native, kind = mapped.native, str(mapped.native["vectorIndexType"])
        codes = count * mapping.code_bytes(native, vector)
        floats = original_bytes(count, vector.replace(datatype="float32"))
        name, block = vector_index_config.quantizer(native) or ("", {})
        # A flat index reads codes and vectors from disk, except for cached ones.
        scanned = kind == FLAT
        in_ram = codes if not scanned or block.get("cache") else 0
        on_disk = codes + _ROW * count
        parts = (
            Component("codes", in_ram, on_disk, f"{_WORDS[name]}; on disk + {_ROW} B", LAYOUT)
            if codes
            else Component("codes", 0, 0, "none", LAYOUT),
            centroids(vector.dim, mapped.target, LAYOUT),
            Component(
                "originals",
                0 if codes or scanned else floats,
                floats,
                "float32 on disk; in RAM only without compression",
                RESOURCES,
            ),
            _graph(count, kind, (current or {}).get("vectorIndexConfig") or {}),
            Component("ids", 0, _ID * count, f"{_ID} B per row on disk", WEIGHED),
        )
        return self.of_parts(mapped, parts, native, notes=(GARBAGE,))


def _graph(count: int, kind: str, config: Mapping[str, Any]) -> Component:
    if kind in (FLAT, HFRESH):
        return Component("graph", 0, 0, "none", RESOURCES)
    connections = int(config.get("maxConnections") or MAX_CONNECTIONS)
    links = count * connections * _PER_CONNECTION
    words = f"{_PER_CONNECTION} B per connection, maxConnections = {connections} per point"
    return Component("graph", links, links, words, RESOURCES)
