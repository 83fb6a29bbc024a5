"""The model: the vocabulary of qadapt as frozen plain data."""

from qadapt.model.beside import Beside, Extra, Ragged
from qadapt.model.capabilities import (
    FEATURES,
    Capabilities,
    Capability,
    Rule,
    Support,
    by_contract,
    narrow,
)
from qadapt.model.data import Batch, Hits, How, Id, Vector, as_vectors, check_vectors
from qadapt.model.finding import Finding, Severity
from qadapt.model.info import (
    CollectionInfo,
    Evidence,
    Server,
    State,
    Status,
    Unmeasured,
    VectorInfo,
)
from qadapt.model.match import ACCEPTS, Accept, Level, Match, Strategy
from qadapt.model.metric import Metric
from qadapt.model.plain import Plain
from qadapt.model.plan import Estimate, Guard, Plan, Step, Symbol
from qadapt.model.quantization import (
    Kind,
    Quantization,
    QuantizationLike,
    binary,
    float16,
    none,
    product,
    rotational,
    scalar,
)
from qadapt.model.queries import check_queries
from qadapt.model.rescore import Rescore, RescoreLike

__all__ = [
    "ACCEPTS",
    "FEATURES",
    "Accept",
    "Batch",
    "Beside",
    "Capabilities",
    "Capability",
    "CollectionInfo",
    "Estimate",
    "Evidence",
    "Extra",
    "Finding",
    "Guard",
    "Hits",
    "How",
    "Id",
    "Kind",
    "Level",
    "Match",
    "Metric",
    "Plain",
    "Plan",
    "Quantization",
    "QuantizationLike",
    "Ragged",
    "Rescore",
    "RescoreLike",
    "Rule",
    "Server",
    "Severity",
    "State",
    "Status",
    "Step",
    "Strategy",
    "Support",
    "Symbol",
    "Unmeasured",
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
