"""Checks that search: rescoring without effect, slow rescoring, unreachable rows."""

from __future__ import annotations

from qadapt.diagnosis.context import FAR, NOT_FINITE, PROBES, CheckContext, K, NoDataError
from qadapt.diagnosis.sources import SOURCES
from qadapt.diagnosis.vector_checks import dimension_collapse
from qadapt.evaluation.exact_neighbors import stored_vectors
from qadapt.evaluation.reachability import HNSW_ADVICE, unreachable_among
from qadapt.model import Evidence, Finding, Kind, Metric, Rescore, Severity

OFF = Rescore(source="off")
TIMES, EXTRA_MS = 5.0, 5.0


def rescoring_without_oversampling(context: CheckContext) -> list[Finding]:
    """Coarse codes are rescored without oversampling, or not at all."""
    rescore = context.rescore
    if not context.active or not _coarse(context) or rescore is None:
        return []
    if rescore.on and rescore.factor(K) > 1:
        return []
    what = (
        "only the k best rows by codes are rescored, so rescoring cannot find rows that the "
        "codes miss"
        if rescore.on
        else "results are ranked by coarse codes only"
    )
    return [
        Finding(
            "rescoring-without-oversampling",
            Severity.WARNING,
            context.name,
            f"the default of searches is {rescore.option}: {what}",
            (
                Evidence("default rescoring", str(rescore)),
                Evidence("quantization", str(context.quantization)),
            ),
            context.apply(rescore=Rescore(4.0)),
            "measured with binary codes in one segment: recall 0.349 with and without rescoring",
        )
    ]


def _coarse(context: CheckContext) -> bool:
    quantization = context.quantization
    if quantization.kind is Kind.BINARY:
        return True
    if quantization.kind is Kind.ROTATIONAL:
        return float(quantization.bits or 4) <= 2
    return quantization.kind is Kind.PRODUCT and float(quantization.ratio or 16) >= 16


def slow_rescoring(context: CheckContext) -> list[Finding]:
    """Rescoring takes much longer than the search, for example on a slow disk."""
    rescore = context.rescore
    if not context.active or rescore is None or not rescore.on:
        return []
    without = context.milliseconds(OFF)
    with_it = context.milliseconds(None)
    if with_it <= TIMES * without or with_it - without <= EXTRA_MS:
        return []
    on_disk = context.quantization.originals == "disk"
    where = "original vectors are on disk" if on_disk else "reading original vectors is slow"
    smaller = Rescore(max(1.0, rescore.factor(K) / 2), rescore.source)
    fix = {"originals": "ram"} if on_disk else {"rescore": smaller}
    return [
        Finding(
            "slow-rescoring",
            Severity.WARNING,
            context.name,
            f"rescoring takes {with_it - without:.1f} of {with_it:.1f} ms per query: {where}",
            (
                Evidence("ms per query, current search parameters", round(with_it, 2)),
                Evidence("ms per query, without rescoring", round(without, 2)),
                Evidence("default rescoring", str(rescore)),
                Evidence("originals", context.quantization.originals or "default of the database"),
            ),
            context.apply(**fix),
            SOURCES,
        )
    ]


def not_found_by_itself(context: CheckContext) -> list[Finding]:
    """A search with a row's own vector does not return the row."""
    if context.vector.metric is Metric.DOT and context.spread > 1.01:
        return []  # rows with a larger norm may rank higher
    ids, rows = context.sample[0][:PROBES], context.rows[:PROBES]
    if NOT_FINITE in context.unusable:
        raise NoDataError(
            "rows with NaN or infinite values rank first in searches: fix unusable-vectors first"
        )
    if context.vector.metric is Metric.EUCLIDEAN and float(context.lengths.max()) > FAR:
        raise NoDataError("the squares of some vectors overflow float32")
    hits = context.search(rows)
    fetch = stored_vectors(context.store, context.info.name, context.name)
    lost_ids = unreachable_among(hits.ids.tolist(), ids, rows, context.vector.vector, fetch, K)
    if not lost_ids:
        return []
    share = len(lost_ids) / len(ids)
    changes = {"rescore": Rescore(4.0)} if context.coded else {}
    command = context.apply(**changes) if context.coded else context.command("verify")
    cause = f"if more rescoring does not help: {HNSW_ADVICE}"
    if dimension_collapse(context):
        cause = "their sign bits carry little information (dimension-collapse)"
        command = context.command("apply", context.scalar)
    return [
        Finding(
            "unreachable-rows",
            Severity.ERROR if share > 0.01 else Severity.WARNING,
            context.name,
            f"{len(lost_ids)} of {len(ids)} rows are not among the {K} best results of a search "
            f"with their own vector; {cause}",
            (
                Evidence("rows whose own vector was searched for", len(ids)),
                Evidence("not found", len(lost_ids)),
                Evidence("examples", [str(key) for key in lost_ids[:5]]),
                Evidence("quantization", str(context.quantization)),
            ),
            command,
            "an exact search always returns them",
        )
    ]
