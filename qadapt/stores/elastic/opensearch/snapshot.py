"""What the server reports about one index, read once, and the state of its vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.footprint import original_bytes
from qadapt.model import Kind, VectorInfo
from qadapt.stores.elastic import rows, snapshot
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.opensearch import search, status
from qadapt.stores.elastic.opensearch.schema import LUCENE, Field, OpenSearch
from qadapt.stores.elastic.opensearch.status import Observation
from qadapt.stores.elastic.schema import OWN, Index, VectorField, quoted

NEAREST = 10
_FILTER = "_all.primaries.docs,_all.primaries.segments.count,_all.primaries.segments.file_sizes"


@dataclass(frozen=True)
class Snapshot(snapshot.Snapshot[Observation]):
    """An index of OpenSearch.

    Attributes:
        product: OpenSearch at the version of the server.
    """

    product: OpenSearch

    @property
    def config(self) -> dict[str, Any]:
        fields = {path: dict(each) for path, each in self.index.properties.items() if path != OWN}
        return {"mappings": fields, "settings": {"number_of_shards": self.index.shards}}

    def vector_info(self, name: str) -> VectorInfo:
        field, seen = self.index.vectors[name], self.observations[name]
        vector, settings = field.vector, seen.settings
        coded = settings.quantization.kind is not Kind.NONE
        graph = (seen.files or {}).get("vex") if seen.alone and settings.has_graph else None
        return VectorInfo(
            name,
            vector.dim,
            vector.metric,
            vector.datatype,
            seen.present,
            index_info(settings),
            settings.quantization,
            status.status_of(seen),
            default_rescore=settings.default_rescore(self.product.server_version),
            code_bytes=seen.least if coded and settings.code_bytes is not None else 0,
            float_bytes=original_bytes(seen.present, vector),
            graph_bytes=graph,
        )


def take_snapshot(connection: Connection, product: OpenSearch, index: Index) -> Snapshot:
    """Read counts, files of segments and, if needed, scores."""
    stats = _stats(connection, index)
    found = {
        name: _observe(connection, product, index, field, stats)
        for name, field in index.vectors.items()
    }
    return Snapshot(index, _number(stats, "docs", "count"), found, product)


def _stats(connection: Connection, index: Index) -> Mapping[str, Any]:
    answer = connection.ask(
        "GET",
        f"/{quoted(index.real)}/_stats/docs,segments",
        params={"include_segment_file_sizes": "true", "filter_path": _FILTER},
        doing=f"read statistics of {index.name!r}",
    )
    found: Mapping[str, Any] = ((answer or {}).get("_all") or {}).get("primaries") or {}
    return found


def _number(stats: Mapping[str, Any], part: str, name: str) -> int:
    return int((stats.get(part) or {}).get(name) or 0)


def _observe(
    connection: Connection,
    product: OpenSearch,
    index: Index,
    field: VectorField,
    stats: Mapping[str, Any],
) -> Observation:
    settings = product.field_of(field)
    present = rows.count(connection, index, {"exists": {"field": field.path}})
    sizes = (stats.get("segments") or {}).get("file_sizes")
    files = None if sizes is None else {
        kind: int(each["size_in_bytes"]) for kind, each in sizes.items() if kind.startswith("ve")
    }  # fmt: skip
    alone = len(index.vectors) + _unread(index) == 1
    coded = settings.quantization.kind is not Kind.NONE and settings.engine == LUCENE
    difference = None
    if coded and not alone and present:
        difference = difference_of_scores(connection, index, field)
    return Observation(
        settings, _number(stats, "docs", "count"), _number(stats, "docs", "deleted"), present,
        _number(stats, "segments", "count"), files, alone, difference,
    )  # fmt: skip


def _unread(index: Index) -> int:
    """Vector fields that qadapt does not read."""
    return sum("data_type" in why or "space_type" in why for why in index.others.values())


def difference_of_scores(connection: Connection, index: Index, field: VectorField) -> float | None:
    """The largest difference between exact scores and those of a search that does not rescore;
    None without results."""
    query = np.random.default_rng(0).standard_normal(field.vector.dim).astype(np.float32).tolist()
    knn = {"vector": query, "k": NEAREST, "rescore": False}
    approximate = _scores(connection, index, {"knn": {field.path: knn}})
    exact = search.exact_query(field, {"ids": {"values": list(approximate)}})
    exact["script_score"]["script"]["params"]["query_value"] = query
    right = _scores(connection, index, exact)
    both = approximate.keys() & right.keys()
    return max((abs(approximate[each] - right[each]) for each in both), default=None)


def _scores(connection: Connection, index: Index, query: Mapping[str, Any]) -> dict[str, float]:
    answer = connection.ask(
        "POST",
        f"/{quoted(index.real)}/_search",
        {"query": query, "size": NEAREST, "_source": False},
        doing=f"compare scores of {index.name!r}",
    )
    return {each["_id"]: float(each["_score"]) for each in answer["hits"]["hits"]}


def index_info(settings: Field) -> dict[str, Any]:
    """The index of a vector in the server's terms."""
    raw = settings.raw
    found = {"type": settings.method, "engine": settings.engine}
    found |= {name: raw[name] for name in ("mode", "compression_level") if name in raw}
    return {**found, **((raw.get("method") or {}).get("parameters") or {})}
