"""Searches by Chroma's HNSW graph, and exact ones by qadapt: Chroma has none without the graph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from qadapt.model import Hits, Metric, SearchProvenance
from qadapt.model.arrays import Floats
from qadapt.model.found_rows import Columns, FoundRows, Payloads, clip
from qadapt.stores import brute_force, checks, distances
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

    Attributes:
        layout: the collection.
        k: number of results.
        with_payload: return payloads.
        include: what the client returns besides ids.
        scores: the scores of distances, exact in float32.
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
        self.layout = layout
        self.k = request.k
        self.with_payload = request.with_payload
        more = ["metadatas", "documents"] if request.with_payload else []
        self.include = ["distances", *more]
        self._condition = condition
        assert layout.vector is not None
        # Chroma's distances are the squared one, or 1 minus the cosine or dot product.
        squared = layout.vector.metric is Metric.EUCLIDEAN
        self.scores = distances.negative if squared else distances.one_minus
        origin = "store default" if request.rescore is None else "call"
        self._how = SearchProvenance("store", "none", 1.0, 0, "none", "exact", origin)

    def __call__(self, queries: Floats) -> Hits:
        given = {} if self._condition is None else {"where": self._condition}
        found = self._connection.call(
            f"search {self.layout.name!r}",
            self.layout.native.query,
            query_embeddings=queries,
            n_results=self.k,
            include=self.include,
            **given,
        )
        answer = SimpleNamespace(**found)
        return Hits.of_rows(FoundByIndex(answer, self, self.k, self.with_payload), self.how())

    def how(self) -> SearchProvenance:
        """How a search that has just ended was executed."""
        notes = self._foreign.notes(self.layout.uuid) if self._foreign is not None else ()
        return self._how.replace(notes=notes) if notes else self._how


class FoundByIndex(FoundRows):
    """Results of the graph.

    Args:
        answer: ``ids`` and ``distances`` of each query and, with payloads, ``metadatas`` and
            ``documents``.
    """

    __slots__ = ("_answer", "_search")

    def __init__(self, answer: Any, search: IndexSearch, k: int, with_payload: bool) -> None:
        # One is made for each search: everything else is left for when the results are read.
        self._answer = answer
        self._search = search
        self._lists = None
        self.k = k
        self.with_payload = with_payload
        self.clip = self.typed_ids = False

    def lists(self) -> Columns:
        """Ids and scores of each query."""
        if self._lists is None:
            integers = self._search.layout.integers
            ids = [chroma_ids.decoded(each, integers=integers) for each in self._answer.ids]
            scores = list(map(self._search.scores, self._answer.distances))
            self._lists = (ids, clip(scores) if self.clip else scores)
        return self._lists

    def payload_lists(self) -> Payloads:
        """Payloads of each query."""
        cells = zip(self._answer.metadatas, self._answer.documents, strict=True)
        return [payload.read_rows(*each) for each in cells]


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
