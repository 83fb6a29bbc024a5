"""Schemas of all documents that the command line prints or saves."""

from __future__ import annotations

from typing import Any

# Names of all documents; completion lists them without importing the classes.
NAMES = (
    "Abandoned",
    "Advice",
    "Capabilities",
    "Capability",
    "Check",
    "ClientParams",
    "CollectionInfo",
    "CollectionSchema",
    "CollectionSpec",
    "Cost",
    "Diagnosis",
    "EncoderChoice",
    "EngineMemory",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Exported",
    "ExtraVector",
    "Finding",
    "Guard",
    "HitsDocument",
    "Imported",
    "Match",
    "MemoryChange",
    "Migration",
    "MigrationPlan",
    "Outcome",
    "Plan",
    "Prices",
    "Quantization",
    "Report",
    "Rescore",
    "SearchProvenance",
    "Server",
    "Simulation",
    "Spec",
    "Status",
    "Step",
    "StoreSpec",
    "UnknownDimension",
    "Vector",
    "VectorInfo",
    "VectorSpec",
    "Verification",
)


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each document, by its name."""
    from qadapt.costing import Cost
    from qadapt.diagnosis import Diagnosis
    from qadapt.evaluation.documents import Advice, Evaluation, Simulation, Verification
    from qadapt.files import Exported, Imported
    from qadapt.migration import Check, Migration, MigrationPlan
    from qadapt.model.json_schemas import schemas as of_the_model
    from qadapt.planning.abandoned_records import Abandoned
    from qadapt.planning.outcome import Outcome
    from qadapt.reporting import Report

    results = (
        Abandoned, Outcome, Verification, Cost, Diagnosis, Report,
        MigrationPlan, Migration, Check, Exported, Imported, Evaluation, Simulation, Advice,
    )  # fmt: skip
    verbs = {cls.__name__: cls.json_schema() for cls in results}
    return dict(sorted({**of_the_model(), **verbs}.items()))
