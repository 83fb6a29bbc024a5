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
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import PreparedSearch, SearchRequest
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
from qadapt.stores.qdrant.server.filters import to_models
from qadapt.stores.qdrant.server.grpc_search import GrpcSearch
from qadapt.stores.qdrant.server.rest_search import RestSearch

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
        return GrpcSearch(connection, name, common)
    doing = f"search {name!r}"

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
    return typed if connection.grpc else RestSearch(connection, name, common)


def prepare(store: QdrantStore, collection: str, request: SearchRequest) -> PreparedSearch | None:
    """A search for one snapshot of the collection, without a filter; see ``run``."""
    local = store.connection.local
    raw = store.configuration(collection)
    state = store.search_state(collection)
    resolved = _Resolved.of(store, raw, None if local else store.snapshot(collection), request)
    if state is None or request.filter is not None or resolved.must_verify:
        return None
    reported = resolved.how(store, resolved.codes)
    if local:
        found = _prepare_local(store, collection, state, resolved, reported)
        if found is not None:
            return found
    ask = asker(store.connection, collection, resolved.common)
    return _Prepared(store, collection, state, resolved, ask, reported)


class _Prepared(AwaitedSearch):
    """A search of a server for one snapshot of the collection; None once that has expired."""

    def __init__(
        self,
        store: QdrantStore,
        collection: str,
        state: Any,
        resolved: _Resolved,
        ask: Callable[[Floats], list[Answer]],
        reported: SearchProvenance,
    ) -> None:
        self._store = store
        self._collection = collection
        self._state = state
        self._resolved = resolved
        self._ask = ask
        self._reported = reported

    def __call__(self, queries: Floats) -> Hits | None:
        if not self._unchanged():
            return None
        found, size = [], self._resolved.size
        for start in range(0, len(queries), size):
            found += self._ask(queries[start : start + size])
        return self._hits(found)

    async def awaited(self, queries: Floats) -> Hits | None:
        ask = self._ask
        if not self._store.awaits_searches or not isinstance(ask, (RestSearch, GrpcSearch)):
            return None
        if len(queries) > self._resolved.size:
            return None  # several requests
        return self._hits(await ask.awaited(queries)) if self._unchanged() else None

    def _unchanged(self) -> bool:
        return self._store.search_state(self._collection) is self._state

    def _hits(self, found: list[Answer]) -> Hits:
        return hits(found, self._resolved.search, self._resolved.vector, self._reported)


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
