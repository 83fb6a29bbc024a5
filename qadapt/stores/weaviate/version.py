"""The server's version, and the version that introduced each feature.

docs/engines/weaviate.md#quantizers
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Match, Metric, Vector
from qadapt.stores import product_segments
from qadapt.stores.engine_version import EngineVersion
from qadapt.stores.weaviate import vector_index_config
from qadapt.stores.weaviate.schema import DYNAMIC, HFRESH, INDEXES

SINCE_NAMED = "1.24"
SINCE_TENANTS = "1.20"
SINCE_PQ = "1.18"
SINCE_BQ_HNSW = "1.24"
SINCE_BQ_FLAT = "1.23"
SINCE_SQ = "1.26"
SINCE_RQ8 = "1.32"
SINCE_RQ1 = "1.33"
SINCE_RQ4 = "1.39"
SINCE_RQ_FLAT = "1.34"
SINCE_DYNAMIC = "1.25"
SINCE_HFRESH = "1.36"
# Adding a named vector to an existing collection.
SINCE_ADD_VECTOR = "1.31"
SINCE_ALIAS = "1.32"
SINCE_SKIP_DEFAULT = "1.33"
SINCE_MULTI = "1.29"
# Over gRPC: Aggregate, and the field `vectors` of a query.
SINCE_AGGREGATE = "1.29"
SINCE_VECTORS = "1.29"


class ServerVersion(EngineVersion):
    """A Weaviate server."""

    product = "Weaviate"


NEWEST = ServerVersion()


HFRESH_ALWAYS = "the index hfresh always has rotational codes of 1 bit"


# Alternatives.
ELSEWHERE = "accept='client': client-side codes"


BY_HNSW = 'native={"vectorIndexType": "hnsw"}: copy to another index'


def unsupported_index(index: str, vector: Vector, server_version: ServerVersion) -> Match | None:
    """Check that the index exists, for this server version and metric."""
    if index not in INDEXES:
        return Match.unsupported(f"unknown index {index!r}", f"one of {', '.join(INDEXES)}")
    needs = {DYNAMIC: SINCE_DYNAMIC, HFRESH: SINCE_HFRESH}.get(index)
    problem = server_version.lacks(f"the index {index} needs", needs)
    if problem is not None:
        return Match.unsupported(problem, f"Weaviate {needs}", BY_HNSW)
    if index == HFRESH and vector.metric is Metric.DOT:
        return Match.unsupported("the index hfresh supports cosine and euclidean, not dot", BY_HNSW)
    return None


def too_old(what: str, needs: str, server_version: ServerVersion) -> Match | None:
    """Check for a feature that needs a newer server."""
    problem = server_version.lacks(f"{what} need", needs)
    if problem is None:
        return None
    return Match.unsupported(problem, f"Weaviate {needs}", ELSEWHERE)


def unsupported(
    config: Mapping[str, Any], index: str, vector: Vector, server_version: ServerVersion
) -> Match | None:
    """Check native fields that the server accepts but that make inserts or searches fail."""
    for place in vector_index_config.halves(config, index):
        on = [
            name for name in vector_index_config.QUANTIZERS if vector_index_config.on(place, name)
        ]
        if len(on) > 1:
            return Match.unsupported(f"only one quantizer can be enabled, not {' and '.join(on)}")
        pq, rq = place.get("pq") or {}, place.get("rq") or {}
        segments = int(pq.get("segments") or 0)
        if "pq" in on and segments and vector.dim % segments:
            return product_segments.invalid_segments(segments, vector)
        if "rq" in on and rq.get("bits", 8) not in vector_index_config.RESCORE_RQ:
            return Match.unsupported(f"RQ supports 1, 4 or 8 bits, not {rq['bits']}")
    if index == HFRESH and int((config.get("rq") or {}).get("rescoreLimit", 1)) < 1:
        return Match.unsupported(
            "hfresh with a rescoreLimit of 0 fails in every search", "a rescoreLimit of k or more"
        )
    return None
