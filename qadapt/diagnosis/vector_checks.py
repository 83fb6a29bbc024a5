"""Checks of the vectors: norms, metric, sign bits, integer levels and ranges."""

from __future__ import annotations

import numpy as np

from qadapt.diagnosis.context import NOT_FINITE, CheckContext, K
from qadapt.diagnosis.sources import SOURCES
from qadapt.engines.exact import unit
from qadapt.errors import QadaptError
from qadapt.local import client_codes
from qadapt.model import Evidence, Finding, Kind, Metric, Severity

ARTICLE = "https://huggingface.co/blog/embedding-quantization"
SPREAD = 1.1  # ratio of norms above which norms are considered meaningful
AGREEMENT = 0.8
BIASED, SHARE, COSINE = 0.9, 0.25, 0.6
# Below this entropy of a sign bit or share of distinct codes, signs carry little information.
ENTROPY, DISTINCT = 0.7, 0.5
FEW_VALUES = 16  # distinct values of a vector, of which a sign bit distinguishes two groups
# Minimum number of rows to judge signs; share of the nearest rows that bits must find.
FEW_SIGNS, ENOUGH = 20, 0.9
LOW_DIM, FEW_DIM, FACTOR = 256, 512, 4.0
LEVELS = 64
FEW_ROWS = 100
OUTSIDE = 0.01


def unusable_vectors(context: CheckContext) -> list[Finding]:
    """Stored vectors are NaN, infinite, zero, or have an unusable norm."""
    ids = context.sampled_batch[0]
    if not context.unusable:
        return []
    reported = [f"{int(mask.sum())} with {why}" for why, mask in context.unusable.items()]
    wrong = np.any(list(context.unusable.values()), axis=0)
    bad = sorted((ids[row] for row in np.flatnonzero(wrong)), key=str)
    count = len(bad)
    message = f"{count} of {len(ids)} sampled rows have no usable vector: {', '.join(reported)}"
    if NOT_FINITE in context.unusable:
        message += "; rows with NaN scores rank first in searches"
    whole = len(ids) >= context.vector.count
    return [
        Finding(
            "unusable-vectors",
            Severity.ERROR if NOT_FINITE in context.unusable or count > 1 else Severity.WARNING,
            context.name,
            message,
            (
                Evidence("sampled rows", len(ids)),
                *(
                    Evidence(f"ids: {why}", [str(ids[row]) for row in np.flatnonzero(mask)[:10]])
                    for why, mask in context.unusable.items()
                ),
            ),
            f"python: collection.delete({bad[:10]!r}), then write corrected vectors; "
            + (
                "no other rows are affected"
                if whole and count <= 10
                else "a larger --sample finds more"
            ),
            SOURCES,
        )
    ]


def unnormalised_dot(context: CheckContext) -> list[Finding]:
    """The metric is dot product, and vector norms differ."""
    if context.vector.metric is not Metric.DOT:
        return []
    zero = int((context.lengths == 0).sum())
    if context.spread <= SPREAD:
        return []
    binary = context.quantization.kind is Kind.BINARY
    message = (
        f"the metric is dot, and vector norms differ by a factor of {_times(context.spread)}: "
        "vectors with a large norm rank first for any query"
    )
    if binary:
        message += "; sign bits do not contain the norms that the metric compares"
    better = context.scalar if binary else None
    command = (
        context.command("apply", better)
        if better is not None
        else context.other_metric(Metric.COSINE)
    )
    return [
        Finding(
            "unnormalized-dot",
            Severity.WARNING if binary else Severity.INFO,
            context.name,
            message,
            (
                *_lengths(context),
                *((Evidence("zero vectors, not included in norms", zero),) if zero else ()),
                Evidence("metric", "dot"),
            ),
            command,
            ARTICLE,
        )
    ]


def _times(factor: float) -> str:
    return f"{factor:.1f}" if factor < 1000 else f"{factor:.2g}"


def metric_mismatch(context: CheckContext) -> list[Finding]:
    """The metric ranks rows differently from the metric of the model."""
    metric, expected = context.vector.metric, context.model_metric
    suspect = metric is Metric.EUCLIDEAN and context.spread > SPREAD
    if metric is expected or (expected is None and not suspect):
        return []
    other = expected or Metric.COSINE
    same = context.agreement(other)
    if same >= (0.99 if expected is not None else AGREEMENT):
        return []
    whose = (
        "the model was trained for" if expected is not None else "most text models are trained for"
    )
    return [
        Finding(
            "metric-mismatch",
            Severity.ERROR if expected is not None else Severity.WARNING,
            context.name,
            f"the metric of the collection is {metric}, {whose} {other}: {_percent(1 - same)} of "
            "the nearest rows differ",
            (
                Evidence("overlap@10 of the two metrics in the sample", round(same, 4)),
                *_lengths(context),
            ),
            context.other_metric(other),
            SOURCES,
        )
    ]


