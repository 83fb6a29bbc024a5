"""Cost model of OpenSearch: files of Lucene's segments, and the page cache of the system.

Sizes follow from the formats of Lucene 10.4 (docs/engines/opensearch.md#sizes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Quantization, Vector
from qadapt.stores.elastic.opensearch import mapping
from qadapt.stores.elastic.opensearch.schema import HNSW, LUCENE, Field
from qadapt.stores.elastic.opensearch.version import NEWEST

LAYOUT = "files of Lucene 10.4 as OpenSearch 3.6 writes them"
CACHED = (
    "the page cache of the system holds what searches read: codes and graph, and the original "
    "vectors of rescored candidates; one primary shard copy is counted, without replicas"
)
# A link to a neighbor takes 1 to 3 bytes; a row has m to 2 m links.
LINK = 2.5


class OpenSearchCostModel(CostModel):
    """Footprint of the files that a search reads, and of all files with vectors."""

    store = "opensearch"
    note = CACHED

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        native = dict(quantization.native)
        native |= {key: index[key] for key in ("m", "ef_construction") if key in index}
        asked = quantization.replace(rescore=None, native=native)
        mapped = supported(mapping.to_native(asked, vector))
        made = Field.of({"dimension": vector.dim, **(mapped.native or {})}, NEWEST)
        each = made.code_bytes
        if made.engine != LUCENE or each is None:
            each = mapped.target.code_bytes(vector.dim)
        codes = count * each
        size = original_bytes(count, vector)
        links = int(LINK * int(native.get("m", 16)) * count) if made.method == HNSW else 0
        parts = (
            Component("codes", codes, codes, f"{each} B per row (.veq)", LAYOUT),
            Component("graph", links, links, f"{LINK:g} B per link (.vex), measured", LAYOUT),
            Component("originals", 0 if codes else size, size, "float32 (.vec)", LAYOUT),
        )
        return self.of_parts(mapped, parts)
