"""What the server reports about one index, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.footprint import original_bytes
from qadapt.model import VectorInfo
from qadapt.stores.elastic import rows, snapshot
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.elasticsearch import code_record, mapping, status
from qadapt.stores.elastic.elasticsearch.schema import Elasticsearch
from qadapt.stores.elastic.elasticsearch.search import MAX_CANDIDATES
from qadapt.stores.elastic.elasticsearch.status import Observation
from qadapt.stores.elastic.elasticsearch.version import (
    SINCE_BYTES_OF_CODES,
    SINCE_WIDE_CORRECTIONS,
    ServerVersion,
)
from qadapt.stores.elastic.schema import Index, VectorField, quoted

_STATS = (
    "indices.*.primaries.docs,indices.*.primaries.dense_vector,indices.*.primaries.segments.count"
)


@dataclass(frozen=True)
class Snapshot(snapshot.Snapshot[Observation]):
    """An index of Elasticsearch.

    Attributes:
        size: bytes of the primary shards.
        version: of the server.
    """

    size: int = 0
    version: ServerVersion = field(default_factory=ServerVersion)

    @property
    def config(self) -> dict[str, Any]:
        index = self.index
        return {
            "fields": {each.path: dict(each.definition) for each in index.vectors.values()},
            "settings": dict(index.meta.get("search") or {}),
            "shards": index.shards,
        }

    def vector_info(self, name: str) -> VectorInfo:
        seen, field = self.observations[name], self.index.vectors[name]
        vector = field.vector
        sizes = seen.sizes
        return VectorInfo(
            name,
            vector.dim,
            vector.metric,
            vector.datatype,
            self.count,
            dict(seen.options),
            mapping.quantization_of(seen.options),
            status.status_of(seen),
            default_rescore=mapping.default_rescore(seen.options, self.version),
            code_bytes=_code_bytes(seen, self.count),
            float_bytes=original_bytes(self.count, vector),
            graph_bytes=None if sizes is None else sizes.get("vex", 0),
        )


def _code_bytes(seen: Observation, count: int) -> int | None:
    """Bytes of the codes, as reported or, if all segments have codes, by their format."""
    if seen.sizes is not None:
        return seen.code_bytes
    if seen.older != 0:
        return None
    return count * mapping.code_bytes(seen.codes, seen.dim, seen.correction)


def take_snapshot(connection: Connection, product: Elasticsearch, index: Index) -> Snapshot:
    """Read the row count and the evidence of each vector."""
    count = rows.count(connection, index, None)
    answer = connection.found(
        f"/{quoted(index.real)}/_stats/docs,dense_vector,segments,store",
        params={"filter_path": f"{_STATS},indices.*.primaries.store.size_in_bytes"},
        doing=f"read the statistics of {index.name!r}",
    )
    told: Mapping[str, Any] = {}
    if answer and answer.get("indices"):
        told = next(iter(answer["indices"].values()))["primaries"]
    observations = {
        name: _observe(connection, product, index, field, told)
        for name, field in index.vectors.items()
    }
    size = int((told.get("store") or {}).get("size_in_bytes", 0))
    return Snapshot(index, count, observations, size, product.server_version)


def _observe(
    connection: Connection,
    product: Elasticsearch,
    index: Index,
    field: VectorField,
    told: Mapping[str, Any],
) -> Observation:
    off_heap = (told.get("dense_vector") or {}).get("off_heap")
    sizes = None
    if off_heap is not None:
        by_field = (off_heap.get("fielddata") or {}).get(field.path) or {}
        sizes = {key.removesuffix("_size_bytes"): int(size) for key, size in by_field.items()}
    docs = told.get("docs") or {}
    options = product.options_of(field)
    older = None
    if sizes is None and not product.server_version.has(SINCE_BYTES_OF_CODES):
        older = code_record.older_segments(connection, index, field.path, str(options["type"]))
    return Observation(
        options,
        field.vector.dim,
        2 if field.vector.datatype == "bfloat16" else 4,
        sizes,
        int((told.get("segments") or {}).get("count", 0)),
        int(docs.get("deleted", 0)),
        16 if product.server_version.has(SINCE_WIDE_CORRECTIONS) else 4,
        older,
    )


def seq_no_ranges(connection: Connection, index: Index) -> int:
    """Number of ranges of ``MAX_CANDIDATES`` sequence numbers of the largest shard."""
    answer = connection.ask(
        "GET",
        f"/{quoted(index.real)}/_stats/docs",
        params={"level": "shards", "filter_path": "indices.*.shards.*.seq_no.max_seq_no"},
        doing=f"read the sequence numbers of {index.name!r}",
    )
    found = [
        int(copy["seq_no"]["max_seq_no"])
        for each in (answer.get("indices") or {}).values()
        for copies in each["shards"].values()
        for copy in copies
    ]
    return max(1, -(-(max(found, default=-1) + 1) // MAX_CANDIDATES))
