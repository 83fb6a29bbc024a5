"""Searches over gRPC with vectors copied as bytes, without the client's conversions."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Mapping
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


class GrpcSearch:
    """Sends batches of queries.

    Args:
        common: the request without the query, as for ``QueryRequest``.
    """

    def __init__(self, connection: Connection, name: str, common: Mapping[str, Any]) -> None:
        from qdrant_client.conversions.conversion import RestToGrpc

        one = module().models.QueryRequest(query=[0.0], **common)
        self._connection = connection
        self._name = name
        self._pattern = RestToGrpc.convert_query_request(one, name)
        self._struct = _uploader().convert_vector_struct
        self._doing = f"search {name!r}"

    def __call__(self, queries: Floats) -> list[Answer]:
        connection = self._connection
        method = connection.client.grpc_points.QueryBatch
        found = connection.call(
            self._doing, method, self._batch(queries), timeout=connection.timeout
        )
        return self._found(found)

    async def awaited(self, queries: Floats) -> list[Answer]:
        """The same, awaited by an event loop and sent once."""
        ask = self._connection.awaited_grpc
        return self._found(await ask(self._doing, "QueryBatch", self._batch(queries)))

    def _batch(self, queries: Floats) -> Any:
        from qdrant_client import grpc

        batch = grpc.QueryBatchPoints(collection_name=self._name)
        for row in queries:
            request = batch.query_points.add()
            request.CopyFrom(self._pattern)
            request.query.nearest.dense.CopyFrom(self._struct(row).vector.dense)
        return batch

    def _found(self, answer: Any) -> list[Answer]:
        return [_answer(each.result, self._doing) for each in answer.result]


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
