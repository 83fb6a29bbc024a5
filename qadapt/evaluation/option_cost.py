"""Options of an advice, and their cost: latency of a search, and price per month."""

from __future__ import annotations

from typing import Literal

from qadapt.evaluation.documents import Option, Target
from qadapt.evaluation.results import Figure, Result
from qadapt.evaluation.settings import Setting
from qadapt.footprint import Footprint
from qadapt.model import Prices, Quantization


def p95(result: Result) -> float | None:
    """95th percentile in ms, warm, one query at a time; None if it was not measured."""
    for each in result.latency:
        if each.phase == "warm" and each.concurrency == 1:
            return each.p95
    return None


def monthly(target: Target, ram: int) -> float | None:
    """The monthly price of RAM; None without a price per GiB."""
    return Prices(target.price).monthly(ram, 0)


def ranked(option: Option, best: Option) -> Option:
    """The option, with the reason for its rank."""
    if option is best:
        why = "least RAM of the settings that meet the target, and fewest candidates to rescore"
    elif option.ram == best.ram:
        why = "same RAM as the best, but more disk or more candidates to rescore"
    else:
        why = f"{option.ram - best.ram:,} bytes more RAM than the best"
    return option.replace(reasons=(why, *option.reasons))


def option(
    setting: Setting,
    quantization: Quantization,
    footprint: Footprint,
    recall: Figure,
    target: Target,
    *,
    source: Literal["measured", "predicted"],
    latency_ms: float | None,
    reason: str,
) -> Option:
    """A setting that meets the target, with its cost.

    Args:
        footprint: RAM and disk of the vector with this setting.
        latency_ms: 95th percentile; None if it was not measured.
        reason: how the recall was found.
    """
    return Option(
        setting=setting.text,
        quantization=quantization,
        rescore=setting.rescore,
        recall=recall,
        source=source,
        ram=footprint.ram,
        disk=footprint.disk,
        latency_ms=latency_ms,
        monthly=monthly(target, footprint.ram),
        reasons=(reason,),
    )
