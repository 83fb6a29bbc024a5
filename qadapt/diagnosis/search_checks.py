"""Checks that search: rescoring that finds nothing new, that is slow, rows that are not found."""

from __future__ import annotations

from qadapt.diagnosis.context import FAR, NOT_FINITE, PROBES, CheckContext, K, NoDataError
from qadapt.diagnosis.sources import SOURCES
from qadapt.diagnosis.vector_checks import dimension_collapse
from qadapt.evaluation.exact_neighbors import stored_vectors
from qadapt.evaluation.reachability import HNSW_ADVICE, unreachable_among
from qadapt.model import Evidence, Finding, Kind, Metric, Quantization, Rescore, Severity

OFF = Rescore(source="off")
TIMES, EXTRA_MS = 5.0, 5.0


def rescoring_without_oversampling(context: CheckContext) -> list[Finding]:
    """Coarse codes whose k best alone are scored again, or not even those."""
    rescore = context.rescore
    if not context.active or not _coarse(context) or rescore is None:
        return []
    if rescore.on and rescore.oversampling > 1:
        return []
    what = (
        "only the k best by codes are scored again: their order changes, rows that the codes "
        "miss stay missed"
        if rescore.on
        else "results are ordered by coarse codes alone"
    )
    return [
        Finding(
            "rescoring-without-oversampling",
            Severity.WARNING,
            context.name,
            f"searches that say nothing get rescore={rescore}: {what}",
            (
                Evidence("rescore in force", str(rescore)),
                Evidence("quantization", str(context.quantization)),
            ),
            context.apply(rescore=Rescore(4.0)),
            "measured on the engine 1.20, binary, one segment: recall .349 with and without",
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
    """Rescoring takes many times as long as the search, as from a slow disk."""
    rescore = context.rescore
    if not context.active or rescore is None or not rescore.on:
        return []
    without = context.milliseconds(OFF)
    with_it = context.milliseconds(None)
    if with_it <= TIMES * without or with_it - without <= EXTRA_MS:
        return []
    on_disk = context.quantization.originals == "disk"
    where = "the originals are on disk" if on_disk else "the originals are slow to read"
    smaller = Rescore(max(1.0, rescore.oversampling / 2), rescore.source)
    mend = {"originals": "ram"} if on_disk else {"rescore": smaller}
    return [
        Finding(
            "slow-rescoring",
            Severity.WARNING,
            context.name,
            f"rescoring takes {with_it - without:.1f} ms of {with_it:.1f} ms a query: {where}",
            (
                Evidence("ms of one query, as searches are now", round(with_it, 2)),
                Evidence("ms of one query, without rescoring", round(without, 2)),
                Evidence("rescore in force", str(rescore)),
                Evidence("originals", context.quantization.originals or "as the store decides"),
            ),
            context.apply(**mend),
            SOURCES,
        )
    ]


def not_found_by_itself(context: CheckContext) -> list[Finding]:
    """Rows that a search by their own vector does not find."""
    if context.vector.metric is Metric.DOT and context.spread > 1.01:
        return []  # a longer row may rightly come before
    ids, rows = context.sample[0][:PROBES], context.rows[:PROBES]
    if NOT_FINITE in context.unusable:
        raise NoDataError(
            "rows with NaN or infinite values come before others in searches: repair them first"
        )
    if context.vector.metric is Metric.EUCLIDEAN and float(context.lengths.max()) > FAR:
        raise NoDataError("the squares of some vectors are infinite as float32")
    hits = context.search(rows)
    fetch = stored_vectors(context.store, context.info.name, context.name)
    lost_ids = unreachable_among(hits.ids.tolist(), ids, rows, context.vector.vector, fetch, K)
    if not lost_ids:
        return []
    share = len(lost_ids) / len(ids)
    changes = {"rescore": Rescore(4.0)} if context.coded else {}
    command = context.apply(**changes) if context.coded else context.command("verify")
    cause = f"where rescoring more of them does not help: {HNSW_ADVICE}"
    if dimension_collapse(context):
        cause = "their sign bits carry little information (dimension-collapse)"
        command = context.command("apply", Quantization(Kind.SCALAR))
    return [
        Finding(
            "not-found-by-itself",
            Severity.ERROR if share > 0.01 else Severity.WARNING,
            context.name,
            f"{len(lost_ids)} of {len(ids)} rows are not among the {K} best results of a search "
            f"by their own vector; {cause}",
            (
                Evidence("rows searched by their own vector", len(ids)),
                Evidence("not found", len(lost_ids)),
                Evidence("for example", [str(key) for key in lost_ids[:5]]),
                Evidence("quantization", str(context.quantization)),
            ),
            command,
            "an exact search always finds them",
        )
    ]
