"""Conversion of searches to the client's requests and of responses to ``Hits``.

Rescoring and oversampling are set per search; each segment contributes its own candidates;
oversampling without rescoring has no effect, so it is never sent alone.

The state of the segments comes from a snapshot that may be seconds old, and another process may
have changed it since. Requested parameters are therefore always sent, with or without codes, and
scores are reported as exact only if the request guarantees it or the state was read again. A vector
without codes ignores ``rescore`` (docs/engines/qdrant.md#search-parameters).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.errors import UnsupportedError
from qadapt.model import (
    Hits,
    Id,
    Kind,
    Metric,
    Quantization,
    SearchProvenance,
    Vector,
    vector_norms,
)
from qadapt.model.capabilities import older
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant import rows as shared_rows
from qadapt.stores.qdrant import search as shared_search
from qadapt.stores.qdrant.search import Codes
from qadapt.stores.qdrant.server import collections, schema, strict_mode
from qadapt.stores.qdrant.server.connection import Connection, module
from qadapt.stores.qdrant.server.errors import not_a_number
from qadapt.stores.qdrant.server.filters import to_models

if TYPE_CHECKING:
    from qadapt.model.arrays import Floats
    from qadapt.stores.qdrant.server.snapshot import Snapshot
    from qadapt.stores.qdrant.server.store import QdrantStore

# Maximum number of queries in one request.
QUERIES = 100

SINCE_EUCLID = "1.19"

RAW_COUNTS = (
    "scores are raw bit counts of the server, not values of the metric; only the order is "
    "meaningful"
)
WRONG_EUCLID = (
    "before 1.19, scores of scalar codes with the euclidean metric are wrong; only their order is "
    "correct (https://github.com/qdrant/qdrant/issues/9515)"
)
PER_SEGMENT = "the server takes this number of candidates from each of {} segments"
SEGMENTS_UNSEEN = (
    "the server takes this number of candidates from each segment; the number of segments, and "
    "whether they hold codes, could not be read"
)
MAY_HOLD_CODES = "it is unknown whether the segments held codes during the search"
LOCAL = "the client's local mode compares the original vectors of all rows"


NO_CODES = Codes(Quantization(Kind.NONE), None)


def check(search: SearchRequest) -> None:
    """Reject search parameters that are not supported, and rescoring that Qdrant does not have.

    Raises:
        SpecError, UnsupportedError
    """
    shared_search.check(search.options, "qdrant")
    if search.rescore is not None and search.rescore.by_codes:
        raise UnsupportedError(
            "Qdrant stores no finer codes for rescoring; it rescores with the original vectors",
            hint="use rescore source 'originals'",
        )


def template(
    search: SearchRequest, codes: Codes, limits: strict_mode.Limits, *, local: bool
) -> dict[str, Any]:
    """The request without the query: the same for a whole batch."""
    found: dict[str, Any] = {"limit": search.k, "with_payload": search.with_payload}
    if search.vector:
        found["using"] = search.vector
    condition = to_models(search.filter)
    if condition is not None:
        found["filter"] = condition
    params = None if local else _params(search, codes, limits)
    if params is not None:
        found["params"] = params
    return found


def _params(search: SearchRequest, codes: Codes, limits: strict_mode.Limits) -> Any:
    models = module().models
    given: dict[str, Any] = {}
    if search.exact:
        given["exact"] = True
    if "hnsw_ef" in search.options:
        given["hnsw_ef"] = search.options["hnsw_ef"]
    if search.options.get("indexed_only"):
        given["indexed_only"] = True
    quantization = _quantization(models, search, codes, limits)
    if quantization is not None:
        given["quantization"] = quantization
    return models.SearchParams(**given) if given else None


def _quantization(
    models: Any, search: SearchRequest, codes: Codes, limits: strict_mode.Limits
) -> Any:
    rescore = search.rescore
    if search.ignore_quantization:
        return models.QuantizationSearchParams(ignore=True)
    if search.exact:
        return None
    if rescore is None:
        # The store's default, which returns exact scores; sent because codes may have been built
        # since.
        message_text = codes.exact_by_default and not (codes.there and codes.segments is not None)
        return models.QuantizationSearchParams(rescore=True) if message_text else None
    if not rescore.on:
        return models.QuantizationSearchParams(rescore=False)
    candidates = rescore.count(search.k)
    if candidates <= search.k:
        return models.QuantizationSearchParams(rescore=True)
    wanted = strict_mode.factor(limits, rescore.engine_factor(search.k))
    return models.QuantizationSearchParams(rescore=True, oversampling=wanted)


def requests(queries: Floats, common: Mapping[str, Any]) -> list[Any]:
    """The client's requests for a batch of queries."""
    query = module().models.QueryRequest
    return [query(query=row, **common) for row in queries.tolist()]


