"""Checks of the vectors themselves: lengths, metric, signs, levels, ranges."""

from __future__ import annotations

import numpy as np

from qadapt.diagnosis.subject import Subject
from qadapt.engines.exact import unit
from qadapt.errors import QadaptError
from qadapt.local import codes
from qadapt.model import Evidence, Finding, Kind, Metric, Quantization, Severity

ARTICLE = "https://huggingface.co/blog/embedding-quantization"
SPREAD = 1.1  # longest over shortest from which lengths are taken to mean something
AGREEMENT = 0.8
BIASED, SHARE, COSINE = 0.9, 0.25, 0.6
LOW_DIM, FEW_DIM, FACTOR = 256, 512, 4.0
LEVELS = 64
FEW_ROWS = 100
OUTSIDE = 0.01


def unnormalised_dot(subject: Subject) -> list[Finding]:
    """The dot product is used with vectors of different lengths."""
    if subject.vector.metric is not Metric.DOT or subject.spread <= SPREAD:
        return []
    binary = subject.quantization.kind is Kind.BINARY
    message = (
        f"the metric is dot and lengths differ ({subject.spread:.1f} times): long vectors win "
        "whatever they say"
    )
    if binary:
        message += ", and sign bits lose the lengths that the metric compares"
    better = Quantization(Kind.SCALAR) if binary else None
    command = (
        subject.command("apply", better)
        if better is not None
        else subject.other_metric(Metric.COSINE)
    )
    return [
        Finding(
            "unnormalised-dot",
            Severity.WARNING if binary else Severity.INFO,
            subject.name,
            message,
            (*_lengths(subject), Evidence("metric", "dot")),
            command,
            ARTICLE,
        )
    ]


def metric_mismatch(subject: Subject) -> list[Finding]:
    """The metric of the collection orders rows otherwise than the model's."""
    metric, said = subject.vector.metric, subject.model_metric
    suspect = metric is Metric.EUCLIDEAN and subject.spread > SPREAD
    if metric is said or (said is None and not suspect):
        return []
    other = said or Metric.COSINE
    same = subject.agreement(other)
    if same >= (0.99 if said is not None else AGREEMENT):
        return []
    whose = "the model was made for" if said is not None else "most text models are made for"
    return [
        Finding(
            "metric-mismatch",
            Severity.ERROR if said is not None else Severity.WARNING,
            subject.name,
            f"the collection compares by {metric}, {whose} {other}: {1 - same:.0%} of the nearest "
            "rows are others",
            (
                Evidence("overlap@10 of the two metrics on the sample", round(same, 4)),
                *_lengths(subject),
            ),
            subject.other_metric(other),
            "https://github.com/weaviate/weaviate/pull/3096",
        )
    ]


def dimension_collapse(subject: Subject) -> list[Finding]:
    """Vectors crowd in one direction, so that sign bits hardly tell them apart (e5-like)."""
    if subject.quantization.kind is not Kind.BINARY:
        return []
    dead = float((subject.sign_bias > BIASED).mean())
    if dead <= SHARE and subject.mean_cosine <= COSINE:
        return []
    return [
        Finding(
            "dimension-collapse",
            Severity.ERROR if dead > 2 * SHARE else Severity.WARNING,
            subject.name,
            f"{dead:.0%} of the bits are the same in nearly all rows (two rows that have nothing "
            f"in common have the cosine {subject.mean_cosine:.2f}): binary codes of such a model "
            "lose far more than usual",
            (
                Evidence("share of dimensions with the same sign in 95 % of rows", round(dead, 4)),
                Evidence("mean cosine of two rows", round(subject.mean_cosine, 4)),
                Evidence("rows looked at", len(subject.rows)),
            ),
            subject.command("apply", Quantization(Kind.SCALAR)),
            f"{ARTICLE} (e5-base-v2 keeps 74.77 % under binary)",
        )
    ]


