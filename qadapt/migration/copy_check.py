"""Comparing a target with its source: row counts, ids in both directions, rows and recall.

All ids are compared, on disk (``idset``). All rows or a sample of them are compared, each with the
conversion that was planned for it (normalized, float16). The same pass over the source computes the
exact neighbors of the recall queries. Memory holds a few pages and the best rows of each query,
for any number of rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing

import numpy as np

from qadapt.migration.compare import RowComparer, RowDiff
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.id_scan import Skipped, diff_ids
from qadapt.migration.partitions import Router
from qadapt.migration.plan import MigrationPlan, VectorPlan, vector_label
from qadapt.migration.recall_check import QuantizationPair, measure_recall
from qadapt.migration.recall_queries import (
    QuerySet,
    Sampling,
    draw_queries,
    present,
    score_page,
)
from qadapt.migration.remedies import with_remedies
from qadapt.migration.report import Check, Difference
from qadapt.migration.row_codec import RowCodec
from qadapt.migration.vectors import non_dense_vectors
from qadapt.migration.worker import prefetch
from qadapt.model import Guard, Metric
from qadapt.stores.base import OnProgress, Progress, ReadRequest, silent

# The number of rows of a page, limited by bytes: Milvus scans all keys for each page.
PAGE_ROWS, PAGE_BYTES = 4_000, 4 << 20
SHOWN = 20
SAMPLE_ROWS = 10_000
MAX_ROWS = 200_000  # larger collections are compared by a sample unless asked otherwise
NO_RECALL = (
    "recall was not measured, because the source has no rows with vectors: "
    "the check does not cover searches"
)
Z = 1.959964


def check_copy(
    plan: MigrationPlan,
    source: Endpoint,
    target: Endpoint,
    *,
    scope: str | None = None,
    gate: Guard | None = None,
    skipped: Skipped | None = None,
    progress: OnProgress = silent,
) -> Check:
    """Compare a target with its source.

    Args:
        scope: compare ``all`` rows or a ``sample``; None to choose by size.
        gate: minimum recall; None to compare with the source's recall.
        skipped: rows that are not in the target, as allowed.
    """
    begun = time.monotonic()
    source.ensure_loaded()
    target.ensure_loaded()
    router = Router(source, target, RowCodec.of_plan(plan, target.store), plan.partitions)
    plans = _tolerant(source, target, plan.vectors)
    skipped = dict(skipped or {})
    total = source.store.count(source.name)
    sampled = scope == "sample" or (scope is None and total > MAX_ROWS)
    share = min(1.0, SAMPLE_ROWS / total) if sampled and total else 1.0
    sampling = Sampling.of(gate, total)
    uncopied = _uncopied_vectors(source, plans)
    quantization = {name: QuantizationPair.of(source, target, name) for name in plans}
    exact = [name for name, each in quantization.items() if each.any and gate is None]
    diff = diff_ids(router, skipped, progress)
    missing = [key for routed in diff.missing_rows() for key in routed.rows.ids]
    unexpected = [key for _, keys in diff.unexpected_ids() for key in keys]
    queries = draw_queries(router, plans, sampling, exact, progress)
    comparer = RowComparer(router.codec, plans, plan.extra_comparisons)
    rows = _compare_rows(router, comparer, plans, skipped, share, queries, total, progress)
    recalls = tuple(
        measure_recall(plans[name], found, sampling.k, gate, quantization[name])
        for name in plans
        if (found := [each for each in queries if each.name == name])
    )
    differences = [
        *uncopied,
        *(Difference(key, "missing", "not in the target") for key in missing[:SHOWN]),
        *(Difference(key, "unexpected", "not in the source") for key in unexpected[:SHOWN]),
        *rows.differences,
    ]
    same = not missing and not unexpected and not rows.different and not uncopied
    if same:
        recalls = with_remedies(target, recalls, sampling, progress)
    return Check(
        source=str(source),
        target=str(target),
        source_count=total,
        target_count=target.store.count(target.name),
        missing=len(missing),
        unexpected=len(unexpected),
        skipped=len(skipped),
        compared=rows.compared,
        scope="sample" if share < 1 else "all",
        different=rows.different,
        max_different_share=0.0 if share == 1 else upper_bound(rows.different, rows.compared),
        differences=tuple(differences[:SHOWN]),
        recalls=recalls,
        seconds=time.monotonic() - begun,
        passed=same and all(each.passed for each in recalls),
        notes=() if recalls or not plans else (NO_RECALL,),
    )


def _tolerant(
    source: Endpoint, target: Endpoint, plans: Mapping[str, VectorPlan]
) -> dict[str, VectorPlan]:
    """Plans that allow for rounding where the searches of the check change stored vectors."""
    if not (source.store.search_alters_vectors or target.store.search_alters_vectors):
        return dict(plans)
    return {
        name: plan.replace(comparison="normalized")
        if plan.comparison == "exact" and plan.source.metric is Metric.COSINE
        else plan
        for name, plan in plans.items()
    }


def upper_bound(different: int, compared: int) -> float:
    """Upper bound of the share of rows that differ, 95 %: Wilson's, or the rule of three."""
    if not compared:
        return 1.0
    if not different:
        return min(1.0, 3 / compared)
    p, n = different / compared, compared
    middle = p + Z * Z / (2 * n)
    spread = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return min(1.0, (middle + spread) / (1 + Z * Z / n))


def _uncopied_vectors(source: Endpoint, copied: Collection[str]) -> list[Difference]:
    """The first row with each dense vector that was not copied.

    No row had the vector when the copy was planned, and rows were written since then.
    """
    source.store.measure_dimensions(source.name)
    existing = set(source.store.info(source.name).vectors) - set(copied)
    found = []
    for name in sorted(existing - non_dense_vectors(source)) if existing else ():
        for batch in source.store.read(source.name, ReadRequest(vectors=[name], payload=False)):
            having = present(batch, name)
            if having.any():
                key = batch.ids[int(np.argmax(having))]
                detail = "not copied: no row had this vector when the copy was planned"
                found.append(Difference(key, vector_label(name), detail))
                break
    return found


def _compare_rows(
    router: Router,
    comparer: RowComparer,
    plans: Mapping[str, VectorPlan],
    skipped: Skipped,
    share: float,
    queries: Sequence[QuerySet],
    total: int,
    progress: OnProgress,
) -> RowDiff:
    """Compare rows page by page, and score them for the queries in the same pass.

    While pages are compared, the next page is read.
    """
    done = 0
    draw = np.random.default_rng(0)
    existing = {name for name, _ in router.targets()}
    row_bytes = sum(4 * each.source.dim for each in plans.values())
    size = max(1, min(PAGE_ROWS, PAGE_BYTES // max(1, row_bytes)))
    with comparer:
        for partition, end in router.sources():
            pages = prefetch(
                end.store.read(end.name, ReadRequest(vectors=router.codec.names, page=size))
            )
            with closing(pages):
                for page in pages:
                    for routed in router.route(page, partition):
                        score_page(router, routed, skipped, queries)
                        ids = routed.rows.ids
                        chosen = draw.random(len(ids)) < share
                        if routed.target_partition in existing:
                            kept = [(routed.id_scope, key) not in skipped for key in ids]
                            rows = np.flatnonzero(chosen & np.asarray(kept, dtype=np.bool_))
                            comparer.add(routed.take(rows.tolist()))
                    done += len(page)
                    progress(Progress("comparing rows", done, total))
        return comparer.result()
