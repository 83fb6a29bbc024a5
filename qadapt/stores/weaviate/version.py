"""The server's version, and the version that introduced each feature.

docs/engines/weaviate.md#quantizers
"""

from __future__ import annotations

from qadapt.stores.engine_version import EngineVersion

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