def as_json(queries: Floats, common: Mapping[str, Any]) -> dict[str, Any]:
    """The REST body for the same batch."""
    message_text = {
        key: value.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        if hasattr(value, "model_dump")
        else value
        for key, value in common.items()
    }
    return {"searches": [{**message_text, "query": row} for row in queries.tolist()]}


Found = tuple[Id, float, Any]  # id, score, payload


def found_in(answer: Mapping[str, Any], doing: str) -> list[Found]:
    """The results of one query of a REST response.

    Raises:
        StoreError: a score is null: a stored vector contains NaN and ranks first.
    """
    rows = [(each["id"], each["score"], each.get("payload")) for each in answer["points"]]
    if any(score is None for _, score, _ in rows):
        raise not_a_number(doing, [key for key, score, _ in rows if score is None])
    return rows


def depends_on_snapshot(search: SearchRequest, codes: Codes) -> bool:
    """Whether scores are exact only if the codes of the segments have not changed."""
    if search.exact or search.ignore_quantization or codes.segments is None:
        return False
    if search.rescore is None:
        return codes.there and codes.exact_by_default
    return not search.rescore.on and not codes.there


def how(
    search: SearchRequest, codes: Codes, version: str | None, metric: Metric, *, local: bool
) -> SearchProvenance:
    """The provenance of the search."""
    if local:
        by = shared_search.chosen(search)
        return SearchProvenance("store exact", "none", 1.0, 0, "none", "exact", by, (LOCAL,))
    wrong = _wrong_scores(codes.quantization.kind, metric, version)
    unobserved = (MAY_HOLD_CODES,) if codes.segments is None else ()
    return shared_search.how(
        search, codes, wrong, _of_segments(codes.segments), unobserved=unobserved
    )


def _of_segments(segments: int | None) -> list[str]:
    if segments is None:
        return [SEGMENTS_UNSEEN]
    return [PER_SEGMENT.format(segments)] if segments > 1 else []


def _wrong_scores(kind: Kind, metric: Metric, version: str | None) -> list[str]:
    if kind is Kind.BINARY:
        return [RAW_COUNTS]
    old = version is not None and older(version, SINCE_EUCLID)
    return [WRONG_EUCLID] if kind is Kind.SCALAR and metric is Metric.EUCLIDEAN and old else []


def hits(
    found: Sequence[Sequence[Found]], search: SearchRequest, vector: Vector, how: SearchProvenance
) -> Hits:
    """Convert the response to ``Hits``: best first, higher is better.

    Euclidean distances are converted to negative squared distances; bit counts (``RAW_COUNTS``)
    stay unchanged, because the server ranks higher counts first.
    """
    if vector.metric is Metric.EUCLIDEAN and RAW_COUNTS not in how.notes:
        rows = [[(key, -(score**2)) for key, score, _ in row] for row in found]
    else:
        rows = [[(key, score) for key, score, _ in row] for row in found]
    payloads: list[list[dict[str, Any] | None]] | None = None
    if search.with_payload:
        payloads = [[payload or {} for _, _, payload in row] for row in found]
    return Hits.from_rows(rows, search.k, how, payloads)


