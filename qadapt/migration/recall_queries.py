"""The queries of a recall check: drawn from the source, searched on both sides, scored exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import pair_scores
from qadapt.engines.nearest import Nearest, objects
from qadapt.errors import InputError
from qadapt.evaluation.exact_neighbors import SPARE
from qadapt.evaluation.recall import without_own
from qadapt.local.settings import read_settings
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.id_scan import Skipped
from qadapt.migration.partitions import RoutedBatch, Router, id_pages
from qadapt.migration.plan import VectorPlan
from qadapt.model import Batch, Guard, Id, Vector
from qadapt.model.leading_dims import leading
from qadapt.model.query_checks import usable_queries
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, SearchRequest

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
QUERIES, K = 100, 10
BLOCK = 50  # queries of one search


@dataclass(frozen=True)
class Sampling:
    """How queries are drawn from the source.

    Attributes:
        k: number of results for each query.
        queries: number of queries.
        seed: of the random generator.
        total: rows of the source.
    """

    k: int
    queries: int
    seed: int
    total: int

    @classmethod
    def of(cls, gate: Guard | None, total: int) -> Sampling:
        """The sampling that a gate asks for.

        Raises:
            InputError: the gate contains queries.
        """
        if gate is None:
            return cls(K, QUERIES, 0, total)
        if not isinstance(gate.queries, int):
            raise InputError(
                "the gate of a check draws its queries from the source; give their number",
                hint="for example: --gate 'recall@10>=0.95'",
            )
        return cls(gate.k, gate.queries, gate.seed, total)


@dataclass
class ScoredHits:
    """The hits of one side for all queries, with their exact scores.

    Attributes:
        ids: the first k hits of each query, without the query's own row.
        scores: float64 ``(nq, k)``, computed from the source's vectors; NaN for a row that the
            source does not have.
        positions: where each id occurs, ``(query, rank)``.
    """

    ids: list[list[Id]]
    scores: npt.NDArray[np.float64]
    positions: dict[Id, list[tuple[int, int]]]

    @classmethod
    def of(cls, ids: list[list[Id]], k: int) -> ScoredHits:
        """Hits whose scores are not known yet."""
        positions: dict[Id, list[tuple[int, int]]] = {}
        for query, row in enumerate(ids):
            for rank, key in enumerate(row):
                positions.setdefault(key, []).append((query, rank))
        return cls(ids, np.full((len(ids), k), np.nan), positions)

    def score(self, ids: Sequence[Id], present: Bools, queries: QuerySet, rows: Floats) -> None:
        """Score the hits that are in a page of the source.

        Args:
            ids: of the page's rows, as this side has them.
            present: bool ``(m,)``, rows that have the vector.
            rows: float32 ``(m, d)``.
        """
        found = [
            (query, rank, row)
            for row, key in enumerate(ids)
            if key in self.positions and present[row]
            for query, rank in self.positions[key]
        ]
        if found:
            query, rank, row = np.asarray(found, dtype=np.intp).T
            self.scores[query, rank] = pair_scores(
                queries.vectors, rows, query, row, queries.vector.metric
            )


@dataclass
class QuerySet:
    """Queries for one vector of one partition, with the hits of both sides.

    Attributes:
        name: of the vector.
        partition: the partition that the queries come from and search; None for none.
        vectors: float32 ``(nq, d)``.
        own: ids of the rows that the queries were drawn from, in the source.
        vector: dimensions and metric.
        best: exact nearest rows of the source so far.
        source, target: hits of each side's own search.
        exact: hits of exact searches of source and target; None where they are not needed, or a
            limit of the collection refuses them.
    """

    name: str
    partition: str | None
    vectors: Floats
    own: list[Id]
    vector: Vector
    best: Nearest
    source: ScoredHits
    target: ScoredHits
    exact: tuple[ScoredHits, ScoredHits] | None = None

    def by_ids(self) -> Iterator[tuple[ScoredHits, bool]]:
        """All hits, each with whether their ids are those of the target."""
        yield self.source, False
        yield self.target, True
        if self.exact is not None:
            yield self.exact[0], False
            yield self.exact[1], True


# -- queries -------------------------------------------------------------------------------------


def draw_queries(
    router: Router,
    plans: Mapping[str, VectorPlan],
    sampling: Sampling,
    exact: Collection[str],
    progress: OnProgress,
) -> list[QuerySet]:
    """Draw vectors of the source as queries, and search both sides.

    Args:
        exact: names of the vectors that are searched exactly as well.
    """
    if not sampling.total:
        return []
    result = []
    existing = {name for name, _ in router.targets()}
    for routed in _sample(router, list(plans), sampling):
        if routed.target_partition not in existing:
            continue  # the comparison of ids reports the missing partition
        for name, plan in plans.items():
            batch = routed.stored
            good = present(batch, name) & usable_queries(batch.vectors[name], plan.source)
            good &= batch.vectors[name].any(axis=1)
            rows = np.flatnonzero(good).tolist()
            if rows:
                progress(Progress("measuring recall", 0, len(rows), "queries"))
                result.append(
                    _query_set(router, routed, name, plan, rows, sampling.k, name in exact)
                )
    return result


def _query_set(
    router: Router,
    routed: RoutedBatch,
    name: str,
    plan: VectorPlan,
    rows: list[int],
    k: int,
    exact: bool,
) -> QuerySet:
    vectors = routed.stored.vectors[name][rows]
    own = [routed.stored.ids[row] for row in rows]
    target_ids = [router.codec.target_id(routed.rows.ids[row]) for row in rows]
    sides = (
        _Side(
            router.source.partition(routed.id_scope), name, plan.source, own,
            router.search_filter(routed.partition, source=True),
        ),
        _Side(
            routed.target, name, plan.target, target_ids,
            router.search_filter(routed.partition, source=False),
        ),
    )  # fmt: skip
    source, target = (side.hits(vectors, k) for side in sides)
    best = Nearest(vectors, plan.source.metric, k + SPARE)
    precise = _exact_hits(sides, vectors, k) if exact else None
    return QuerySet(
        name, routed.partition, vectors, own, plan.source, best, source, target, precise
    )


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: where and how queries are searched."""

    end: Endpoint
    name: str
    vector: Vector
    own: list[Id]
    filter: Mapping[str, Any] | None

    def hits(self, queries: Floats, k: int, *, exact: bool = False) -> ScoredHits:
        """The first ``k`` hits of each query, without the query's own row."""
        end = self.end
        settings = read_settings(end.store, end.name).of(self.name)
        wanted = SearchRequest(k=k + 1, vector=self.name, filter=self.filter, exact=exact)
        found: list[list[Id]] = []
        for start in range(0, len(queries), BLOCK):
            block = slice(start, start + BLOCK)
            cut = leading(queries[block], self.vector.dim, self.vector.metric)
            hits = search(end.store, end.name, cut, wanted, self.vector, settings)
            found += without_own(hits.ids, self.own[block], k)
        return ScoredHits.of(found, k)


