"""Search with an index, with sign bits, or by reading all rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qadapt.model import (
    Hits,
    Id,
    Metric,
    SearchProvenance,
    Vector,
    vector_norms,
)
from qadapt.model.found_rows import FoundRows, float32_values
from qadapt.stores import brute_force
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.milvus import (
    binary_sidecar,
    native_mapping,
    rows,
    search_params,
    vector_layout,
)
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.json_existence import compiled
from qadapt.stores.milvus.schema import HAMMING, Field, Layout, metric_word
from qadapt.stores.milvus.version import ServerVersion

if TYPE_CHECKING:
    from qadapt.stores.milvus.snapshot import CollectionReader

SCORES_FROM_BITS = (
    "scores are estimated from sign bits: the cosine of the angle estimated by the share of bits "
    "that differ"
)
ALL_READ = "Milvus cannot bypass its index: qadapt read and scored all rows"


def run(
    connection: Connection,
    layout: Layout,
    queries: Any,
    search: SearchRequest,
    row_count: Callable[[], int],
    with_payloads: Callable[[Hits], Hits],
) -> Hits:
    """Search with the index, with the sign bits, or by reading all rows.

    Sign bits in a second collection cannot be filtered, so a search of them with a filter or in
    one partition reads all rows that match.

    Args:
        row_count: the approximate number of rows, called only if the search parameters need it.
        with_payloads: fetches payloads that the response of the search does not contain.

    Raises:
        UnsupportedError: the index cannot rescore from the requested source.
    """
    field = layout.field(search.vector)
    expression = compiled(connection, layout, search.filter, search_params.level(search, layout))
    array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    has_sidecar = layout.bits.get(field.field) == binary_sidecar.ON
    only_qadapt_knows_bits = search.no_params and field.form != vector_layout.ARRAY
    limited = bool(expression or layout.partition or "partition_names" in search.options)
    if not only_qadapt_knows_bits:
        found = None
        if search.exact or search.ignore_quantization or (has_sidecar and limited):
            request = ReadRequest(payload=False, filter=expression)
            vectors = {search.vector: field.vector}
            pages = rows.read(
                connection, layout, vectors, request, search_params.level(search, layout)
            )
            name, vector = search.vector, field.vector
            found = brute_force.exact_search(pages, name, vector, array, search.k, ALL_READ)
        elif has_sidecar or field.coded:
            search_params.check_rescore(search.rescore, None)
            found = _search_bits(connection, layout, field, array, search, expression)
        if found is not None:
            return with_payloads(found) if search.with_payload else found
    datatype, cosine = field.vector.datatype, field.vector.metric is Metric.COSINE
    array = vector_norms.prepared_queries(array, datatype, cosine=cosine, normalizes_cosine=False)
    made = partial(IndexSearch, connection, layout, field, expression=expression)
    try:
        return made(search, row_count=row_count)(array)
    except TooLargeError:  # large payloads, which are fetched in several requests
        if not search.with_payload:
            raise
        without = dataclasses.replace(search, with_payload=False)
        return with_payloads(made(without, row_count=row_count)(array))


def prepare(
    connection: Connection, layout: Layout, search: SearchRequest, row_count: Callable[[], int]
) -> IndexSearch | None:
    """A search with the index; None if the search reads rows, sign bits, or has a filter."""
    field = layout.field(search.vector)
    bits = field.coded or layout.bits.get(field.field) == binary_sidecar.ON
    if bits or search.exact or search.ignore_quantization or search.filter is not None:
        return None
    return IndexSearch(connection, layout, field, search, expression="", row_count=row_count)


class IndexSearch(AwaitedSearch):
    """A search of one vector with its index; requests differ in the queries only.

    Raises:
        UnsupportedError: the index cannot rescore from the requested source.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        field: Field,
        search: SearchRequest,
        *,
        expression: str,
        row_count: Callable[[], int],
    ) -> None:
        index = field.index
        search_params.check_rescore(search.rescore, index)
        version = ServerVersion(connection.version, connection.deployment)
        native = index.native if index else None
        quantization = native_mapping.from_native(native, field.vector, version)
        self._connection = connection
        self._layout = layout
        self._field = field
        self._search = search
        self._how = search_params.how(search, layout, index, quantization)
        given = {} if search.no_params else search_params.params(index, search, row_count())
        output = rows.output_fields(layout, {}, search.with_payload)
        self._request: dict[str, Any] = {
            "anns_field": field.field,
            "filter": expression,
            "limit": search.k,
            "output_fields": output,
            "search_params": {"metric_type": metric_word(field.vector), "params": given},
            "consistency_level": search_params.level(search, layout),
            **layout.where,
        }
        if "partition_names" in search.options:
            self._request["partition_names"] = list(search.options["partition_names"])

    def __call__(self, queries: npt.NDArray[np.float32]) -> Hits:
        """Search float32 ``(nq, d)``."""
        found: list[Any] = []
        for block in search_params.blocks(queries, self._search.k):
            found += self._connection.call(*self._call(), **self._arguments(block))
        return self._hits(found)

    async def awaited(self, queries: npt.NDArray[np.float32]) -> Hits | None:
        """Search one query; None for several, which may exceed the limits of a request."""
        if len(queries) != 1:
            return None
        found = await self._connection.awaited(*self._call(), **self._arguments(queries))
        return self._hits(found)

    def _call(self) -> tuple[str, Callable[..., Any], str]:
        layout = self._layout
        return f"search {layout.name!r}", self._connection.client.search, layout.base

    def _arguments(self, queries: npt.NDArray[np.float32]) -> dict[str, Any]:
        data = list(vector_layout.stored(queries, self._field.vector))
        return {"data": data, **self._request}

    def _hits(self, found: Sequence[Any]) -> Hits:
        layout = self._layout
        read = partial(_columns, found, layout, self._field.vector)
        payloads = partial(_payloads, found, layout) if self._search.with_payload else None
        return Hits.of_rows(FoundRows(read, self._search.k, payloads), self._how)


