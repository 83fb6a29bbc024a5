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
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from qadapt.errors import UnsupportedError
from qadapt.model import (
    Hits,
    Kind,
    Metric,
    Quantization,
    SearchProvenance,
    Vector,
    vector_norms,
)
from qadapt.model.capabilities import older
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant import search as shared_search
from qadapt.stores.qdrant.search import (
    PER_SEGMENT,
    RAW_COUNTS,
    Answer,
    Codes,
    PointRows,
    hits,
    of_points,
    score_converter,
)
from qadapt.stores.qdrant.server import collections, grpc_search, local_mode, schema, strict_mode
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

WRONG_EUCLID = (
    "before 1.19, scores of scalar codes with the euclidean metric are wrong; only their order is "
    "correct (https://github.com/qdrant/qdrant/issues/9515)"
)
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
    if search.no_params:
        return None
    if search.ignore_quantization:
        return models.QuantizationSearchParams(ignore=True)
    if search.exact:
        return None
    if rescore is None:
        # The store's default, which returns exact scores; sent because other codes may have been
        # built since, with another default.
        return models.QuantizationSearchParams(rescore=True) if codes.exact_by_default else None
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


def as_json(common: Mapping[str, Any]) -> dict[str, Any]:
    """A search of a REST body, without the query."""
    return {
        key: value.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        if hasattr(value, "model_dump")
        else value
        for key, value in common.items()
    }


def of_json(answer: Mapping[str, Any], doing: str) -> Answer:
    """The results of one query of a REST response.

    Raises:
        StoreError: a score is null: a stored vector contains NaN and ranks first.
    """
    points = answer["points"]
    scores = [point["score"] for point in points]
    if None in scores:
        raise not_a_number(doing, [each["id"] for each in points if each["score"] is None])
    return Answer(
        lambda: scores,
        lambda: [point["id"] for point in points],
        lambda: [point.get("payload") for point in points],
    )


def depends_on_snapshot(search: SearchRequest, codes: Codes) -> bool:
    """Whether scores are exact only if the codes of the segments have not changed."""
    if search.exact or search.ignore_quantization or codes.segments is None:
        return False
    if search.rescore is None:
        return search.no_params and codes.there and codes.exact_by_default
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


def query(
    connection: Connection, name: str, queries: Floats, common: Mapping[str, Any]
) -> list[Answer]:
    """The results of each query of a batch."""
    return asker(connection, name, common)(queries)


def asker(
    connection: Connection, name: str, common: Mapping[str, Any]
) -> Callable[[Floats], list[Answer]]:
    """Sends batches of queries; everything else of the requests is made once."""
    if connection.grpc and not connection.local and grpc_search.available():
        return grpc_search.asker(connection, name, common)
    doing = f"search {name!r}"

    def as_raw_json(queries: Floats) -> list[Answer]:
        path = "/collections/{collection_name}/points/query/batch"
        body = {"searches": [{**message, "query": row} for row in queries.tolist()]}
        names = {"collection_name": name}
        answers = connection.ask("POST", path, body, doing=doing, names=names, repeatable=True)
        return [of_json(answer, doing) for answer in answers]

    def typed(queries: Floats) -> list[Answer]:
        ask = connection.client.query_batch_points
        answers = connection.call(doing, ask, name, requests(queries, common))
        return [of_points(answer.points) for answer in answers]

    def one_by_one(queries: Floats) -> list[Answer]:
        # Local mode searches in Python anyway, and QueryRequest would validate each number.
        ask = connection.client.query_points
        answers = [connection.call(doing, ask, name, row, **sent) for row in queries]
        return [of_points(answer.points) for answer in answers]

    if connection.local:
        sent = {"query_filter" if key == "filter" else key: each for key, each in common.items()}
        return one_by_one
    if connection.grpc:
        return typed
    message = as_json(common)
    return as_raw_json


