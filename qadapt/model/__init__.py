"""The data model: frozen dataclasses shared by all of qadapt.

Modules are imported when a name is used, so that commands that need no arrays do not import numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from qadapt.model.memory_change import MemoryChange
    from qadapt.model.metric import Metric
    from qadapt.model.plan import Estimate, Guard, Plan, Step, Symbol
    from qadapt.model.prices import Prices
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
    "MemoryChange",
    "Metric",
    "Plan",
    "Prices",
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

# Modules, and the names that are imported from them.
_MODULES = {
    "arrays": "as_vectors check_vectors",
    "batch": "Batch",
    "capabilities": "FEATURES Capabilities Capability Rule Support by_contract narrow",
    "collection_schema": "CollectionSchema ExtraVector RaggedArray",
    "finding": "Finding Severity",
    "hits": "Hits SearchProvenance",
    "ids": "Id",
    "info": "CollectionInfo Evidence Server State Status UnknownDimension VectorInfo",
    "match": "ACCEPTS Accept Match MatchLevel Strategy",
    "metric": "Metric",
    "memory_change": "MemoryChange",
    "plan": "Estimate Guard Plan Step Symbol",
    "prices": "Prices",
    "quantization": "Quantization QuantizationLike",
    "quantization_kinds": "binary float16 none product rotational scalar",
    "quantization_options": "Kind",
    "query_checks": "check_queries",
    "rescore": "Rescore RescoreLike",
    "serializable": "Serializable",
    "vector": "Vector",
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        found = getattr(importlib.import_module(f"qadapt.model.{_LAZY[name]}"), name)
        globals()[name] = found  # later lookups do not call this function
        return found
    raise AttributeError(f"module 'qadapt.model' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
