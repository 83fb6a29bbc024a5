"""Checks of the vectors themselves: lengths, metric, signs, levels, ranges."""

from __future__ import annotations

import numpy as np

from qadapt.diagnosis.context import NOT_FINITE, CheckContext, K
from qadapt.diagnosis.sources import SOURCES
from qadapt.engines.exact import unit
from qadapt.errors import QadaptError
from qadapt.local import client_codes
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


def unusable_vectors(context: CheckContext) -> list[Finding]:
    """Stored vectors that no search can compare: NaN, infinite, zero, or of no usable length."""
    ids = context.sampled_batch[0]
    if not context.unusable:
        return []
    reported = [f"{int(mask.sum())} with {why}" for why, mask in context.unusable.items()]
    wrong = np.any(list(context.unusable.values()), axis=0)
    bad = sorted((ids[row] for row in np.flatnonzero(wrong)), key=str)
    count = len(bad)
    message = f"{count} of {len(ids)} sampled rows have no usable vector: {', '.join(reported)}"
    if NOT_FINITE in context.unusable:
        message += "; NaN scores come first in searches, before all other rows"
    whole = len(ids) >= context.vector.count
    return [
        Finding(
            "unusable-vectors",
            Severity.ERROR if NOT_FINITE in context.unusable or count > 1 else Severity.WARNING,
            context.name,
            message,
            (
                Evidence("rows looked at", len(ids)),
                *(
                    Evidence(f"ids: {why}", [str(ids[row]) for row in np.flatnonzero(mask)[:10]])
                    for why, mask in context.unusable.items()
                ),
            ),
            f"python: collection.delete({bad[:10]!r}), then write repaired vectors; "
            + ("these are all" if whole and count <= 10 else "a larger --sample finds more"),
            SOURCES,
        )
    ]


def unnormalised_dot(context: CheckContext) -> list[Finding]:
    """The dot product is used with vectors of different lengths."""
    if context.vector.metric is not Metric.DOT:
        return []
    zero = int((context.lengths == 0).sum())
    if context.spread <= SPREAD:
        return []
    binary = context.quantization.kind is Kind.BINARY
    message = (
        f"the metric is dot, and long vectors are {_times(context.spread)} times as long as short "
        "ones: they win whatever they say"
    )
    if binary:
        message += ", and sign bits lose the lengths that the metric compares"
    better = Quantization(Kind.SCALAR) if binary else None
    command = (
        context.command("apply", better)
        if better is not None
        else context.other_metric(Metric.COSINE)
    )
    return [
        Finding(
            "unnormalised-dot",
            Severity.WARNING if binary else Severity.INFO,
            context.name,
            message,
            (
                *_lengths(context),
                *((Evidence("zero vectors, not counted in lengths", zero),) if zero else ()),
                Evidence("metric", "dot"),
            ),
            command,
            ARTICLE,
        )
    ]


def _times(factor: float) -> str:
    return f"{factor:.1f}" if factor < 1000 else f"{factor:.2g}"


def metric_mismatch(context: CheckContext) -> list[Finding]:
    """The metric of the collection orders rows otherwise than the model's."""
    metric, message_text = context.vector.metric, context.model_metric
    suspect = metric is Metric.EUCLIDEAN and context.spread > SPREAD
    if metric is message_text or (message_text is None and not suspect):
        return []
    other = message_text or Metric.COSINE
    same = context.agreement(other)
    if same >= (0.99 if message_text is not None else AGREEMENT):
        return []
    whose = (
        "the model was made for" if message_text is not None else "most text models are made for"
    )
    return [
        Finding(
            "metric-mismatch",
            Severity.ERROR if message_text is not None else Severity.WARNING,
            context.name,
            f"the collection compares by {metric}, {whose} {other}: {_percent(1 - same)} of the "
            "nearest rows are others",
            (
                Evidence("overlap@10 of the two metrics on the sample", round(same, 4)),
                *_lengths(context),
            ),
            context.other_metric(other),
            SOURCES,
        )
    ]


def dimension_collapse(context: CheckContext) -> list[Finding]:
    """Sign bits say little of the vectors: they are the same in most rows (as with e5 models), or
    the vectors have no negative values, or few different ones."""
    quantization = context.quantization
    # Wider codes of Qdrant are made around the mean of each dimension.
    if quantization.kind is not Kind.BINARY or float(quantization.bits or 1) != 1:
        return []
    if len(context.rows) < FEW_SIGNS:
        return []
    dead = float((context.sign_bias > BIASED).mean())
    codes_of = len(np.unique(np.packbits(context.bits, axis=1), axis=0))
    rows_of = len(np.unique(context.rows, axis=0))
    if rows_of < 2:
        return []  # all rows are the same vector, and so are their codes
    reasons = []
    if dead > SHARE:
        reasons.append(f"{dead:.0%} of the bits are the same in 95 % of the rows or more")
    elif context.bit_entropy < ENTROPY:
        reasons.append(f"a bit carries {context.bit_entropy:.2f} bits of information")
    if not (context.rows < 0).any():
        reasons.append("no value is negative, so a sign bit tells at most zero from positive")
    if codes_of < DISTINCT * rows_of:
        reasons.append(f"{rows_of:,} different rows share {codes_of:,} code{'s' * (codes_of > 1)}")
    if context.mean_cosine > COSINE:
        reasons.append(f"the mean cosine of two rows is {context.mean_cosine:.2f}")
    if not reasons:
        return []
    rescore = context.rescore
    factor = rescore.oversampling if rescore is not None and rescore.on else 1.0
    found = context.found_by_bits(factor)
    if found > ENOUGH:
        return []
    return [
        Finding(
            "dimension-collapse",
            Severity.ERROR if dead > 2 * SHARE else Severity.WARNING,
            context.name,
            f"sign bits carry little information about these vectors: {'; '.join(reasons)}. "
            f"In the sample alone, {factor:g} x {K} candidates by sign bits hold {_percent(found)} "
            f"of the {K} nearest rows",
            (
                Evidence("share of dimensions with the same sign in 95 % of rows", round(dead, 4)),
                Evidence("information of a sign bit, in bits", round(context.bit_entropy, 4)),
                Evidence("different codes", codes_of),
                Evidence("different rows", rows_of),
                Evidence("mean cosine of two rows", round(context.mean_cosine, 4)),
                Evidence("share of the nearest rows of the sample by codes", round(found, 4)),
                Evidence("rows looked at", len(context.rows)),
            ),
            context.command("apply", Quantization(Kind.SCALAR)),
            f"{ARTICLE} (e5-base-v2 keeps 74.77 % under binary)",
        )
    ]


