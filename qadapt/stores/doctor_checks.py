"""Checks of ``qadapt doctor`` that several stores share."""

from __future__ import annotations

from qadapt.stores.profile import DoctorCheck

SCHEMA_ONLY = DoctorCheck(
    "schema-only", "The schema or the status says compressed or finished, and it is not."
)
SMALL_SEGMENTS = DoctorCheck(
    "small-segments", "Rows lie in segments under the threshold, and are compared by their floats."
)
ONE_BIT_UNTIL_INDEXED = DoctorCheck(
    "one-bit-until-indexed",
    "Wider binary codes are compared by one bit, as long as their segment is not indexed.",
)
ORIGINALS_IN_RAM = DoctorCheck(
    "originals-in-ram", "The originals, or a full copy, stay in RAM beside the codes."
)
OVERSAMPLING_WITHOUT_RESCORING = DoctorCheck(
    "oversampling-without-rescoring",
    "Search parameters ask for more candidates, and nothing scores them again.",
    needs="options",
)
QUANTIZATION_BYPASSED = DoctorCheck(
    "quantization-bypassed", "Search parameters switch the codes off.", needs="options"
)
PARAMETER_WITHOUT_EFFECT = DoctorCheck(
    "parameter-without-effect",
    "A parameter is accepted and does nothing, or next to nothing.",
    needs="options",
)
