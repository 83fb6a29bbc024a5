"""Checks of ``qadapt doctor`` that several stores share."""

from __future__ import annotations

from qadapt.stores.profile import DoctorCheck

SCHEMA_ONLY = DoctorCheck(
    "schema-only", "The schema or the status reports compression that is not active."
)
SMALL_SEGMENTS = DoctorCheck(
    "small-segments",
    "Rows are in segments below the indexing threshold and are compared by their original vectors.",
)
ONE_BIT_UNTIL_INDEXED = DoctorCheck(
    "one-bit-until-indexed",
    "Binary codes of more than 1 bit are compared by 1 bit until their segment is indexed.",
)
ORIGINALS_IN_RAM = DoctorCheck(
    "originals-in-ram",
    "The original vectors, or a full copy of them, are in RAM in addition to the codes.",
)
OVERSAMPLING_WITHOUT_RESCORING = DoctorCheck(
    "oversampling-without-rescoring",
    "Search parameters request oversampling without rescoring.",
    needs="options",
)
QUANTIZATION_BYPASSED = DoctorCheck(
    "quantization-bypassed", "Search parameters disable the codes.", needs="options"
)
PARAMETER_WITHOUT_EFFECT = DoctorCheck(
    "parameter-without-effect",
    "A parameter is accepted but has little or no effect.",
    needs="options",
)
DUPLICATE_IDS = DoctorCheck(
    "duplicate-ids", "Several rows have the same id, and all but one are hidden."
)
UNKNOWN_METRIC = DoctorCheck(
    "unknown-metric", "Neither an index nor a comment has the metric of a vector."
)
