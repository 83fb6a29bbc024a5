"""All checks, in the order in which they run. docs/doctor.md is generated from this list."""

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
        code: the code of its findings.
        title: the problem that it finds.
        run: the function; None for a check that a store runs (``Store.findings``).
        stores: the stores that run it; empty for all.
        asks: the argument that it requires: ``options`` or ``model_metric``.
    """

    code: str
    title: str
    run: Callable[[CheckContext], list[Finding]] | None = None
    stores: tuple[str, ...] = ()
    asks: str = ""


# Checks that run for every store.
SHARED: tuple[Check, ...] = (
    Check("no-effect", "Quantization is configured, and the engine ignores it.",
          status_checks.no_effect),
    Check(
        "stale-setting",
        "A default search parameter or a qadapt setting no longer matches the collection.",
        status_checks.stale_setting,
    ),
    Check(
        "collection-note",
        "`inspect` has a note about the collection, such as a vector that qadapt does not use.",
        status_checks.collection_notes,
    ),
    Check("still-building", "Some rows have no codes yet.", status_checks.still_building),
    Check("unverifiable", "The engine does not report whether quantization is active.",
          status_checks.unobserved),
    Check(
        "rescoring-without-oversampling",
        "Coarse codes are rescored without oversampling, or not at all.",
        search_checks.rescoring_without_oversampling,
    ),
    Check(
        "slow-rescoring",
        "Rescoring takes much longer than the search, for example on a slow disk.",
        search_checks.slow_rescoring,
    ),
    Check(
        "unreachable-rows",
        "A search with a row's own vector does not return the row.",
        search_checks.not_found_by_itself,
    ),
    Check("unusable-vectors", "Stored vectors are NaN, infinite, zero, or have an unusable norm.",
          vector_checks.unusable_vectors),
    Check("unnormalized-dot", "The metric is dot product, and vector norms differ.",
          vector_checks.unnormalised_dot),
    Check("metric-mismatch", "The metric ranks rows differently from the metric of the model.",
          vector_checks.metric_mismatch, asks="model_metric"),
    Check("dimension-collapse", "Sign bits carry little information, for example with e5 models.",
          vector_checks.dimension_collapse),
    Check("low-dimensions", "Binary codes have few dimensions.", vector_checks.low_dimensions),
    Check("uncalibrated-int8",
          "Integers were stored without scaling, or int8 ranges come from too few rows.",
          vector_checks.uncalibrated_integers),
    Check("drifting-calibration", "Rows are outside the ranges with which their codes were built.",
          vector_checks.drifting_calibration),
    Check("bits-lost-to-padding",
          "Codes are padded so much that a finer quantization needs the same memory.",
          status_checks.bits_lost_to_padding),
)  # fmt: skip


def checks() -> tuple[Check, ...]:
    """All checks: the shared ones, then those in store profiles."""
    of_stores: dict[str, Check] = {}
    for name, profile in registry.profiles().items():
        for each in profile.checks:
            known = of_stores.get(each.code, Check(each.code, each.title, asks=each.needs))
            of_stores[each.code] = replace(known, stores=(*known.stores, name))
    return (*SHARED, *of_stores.values())
