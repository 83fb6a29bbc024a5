"""JSON schemas of all documents that are saved or printed with ``--json``."""

from __future__ import annotations

from typing import Any

from qadapt.model.capabilities import Capabilities, Capability
from qadapt.model.client_params import ClientParams
from qadapt.model.collection_schema import CollectionSchema, ExtraVector
from qadapt.model.encoder_choice import EncoderChoice
from qadapt.model.engine_memory import EngineMemory
from qadapt.model.finding import Finding
from qadapt.model.hits import HitsDocument, SearchProvenance
from qadapt.model.info import CollectionInfo, Evidence, Server, Status, UnknownDimension, VectorInfo
from qadapt.model.match import Match
from qadapt.model.memory_change import MemoryChange
from qadapt.model.plan import Estimate, Guard, Plan, Step
from qadapt.model.prices import Prices
from qadapt.model.quantization import Quantization
from qadapt.model.rescore import Rescore
from qadapt.model.serializable import Serializable
from qadapt.model.spec import CollectionSpec, Spec, StoreSpec, VectorSpec
from qadapt.model.vector import Vector

# `qadapt schema` prints the schemas of these classes, and the tests check them.
DOCUMENTS: tuple[type[Serializable], ...] = (
    CollectionSchema,
    Capabilities,
    Capability,
    ClientParams,
    CollectionInfo,
    CollectionSpec,
    EncoderChoice,
    EngineMemory,
    Estimate,
    Evidence,
    ExtraVector,
    Finding,
    Guard,
    HitsDocument,
    SearchProvenance,
    Match,
    MemoryChange,
    Plan,
    Prices,
    Quantization,
    Rescore,
    Server,
    Spec,
    Status,
    Step,
    StoreSpec,
    UnknownDimension,
    Vector,
    VectorInfo,
    VectorSpec,
)


def schemas() -> dict[str, dict[str, Any]]:
    """JSON schemas by document name."""
    ordered = sorted(DOCUMENTS, key=lambda cls: cls.__name__)
    return {cls.__name__: cls.json_schema() for cls in ordered}
