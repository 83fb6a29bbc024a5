"""Searches over gRPC with vectors copied as bytes, without the client's conversions."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qadapt.model import Id
from qadapt.stores.qdrant.search import Answer
from qadapt.stores.qdrant.server.connection import Connection, module
from qadapt.stores.qdrant.server.errors import not_a_number

if TYPE_CHECKING:
    from qadapt.model.arrays import Floats


@functools.cache
def available() -> bool:
    """Whether the client can copy vectors as bytes (since 1.20)."""
    try:
        return hasattr(_uploader(), "convert_vector_struct")
    except ImportError:
        return False


def _uploader() -> Any:
    return importlib.import_module("qdrant_client.uploader.grpc_uploader")


def asker(
    connection: Connection, name: str, common: Mapping[str, Any]
) -> Callable[[Floats], list[Answer]]:
    """Sends batches of queries.

    Args:
        common: the request without the query, as for ``QueryRequest``.
    """
    from qdrant_client import grpc
    from qdrant_client.conversions.conversion import RestToGrpc

    one = module().models.QueryRequest(query=[0.0], **common)
    pattern = RestToGrpc.convert_query_request(one, name)
    struct = _uploader().convert_vector_struct
    doing = f"search {name!r}"

    def ask(queries: Floats) -> list[Answer]:
        batch = grpc.QueryBatchPoints(collection_name=name)
        for row in queries:
            request = batch.query_points.add()
            request.CopyFrom(pattern)
            request.query.nearest.dense.CopyFrom(struct(row).vector.dense)
        method = connection.client.grpc_points.QueryBatch
        found = connection.call(doing, method, batch, timeout=connection.timeout)
        return [_answer(each.result, doing) for each in found.result]

    return ask


def _answer(points: Any, doing: str) -> Answer:
    """Results of one query.

    Raises:
        StoreError: a score is NaN: a stored vector contains NaN and ranks first.
    """
    scores = [point.score for point in points]
    if any(map(math.isnan, scores)):
        wrong = [_id(point.id) for point in points if math.isnan(point.score)]
        raise not_a_number(doing, wrong)
    return Answer(
        lambda: scores,
        lambda: [_id(point.id) for point in points],
        lambda: [_payload(point.payload) for point in points],
        float32=True,
    )


def _id(key: Any) -> Id:
    found: Id = key.num if key.WhichOneof("point_id_options") == "num" else key.uuid
    return found


def _payload(fields: Any) -> dict[str, Any] | None:
    from qdrant_client.conversions.conversion import GrpcToRest

    if not fields:
        return None
    found: dict[str, Any] = GrpcToRest.convert_payload(fields)
    return found
