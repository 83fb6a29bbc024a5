"""Checks that search: rescoring that finds nothing new, that is slow, rows that are not found."""

from __future__ import annotations

from qadapt.diagnosis.sources import SOURCES
from qadapt.diagnosis.subject import FAR, NOT_FINITE, PROBES, K, NothingToSeeError, Subject
from qadapt.diagnosis.vectors import dimension_collapse
from qadapt.evaluation.neighbours import stored
from qadapt.evaluation.reach import CURE, unfound_among
from qadapt.model import Evidence, Finding, Kind, Metric, Quantization, Rescore, Severity

OFF = Rescore(source="off")
TIMES, EXTRA_MS = 5.0, 5.0


def rescoring_without_oversampling(subject: Subject) -> list[Finding]:
    """Coarse codes whose k best alone are scored again, or not even those."""
    rescore = subject.rescore
    if not subject.active or not _coarse(subject) or rescore is None:
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
            subject.name,
            f"searches that say nothing get rescore={rescore}: {what}",
            (
                Evidence("rescore in force", str(rescore)),
                Evidence("quantization", str(subject.quantization)),
            ),
            subject.apply(rescore=Rescore(4.0)),
            "measured on the engine 1.20, binary, one segment: recall .349 with and without",
        )
    ]


def _coarse(subject: Subject) -> bool:
    quantization = subject.quantization
    if quantization.kind is Kind.BINARY:
        return True
    if quantization.kind is Kind.ROTATIONAL:
        return float(quantization.bits or 4) <= 2
    return quantization.kind is Kind.PRODUCT and float(quantization.ratio or 16) >= 16


def slow_rescoring(subject: Subject) -> list[Finding]:
    """Rescoring takes many times as long as the search, as from a slow disk."""
    rescore = subject.rescore
    if not subject.active or rescore is None or not rescore.on:
        return []
    without = subject.milliseconds(OFF)
    with_it = subject.milliseconds(None)
    if with_it <= TIMES * without or with_it - without <= EXTRA_MS:
        return []
    on_disk = subject.quantization.originals == "disk"
    where = "the originals are on disk" if on_disk else "the originals are slow to read"
    smaller = Rescore(max(1.0, rescore.oversampling / 2), rescore.source)
    mend = {"originals": "ram"} if on_disk else {"rescore": smaller}
    return [
        Finding(
            "slow-rescoring",
            Severity.WARNING,
            subject.name,
            f"rescoring takes {with_it - without:.1f} ms of {with_it:.1f} ms a query: {where}",
            (
                Evidence("ms of one query, as searches are now", round(with_it, 2)),
                Evidence("ms of one query, without rescoring", round(without, 2)),
                Evidence("rescore in force", str(rescore)),
                Evidence("originals", subject.quantization.originals or "as the store decides"),
            ),
            subject.apply(**mend),
            SOURCES,
        )
    ]


def not_found_by_itself(subject: Subject) -> list[Finding]:
    """Rows that a search by their own vector does not find."""
    if subject.vector.metric is Metric.DOT and subject.spread > 1.01:
        return []  # a longer row may rightly come before
    ids, rows = subject.sample[0][:PROBES], subject.rows[:PROBES]
    if NOT_FINITE in subject.unusable:
        raise NothingToSeeError(
            "rows with NaN or infinite values come before others in searches: repair them first"
        )
    if subject.vector.metric is Metric.EUCLIDEAN and float(subject.lengths.max()) > FAR:
        raise NothingToSeeError("the squares of some vectors are infinite as float32")
    hits = subject.search(rows)
    fetch = stored(subject.store, subject.info.name, subject.name)
    lost_ids = unfound_among(hits.ids.tolist(), ids, rows, subject.vector.vector, fetch, K)
    if not lost_ids:
        return []
    share = len(lost_ids) / len(ids)
    changes = {"rescore": Rescore(4.0)} if subject.coded else {}
    command = subject.apply(**changes) if subject.coded else subject.command("verify")
    cause = f"where rescoring more of them does not help: {CURE}"
    if dimension_collapse(subject):
        cause = "their sign bits carry little information (dimension-collapse)"
        command = subject.command("apply", Quantization(Kind.SCALAR))
    return [
        Finding(
            "not-found-by-itself",
            Severity.ERROR if share > 0.01 else Severity.WARNING,
            subject.name,
            f"{len(lost_ids)} of {len(ids)} rows are not among the {K} best results of a search "
            f"by their own vector; {cause}",
            (
                Evidence("rows searched by their own vector", len(ids)),
                Evidence("not found", len(lost_ids)),
                Evidence("for example", [str(key) for key in lost_ids[:5]]),
                Evidence("quantization", str(subject.quantization)),
            ),
            command,
            "an exact search always finds them",
        )
    ]