def dimension_collapse(context: CheckContext) -> list[Finding]:
    """Sign bits carry little information.

    They are the same in most rows (for example with e5 models), or the vectors have no negative
    values or few distinct values.
    """
    quantization = context.quantization
    # Wider codes of Qdrant are centered on the mean of each dimension.
    if quantization.kind is not Kind.BINARY or float(quantization.bits or 1) != 1:
        return []
    if len(context.rows) < FEW_SIGNS:
        return []
    dead = float((context.sign_bias > BIASED).mean())
    codes_of = len(np.unique(np.packbits(context.bits, axis=1), axis=0))
    rows_of = len(np.unique(context.rows, axis=0))
    if rows_of < 2:
        return []  # all rows are the same vector
    reasons = []
    if dead > SHARE:
        reasons.append(f"{dead:.0%} of the bits are the same in at least 95 % of the rows")
    elif context.bit_entropy < ENTROPY:
        reasons.append(f"a bit carries {context.bit_entropy:.2f} bits of information")
    if not (context.rows < 0).any():
        reasons.append(
            "no value is negative, so a sign bit distinguishes zero and positive values at most"
        )
    elif 2 < context.distinct_values <= FEW_VALUES:
        reasons.append(
            f"a vector has at most {context.distinct_values} distinct values, of which a sign bit "
            "distinguishes two groups"
        )
    if codes_of < DISTINCT * rows_of:
        reasons.append(f"{rows_of:,} distinct rows share {codes_of:,} code{'s' * (codes_of > 1)}")
    if context.mean_cosine > COSINE:
        reasons.append(f"the mean cosine of two rows is {context.mean_cosine:.2f}")
    if not reasons:
        return []
    rescore = context.rescore
    factor = rescore.factor(K) if rescore is not None and rescore.on else 1.0
    found = context.found_by_bits(factor)
    if found > ENOUGH:
        return []
    return [
        Finding(
            "dimension-collapse",
            Severity.ERROR if dead > 2 * SHARE else Severity.WARNING,
            context.name,
            f"sign bits carry little information about these vectors: {'; '.join(reasons)}. "
            f"In the sample, {factor:g} x {K} candidates by sign bits contain {_percent(found)} "
            f"of the {K} nearest rows",
            (
                Evidence("share of dimensions with the same sign in 95 % of rows", round(dead, 4)),
                Evidence("entropy of a sign bit, in bits", round(context.bit_entropy, 4)),
                Evidence("distinct codes", codes_of),
                Evidence("distinct rows", rows_of),
                Evidence("mean cosine of two rows", round(context.mean_cosine, 4)),
                Evidence("share of the nearest rows of the sample by codes", round(found, 4)),
                Evidence("sampled rows", len(context.rows)),
            ),
            context.command("apply", context.scalar),
            f"{ARTICLE} (e5-base-v2 keeps 74.77 % under binary)",
        )
    ]


def _percent(share: float) -> str:
    """A percentage such as 45 %; only exact values are shown as 0 % or 100 %."""
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{min(share, 0.99) if share < 1 else 1:.0%}"


def low_dimensions(context: CheckContext) -> list[Finding]:
    """Binary codes have few dimensions."""
    if context.quantization.kind is not Kind.BINARY:
        return []
    bits = float(context.quantization.bits or 1) * context.vector.dim
    rescore = context.rescore
    factor = rescore.factor(K) if rescore is not None and rescore.on else 0.0
    if bits >= FEW_DIM or (bits >= LOW_DIM and factor >= FACTOR):
        return []
    too_low = bits < LOW_DIM
    better = (
        context.command("apply", context.scalar)
        if too_low
        else context.apply(rescore=client_codes.default_rescore(context.quantization))
    )
    return [
        Finding(
            "low-dimensions",
            Severity.WARNING,
            context.name,
            f"{bits:g} bits per vector "
            + (
                "are too few for binary codes: recall decreases even with 20 x oversampling"
                if too_low
                else f"require rescoring with at least {FACTOR:g} x oversampling"
            ),
            (Evidence("dimensions", context.vector.dim), Evidence("oversampling", factor)),
            better,
            "measured with 256 dimensions and 53,470 texts: 20 x oversampling keeps 98.5 % of "
            "nDCG@10",
        )
    ]


def uncalibrated_integers(context: CheckContext) -> list[Finding]:
    """Integers were stored without scaling, or int8 ranges come from too few rows."""
    if context.vector.datatype in ("uint8", "int8"):
        return _few_levels(context)
    client = context.settings.client
    if client is None or client.kind is not Kind.SCALAR or not context.active:
        return []  # `no-effect` reports codes that are ignored
    try:
        with client_codes.open_index(context.store, context.info.name, context.name) as index:
            made_of = index.calibration.count if index.calibration is not None else 0
    except QadaptError:  # damaged or missing: `no-effect` reports it
        return []
    if made_of >= min(FEW_ROWS, context.vector.count):
        return []
    return [
        Finding(
            "uncalibrated-int8",
            Severity.WARNING,
            context.name,
            f"the int8 ranges come from {made_of} vectors: values outside of them are clipped",
            (Evidence("vectors in the calibration", made_of),),
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
            f"the vectors are integers and use {used} of 256 levels: they were written without "
            "scaling to the range",
            (
                Evidence("minimum", float(context.rows.min())),
                Evidence("maximum", float(context.rows.max())),
            ),
            f"python: qa.quantize(rows, '{context.vector.datatype}', "
            "calibration=qa.Calibration.fit(rows)), then write again",
            "https://github.com/huggingface/sentence-transformers/issues/2837",
        )
    ]


def drifting_calibration(context: CheckContext) -> list[Finding]:
    """Rows are outside the ranges with which their codes were built."""
    client = context.settings.client
    if client is None or client.kind is not Kind.SCALAR or not context.active:
        return []  # `no-effect` reports codes that are ignored
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
            f"{outside:.1%} of the values are outside the ranges of the int8 codes and are "
            "clipped: the rows have changed since the codes were built",
            (
                Evidence("share of values outside the ranges", round(outside, 4)),
                Evidence("source of the calibration", ranges.source),
                Evidence("vectors in the calibration", ranges.count),
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
        Evidence("norm, 5 % quantile", float(f"{low:.4g}")),
        Evidence("norm, median", float(f"{middle:.4g}")),
        Evidence("norm, 95 % quantile", float(f"{high:.4g}")),
    )
