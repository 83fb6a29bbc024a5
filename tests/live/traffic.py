"""What a store is asked for: rows that are read, rows that are fetched by id, and queries.

The counts do not depend on the speed of a machine, so tests compare them instead of seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qadapt.stores.base import Store

READ, FETCH, SEARCH, PREPARE = "read", "fetch", "search", "prepare_search"


@dataclass
class Traffic:
    """Counts of one call.

    Attributes:
        rows: rows read in pages with at least one vector.
        ids: rows read in pages without vectors.
        fetched: rows fetched by id.
        queries: queries searched.
        searches: searches, each with one or more queries.
    """

    rows: int = 0
    ids: int = 0
    fetched: int = 0
    queries: int = 0
    searches: int = 0


@contextmanager
def traffic(store: Store) -> Iterator[Traffic]:
    """Count the calls of a store until the end of the block."""
    found = Traffic()
    own: Any = store
    read, fetch, search, prepare = (getattr(own, name) for name in (READ, FETCH, SEARCH, PREPARE))

    def counted_read(collection: str, request: Any = None, **more: Any) -> Iterator[Any]:
        given = () if request is None else (request,)
        names = None if request is None else request.vectors
        for page in read(collection, *given, **more):
            if names is None or names:
                found.rows += len(page)
            else:
                found.ids += len(page)
            yield page

    def counted_fetch(collection: str, ids: Any, **more: Any) -> Any:
        batch = fetch(collection, ids, **more)
        found.fetched += len(batch)
        return batch

    def searched(queries: Any) -> None:
        found.queries += len(queries)
        found.searches += 1

    def counted_search(collection: str, queries: Any, request: Any) -> Any:
        searched(queries)
        return search(collection, queries, request)

    def counted_prepare(collection: str, request: Any) -> Any:
        prepared = prepare(collection, request)
        if prepared is None:
            return None

        def run(queries: Any) -> Any:
            searched(queries)
            return prepared(queries)

        return run

    counted = (counted_read, counted_fetch, counted_search, counted_prepare)
    for name, function in zip((READ, FETCH, SEARCH, PREPARE), counted, strict=True):
        setattr(own, name, function)
    try:
        yield found
    finally:
        for name in (READ, FETCH, SEARCH, PREPARE):
            delattr(own, name)
