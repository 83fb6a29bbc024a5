"""The query of a search request, in the format of each server version."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.stores.weaviate.connection import Connection, proto
from qadapt.stores.weaviate.schema import Field
from qadapt.stores.weaviate.version import SINCE_VECTORS, ServerVersion


def query_message(connection: Connection, field: Field, query: npt.NDArray[np.float32]) -> Any:
    """The ``NearVector`` of one query, float32 ``(d,)``.

    Servers before 1.29 ignore the field ``vectors`` ("near_vector: vector is required", 1.27.27).
    """
    messages = proto()
    base = messages.base_pb2
    raw = np.ascontiguousarray(query, dtype="<f4").tobytes()
    if ServerVersion(connection.version).has(SINCE_VECTORS):
        single = base.Vectors(vector_bytes=raw, type=base.Vectors.VECTOR_TYPE_SINGLE_FP32)
        found = messages.base_search_pb2.NearVector(vectors=[single])
    else:
        found = messages.base_search_pb2.NearVector(vector_bytes=raw)
    if field.target is not None:
        found.targets.target_vectors.append(field.target)
    return found