def _exact_hits(
    sides: tuple[_Side, _Side], queries: Floats, k: int
) -> tuple[ScoredHits, ScoredHits] | None:
    """Hits of exact searches; None where a limit of a collection refuses them."""
    try:
        source, target = (side.hits(queries, k, exact=True) for side in sides)
    except InputError as error:
        if not error.limit:
            raise
        return None
    return source, target


def _sample(router: Router, vectors: list[str], sampling: Sampling) -> Iterator[RoutedBatch]:
    """Rows drawn evenly, by partition, without a list of all ids in memory."""
    count = min(sampling.queries, sampling.total)
    draw = np.random.default_rng(sampling.seed)
    positions = np.sort(draw.choice(sampling.total, count, replace=False))
    start = 0
    for partition, end in router.sources():
        keys: list[Id] = []
        for batch in id_pages(end, payload=False):
            low, high = np.searchsorted(positions, [start, start + len(batch)])
            keys += [batch.ids[place - start] for place in positions[low:high].tolist()]
            start += len(batch)
        if keys:
            yield from router.route(end.store.fetch(end.name, keys, vectors=vectors), partition)


def present(batch: Batch, name: str) -> Bools:
    """Which rows have a vector, bool ``(n,)``."""
    if name in batch.missing:
        return ~batch.missing[name]
    return np.ones(len(batch), dtype=np.bool_)


def score_page(
    router: Router, routed: RoutedBatch, skipped: Skipped, queries: Sequence[QuerySet]
) -> None:
    """Score the rows of a page for the queries of its partition."""
    affected = [each for each in queries if each.partition == routed.partition]
    if not affected:
        return
    keys = objects(routed.stored.ids)
    target_ids = [router.codec.target_id(key) for key in routed.rows.ids]
    excluded = np.zeros(len(keys), dtype=np.bool_)
    if skipped:
        excluded |= np.asarray([(routed.id_scope, key) in skipped for key in routed.rows.ids])
    for each in affected:
        rows = routed.stored.vectors[each.name]
        has_vector = present(routed.stored, each.name)
        each.best.add(rows, keys, ~has_vector | excluded)
        for hits, in_target in each.by_ids():
            hits.score(target_ids if in_target else routed.stored.ids, has_vector, each, rows)
