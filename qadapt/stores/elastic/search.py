"""Searches: one request for each query, or one for several (``_msearch``).

A body is written once as JSON, with a mark in place of the query vector. A search that is made of
several bodies, such as the parts of an exact search, is merged by score.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model import Hits, SearchProvenance
from qadapt.model.found_rows import Columns, FoundRows, Payloads
from qadapt.stores.elastic import ids as row_ids
from qadapt.stores.elastic import payload
from qadapt.stores.elastic.connection import Connection, check_shards, dumped, joined
from qadapt.stores.elastic.errors import Refused, refused
from qadapt.stores.elastic.product import Product
from qadapt.stores.elastic.schema import Index, VectorField, quoted

# The largest k: index.max_result_window.
MAX_K = 10_000
QUERY = "\x00query\x00"  # replaced by the query vector
_MARK = dumped(QUERY)
# Of one search, the whole answer is read: the client takes longer to write these names into the
# address than to parse the rest.
_ANSWER = (
    "hits.hits._id,hits.hits._score,hits.hits._source,timed_out,_shards.failed,_shards.failures"
)
# Searches of one request.
_TOGETHER = 100


@dataclass(frozen=True)
class Prepared:
    """A search of one vector.

    Attributes:
        bodies: of the searches of one query; their results are merged.
        k: number of results.
        how: who searched and rescored.
    """

    index: Index
    field: VectorField
    bodies: tuple[bytes, ...]
    k: int
    how: SearchProvenance
    with_payload: bool = False

    @cached_property
    def path(self) -> str:
        """Of a request with one body."""
        return f"/{quoted(self.index.real)}/_search"

    @cached_property
    def doing(self) -> str:
        """The action, for messages."""
        return f"search {self.index.name!r}"


def prepared(
    index: Index,
    field: VectorField,
    bodies: Sequence[Mapping[str, Any]],
    k: int,
    how: SearchProvenance,
    *,
    with_payload: bool,
) -> Prepared:
    """A search from bodies that contain ``QUERY``."""
    more = {
        "size": k,
        "_source": payload.source_filter(index) if with_payload else False,
        "track_total_hits": False,
    }
    written = tuple(dumped({**body, **more}) for body in bodies)
    return Prepared(index, field, written, k, how, with_payload)


def run(
    connection: Connection,
    product: Product,
    search: Prepared,
    queries: npt.NDArray[np.float32],
) -> Hits:
    """Search queries ``(nq, d)``."""
    bodies = _bodies(product, search, queries)
    if len(bodies) == 1:
        answer = connection.ask("POST", search.path, bodies[0], doing=search.doing)
        return _found(product, search, [_hits(answer, search.doing)])
    return _found(product, search, _answers(connection, search.index, bodies, search.doing))


async def awaited(
    connection: Connection,
    product: Product,
    search: Prepared,
    queries: npt.NDArray[np.float32],
) -> Hits | None:
    """As ``run``, awaited by an event loop; None if several requests are needed."""
    bodies = _bodies(product, search, queries)
    if len(bodies) != 1:
        return None
    answer = await connection.awaited("POST", search.path, bodies[0], doing=search.doing, params={})
    return _found(product, search, [_hits(answer, search.doing)])


def _bodies(product: Product, search: Prepared, queries: npt.NDArray[np.float32]) -> list[bytes]:
    """The bodies of all queries."""
    bodies = []
    for query in queries:
        vector = product.encoded_query(query)
        bodies += [body.replace(_MARK, vector) for body in search.bodies]
    return bodies


def _found(product: Product, search: Prepared, answers: list[list[Any]]) -> Hits:
    """The results, from the hits of each body, converted when they are read."""
    per_query = len(search.bodies)
    found = answers
    if per_query > 1:
        parts = (answers[at : at + per_query] for at in range(0, len(answers), per_query))
        found = [_best(chain.from_iterable(each), search.k) for each in parts]

    def read() -> Columns:
        ids, scores = [], []
        for hits in found:
            texts = [hit["_id"] for hit in hits]
            ids.append(row_ids.read_all(texts, managed=search.index.managed))
            native = np.array([hit["_score"] for hit in hits], dtype=np.float32)
            scores.append(product.scores(search.field, native).tolist())
        return ids, scores

    def read_payloads() -> Payloads:
        index = search.index
        return [[payload.plain(hit.get("_source") or {}, index) for hit in hits] for hits in found]

    held = FoundRows(read, search.k, read_payloads if search.with_payload else None)
    return Hits.of_rows(held, search.how)


def _best(hits: Iterable[Any], k: int) -> list[Any]:
    return sorted(hits, key=lambda hit: -hit["_score"])[:k]


def _answers(
    connection: Connection, index: Index, bodies: list[bytes], doing: str
) -> list[list[Any]]:
    """The hits of each of several searches."""
    path = f"/{quoted(index.real)}"
    found = []
    for at in range(0, len(bodies), _TOGETHER):
        lines = joined(line for body in bodies[at : at + _TOGETHER] for line in (b"{}", body))
        params = {
            "filter_path": ",".join(f"responses.{each}" for each in _ANSWER.split(","))
            + ",responses.error,responses.status"
        }
        answer = connection.lines(f"{path}/_msearch", lines, doing=doing, params=params)
        for each in answer["responses"]:
            if "error" in each:
                raise refused(Refused(int(each.get("status", 500)), each), doing)
            found.append(_hits(each, doing))
    return found


def _hits(answer: Mapping[str, Any], doing: str) -> list[Any]:
    check_shards(answer, doing)
    return list((answer.get("hits") or {}).get("hits") or ())


def as_text(body: bytes) -> Any:
    """A body as JSON, for code of other clients."""
    return json.loads(body)
