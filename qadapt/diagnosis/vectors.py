"""Checks of the vectors themselves: lengths, metric, signs, levels, ranges."""

from __future__ import annotations

import numpy as np

from qadapt.diagnosis.sources import SOURCES
from qadapt.diagnosis.subject import NOT_FINITE, K, Subject
from qadapt.engines.exact import unit
from qadapt.errors import QadaptError
from qadapt.local import codes
from qadapt.model import Evidence, Finding, Kind, Metric, Quantization, Severity

ARTICLE = "https://huggingface.co/blog/embedding-quantization"
SPREAD = 1.1  # longest over shortest from which lengths are taken to mean something
AGREEMENT = 0.8
BIASED, SHARE, COSINE = 0.9, 0.25, 0.6
# Bits of information of a sign bit, and codes for each row, below which signs say little.
ENTROPY, DISTINCT = 0.7, 0.5
# Fewer rows than this say nothing of signs; share of the nearest rows that bits need to find.
FEW_SIGNS, ENOUGH = 20, 0.9
LOW_DIM, FEW_DIM, FACTOR = 256, 512, 4.0
LEVELS = 64
FEW_ROWS = 100
OUTSIDE = 0.01


def unusable_vectors(subject: Subject) -> list[Finding]:
    """Stored vectors that no search can compare: NaN, infinite, zero, or of no usable length."""
    ids = subject.drawn[0]
    if not subject.unusable:
        return []
    told = [f"{int(mask.sum())} with {why}" for why, mask in subject.unusable.items()]
    wrong = np.any(list(subject.unusable.values()), axis=0)
    bad = sorted((ids[row] for row in np.flatnonzero(wrong)), key=str)
    count = len(bad)
    message = f"{count} of {len(ids)} sampled rows have no usable vector: {', '.join(told)}"
    if NOT_FINITE in subject.unusable:
        message += "; NaN scores come first in searches, before all other rows"
    whole = len(ids) >= subject.vector.count
    return [
        Finding(
            "unusable-vectors",
            Severity.ERROR if NOT_FINITE in subject.unusable or count > 1 else Severity.WARNING,
            subject.name,
            message,
            (
                Evidence("rows looked at", len(ids)),
                *(
                    Evidence(f"ids: {why}", [str(ids[row]) for row in np.flatnonzero(mask)[:10]])
                    for why, mask in subject.unusable.items()
                ),
            ),
            f"python: collection.delete({bad[:10]!r}), then write repaired vectors; "
            + ("these are all" if whole and count <= 10 else "a larger --sample finds more"),
            SOURCES,
        )
    ]


def unnormalised_dot(subject: Subject) -> list[Finding]:
    """The dot product is used with vectors of different lengths."""
    if subject.vector.metric is not Metric.DOT:
        return []
    zero = int((subject.lengths == 0).sum())
    if subject.spread <= SPREAD:
        return []
    binary = subject.quantization.kind is Kind.BINARY
    message = (
        f"the metric is dot, and long vectors are {_times(subject.spread)} times as long as short "
        "ones: they win whatever they say"
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
            (
                *_lengths(subject),
                *((Evidence("zero vectors, not counted in lengths", zero),) if zero else ()),
                Evidence("metric", "dot"),
            ),
            command,
            ARTICLE,
        )
    ]


def _times(factor: float) -> str:
    return f"{factor:.1f}" if factor < 1000 else f"{factor:.2g}"


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
            f"the collection compares by {metric}, {whose} {other}: {_percent(1 - same)} of the "
            "nearest rows are others",
            (
                Evidence("overlap@10 of the two metrics on the sample", round(same, 4)),
                *_lengths(subject),
            ),
            subject.other_metric(other),
            SOURCES,
        )
    ]


def dimension_collapse(subject: Subject) -> list[Finding]:
    """Sign bits say little of the vectors: they are the same in most rows (as with e5 models), or
    the vectors have no negative values, or few different ones."""
    quantization = subject.quantization
    # Wider codes of Qdrant are made around the mean of each dimension.
    if quantization.kind is not Kind.BINARY or float(quantization.bits or 1) != 1:
        return []
    if len(subject.rows) < FEW_SIGNS:
        return []
    dead = float((subject.sign_bias > BIASED).mean())
    codes_of = len(np.unique(np.packbits(subject.bits, axis=1), axis=0))
    rows_of = len(np.unique(subject.rows, axis=0))
    if rows_of < 2:
        return []  # all rows are the same vector, and so are their codes
    reasons = []
    if dead > SHARE:
        reasons.append(f"{dead:.0%} of the bits are the same in 95 % of the rows or more")
    elif subject.bit_entropy < ENTROPY:
        reasons.append(f"a bit carries {subject.bit_entropy:.2f} bits of information")
    if not (subject.rows < 0).any():
        reasons.append("no value is negative, so a sign bit tells at most zero from positive")
    if codes_of < DISTINCT * rows_of:
        reasons.append(f"{rows_of:,} different rows share {codes_of:,} code{'s' * (codes_of > 1)}")
    if subject.mean_cosine > COSINE:
        reasons.append(f"the mean cosine of two rows is {subject.mean_cosine:.2f}")
    if not reasons:
        return []
    rescore = subject.rescore
    factor = rescore.oversampling if rescore is not None and rescore.on else 1.0
    found = subject.found_by_bits(factor)
    if found > ENOUGH:
        return []
    return [
        Finding(
            "dimension-collapse",
            Severity.ERROR if dead > 2 * SHARE else Severity.WARNING,
            subject.name,
            f"sign bits carry little information about these vectors: {'; '.join(reasons)}. "
            f"In the sample alone, {factor:g} x {K} candidates by sign bits hold {_percent(found)} "
            f"of the {K} nearest rows",
            (
                Evidence("share of dimensions with the same sign in 95 % of rows", round(dead, 4)),
                Evidence("information of a sign bit, in bits", round(subject.bit_entropy, 4)),
                Evidence("different codes", codes_of),
                Evidence("different rows", rows_of),
                Evidence("mean cosine of two rows", round(subject.mean_cosine, 4)),
                Evidence("share of the nearest rows of the sample by codes", round(found, 4)),
                Evidence("rows looked at", len(subject.rows)),
            ),
            subject.command("apply", Quantization(Kind.SCALAR)),
            f"{ARTICLE} (e5-base-v2 keeps 74.77 % under binary)",
        )
    ]


def _percent(share: float) -> str:
    """Such as 45 %; what is not quite nothing or all is not rounded to it."""
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{min(share, 0.99) if share < 1 else 1:.0%}"


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
    lengths = subject.lengths[subject.lengths > 0]
    if not len(lengths):
        return ()
    low, middle, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    return (
        Evidence("length of vectors, 5 %", float(f"{low:.4g}")),
        Evidence("length of vectors, 50 %", float(f"{middle:.4g}")),
        Evidence("length of vectors, 95 %", float(f"{high:.4g}")),
    )