def _percent(share: float) -> str:
    """Such as 45 %; what is not quite nothing or all is not rounded to it."""
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{min(share, 0.99) if share < 1 else 1:.0%}"


def low_dimensions(context: CheckContext) -> list[Finding]:
    """Binary codes of few dimensions."""
    if context.quantization.kind is not Kind.BINARY:
        return []
    bits = float(context.quantization.bits or 1) * context.vector.dim
    rescore = context.rescore
    factor = rescore.oversampling if rescore is not None and rescore.on else 0.0
    if bits >= FEW_DIM or (bits >= LOW_DIM and factor >= FACTOR):
        return []
    too_low = bits < LOW_DIM
    better = (
        context.command("apply", Quantization(Kind.SCALAR))
        if too_low
        else context.apply(rescore=client_codes.default_rescore(context.quantization))
    )
    return [
        Finding(
            "low-dimensions",
            Severity.WARNING,
            context.name,
            f"{bits:g} bits a vector "
            + (
                "are too few for binary codes: even 20 times oversampling loses recall"
                if too_low
                else f"need rescoring with oversampling of {FACTOR:g} or more"
            ),
            (Evidence("dimensions", context.vector.dim), Evidence("oversampling", factor)),
            better,
            "measured: 256 dimensions, 53,470 texts: x20 keeps 98.5 % of nDCG@10",
        )
    ]


def uncalibrated_integers(context: CheckContext) -> list[Finding]:
    """Integers were stored without scaling, or ranges come from next to no rows."""
    if context.vector.datatype in ("uint8", "int8"):
        return _few_levels(context)
    client = context.settings.client
    if client is None or client.kind is not Kind.SCALAR or not context.active:
        return []  # where codes are ignored, `no-effect` tells why
    try:
        with client_codes.open_index(context.store, context.info.name, context.name) as index:
            made_of = index.calibration.count if index.calibration is not None else 0
    except QadaptError:  # damaged or gone: the status says so, and `no-effect` tells it
        return []
    if made_of >= min(FEW_ROWS, context.vector.count):
        return []
    return [
        Finding(
            "uncalibrated-int8",
            Severity.WARNING,
            context.name,
            f"the int8 ranges were taken from {made_of} vectors: values of others are cut off",
            (Evidence("vectors that the ranges come from", made_of),),
            context.apply() + " --accept client",
            "https://github.com/huggingface/sentence-transformers/issues/2837",
        )
    ]


def _few_levels(context: CheckContext) -> list[Finding]:
    used = int(context.rows.max() - context.rows.min()) + 1
    if used >= LEVELS:
        return []
    return [
        Finding(
            "uncalibrated-int8",
            Severity.ERROR if used <= LEVELS // 8 else Severity.WARNING,
            context.name,
            f"the vectors are integers and use {used} of 256 levels: they were not scaled to the "
            "range before they were written",
            (
                Evidence("least value", float(context.rows.min())),
                Evidence("greatest value", float(context.rows.max())),
            ),
            f"python: qa.quantize(rows, '{context.vector.datatype}', "
            "calibration=qa.Calibration.fit(rows)), then write again",
            "https://github.com/huggingface/sentence-transformers/issues/2837",
        )
    ]


def drifting_calibration(context: CheckContext) -> list[Finding]:
    """Rows lie outside of the ranges that their codes were made with."""
    client = context.settings.client
    if client is None or client.kind is not Kind.SCALAR or not context.active:
        return []  # where codes are ignored, `no-effect` tells why
    try:
        with client_codes.open_index(context.store, context.info.name, context.name) as index:
            ranges = index.calibration
    except QadaptError:
        return []
    if ranges is None:
        return []
    rows = unit(context.rows) if context.vector.metric is Metric.COSINE else context.rows
    outside = float(((rows < ranges.lo) | (rows > ranges.hi)).mean())
    if outside <= OUTSIDE:
        return []
    return [
        Finding(
            "drifting-calibration",
            Severity.ERROR if outside > 5 * OUTSIDE else Severity.WARNING,
            context.name,
            f"{outside:.1%} of the values lie outside of the ranges that the int8 codes were made "
            "with, and are cut off there: the rows have changed since",
            (
                Evidence("share of values outside", round(outside, 4)),
                Evidence("ranges from", ranges.source),
                Evidence("vectors that the ranges come from", ranges.count),
            ),
            context.apply() + " --accept client",
            "https://github.com/huggingface/sentence-transformers/pull/3847",
        )
    ]


def _lengths(context: CheckContext) -> tuple[Evidence, ...]:
    lengths = context.lengths[context.lengths > 0]
    if not len(lengths):
        return ()
    low, middle, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    return (
        Evidence("length of vectors, 5 %", float(f"{low:.4g}")),
        Evidence("length of vectors, 50 %", float(f"{middle:.4g}")),
        Evidence("length of vectors, 95 %", float(f"{high:.4g}")),
    )
