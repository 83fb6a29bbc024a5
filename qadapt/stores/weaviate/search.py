"""Conversion of a search to Weaviate's queries, and of the responses to ``Hits``.

A query has no parameters for rescoring, oversampling, ef or exact search
(docs/engines/weaviate.md#rescoring), only a limit. To rescore ``f * k`` candidates,
``ceil(f * k)`` results are requested, which the server rescores with the original vectors, and
``k`` are kept. The server's profile of the first query shows whether it rescored; without a
profile (before 1.36.9) the configuration is assumed to apply, with a note.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import DimensionError, SpecError, StoreError, UnsupportedError
from qadapt.model import Batch, Hits, Id, Metric, SearchProvenance, Vector, vector_norms
from qadapt.model.capabilities import older
from qadapt.model.found_rows import FoundRows, float32_values
from qadapt.stores import brute_force
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import SearchRequest
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.weaviate import cursor, native_rescore, rows, vector_index_config
from qadapt.stores.weaviate import payload as weaviate_payload
from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.filters import to_message
from qadapt.stores.weaviate.schema import Field, Layout
from qadapt.stores.weaviate.version import SINCE_VECTORS, ServerVersion

OPTIONS: tuple[str, ...] = ()
MOST = 10_000
PROFILE_SINCE = "1.36.9"
HFRESH_ANY_LIMIT = "1.40"
_RESCORED = "knn_search_rescore_took"

ALL_READ = "Weaviate cannot search without its index: qadapt read and scored all rows"
ALWAYS = "this index always rescores with the original vectors; a query cannot disable it"
NOT_IN_USE = (
    "codes are not in use: Weaviate searched the original vectors (`qadapt inspect` shows why)"
)
BELIEVED = "as configured: this version has no query profile that verifies rescoring"


def search(
    connection: Connection, layout: Layout, tenant: str, queries: Any, request: SearchRequest
) -> Hits:
    """Search the index, or all rows for an exact search.

    Returns:
        Hits; without payloads if rows were read, or if the payloads are too large for one response.

    Raises:
        SpecError, DimensionError, UnsupportedError
    """
    field = layout.field(request.vector)
    array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    check(request, field, array, connection.version)
    cosine = field.metric is Metric.COSINE
    array = vector_norms.prepared_queries(array, "float32", cosine=cosine, normalizes_cosine=False)
    message = to_message(request.filter, layout, connection.version)
    if request.exact or request.ignore_quantization:
        selection = rows.Selection(layout, tenant, {request.vector: field})
        pages = cursor.read(connection, selection, message)
        vector = Vector(array.shape[1], field.metric)
        return exact(pages, request.vector, vector, array, request.k)
    made = partial(NativeSearch, connection, layout, tenant, field)
    try:
        return made(request, message)(array)
    except TooLargeError:
        if not request.with_payload:
            raise
        return made(dataclasses.replace(request, with_payload=False), message)(array)


def prepare(
    connection: Connection, layout: Layout, tenant: str, request: SearchRequest
) -> NativeSearch | None:
    """A search of the index that is used again; None if rows are read, or with a filter."""
    field = layout.field(request.vector)
    whole = request.exact or request.ignore_quantization or request.filter is not None
    if whole or field.dim is None:
        return None
    check(request, field, np.empty((0, field.dim), np.float32), connection.version)
    return NativeSearch(connection, layout, tenant, field, request, filter=None)


def check(
    search: SearchRequest, field: Field, queries: npt.NDArray[np.float32], version: str
) -> None:
    """Refuse searches that would return nothing or fail on the server.

    Raises:
        SpecError, DimensionError, UnsupportedError
    """
    for name in search.options:
        if name not in OPTIONS:
            raise SpecError.unknown("search option", name, OPTIONS, where="weaviate")
    # With RQ, and with BQ of the same code size, the server returns nothing and no error.
    if field.dim is not None and queries.shape[1] != field.dim:
        raise DimensionError(field.dim, queries.shape[1], what="queries")
    if search.rescore is not None and search.rescore.by_codes:
        raise UnsupportedError(
            "Weaviate stores no finer codes for rescoring", hint="rescore with the original vectors"
        )
    if field.index == "hfresh" and older(version, HFRESH_ANY_LIMIT):
        _check_hfresh(search, field)


def _check_hfresh(search: SearchRequest, field: Field) -> None:
    if dict(field.config.get("rq") or {}).get("rescoreLimit") == 0:
        raise UnsupportedError(
            "hfresh with rescoreLimit 0: the server accepts the setting, but each search fails",
            hint="set rq.rescoreLimit of the collection; the default is 350",
        )
    most = native_rescore.of(field.native).most
    if most is not None and search.k > most:
        raise UnsupportedError(
            f"hfresh returns at most rescoreLimit results: {most:,}, not {search.k:,}",
            hint="raise rq.rescoreLimit of the collection, or use a smaller k",
        )


def limit(search: SearchRequest, field: Field) -> tuple[int, tuple[str, ...]]:
    """The number of results to request, and a note about it."""
    if (
        search.rescore is None
        or not search.rescore.on
        or vector_index_config.quantizer(field.native) is None
    ):
        return search.k, ()
    wanted = search.rescore.count(search.k)
    # Servers from HFRESH_ANY_LIMIT on could return more than `most`; qadapt does not use it.
    most = min(MOST, native_rescore.of(field.native).most or MOST)
    if wanted <= most:
        return wanted, ()
    return most, (
        f"Weaviate returns at most {most:,} results: {most:,} candidates instead of {wanted:,}",
    )


class NativeSearch(AwaitedSearch):
    """A search of one vector; requests differ in the query only.

    The server's profile of a search that rescored is not requested again.

    Args:
        layout: the schema, possibly a few seconds old.
        tenant: empty if the collection has no tenants.
        filter: message of the server, or None.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        tenant: str,
        field: Field,
        search: SearchRequest,
        filter: Any,
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._field = field
        self._search = search
        self._count, self._notes = limit(search, field)
        self._target = (connection, layout, tenant, field)
        self._rest = (self._count, filter)
        quantized = vector_index_config.quantizer(field.native) is not None
        self._profiled = quantized and not older(connection.version, PROFILE_SINCE)
        self._verified: SearchProvenance | None = None

    def __call__(self, queries: npt.NDArray[np.float32]) -> Hits:
        """Run all queries, several at a time.

        Raises:
            TooLargeError: a response with payloads exceeds the limit of a message.
        """
        connection, doing = self._connection, f"search {self._layout.name!r}"
        requests = self._requests(queries)
        if len(queries) == 1:
            answers = [connection.ask("Search", next(requests), doing=doing)]
        else:
            answers = list(connection.ask_many("Search", requests, doing=doing))
        return self._hits(answers)

    async def awaited(self, queries: npt.NDArray[np.float32]) -> Hits | None:
        """Run one query; None for several, which a thread sends a few at a time."""
        if len(queries) != 1:
            return None
        doing = f"search {self._layout.name!r}"
        request = next(self._requests(queries))
        return self._hits([await self._connection.awaited("Search", request, doing=doing)])

    def _hits(self, answers: list[Any]) -> Hits:
        found = [self._rows(answer) for answer in answers]
        reported = self._how(answers[0] if answers else None)
        read = partial(_columns, found, self._field.metric)
        payloads = partial(_payloads, found, self._layout) if self._search.with_payload else None
        return Hits.of_rows(FoundRows(read, self._search.k, payloads), reported)

    def _requests(self, queries: npt.NDArray[np.float32]) -> Iterator[Any]:
        ask_profile = self._profiled and self._verified is None
        for at, query in enumerate(np.ascontiguousarray(queries, dtype="<f4")):
            yield _request(
                *self._target,
                query,
                *self._rest,
                profile=ask_profile and at == 0,
                payload=self._search.with_payload,
            )

    def _rows(self, answer: Any) -> list[Any]:
        """The results to keep.

        Raises:
            StoreError: a distance is NaN.
        """
        rows = list(answer.results[: self._search.k])
        for row in rows:
            if row.metadata.distance != row.metadata.distance:
                raise StoreError(
                    f"could not search {self._layout.name!r}: the server returned NaN as the "
                    f"distance of {row.metadata.id}",
                    hint="its vector contains NaN, which ranks first in every search: delete or "
                    "fix it",
                )
        return rows

    def _how(self, answer: Any) -> SearchProvenance:
        if self._verified is not None:
            return self._verified
        seen = _rescored(answer) if self._profiled and answer is not None else None
        found = how(self._search, self._field, self._count, seen, self._notes)
        if seen or not self._profiled:
            self._verified = found
        return found