def query(
    connection: Connection, name: str, queries: Floats, common: Mapping[str, Any]
) -> list[list[Found]]:
    """The results of each query of a batch."""
    doing = f"search {name!r}"
    found = _grpc_query(connection, name, queries, common) if connection.grpc else None
    if found is not None:
        return found
    if not connection.local and not connection.grpc:
        path = "/collections/{collection_name}/points/query/batch"
        body = as_json(queries, common)
        names = {"collection_name": name}
        answers = connection.ask("POST", path, body, doing=doing, names=names, repeatable=True)
        return [found_in(answer, doing) for answer in answers]
    ask = connection.client.query_batch_points
    answers = connection.call(doing, ask, name, requests(queries, common))
    return [
        [(shared_rows.plain(point.id), point.score, point.payload) for point in answer.points]
        for answer in answers
    ]


def _grpc_query(
    connection: Connection, name: str, queries: Floats, common: Mapping[str, Any]
) -> list[list[Found]] | None:
    """The same with vectors copied as bytes; None if the client does not support it (before
    1.20)."""
    try:
        from qdrant_client.uploader.grpc_uploader import convert_vector_struct
    except ImportError:
        return None
    from qdrant_client import grpc
    from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

    one = module().models.QueryRequest(query=[0.0], **common)
    pattern = RestToGrpc.convert_query_request(one, name)
    batch = grpc.QueryBatchPoints(collection_name=name)
    for row in queries:
        request = batch.query_points.add()
        request.CopyFrom(pattern)
        request.query.nearest.dense.CopyFrom(convert_vector_struct(row).vector.dense)
    ask = connection.client.grpc_points.QueryBatch
    doing = f"search {name!r}"
    answers = connection.call(doing, ask, batch, timeout=connection.timeout)
    found = []
    for answer in answers.result:
        points = [GrpcToRest.convert_scored_point(hit) for hit in answer.result]
        lost = [shared_rows.plain(point.id) for point in points if math.isnan(point.score)]
        if lost:
            raise not_a_number(doing, lost)
        found.append([(shared_rows.plain(each.id), each.score, each.payload) for each in points])
    return found


def run(store: QdrantStore, collection: str, queries: Any, search: SearchRequest) -> Hits:
    """Run a batch of queries and report how they were searched.

    Raises:
        SpecError, UnsupportedError
        InputError: the search exceeds a limit of strict mode.
    """
    check(search)
    local = store.connection.local
    raw = store.configuration(collection)
    vector = schema.vector(raw, search.vector, moved=True)
    limits = strict_mode.limits(raw)
    strict_mode.check_search(limits, search)
    snapshot = None if local else store.snapshot(collection)
    codes = NO_CODES if snapshot is None else snapshot.codes(search.vector)
    search = dataclasses.replace(
        search, filter=store.with_unread_dates(collection, raw, search.filter)
    )
    common = template(search, codes, limits, local=local)
    array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    cosine = vector.metric is Metric.COSINE
    array = vector_norms.prepared_queries(
        array, vector.datatype, cosine=cosine, normalizes_cosine=True
    )
    size = strict_mode.cap(limits, "search_max_batchsize", QUERIES)
    found = []
    for start in range(0, len(array), size):
        scan_range = array[start : start + size]
        found += query(store.connection, collection, scan_range, common)
    if snapshot is not None and depends_on_snapshot(search, codes):
        codes = _codes_now(store, collection, search.vector, snapshot)
    version = store.connection.version
    reported = how(search, codes, version, vector.metric, local=local)
    return hits(found, search, vector, reported)


def _codes_now(store: QdrantStore, collection: str, vector: str, snapshot: Snapshot) -> Codes:
    """The codes of the segments during a search: from the snapshot, unless the configuration
    changed.

    Codes change only with the configuration, so only the configuration is read again if the
    segments were settled.
    """
    if snapshot.settled(vector):
        names = {"collection_name": collection}
        doing = f"read {collection!r}"
        info = store.connection.ask("GET", collections.PATH, doing=doing, names=names)
        if vector in schema.params(info) and (
            schema.in_force(info, vector) == schema.in_force(snapshot.info, vector)
        ):
            return snapshot.codes(vector)
    return store.snapshot(collection, fresh=True).codes(vector)