class LoadedSearch(AwaitedSearch):
    """A search of a collection, which is loaded if Milvus Lite reports that it is not."""

    def __init__(self, reader: CollectionReader, collection: str, search: IndexSearch) -> None:
        self._reader = reader
        self._collection = collection
        self._search = search

    def __call__(self, queries: npt.NDArray[np.float32]) -> Hits:
        return self._reader.loaded(self._collection, lambda: self._search(queries))

    async def awaited(self, queries: npt.NDArray[np.float32]) -> Hits | None:
        return await self._search.awaited(queries)


def _columns(
    found: Sequence[Any], layout: Layout, vector: Vector
) -> tuple[list[list[Id]], list[list[float]]]:
    """Ids and scores; a higher score is better."""
    sign = -1.0 if vector.metric is Metric.EUCLIDEAN else 1.0
    ids = [layout.keys.all_from_native(row.ids) for row in found]
    if vector.datatype == "bit":  # the cosine of -1 and 1, of which `distance` differ
        scores = [[1 - 2 * far / vector.dim for far in row.distances] for row in found]
        return ids, [float32_values(row) for row in scores]
    scores = [[sign * score for score in row.distances] for row in found]
    return ids, [float32_values(row) for row in scores]


def _payloads(found: Sequence[Any], layout: Layout) -> list[list[dict[str, Any] | None]]:
    return [[rows.payload_of(layout, hit["entity"]) for hit in row] for row in found]


def _search_bits(
    connection: Connection,
    layout: Layout,
    field: Field,
    queries: npt.NDArray[np.float32],
    search: SearchRequest,
    expression: str,
) -> Hits:
    """Search for the rows whose sign bits have the smallest Hamming distance.

    Args:
        expression: the filter; empty if the sign bits are in a second collection.
    """
    own = field.form != vector_layout.FLOAT
    place = layout.base if own else binary_sidecar.name_of(layout.real, field.field)
    limits: dict[str, Any] = {"filter": expression, **layout.where} if own else {}
    found: list[list[tuple[Id, float]]] = []
    for block in search_params.blocks(queries, search.k):
        answer = connection.call(
            f"search the bits of {layout.name!r}",
            connection.client.search,
            place,
            data=[code.tobytes() for code in vector_layout.pack(block)],
            anns_field=vector_layout.codes_field(field.field) if own else binary_sidecar.CODES,
            limit=search.k,
            output_fields=[layout.keys.field],
            search_params={"metric_type": HAMMING, "params": {}},
            consistency_level=search_params.level(search, layout),
            **limits,
        )
        for row in answer:
            found.append([_hit(layout, hit, field.vector) for hit in row])
    chosen = "store default" if search.rescore is None else "call"
    notes = (SCORES_FROM_BITS, *search_params.level_notes(search, layout))
    reported = SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)
    return Hits.from_rows(found, search.k, reported)


def _hit(layout: Layout, hit: Any, vector: Vector) -> tuple[Id, float]:
    key = hit[layout.keys.field] if layout.keys.field in hit else hit["id"]
    score = math.cos(math.pi * float(hit["distance"]) / vector.dim)
    return layout.keys.from_native(key), score
