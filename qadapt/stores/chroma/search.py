"""Searches by Chroma's HNSW graph, and exact ones by qadapt: Chroma has none without the graph."""

from __future__ import annotations

from typing import Any

from qadapt.model import Hits, Id, Metric, SearchProvenance
from qadapt.model.arrays import Floats
from qadapt.model.found_rows import FoundRows, float32_values
from qadapt.stores import brute_force, checks
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.chroma import ids as chroma_ids
from qadapt.stores.chroma import payload, rows
from qadapt.stores.chroma.change_counter import ForeignWrites
from qadapt.stores.chroma.connection import Connection
from qadapt.stores.chroma.filters import Where, parsed, where
from qadapt.stores.chroma.schema import Layout
from qadapt.stores.row_batches import with_payloads

EXACT = "Chroma has no search without its graph: qadapt compared the vectors of all rows"
NO_FILTER = (
    "Chroma has no condition for this filter: qadapt applied it to the payloads, and compared the "
    "vectors of the rows that match"
)
MAX_K = 10_000


class IndexSearch:
    """A search by the graph; requests differ in the queries only.

    Args:
        condition: the native filter; None for all rows.
        foreign: what is known of writes by other clients.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        request: SearchRequest,
        condition: Where | None = None,
        foreign: ForeignWrites | None = None,
    ) -> None:
        self._connection = connection
        self._foreign = foreign
        self._layout = layout
        self._k = request.k
        self._doing = f"search {layout.name!r}"
        more = ["metadatas", "documents"] if request.with_payload else []
        self._given: dict[str, Any] = {"n_results": request.k, "include": ["distances", *more]}
        if condition is not None:
            self._given["where"] = condition
        self._with_payload = request.with_payload
        assert layout.vector is not None
        self._squared = layout.vector.metric is Metric.EUCLIDEAN
        origin = "store default" if request.rescore is None else "call"
        self._how = SearchProvenance("store", "none", 1.0, 0, "none", "exact", origin)

    def __call__(self, queries: Floats) -> Hits:
        found = self._connection.call(
            self._doing, self._layout.native.query, query_embeddings=queries, **self._given
        )

        def read() -> tuple[list[list[Id]], list[list[float]]]:
            integers = self._layout.integers
            ids = [chroma_ids.decoded(each, integers=integers) for each in found["ids"]]
            return ids, [self._scores(each) for each in found["distances"]]

        def read_payloads() -> list[list[dict[str, Any] | None]]:
            return [
                [payload.read(*each) for each in zip(fields, documents, strict=True)]
                for fields, documents in zip(found["metadatas"], found["documents"], strict=True)
            ]

        how = self._how
        notes = self._foreign.notes(self._layout.uuid) if self._foreign is not None else ()
        if notes:
            how = how.replace(notes=notes)
        held = FoundRows(read, self._k, read_payloads if self._with_payload else None)
        return Hits.of_rows(held, how)

    def _scores(self, distances: list[float]) -> list[float]:
        """Chroma's distances are the squared one, or 1 minus the cosine or dot product."""
        start = 0.0 if self._squared else 1.0
        return float32_values([start - each for each in distances])


def check(request: SearchRequest) -> None:
    """Check what Chroma's searches do not have.

    Raises:
        InputError, UnsupportedError
    """
    checks.scan_request(request, "chroma", MAX_K)


def run(
    connection: Connection,
    layout: Layout,
    queries: Floats,
    request: SearchRequest,
    foreign: ForeignWrites,
) -> Hits:
    """Search by the graph, or compare all rows if that is requested or the filter requires it."""
    check(request)
    condition = None
    if request.filter is not None:
        condition = where(parsed(request.filter), layout.unfiltered)
    if not request.exact and (request.filter is None or condition is not None):
        return IndexSearch(connection, layout, request, condition, foreign)(queries)
    note = EXACT if request.exact else NO_FILTER
    hits = exact(connection, layout, queries, request, note)
    if not request.with_payload:
        return hits
    return _with_payloads(connection, layout, hits)


def exact(
    connection: Connection, layout: Layout, queries: Floats, request: SearchRequest, note: str
) -> Hits:
    """Compare the vectors of all rows that match."""
    read = ReadRequest(payload=False, filter=request.filter)
    pages = rows.pages(connection, layout, read, vectors=True)
    assert layout.vector is not None
    return brute_force.exact_search(pages, "", layout.vector, queries, request.k, note)


def _with_payloads(connection: Connection, layout: Layout, hits: Hits) -> Hits:
    def fetch(ids: Any) -> Any:
        return rows.fetch(connection, layout, ids, vectors=False, payloads=True)

    return with_payloads(hits, fetch)
