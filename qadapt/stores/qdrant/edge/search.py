"""Conversion of searches to the engine's requests and of results to ``Hits``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qadapt.errors import UnsupportedError
from qadapt.model import Hits, Kind, Rescore, SearchProvenance, Vector
from qadapt.stores.base import PreparedSearch, SearchRequest
from qadapt.stores.qdrant import search as shared_search
from qadapt.stores.qdrant.edge.connection import Shard, client_module
from qadapt.stores.qdrant.edge.filters import to_engine
from qadapt.stores.qdrant.search import (
    PER_SEGMENT,
    RAW_COUNTS,
    Answer,
    Codes,
    PointRows,
    check,
    hits,
    of_points,
    score_converter,
)

if TYPE_CHECKING:
    import qdrant_edge

    from qadapt.model.arrays import Floats
    from qadapt.stores.qdrant.edge.snapshot import Snapshot

# Maximum number of queries in one request of the engine.
QUERIES = 1_000


def check_options(options: Mapping[str, Any]) -> None:
    """Reject unknown search parameters.

    Raises:
        SpecError
    """
    check(options, "edge")


def request_maker(
    search: SearchRequest, codes: Codes
) -> Callable[[Floats], qdrant_edge.QueryRequest]:
    """Makes the engine's request of one query, float32 ``(d,)``.

    Raises:
        UnsupportedError: rescoring with finer codes, which the engine does not store.
        SpecError: an invalid option or filter.
    """
    edge = client_module()
    nearest, request = edge.Query.Nearest, edge.QueryRequest
    given = _arguments(edge, search, codes)
    using = search.vector or None

    def made(query: Any) -> Any:
        # faster than ``query.tolist()``
        return request(query=nearest(memoryview(query), using=using), **given)

    return made


def _arguments(edge: Any, search: SearchRequest, codes: Codes) -> dict[str, Any]:
    """Arguments of a request without the query; see ``request_maker``."""
    params = edge.SearchParams(
        hnsw_ef=search.options.get("hnsw_ef"),
        exact=search.exact,
        indexed_only=search.options.get("indexed_only", False),
        quantization=_quantization_params(edge, search, codes),
    )
    return {
        "limit": search.k,
        "params": params,
        "filter": to_engine(search.filter),
        "with_payload": search.with_payload,
    }


def prepare(
    shard: Shard, snapshot: Snapshot, search: SearchRequest, vector: Vector
) -> PreparedSearch:
    """A search for one state of the shard, without a filter."""
    codes = snapshot.codes(search.vector)
    made, reported = request_maker(search, codes), how(search, codes)
    k, with_payload = search.k, search.with_payload
    convert = score_converter(vector, reported, float32=True)
    edge = client_module()
    nearest, request = edge.Query.Nearest, edge.QueryRequest
    given = _arguments(edge, search, codes)
    using = search.vector or None
    one = edge.EdgeShard.query

    def prepared(queries: Floats) -> Hits | None:
        if len(queries) == 1:
            # As ``made``, without the time of a call.
            asked = request(query=nearest(memoryview(queries[0]), using=using), **given)
            points = shard.search(snapshot, one, asked)
            if points is None:
                return None
            return Hits.of_rows(PointRows(points, k, with_payload, convert), reported)
        found: list[Answer] = []
        for start in range(0, len(queries), QUERIES):
            asked = [made(query) for query in queries[start : start + QUERIES]]
            part = shard.search(snapshot, run, asked)
            if part is None:
                return None
            found += [of_points(row, float32=True) for row in part]
        return hits(found, search, vector, reported)

    return prepared


def run(
    shard: qdrant_edge.EdgeShard, requests: Sequence[qdrant_edge.QueryRequest]
) -> Sequence[Sequence[qdrant_edge.ScoredPoint]]:
    """Run requests: in one call, or one by one before version 0.9."""
    if len(requests) == 1:
        return [shard.query(requests[0])]
    batch = getattr(client_module(), "QueryBatchRequest", None)
    if batch is None:
        return [shard.query(request) for request in requests]
    return shard.query_batch(batch(requests))


def run_all(shard: Shard, queries: Floats, search: SearchRequest, codes: Codes) -> list[Answer]:
    """Run all queries in batches; the results of each query."""
    found: list[Answer] = []
    made = request_maker(search, codes)
    for start in range(0, len(queries), QUERIES):
        asked = [made(query) for query in queries[start : start + QUERIES]]
        with shard.use("search") as opened:
            found += [of_points(row, float32=True) for row in run(opened, asked)]
    return found


def _quantization_params(edge: Any, search: SearchRequest, codes: Codes) -> Any:
    rescore = search.rescore
    if search.ignore_quantization:
        return edge.QuantizationSearchParams(ignore=True)
    if rescore is None or search.exact or not codes.there:
        return None
    if not rescore.on:
        return edge.QuantizationSearchParams(rescore=False)
    more = rescore.count(search.k) > search.k
    factor = rescore.engine_factor(search.k) if more else None
    return edge.QuantizationSearchParams(rescore=True, oversampling=factor)


def check_rescore(rescore: Rescore | None) -> None:
    """Reject rescoring that the engine does not have.

    Raises:
        UnsupportedError
    """
    if rescore is not None and rescore.by_codes:
        raise UnsupportedError(
            "Qdrant's engine stores no finer codes for rescoring; it rescores with the original "
            "vectors",
            hint="use rescore source 'originals'",
        )


def how(search: SearchRequest, codes: Codes) -> SearchProvenance:
    """The provenance of the search."""
    raw = (RAW_COUNTS,) if codes.quantization.kind is Kind.BINARY else ()
    several = (PER_SEGMENT.format(codes.segments),) if (codes.segments or 0) > 1 else ()
    return shared_search.how(search, codes, raw, several)
