"""Searches over REST as raw JSON, without the client's conversions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qadapt.stores.qdrant.search import Answer
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import not_a_number

if TYPE_CHECKING:
    from qadapt.model.arrays import Floats

_PATH = "/collections/{collection_name}/points/query/batch"


class RestSearch:
    """Sends batches of queries.

    Args:
        common: the request without the query, as for ``QueryRequest``.
    """

    def __init__(self, connection: Connection, name: str, common: Mapping[str, Any]) -> None:
        self._connection = connection
        self._names = {"collection_name": name}
        self._message = as_json(common)
        self._doing = f"search {name!r}"

    def __call__(self, queries: Floats) -> list[Answer]:
        answers = self._connection.ask(
            "POST",
            _PATH,
            self._body(queries),
            doing=self._doing,
            names=self._names,
            repeatable=True,
        )
        return self._found(answers)

    async def awaited(self, queries: Floats) -> list[Answer]:
        """The same, awaited by an event loop and sent once."""
        answers = await self._connection.awaited(
            "POST", _PATH, self._body(queries), doing=self._doing, names=self._names
        )
        return self._found(answers)

    def _body(self, queries: Floats) -> dict[str, Any]:
        return {"searches": [{**self._message, "query": row} for row in queries.tolist()]}

    def _found(self, answers: Any) -> list[Answer]:
        return [of_json(answer, self._doing) for answer in answers]


def as_json(common: Mapping[str, Any]) -> dict[str, Any]:
    """A search of a REST body, without the query."""
    return {
        key: value.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        if hasattr(value, "model_dump")
        else value
        for key, value in common.items()
    }


def of_json(answer: Mapping[str, Any], doing: str) -> Answer:
    """The results of one query of a REST response.

    Raises:
        StoreError: a score is null: a stored vector contains NaN and ranks first.
    """
    points = answer["points"]
    scores = [point["score"] for point in points]
    if None in scores:
        raise not_a_number(doing, [each["id"] for each in points if each["score"] is None])
    return Answer(
        lambda: scores,
        lambda: [point["id"] for point in points],
        lambda: [point.get("payload") for point in points],
    )
