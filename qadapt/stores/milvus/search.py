"""Search with an index, with sign bits, or by reading all rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import (
    Hits,
    Id,
    Kind,
    Metric,
    Quantization,
    Rescore,
    SearchProvenance,
    Vector,
    vector_norms,
)
from qadapt.model.found_rows import FoundRows, float32_values
from qadapt.stores import brute_force
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.milvus import binary_sidecar, native_mapping, rows, vector_layout
from qadapt.stores.milvus.connection import CONSISTENCY_LEVELS, Connection
from qadapt.stores.milvus.index_params import Index, refinement
from qadapt.stores.milvus.json_existence import compiled
from qadapt.stores.milvus.mapping import IVF, REFINE_TYPES
from qadapt.stores.milvus.schema import METRICS, Field, Layout
from qadapt.stores.milvus.version import HNSW_CODES, ServerVersion

OPTIONS = (
    "ef",
    "nprobe",
    "reorder_k",
    "refine_k",
    "rbq_bits_query",
    "search_list",
    "consistency_level",
    "partition_names",
)
# The maximum number of results of one request: queries times k.
RESULTS = 100_000
QUERIES = 100
_MAX_EF = 32_768
_MAX_NPROBE = 65_536

SCORES_FROM_BITS = (
    "scores are estimated from sign bits: the cosine of the angle estimated by the share of bits "
    "that differ"
)
ALL_READ = "Milvus cannot bypass its index: qadapt read and scored all rows"


def check(search: SearchRequest) -> None:
    """Refuse unknown search options and invalid values.

    Raises:
        SpecError: an option is unknown or its value invalid.
    """
    for name, value in search.options.items():
        if name not in OPTIONS:
            raise SpecError.unknown("search option", name, OPTIONS, where="milvus")
        if name == "consistency_level":
            if value not in CONSISTENCY_LEVELS:
                raise SpecError.unknown("consistency level", str(value), CONSISTENCY_LEVELS)
        elif name == "refine_k":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
                raise SpecError(
                    f"refine_k must be a number of at least 1, not {value!r}",
                    hint="for example options={'refine_k': 4}",
                )
        elif name != "partition_names" and (
            isinstance(value, bool) or not isinstance(value, int) or value < 0
        ):
            # The server refuses a float: "Type conflict in json".
            raise SpecError(
                f"{name} must be a non-negative integer, not {value!r}",
                hint=f"for example options={{{name!r}: 64}}",
            )


def check_rescore(rescore: Rescore | None, index: Index | None) -> None:
    """Refuse rescoring by finer codes that the index does not have.

    Raises:
        UnsupportedError: the index has no refinement, or another one.
    """
    if rescore is None or not rescore.by_codes:
        return
    kept, wanted = refinement(index), REFINE_TYPES.get(rescore.source, "").lower()
    if kept is not None and wanted in ("", kept):
        return
    if kept is not None:
        raise UnsupportedError(
            f"the index keeps {kept.upper()} to rescore with, not {rescore.source}",
            hint="use rescore source 'codes', or build the index for this source: "
            f"`qadapt apply` with {rescore.option}",
        )
    raise UnsupportedError(
        "the index has no refinement to rescore with",
        hint="build it with rescore source int8, float16 or bfloat16, such as rescore=4@int8 "
        "(Milvus 2.5 and newer), or rescore with the original vectors (rescore source 'originals')",
    )


def params(index: Index | None, search: SearchRequest, count: int) -> dict[str, str]:
    """All search parameters as strings, including defaults.

    Args:
        count: the number of rows, which determines how many lists to probe; 0 if unknown.
    """
    kind = index.type if index is not None else ""
    given = {
        name: str(value)
        for name, value in search.options.items()
        if name not in ("consistency_level", "partition_names")
    }
    wanted = candidates(search)
    found: dict[str, str] = {}
    if kind.startswith("HNSW"):
        found["ef"] = str(min(_MAX_EF, max(64, 2 * search.k, wanted)))
    elif kind in IVF and index is not None:
        lists = int(index.params.get("nlist", "128"))
        # A segment has at most one list per 39 rows.
        lists = max(1, min(lists, count // 39)) if count else lists
        enough = -(-2 * wanted * lists // count) if count else 0
        found["nprobe"] = str(min(_MAX_NPROBE, lists, max(64, -(-lists // 8), enough)))
        if kind == "SCANN":
            found["reorder_k"] = str(max(search.k, wanted))
    elif kind in ("DISKANN", "AISAQ"):
        found["search_list"] = str(max(100, wanted))
    refines = kind in (*HNSW_CODES, "IVF_RABITQ", "IVF_RABITQ_FASTSCAN", "IVF_SQ8", "IVF_PQ")
    if refines and refinement(index) and search.rescore is not None and search.rescore.on:
        found["refine_k"] = f"{search.rescore.engine_factor(search.k):g}"
    return {**found, **given}


def candidates(search: SearchRequest) -> int:
    """The number of candidates to request from the index."""
    rescore = search.rescore
    if rescore is None or not rescore.on:
        return search.k
    return rescore.count(search.k)


def level(search: SearchRequest, layout: Layout) -> str:
    """The consistency level of a search: of the call, the address, or the collection."""
    return str(search.options.get("consistency_level", layout.consistency))


def how(
    search: SearchRequest, layout: Layout, index: Index | None, quantization: Quantization
) -> SearchProvenance:
    """The provenance of the results of an index search."""
    chosen = "store default" if search.rescore is None else "call"
    notes = level_notes(search, layout)
    refines = refinement(index)
    on = search.rescore is not None and search.rescore.on
    if quantization.kind is Kind.NONE:
        return SearchProvenance("store", "none", 1.0, 0, "none", "exact", chosen, notes)
    if index is not None and index.type == "SCANN" and _raw(index):
        note = "SCANN rescores its candidates with the original vectors (reorder_k)"
        factor = search.rescore.factor(search.k) if on and search.rescore is not None else 1.0
        return SearchProvenance(
            *("store", "store", factor, candidates(search), "originals", "exact", chosen),
            (*notes, note),
        )
    if refines and on and search.rescore is not None:
        exact = refines in ("fp32", "flat")
        return SearchProvenance(
            "store",
            "store",
            search.rescore.factor(search.k),
            search.rescore.count(search.k),
            "originals" if exact else "codes",
            "exact" if exact else "approximate",
            chosen,
            notes,
        )
    return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)


def _raw(index: Index) -> bool:
    return index.params.get("with_raw_data", "true").lower() == "true"


def level_notes(search: SearchRequest, layout: Layout) -> tuple[str, ...]:
    """A note on the consistency level and which writes it sees."""
    name = level(search, layout)
    if name == "Strong":
        seen = "sees the writes of all clients; takes 260 ms on 2.3.5, Session 5 ms"
    elif name == "Session":
        seen = "sees the writes of this client"
    else:
        seen = "may not see the newest writes"
    return (f"consistency level {name}: {seen}",)


def blocks(queries: npt.NDArray[np.float32], k: int) -> Iterator[npt.NDArray[np.float32]]:
    """Queries in blocks that respect the limits of one request."""
    size = max(1, min(QUERIES, RESULTS // k))
    for start in range(0, len(queries), size):
        yield queries[start : start + size]


# -- searching -----------------------------------------------------------------------------------


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
    expression = compiled(connection, layout, search.filter, level(search, layout))
    array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    has_sidecar = layout.bits.get(field.field) == binary_sidecar.ON
    only_qadapt_knows_bits = search.no_params and field.form != vector_layout.ARRAY
    limited = bool(expression or layout.partition or "partition_names" in search.options)
    if not only_qadapt_knows_bits:
        found = None
        if search.exact or search.ignore_quantization or (has_sidecar and limited):
            request = ReadRequest(payload=False, filter=expression)
            vectors = {search.vector: field.vector}
            pages = rows.read(connection, layout, vectors, request, level(search, layout))
            name, vector = search.vector, field.vector
            found = brute_force.exact_search(pages, name, vector, array, search.k, ALL_READ)
        elif has_sidecar or field.coded:
            check_rescore(search.rescore, None)
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


class IndexSearch:
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
        check_rescore(search.rescore, index)
        version = ServerVersion(connection.version, connection.deployment)
        native = index.native if index else None
        quantization = native_mapping.from_native(native, field.vector, version)
        self._connection = connection
        self._layout = layout
        self._field = field
        self._search = search
        self._how = how(search, layout, index, quantization)
        given = {} if search.no_params else params(index, search, row_count())
        output = rows.output_fields(layout, {}, search.with_payload)
        self._request: dict[str, Any] = {
            "anns_field": field.field,
            "filter": expression,
            "limit": search.k,
            "output_fields": output,
            "search_params": {"metric_type": METRICS[field.vector.metric], "params": given},
            "consistency_level": level(search, layout),
            **layout.where,
        }
        if "partition_names" in search.options:
            self._request["partition_names"] = list(search.options["partition_names"])

    def __call__(self, queries: npt.NDArray[np.float32]) -> Hits:
        """Search float32 ``(nq, d)``."""
        layout, found = self._layout, []
        for block in blocks(queries, self._search.k):
            found += self._connection.call(
                f"search {layout.name!r}",
                self._connection.client.search,
                layout.base,
                data=list(vector_layout.stored(block, self._field.vector)),
                **self._request,
            )
        read = partial(_columns, found, layout, self._field.vector.metric)
        payloads = partial(_payloads, found, layout) if self._search.with_payload else None
        return Hits.of_rows(FoundRows(read, self._search.k, payloads), self._how)


def _columns(
    found: Sequence[Any], layout: Layout, metric: Metric
) -> tuple[list[list[Id]], list[list[float]]]:
    """Ids and scores; a higher score is better."""
    sign = -1.0 if metric is Metric.EUCLIDEAN else 1.0
    ids = [layout.keys.all_from_native(row.ids) for row in found]
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
    for block in blocks(queries, search.k):
        answer = connection.call(
            f"search the bits of {layout.name!r}",
            connection.client.search,
            place,
            data=[code.tobytes() for code in vector_layout.pack(block)],
            anns_field=vector_layout.codes_field(field.field) if own else binary_sidecar.CODES,
            limit=search.k,
            output_fields=[layout.keys.field],
            search_params={"metric_type": "HAMMING", "params": {}},
            consistency_level=level(search, layout),
            **limits,
        )
        for row in answer:
            found.append([_hit(layout, hit, field.vector) for hit in row])
    chosen = "store default" if search.rescore is None else "call"
    notes = (SCORES_FROM_BITS, *level_notes(search, layout))
    reported = SearchProvenance("store", "none", 1.0, 0, "none", "approximate", chosen, notes)
    return Hits.from_rows(found, search.k, reported)


def _hit(layout: Layout, hit: Any, vector: Vector) -> tuple[Id, float]:
    key = hit[layout.keys.field] if layout.keys.field in hit else hit["id"]
    score = math.cos(math.pi * float(hit["distance"]) / vector.dim)
    return layout.keys.from_native(key), score
