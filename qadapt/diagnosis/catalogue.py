"""All checks, in the order in which they are made; docs/doctor.md is generated from this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qadapt.diagnosis import search_checks, status_checks, vector_checks
from qadapt.diagnosis.context import CheckContext
from qadapt.model import Finding
from qadapt.stores import registry


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        code: as findings carry it.
        title: what is wrong when it finds something.
        run: the function; None for a check of stores (``Store.findings``).
        stores: the stores that make it; empty for all.
        asks: what the user has to give for it: ``options`` of searches, the ``model_metric``.
    """

    code: str
    title: str
    run: Callable[[CheckContext], list[Finding]] | None = None
    stores: tuple[str, ...] = ()
    asks: str = ""


# The checks that every store shares.
SHARED: tuple[Check, ...] = (
    Check("no-effect", "Quantization is configured and ignored.", status_checks.no_effect),
    Check(
        "stale-setting",
        "A default search parameter or a setting of qadapt no longer fits the collection.",
        status_checks.stale_setting,
    ),
    Check("still-building", "A part of the rows has no codes yet.", status_checks.still_building),
    Check("unseen", "Nothing shows whether the engine obeys.", status_checks.unobserved),
    Check(
        "rescoring-without-oversampling",
        "Coarse codes whose k best alone are scored again, or none.",
        search_checks.rescoring_without_oversampling,
    ),
    Check(
        "slow-rescoring",
        "Rescoring takes many times as long as the search, as from a slow disk.",
        search_checks.slow_rescoring,
    ),
    Check(
        "not-found-by-itself",
        "A search by a row's own vector does not find the row.",
        search_checks.not_found_by_itself,
    ),
    Check("unusable-vectors", "Stored vectors that are NaN, infinite, zero or of no usable length.",
          vector_checks.unusable_vectors),
    Check("unnormalised-dot", "Dot product of vectors of different lengths.",
          vector_checks.unnormalised_dot),
    Check("metric-mismatch", "The metric orders rows otherwise than the model's.",
          vector_checks.metric_mismatch, asks="model_metric"),
    Check("dimension-collapse", "Sign bits that carry little information, as with e5 models.",
          vector_checks.dimension_collapse),
    Check("low-dimensions", "Binary codes of few dimensions.", vector_checks.low_dimensions),
    Check("uncalibrated-int8", "Integers without scaling, or ranges from next to no rows.",
          vector_checks.uncalibrated_integers),
    Check("drifting-calibration", "Rows outside of the ranges that their codes were made with.",
          vector_checks.drifting_calibration),
    Check("bits-lost-to-padding", "Codes padded so far that a finer kind costs the same.",
          status_checks.bits_lost_to_padding),
)  # fmt: skip


def checks() -> tuple[Check, ...]:
    """All checks: those that every store shares, then those of the profiles by name of store."""
    of_stores: dict[str, Check] = {}
    for name, profile in registry.profiles().items():
        for each in profile.checks:
            known = of_stores.get(each.code, Check(each.code, each.title, asks=each.needs))
            of_stores[each.code] = replace(known, stores=(*known.stores, name))
    return (*SHARED, *of_stores.values())
