"""All checks, in the order in which they are made; docs/doctor.md is generated from this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qadapt.diagnosis import in_force, searching, vectors
from qadapt.diagnosis.subject import Subject
from qadapt.model import Finding


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        code: as findings carry it.
        title: what is wrong when it finds something.
        run: the function; None where stores look for it themselves (``Store.findings``).
        stores: which stores can have it; empty for all.
        asks: what the user has to tell for it: ``options`` of searches, the ``model_metric``.
    """

    code: str
    title: str
    run: Callable[[Subject], list[Finding]] | None = None
    stores: tuple[str, ...] = ()
    asks: str = ""


_QDRANT = ("edge", "qdrant")

CHECKS: tuple[Check, ...] = (
    Check("no-effect", "Quantization is configured and ignored.", in_force.no_effect),
    Check(
        "stale-setting",
        "A default search parameter or a setting of qadapt no longer fits the collection.",
        in_force.stale_setting,
    ),
    Check(
        "schema-only",
        "The schema or the status says compressed or finished, and it is not.",
        stores=("milvus", "qdrant", "weaviate"),
    ),
    Check("still-building", "A part of the rows has no codes yet.", in_force.still_building),
    Check(
        "small-segments",
        "Rows lie in segments under the threshold, and are compared by their floats.",
        stores=(*_QDRANT, "milvus"),
    ),
    Check(
        "one-bit-until-indexed",
        "Wider binary codes are compared by one bit, as long as their segment is not indexed.",
        stores=_QDRANT,
    ),
    Check(
        "rescoring-over-the-limit",
        "Strict mode allows less oversampling than is set as the default of the collection.",
        stores=("qdrant",),
    ),
    Check(
        "duplicate-ids",
        "Several rows have the same id, and all but one are hidden.",
        stores=("milvus",),
    ),
    Check("unseen", "Nothing shows whether the engine obeys.", in_force.unseen),
    Check(
        "originals-in-ram",
        "The originals, or a full copy, stay in RAM beside the codes.",
        stores=(*_QDRANT, "milvus"),
    ),
    Check(
        "oversampling-without-rescoring",
        "Search parameters ask for more candidates, and nothing scores them again.",
        stores=(*_QDRANT, "milvus"),
        asks="options",
    ),
    Check(
        "quantization-bypassed",
        "Search parameters switch the codes off.",
        stores=_QDRANT,
        asks="options",
    ),
    Check(
        "parameter-without-effect",
        "A parameter is accepted and does nothing, or next to nothing.",
        stores=(*_QDRANT, "milvus"),
        asks="options",
    ),
    Check(
        "rescoring-without-oversampling",
        "Coarse codes whose k best alone are scored again, or none.",
        searching.rescoring_without_oversampling,
    ),
    Check(
        "slow-rescoring",
        "Rescoring takes many times as long as the search, as from a slow disk.",
        searching.slow_rescoring,
    ),
    Check(
        "not-found-by-itself",
        "A search by a row's own vector does not find the row.",
        searching.not_found_by_itself,
    ),
    Check("unusable-vectors", "Stored vectors that are NaN, infinite, zero or of no usable length.",
          vectors.unusable_vectors),
    Check("unnormalised-dot", "Dot product of vectors of different lengths.",
          vectors.unnormalised_dot),
    Check("metric-mismatch", "The metric orders rows otherwise than the model's.",
          vectors.metric_mismatch, asks="model_metric"),
    Check("dimension-collapse", "Sign bits that carry little information, as with e5 models.",
          vectors.dimension_collapse),
    Check("low-dimensions", "Binary codes of few dimensions.", vectors.low_dimensions),
    Check("uncalibrated-int8", "Integers without scaling, or ranges from next to no rows.",
          vectors.uncalibrated_integers),
    Check("drifting-calibration", "Rows outside of the ranges that their codes were made with.",
          vectors.drifting_calibration),
    Check("bits-lost-to-padding", "Codes padded so far that a finer kind costs the same.",
          in_force.bits_lost_to_padding),
)  # fmt: skip
