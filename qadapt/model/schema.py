"""The JSON schemas of all documents that are saved, or printed with ``--json``."""

from __future__ import annotations

from typing import Any

from qadapt.model.beside import Beside, Extra
from qadapt.model.capabilities import Capabilities, Capability
from qadapt.model.data import HitsDocument, How, Vector
from qadapt.model.finding import Finding
from qadapt.model.info import CollectionInfo, Evidence, Server, Status, Unmeasured, VectorInfo
from qadapt.model.match import Match
from qadapt.model.plain import Plain
from qadapt.model.plan import Estimate, Guard, Plan, Step
from qadapt.model.quantization import Quantization
from qadapt.model.rescore import Rescore
from qadapt.model.spec import CollectionSpec, Spec, StoreSpec, VectorSpec

# Add a class here and its schema is printed by `qadapt schema` and checked by the tests.
DOCUMENTS: tuple[type[Plain], ...] = (
    Beside,
    Capabilities,
    Capability,
    CollectionInfo,
    CollectionSpec,
    Estimate,
    Evidence,
    Extra,
    Finding,
    Guard,
    HitsDocument,
    How,
    Match,
    Plan,
    Quantization,
    Rescore,
    Server,
    Spec,
    Status,
    Step,
    StoreSpec,
    Unmeasured,
    Vector,
    VectorInfo,
    VectorSpec,
)


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON schema of each document, by its name."""
    return {cls.__name__: cls.json_schema() for cls in DOCUMENTS}