def low_dimensions(subject: Subject) -> list[Finding]:
    """Binary codes of few dimensions."""
    if subject.quantization.kind is not Kind.BINARY:
        return []
    bits = float(subject.quantization.bits or 1) * subject.vector.dim
    rescore = subject.rescore
    factor = rescore.oversampling if rescore is not None and rescore.on else 0.0
    if bits >= FEW_DIM or (bits >= LOW_DIM and factor >= FACTOR):
        return []
    too_low = bits < LOW_DIM
    better = (
        subject.command("apply", Quantization(Kind.SCALAR))
        if too_low
        else subject.apply(rescore=codes.default_rescore(subject.quantization))
    )
    return [
        Finding(
            "low-dimensions",
            Severity.WARNING,
            subject.name,
            f"{bits:g} bits a vector "
            + (
                "are too few for binary codes: even 20 times oversampling loses recall"
                if too_low
                else f"need rescoring with oversampling of {FACTOR:g} or more"
            ),
            (Evidence("dimensions", subject.vector.dim), Evidence("oversampling", factor)),
            better,
            "measured: 256 dimensions, 53,470 texts: x20 keeps 98.5 % of nDCG@10",
        )
    ]


def uncalibrated_integers(subject: Subject) -> list[Finding]:
    """Integers were stored without scaling, or ranges come from next to no rows."""
    if subject.vector.datatype in ("uint8", "int8"):
        return _few_levels(subject)
    client = subject.settings.client
    if client is None or client.kind is not Kind.SCALAR or not subject.active:
        return []  # where codes are ignored, `no-effect` tells why
    try:
        with codes.open_index(subject.store, subject.info.name, subject.name) as index:
            made_of = index.calibration.count if index.calibration is not None else 0
    except QadaptError:  # damaged or gone: the status says so, and `no-effect` tells it
        return []
    if made_of >= min(FEW_ROWS, subject.vector.count):
        return []
    return [
        Finding(
            "uncalibrated-int8",
            Severity.WARNING,
            subject.name,
            f"the int8 ranges were taken from {made_of} vectors: values of others are cut off",
            (Evidence("vectors that the ranges come from", made_of),),
            subject.apply() + " --accept client",
            "https://github.com/huggingface/sentence-transformers/issues/2837",
        )
    ]


def _few_levels(subject: Subject) -> list[Finding]:
    used = int(subject.rows.max() - subject.rows.min()) + 1
    if used >= LEVELS:
        return []
    return [
        Finding(
            "uncalibrated-int8",
            Severity.ERROR if used <= LEVELS // 8 else Severity.WARNING,
            subject.name,
            f"the vectors are integers and use {used} of 256 levels: they were not scaled to the "
            "range before they were written",
            (
                Evidence("least value", float(subject.rows.min())),
                Evidence("greatest value", float(subject.rows.max())),
            ),
            f"python: qa.quantize(rows, '{subject.vector.datatype}', "
            "calibration=qa.Calibration.fit(rows)), then write again",
            "https://github.com/huggingface/sentence-transformers/issues/2837",
        )
    ]


def drifting_calibration(subject: Subject) -> list[Finding]:
    """Rows lie outside of the ranges that their codes were made with."""
    client = subject.settings.client
    if client is None or client.kind is not Kind.SCALAR or not subject.active:
        return []  # where codes are ignored, `no-effect` tells why
    try:
        with codes.open_index(subject.store, subject.info.name, subject.name) as index:
            ranges = index.calibration
    except QadaptError:
        return []
    if ranges is None:
        return []
    rows = unit(subject.rows) if subject.vector.metric is Metric.COSINE else subject.rows
    outside = float(((rows < ranges.lo) | (rows > ranges.hi)).mean())
    if outside <= OUTSIDE:
        return []
    return [
        Finding(
            "drifting-calibration",
            Severity.ERROR if outside > 5 * OUTSIDE else Severity.WARNING,
            subject.name,
            f"{outside:.1%} of the values lie outside of the ranges that the int8 codes were made "
            "with, and are cut off there: the rows have changed since",
            (
                Evidence("share of values outside", round(outside, 4)),
                Evidence("ranges from", ranges.source),
                Evidence("vectors that the ranges come from", ranges.count),
            ),
            subject.apply() + " --accept client",
            "https://github.com/huggingface/sentence-transformers/pull/3847",
        )
    ]


def _lengths(subject: Subject) -> tuple[Evidence, ...]:
    low, middle, high = np.quantile(subject.lengths, [0.05, 0.5, 0.95])
    return (
        Evidence("length of vectors, 5 %", round(float(low), 4)),
        Evidence("length of vectors, 50 %", round(float(middle), 4)),
        Evidence("length of vectors, 95 %", round(float(high), 4)),
    )
