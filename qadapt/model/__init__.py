"""The data model: frozen dataclasses shared by all of qadapt."""

from qadapt.model.arrays import as_vectors, check_vectors
from qadapt.model.batch import Batch
from qadapt.model.capabilities import (
    FEATURES,
    Capabilities,
    Capability,
    Rule,
    Support,
    by_contract,
    narrow,
)
from qadapt.model.collection_schema import CollectionSchema, ExtraVector, RaggedArray
from qadapt.model.finding import Finding, Severity
from qadapt.model.hits import Hits, SearchProvenance
from qadapt.model.ids import Id
from qadapt.model.info import (
    CollectionInfo,
    Evidence,
    Server,
    State,
    Status,
    UnknownDimension,
    VectorInfo,
)
from qadapt.model.match import ACCEPTS, Accept, Match, MatchLevel, Strategy
from qadapt.model.metric import Metric
from qadapt.model.plan import Estimate, Guard, Plan, Step, Symbol
from qadapt.model.quantization import Quantization, QuantizationLike
from qadapt.model.quantization_kinds import binary, float16, none, product, rotational, scalar
from qadapt.model.quantization_options import Kind
from qadapt.model.query_checks import check_queries
from qadapt.model.rescore import Rescore, RescoreLike
from qadapt.model.serializable import Serializable
from qadapt.model.vector import Vector

__all__ = [
    "ACCEPTS",
    "FEATURES",
    "Accept",
    "Batch",
    "Capabilities",
    "Capability",
    "CollectionInfo",
    "CollectionSchema",
    "Estimate",
    "Evidence",
    "ExtraVector",
    "Finding",
    "Guard",
    "Hits",
    "Id",
    "Kind",
    "Match",
    "MatchLevel",
    "Metric",
    "Plan",
    "Quantization",
    "QuantizationLike",
    "RaggedArray",
    "Rescore",
    "RescoreLike",
    "Rule",
    "SearchProvenance",
    "Serializable",
    "Server",
    "Severity",
    "State",
    "Status",
    "Step",
    "Strategy",
    "Support",
    "Symbol",
    "UnknownDimension",
    "Vector",
    "VectorInfo",
    "as_vectors",
    "binary",
    "by_contract",
    "check_queries",
    "check_vectors",
    "float16",
    "narrow",
    "none",
    "product",
    "rotational",
    "scalar",
]
