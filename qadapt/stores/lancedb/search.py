"""Searches: one request of lancedb for a batch of queries.

``refine_factor`` rescores whole multiples of k by the original vectors. Without it, the distances
are those of the codes: twice the cosine distance, unless rows are not in the index yet
(docs/engines/lancedb.md#search).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Hits, Metric, Rescore, SearchProvenance
from qadapt.model.found_rows import Columns, FoundRows, Payloads
from qadapt.stores import distances
from qadapt.stores.base import SearchRequest, check_k
from qadapt.stores.lancedb import mapping, payload
from qadapt.stores.lancedb.schema import Column, Table
from qadapt.stores.lancedb.snapshot import Layout
from qadapt.stores.lancedb.status import VectorIndex

OPTIONS = ("nprobes", "ef", "fast_search")
# Partitions that a search of the engine probes by default.
NPROBES = 20
# Queries in one request.
BLOCK = 64
NO_METRIC = (
    "a client that sends no distance_type compares by {used}, not by {metric}: "
    "send distance_type({word!r})"
)
ROUNDED = "LanceDB rescores whole multiples of k: {asked:,} candidates were requested, {sent:,} are"
TAIL = "{count:,} rows are not in the index yet: their original vectors are compared"


@dataclass(frozen=True)
class Prepared:
    """A search of one vector.

    Attributes:
        layout: the table and its version.
        column: the vectors that are compared.
        k: number of results.
        params: arguments of the request by the name of its method, such as ``refine_factor``.
        condition: SQL of the filter.
        metric: in which the engine returns distances.
        halved: the distances are those of normalized vectors in ``l2``: twice those of cosine.
        how: who searched and rescored.
        with_payload: return payloads.
    """

    layout: Layout
    column: Column
    k: int
    params: Mapping[str, Any]
    condition: str | None
    metric: Metric
    halved: bool
    how: SearchProvenance
    with_payload: bool = False
    columns: tuple[str, ...] = field(default=())

    @property
    def table(self) -> Table:
        """The table."""
        return self.layout.table

    def request(self, query: Any) -> Any:
        """The request for a query ``(d,)`` or queries ``(nq, d)``."""
        found = self.layout.handle.search(query, vector_column_name=self.column.name)
        for name, value in self.params.items():
            method = getattr(found, name)
            found = method() if value is True else method(value)
        if self.condition is not None:
            found = found.where(self.condition, prefilter=True)
        return found.limit(self.k).select(list(self.columns))


def prepare(
    layout: Layout,
    column: Column,
    request: SearchRequest,
    condition: str | None,
    index: VectorIndex | None,
) -> Prepared:
    """The request of a search.

    Args:
        index: the index that serves the search; None if there is none.

    Raises:
        InputError, SpecError, UnsupportedError
    """
    k = check_k(request.k)
    check_options(request.options)
    rescore = request.rescore
    if rescore is not None and rescore.by_codes:
        raise UnsupportedError(
            "LanceDB keeps no finer codes for rescoring", hint="use rescore source 'originals'"
        )
    metric = column.vector.metric
    coded = index is not None and mapping.has_codes(index.config)
    scanned = request.exact or (request.ignore_quantization and coded)
    fields = payload.names(layout.table) if request.with_payload else []
    columns = (layout.table.key, "_distance", *fields)
    found = Prepared(
        layout, column, k, {}, condition, metric, False,
        _exact(request, "store"), request.with_payload, columns,
    )  # fmt: skip
    if request.no_params:
        return _without_params(found, index)
    params: dict[str, Any] = {"distance_type": mapping.WORDS[metric]}
    if index is None or scanned:
        if index is not None:
            params["bypass_vector_index"] = True
        exact = _exact(request, "store exact" if scanned else "store")
        return replace(found, params=params, how=exact)
    params.update(probes(request.options))
    if request.options.get("fast_search"):
        params["fast_search"] = True
    if not coded:
        params.update(_ef(request.options, k))
        return replace(found, params=params)
    on = rescore is not None and rescore.on
    factor = refine_factor(rescore, k) if rescore is not None and on else 0
    params.update(_ef(request.options, k * max(1, factor)))
    if factor:
        assert rescore is not None
        params["refine_factor"] = factor
        return replace(found, params=params, how=_rescored(request, rescore, factor, index))
    return replace(
        found, params=params, halved=_halved(metric, index), how=_by_codes(request, index)
    )


def check_options(options: Mapping[str, Any]) -> None:
    """Check the search parameters of a call.

    Raises:
        SpecError
    """
    for name, value in options.items():
        if name == "refine_factor":
            raise SpecError(
                "refine_factor is set by rescore", hint=f"rescore={value} instead of refine_factor"
            )
        if name not in OPTIONS:
            raise SpecError.unknown("search parameter", name, OPTIONS, where="lancedb")
        if name == "fast_search":
            valid = isinstance(value, bool)
        else:
            valid = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not valid:
            kind = "true or false" if name == "fast_search" else "a whole number"
            raise SpecError(f"{name} must be {kind}; got {value!r:.40}", hint=f"omit {name}")


def probes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters for the number of partitions.

    By default a search probes 20 partitions and returns fewer rows than asked if those have no
    more; without a maximum it goes on until it has enough.
    """
    if "nprobes" in options:
        return {"nprobes": options["nprobes"]}
    return {"minimum_nprobes": NPROBES, "maximum_nprobes": 0}


def _ef(options: Mapping[str, Any], candidates: int) -> dict[str, Any]:
    """``ef`` of a graph, which must not be less than the number of candidates."""
    return {"ef": max(int(options["ef"]), candidates)} if options.get("ef") else {}