def _columns(
    found: Sequence[list[Any]], metric: Metric
) -> tuple[list[list[Id]], list[list[float]]]:
    """Ids and scores; higher is better, in the unit of the metric."""
    data = [[row.metadata for row in rows] for rows in found]
    ids: list[list[Id]] = [[each.id for each in row] for row in data]
    scores = [[-each.distance for each in row] for row in data]
    if metric is Metric.COSINE:
        scores = [[1.0 + score for score in row] for row in scores]
    return ids, [float32_values(row) for row in scores]


def _payloads(found: Sequence[list[Any]], layout: Layout) -> list[list[dict[str, Any] | None]]:
    return [
        [weaviate_payload.decode(layout, row.properties.non_ref_props.fields) for row in rows]
        for rows in found
    ]


def _request(
    connection: Connection,
    layout: Layout,
    tenant: str,
    field: Field,
    query: npt.NDArray[np.float32],
    limit: int,
    filter: Any,
    *,
    profile: bool,
    payload: bool = False,
) -> Any:
    search = proto().search_get_pb2
    asked = {"query_profile": True} if profile and hasattr(search, "QueryProfile") else {}
    return search.SearchRequest(
        collection=layout.real,
        tenant=tenant,
        limit=limit,
        near_vector=query_message(connection, field, query),
        filters=filter,
        metadata=search.MetadataRequest(uuid=True, distance=True, **asked),
        properties=rows.properties(layout, payload),
        uses_123_api=True,
        uses_125_api=True,
        uses_127_api=True,
    )


