"""Names that databases and libraries use for the common quantizations and metrics.

Sources: Qdrant and Weaviate configuration (sq, bq, pq, rq, turbo), index types of Milvus and Faiss
(SQ8, PQ, RABITQ), element types of Elasticsearch and pgvector (int8, fp16, l2, ip).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The common kind, and the options that the name implies.
QUANTIZATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **dict.fromkeys(("float32", "fp32", "f32", "flat"), ("none", {})),
    **dict.fromkeys(("fp16", "f16", "half", "halfvec"), ("float16", {})),
    **dict.fromkeys(("int8", "sq8", "sq"), ("scalar", {"bits": 8})),
    **dict.fromkeys(("int4", "sq4"), ("scalar", {"bits": 4})),
    "sq6": ("scalar", {"bits": 6}),
    **dict.fromkeys(("bq", "bbq", "bit", "ubinary"), ("binary", {"bits": 1})),
    "pq": ("product", {}),
    **dict.fromkeys(("rq", "rq8"), ("rotational", {"bits": 8})),
    **dict.fromkeys(("rq1", "rabitq"), ("rotational", {"bits": 1})),
    **dict.fromkeys(("turbo", "turbo4", "turboquant"), ("rotational", {"bits": 4})),
    "turbo8": ("rotational", {"bits": 8}),
}

METRICS: Mapping[str, str] = {
    **dict.fromkeys(("cosine_distance", "cosine_similarity", "cos", "angular"), "cosine"),
    **dict.fromkeys(("ip", "inner_product", "dot_product", "dotproduct"), "dot"),
    **dict.fromkeys(("l2", "l2-squared", "l2_squared", "euclid", "l2_norm"), "euclidean"),
}


DATATYPES: Mapping[str, str] = {
    **dict.fromkeys(("fp32", "f32", "float"), "float32"),
    **dict.fromkeys(("fp16", "f16", "half", "halfvec"), "float16"),
    "bf16": "bfloat16",
}


def datatype(name: str) -> str:
    """The datatype of a name in any case; an unknown name is returned unchanged."""
    lower = name.lower()
    return DATATYPES.get(lower, lower)


def quantization(name: str) -> tuple[str, Mapping[str, Any]]:
    """The common kind of a name in any case, and the options that the name implies.

    An unknown name is returned unchanged.
    """
    lower = name.lower()
    return QUANTIZATIONS.get(lower, (lower, {}))


def metric(name: str) -> str:
    """The common metric of a name in any case; an unknown name is returned unchanged."""
    lower = name.lower()
    return METRICS.get(lower, lower)