def refine_factor(rescore: Rescore, k: int) -> int:
    """Candidates per result, rounded up to a whole number."""
    return math.ceil(rescore.count(k) / k)


def _halved(metric: Metric, index: VectorIndex) -> bool:
    return metric is Metric.COSINE and not index.unindexed


def _exact(request: SearchRequest, searcher: str) -> SearchProvenance:
    origin = "store default" if request.rescore is None else "call"
    return SearchProvenance(searcher, "none", 1.0, 0, "none", "exact", origin)


def _tail(index: VectorIndex) -> tuple[str, ...]:
    return (TAIL.format(count=index.unindexed),) if index.unindexed else ()


def _rescored(
    request: SearchRequest, rescore: Rescore, factor: int, index: VectorIndex
) -> SearchProvenance:
    asked, sent = rescore.count(request.k), factor * request.k
    notes = _tail(index)
    if sent != asked:
        notes += (ROUNDED.format(asked=asked, sent=sent),)
    return SearchProvenance(
        "store", "store", rescore.factor(request.k), sent, "originals", "exact", "call", notes
    )


def _by_codes(request: SearchRequest, index: VectorIndex) -> SearchProvenance:
    origin = "store default" if request.rescore is None else "call"
    return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", origin, _tail(index))


def _without_params(found: Prepared, index: VectorIndex | None) -> Prepared:
    """The search of a client that sends a query and a limit only: the metric is that of the index,
    or l2."""
    metric = found.column.vector.metric
    word = mapping.WORDS[metric]
    used = index.metric if index is not None else "l2"
    how = found.how
    if index is not None and mapping.has_codes(index.config):
        halved = used == "cosine" and not index.unindexed
        how = SearchProvenance("store", "none", 1.0, 0, "none", "approximate", "store default")
        found = replace(found, halved=halved)
    if used == word:
        return replace(found, how=how)
    note = NO_METRIC.format(used=used, metric=metric, word=word)
    how = replace(how, notes=(*how.notes, note), scores="approximate")
    return replace(found, metric=mapping.METRICS[used], how=how)


# -- running -------------------------------------------------------------------------------------


def run(prepared: Prepared, queries: npt.NDArray[np.float32]) -> Hits:
    """Run a search of queries ``(nq, d)``."""
    if len(queries) == 1:
        return hits_of_one(prepared, prepared.request(queries[0]).to_arrow())
    blocks = [
        _hits(prepared, prepared.request(part).to_arrow(), len(part))
        for part in (queries[at : at + BLOCK] for at in range(0, len(queries), BLOCK))
    ]
    return blocks[0] if len(blocks) == 1 else _joined(blocks)


def hits_of_one(prepared: Prepared, found: pa.Table) -> Hits:
    """The results of one query, converted when they are read."""

    def read() -> Columns:
        far = found.column("_distance").to_pylist()
        if prepared.halved:
            far = [each / 2 for each in far]
        squared = prepared.metric is Metric.EUCLIDEAN
        scores = distances.negative(far) if squared else distances.one_minus(far)
        return [found.column(prepared.table.key).to_pylist()], [scores]

    def read_payloads() -> Payloads:
        return [list(payload.read(prepared.table, found))]

    held = FoundRows(read, prepared.k, read_payloads if prepared.with_payload else None)
    return Hits.of_rows(held, prepared.how)


def _hits(prepared: Prepared, found: pa.Table, count: int) -> Hits:
    """The results of several queries, padded to k."""
    k = prepared.k
    found = found.sort_by([("query_index", "ascending"), ("_distance", "ascending")])
    scores = _scores(prepared, found.column("_distance"))
    ids = found.column(prepared.table.key)
    payloads = payload.read(prepared.table, found) if prepared.with_payload else None
    if found.num_rows == count * k:
        whole = _array(ids).reshape(count, k)
        cells: Any = None
        if payloads is not None:
            cells = [payloads[at : at + k] for at in range(0, count * k, k)]
        return Hits(whole, scores.reshape(count, k), prepared.how, cells)
    owners = found.column("query_index").to_numpy().astype(np.intp)
    rows: list[list[tuple[Any, float]]] = [[] for _ in range(count)]
    cells = [[] for _ in range(count)] if payloads is not None else None
    for at, (owner, key) in enumerate(zip(owners.tolist(), ids.to_pylist(), strict=True)):
        rows[owner].append((key, float(scores[at])))
        if payloads is not None and cells is not None:
            cells[owner].append(payloads[at])
    return Hits.from_rows(rows, k, prepared.how, cells)


def _array(ids: pa.ChunkedArray) -> npt.NDArray[Any]:
    found: npt.NDArray[Any]
    if pa.types.is_integer(ids.type):
        found = ids.to_numpy()
        return found.astype(np.int64, copy=False)
    found = np.empty(len(ids), dtype=object)
    found[:] = ids.to_pylist()
    return found


def _scores(prepared: Prepared, distances: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    values = distances.to_numpy().astype(np.float32)
    if prepared.halved:
        values = values / np.float32(2)
    found: npt.NDArray[np.float32] = mapping.score(prepared.metric, values)
    return found.astype(np.float32, copy=False)


def _joined(blocks: list[Hits]) -> Hits:
    """The results of all queries."""
    payloads = None
    if blocks[0].payloads is not None:
        payloads = [row for each in blocks for row in each.payloads or ()]
    return Hits(
        np.concatenate([each.ids.astype(object) for each in blocks])
        if any(each.ids.dtype == object for each in blocks)
        else np.concatenate([each.ids for each in blocks]),
        np.concatenate([each.scores for each in blocks]),
        blocks[0].how,
        payloads,
    )