def _rescored(answer: Any) -> bool | None:
    """Whether the server rescored, by its profile; None if there is no profile."""
    shards = getattr(getattr(answer, "query_profile", None), "shards", ())
    details = [dict(each.details) for shard in shards for each in shard.searches.values()]
    return any(_RESCORED in each for each in details) if details else None


def how(
    search: SearchRequest, field: Field, count: int, seen: bool | None, notes: tuple[str, ...] = ()
) -> SearchProvenance:
    """Who searched and who rescored.

    Args:
        count: results requested per query.
        seen: whether the server rescored, by its profile; None without a profile.
    """
    chosen = "store default" if search.rescore is None else "call"
    if vector_index_config.quantizer(field.native) is None:
        return SearchProvenance("store", "none", 1.0, 0, "none", "exact", chosen, notes)
    rule = native_rescore.of(field.native)
    if rule.off:
        return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)
    if seen is False and field.index == "hnsw":
        return SearchProvenance(
            "store", "none", 1.0, 0, "none", "exact", chosen, (*notes, NOT_IN_USE)
        )
    if search.rescore is not None and not search.rescore.on:
        notes = (*notes, ALWAYS)
    if seen is None and field.index == "hnsw":
        notes = (*notes, BELIEVED)
    asked = search.rescore
    factor = asked.factor(search.k) if asked is not None and asked.on else count / search.k
    ef = int(field.config.get("ef", -1))
    scored = max(count, rule.candidates(field.index, count, ef))
    return SearchProvenance("store", "store", factor, scored, "originals", "exact", chosen, notes)


def exact(
    pages: Iterator[Batch], name: str, vector: Vector, queries: npt.NDArray[np.float32], k: int
) -> Hits:
    """Search by reading all rows and scoring the original vectors."""
    return brute_force.exact_search(pages, name, vector, queries, k, ALL_READ)


def query_message(connection: Connection, field: Field, query: npt.NDArray[np.float32]) -> Any:
    """The ``NearVector`` of one query, float32 ``(d,)``.

    Servers before 1.29 ignore the field ``vectors`` ("near_vector: vector is required", 1.27.27).
    """
    messages = proto()
    base = messages.base_pb2
    raw = np.ascontiguousarray(query, dtype="<f4").tobytes()
    if ServerVersion(connection.version).has(SINCE_VECTORS):
        single = base.Vectors(vector_bytes=raw, type=base.Vectors.VECTOR_TYPE_SINGLE_FP32)
        found = messages.base_search_pb2.NearVector(vectors=[single])
    else:
        found = messages.base_search_pb2.NearVector(vector_bytes=raw)
    if field.target is not None:
        found.targets.target_vectors.append(field.target)
    return found
