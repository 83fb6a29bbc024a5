"""Cost model of Elasticsearch: codes and graph in the page cache, original vectors on disk.

Bytes are those that ``off_heap`` of 9.5 reports (docs/engines/elasticsearch.md#sizes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Metric, Quantization, Vector
from qadapt.stores.elastic.elasticsearch import mapping

LAYOUT = "off_heap of Elasticsearch 9.5.3"
CACHED = (
    "the page cache of the system holds what searches read; the heap of the server needs more RAM"
)
# Bytes of a graph per vector and link of the base level, as seen with m 16.
GRAPH_BYTES_PER_M = 2.8


class ElasticsearchCostModel(CostModel):
    """Footprint of one copy of a field, without replicas.

    Codes and graph are counted as RAM, because searches visit them at random. Without codes, so are
    the original vectors.
    """

    store = "elasticsearch"
    note = CACHED

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """The footprint of one vector.

        Args:
            index: ``index_options`` of the field; empty for an hnsw index.

        Raises:
            UnsupportedError: the server lacks this quantization.
        """
        mapped = supported(mapping.to_native(quantization.replace(rescore=None), vector))
        native = dict(mapped.native or {})
        kept = vector if mapped.datatype is None else vector.replace(datatype=mapped.datatype)
        options = mapping.index_options(native, dict(index), None)
        codes, kind = mapping.split_type(str(options["type"]))
        coded = count * mapping.code_bytes(codes, kept.dim)
        size = original_bytes(count, kept)
        m = int(options.get("m", mapping.DEFAULT_M))
        graph = round(count * m * GRAPH_BYTES_PER_M) if kind == mapping.HNSW else 0
        source = _source_bytes(count, vector)
        parts = (
            Component("codes", coded, coded, f"{codes} codes with their corrections", LAYOUT),
            Component("graph", graph, graph, f"{m} links of a vector, compressed", LAYOUT),
            Component("originals", 0 if coded else size, size, "values of the field", LAYOUT),
            Component(
                "source", 0, source, "base64 in the document, under cosine", "bytes that are sent"
            ),
        )
        return self.of_parts(mapped, parts, native)


def _source_bytes(count: int, vector: Vector) -> int:
    """Bytes of vectors in documents, which qadapt keeps where the field loses their last digit."""
    if vector.metric is not Metric.COSINE:
        return 0
    return count * (-(-4 * vector.dim // 3) * 4)
