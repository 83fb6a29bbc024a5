"""What would meet the recall that a copy missed, measured on the copied rows.

First rescoring is measured on the target as it was built, then other quantizations on a temporary
copy of its rows. The first setting that meets the requirement is reported, with the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from qadapt.errors import QadaptError
from qadapt.evaluation.evaluate import evaluate
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.results import Result
from qadapt.evaluation.settings import Setting
from qadapt.local import collection_info
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.nearest import NONE, bits_per_dimension, candidates
from qadapt.migration.recall_queries import Sampling
from qadapt.migration.report import RecallCheck, Remedy
from qadapt.model import Kind, MatchLevel, Quantization, Rescore, VectorInfo
from qadapt.model.cli_commands import vector_command
from qadapt.stores.base import OnProgress, Store

FACTORS = (2, 4, 8, 16)
COPIES = 3  # other quantizations to measure, besides none
EMPTY = "other settings were not measured, because no partition has rows"
NOTHING = "no setting of the target that was measured meets it: {}"


def with_remedies(
    target: Endpoint, recalls: Sequence[RecallCheck], sampling: Sampling, progress: OnProgress
) -> tuple[RecallCheck, ...]:
    """The results of a check, each missed one with the setting that would meet it."""
    return tuple(
        each.replace(remedy=_remedy(target, each, sampling, progress)) if each.too_low else each
        for each in recalls
    )


def _remedy(
    target: Endpoint, missed: RecallCheck, sampling: Sampling, progress: OnProgress
) -> Remedy:
    partition = _largest_partition(target)
    if partition is not None and not partition:
        return Remedy(reason=EMPTY)
    place = target.name if partition is None else f"{target.name}@{partition}"
    assert missed.least is not None  # ``too_low`` compares with it
    name, least = missed.vector, missed.least
    info = collection_info.info(target.store, target.name).vectors[name]
    options = EvaluationOptions(
        k=sampling.k, queries=sampling.queries, seed=sampling.seed, concurrency=(),
        progress=progress,
    )  # fmt: skip
    tried: list[str] = []
    try:
        for settings in (_rescored(info), list(_quantizations(target.store, info))):
            if not settings:
                continue
            found = evaluate(target.store, place, name, settings, options).results
            for result in sorted(found, key=lambda each: _cost(each, info)):
                if result.recall is None:
                    continue
                if result.recall.value >= least and not _is_current(result):
                    return _of(target, info, result).replace(partition=partition or "")
                tried.append(f"{result.setting} {result.recall.value:.3f}")
    except QadaptError as error:
        return Remedy(reason=f"other settings could not be measured: {error.message}")
    return Remedy(reason=NOTHING.format(", ".join(tried)))


def _largest_partition(target: Endpoint) -> str | None:
    """The partition with the most rows, whose searches are measured; empty if none has rows.

    Returns:
        None if searches are of the whole collection: there are no partitions, or a payload field
        determines them.
    """
    found = target.schema()
    if not found.is_partitioned or found.partition_key is not None:
        return None
    counts = {
        name: target.store.count(f"{target.name}@{name}")
        for name in found.partitions
        if name not in found.inactive_partitions
    }
    best = max(counts, key=lambda name: counts[name], default="")
    return best if best and counts[best] else ""


def _rescored(info: VectorInfo) -> list[Setting]:
    """Rescoring factors for the live target; empty if it has no codes."""
    if info.quantization.kind is Kind.NONE:
        return []
    return [Setting(None, Rescore(float(factor))) for factor in FACTORS]


def _quantizations(store: Store, info: VectorInfo) -> Iterator[Setting]:
    """Quantizations with more bits, the fewest first, then none."""
    current = info.quantization
    if current.kind is Kind.NONE:
        return
    bits = bits_per_dimension(current, info.vector)
    found: dict[Quantization, float] = {}
    for each in candidates(store.capabilities(), current):
        mapped = store.map(each, info.vector)
        if each.kind is Kind.PRODUCT or mapped.match.level is MatchLevel.UNSUPPORTED:
            continue
        size = bits_per_dimension(mapped.target, info.vector)
        if size > bits and mapped.target not in found:
            found[mapped.target] = size
    more = sorted(found, key=lambda each: found[each])
    for quantization in more[-COPIES:]:
        yield Setting(quantization.codes_only, Rescore(float(FACTORS[1])))
    yield Setting(NONE)


def _cost(result: Result, info: VectorInfo) -> tuple[float, float]:
    """Size of the codes, then the number of candidates."""
    quantization = info.quantization if result.quantization is None else result.quantization
    factor = result.rescore.oversampling if result.rescore is not None else 1.0
    return bits_per_dimension(quantization, info.vector), factor


def _is_current(result: Result) -> bool:
    """Whether the setting is the one that missed the requirement."""
    return result.where == "live" and result.rescore is None


def _of(target: Endpoint, info: VectorInfo, result: Result) -> Remedy:
    assert result.recall is not None
    quantization = info.quantization if result.quantization is None else result.quantization
    asked = quantization.replace(rescore=result.rescore)
    address = replace(target.store.address, collection=None)
    command = vector_command("apply", address, target.name, info.name, asked)
    return Remedy(
        setting=str(asked),
        recall=result.recall.value,
        low=result.recall.low,
        high=result.recall.high,
        measured_on="target" if result.where == "live" else "copy",
        command=command,
    )