def prepare(
    store: QdrantStore, collection: str, search: SearchRequest
) -> Callable[[Floats], Hits | None] | None:
    """A search for one snapshot of the collection, without a filter; see ``run``."""
    local = store.connection.local
    raw = store.configuration(collection)
    state = store.search_state(collection)
    resolved = _Resolved.of(store, raw, None if local else store.snapshot(collection), search)
    if state is None or search.filter is not None or resolved.must_verify:
        return None
    reported = resolved.how(store, resolved.codes)
    if local:
        found = _prepare_local(store, collection, state, resolved, reported)
        if found is not None:
            return found
    ask = asker(store.connection, collection, resolved.common)

    def prepared(queries: Floats) -> Hits | None:
        if store.search_state(collection) is not state:
            return None
        found = []
        for start in range(0, len(queries), resolved.size):
            found += ask(queries[start : start + resolved.size])
        return hits(found, search, resolved.vector, reported)

    return prepared


def _prepare_local(
    store: QdrantStore,
    collection: str,
    state: Any,
    resolved: _Resolved,
    reported: SearchProvenance,
) -> Callable[[Floats], Hits | None] | None:
    """A search of the client's object of a collection; None if this client has none."""
    search, vector = resolved.search, resolved.vector
    run = local_mode.searcher(state, search)
    if run is None:
        return None
    k, with_payload = search.k, search.with_payload
    convert = score_converter(vector, reported, float32=False)
    doing = f"search {collection!r}"

    def prepared(queries: Floats) -> Hits | None:
        connection = store.connection
        if local_mode.state(connection, collection) is not state:
            return None
        if len(queries) == 1:
            points = connection.call(doing, run, queries[0])
            return Hits.of_rows(PointRows(points, k, with_payload, convert), reported)
        found = [of_points(connection.call(doing, run, query)) for query in queries]
        return hits(found, search, vector, reported)

    return prepared


@dataclasses.dataclass(frozen=True)
class _Resolved:
    """What a search derives from the state of the collection.

    Attributes:
        common: see ``template``.
        size: most queries of one request.
        must_verify: the state of the codes is read again after the search.
    """

    search: SearchRequest
    vector: Vector
    codes: Codes
    common: Mapping[str, Any]
    size: int
    local: bool
    must_verify: bool

    @classmethod
    def of(
        cls, store: QdrantStore, raw: schema.Info, snapshot: Snapshot | None, search: SearchRequest
    ) -> _Resolved:
        check(search)
        local = store.connection.local
        vector = schema.vector(raw, search.vector, moved=True)
        limits = strict_mode.limits(raw)
        strict_mode.check_search(limits, search)
        codes = NO_CODES if snapshot is None else snapshot.codes(search.vector)
        common = template(search, codes, limits, local=local)
        size = strict_mode.cap(limits, "search_max_batchsize", QUERIES)
        must_verify = snapshot is not None and depends_on_snapshot(search, codes)
        return cls(search, vector, codes, common, size, local, must_verify)

    def how(self, store: QdrantStore, codes: Codes) -> SearchProvenance:
        version = store.connection.version
        return how(self.search, codes, version, self.vector.metric, local=self.local)


def run(store: QdrantStore, collection: str, queries: Any, search: SearchRequest) -> Hits:
    """Run a batch of queries and report how they were searched.

    Raises:
        SpecError, UnsupportedError
        InputError: the search exceeds a limit of strict mode.
    """
    raw = store.configuration(collection)
    snapshot = None if store.connection.local else store.snapshot(collection)
    check(search)
    search = dataclasses.replace(
        search, filter=store.with_unread_dates(collection, raw, search.filter)
    )
    resolved = _Resolved.of(store, raw, snapshot, search)
    array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    cosine = resolved.vector.metric is Metric.COSINE
    array = vector_norms.prepared_queries(
        array, resolved.vector.datatype, cosine=cosine, normalizes_cosine=True
    )
    found = []
    for start in range(0, len(array), resolved.size):
        part = array[start : start + resolved.size]
        found += query(store.connection, collection, part, resolved.common)
    codes = resolved.codes
    if snapshot is not None and resolved.must_verify:
        codes = _codes_now(store, collection, search.vector, snapshot)
    return hits(found, search, resolved.vector, resolved.how(store, codes))


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
