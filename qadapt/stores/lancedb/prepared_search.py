"""A search that is repeated with other queries, by the asynchronous table below the client's.

Each search of the synchronous client reads the schema of the table and passes each part of the
answer between two threads. Here one call returns the answer (docs/engines/lancedb.md#search), and
an event loop can await it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qadapt.model import Hits
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.lancedb import search
from qadapt.stores.lancedb.connection import async_table, event_loop
from qadapt.stores.lancedb.errors import translated
from qadapt.stores.lancedb.search import Prepared

if TYPE_CHECKING:
    from qadapt.stores.lancedb.snapshot import Layout
    from qadapt.stores.lancedb.store import LanceDbStore

# Seconds for which searches use the version of a table that was read last.
SEARCH_AGE = 1.0


class RepeatedSearch(AwaitedSearch):
    """A search by the description of a table; None once this has changed."""

    def __init__(
        self, store: LanceDbStore, collection: str, layout: Layout, prepared: Prepared
    ) -> None:
        self._store = store
        self._collection = collection
        self._layout = layout
        self._prepared = prepared
        self._request = requests(prepared)
        self._run = event_loop().run
        self._doing = f"search {collection!r}"

    def __call__(self, queries: Any) -> Hits | None:
        store, name, layout = self._store, self._collection, self._layout
        known = store.snapshots.get(name, SEARCH_AGE)
        if known is not layout and store.layout(name, SEARCH_AGE) is not layout:
            return None
        request = self._request
        if request is None or len(queries) > 1:
            with translated(self._doing):
                return search.run(self._prepared, queries)
        try:  # ``translated`` takes as long as the rest
            found = self._run(request(queries[0]).to_arrow())
        except Exception:
            with translated(self._doing):
                raise
        return search.hits_of_one(self._prepared, found)

    async def awaited(self, queries: Any) -> Hits | None:
        request = self._request
        if request is None or len(queries) > 1:
            return None
        if self._store.snapshots.get(self._collection, SEARCH_AGE) is not self._layout:
            return None  # a thread reads the description again
        with translated(self._doing):
            found = await request(queries[0]).to_arrow()
        return search.hits_of_one(self._prepared, found)


def requests(prepared: Prepared) -> Callable[[Any], Any] | None:
    """Makes the request of a query ``(d,)``; None for a table without an asynchronous one, such as
    a table of LanceDB Cloud.

    Args:
        prepared: a search without a filter.
    """
    table = async_table(prepared.layout.handle)
    if table is None:
        return None
    plain = table.query().limit(prepared.k).select(list(prepared.columns))
    params = dict(prepared.params)
    if params.pop("fast_search", False):
        plain = plain.fast_search()
    if "minimum_nprobes" in params:
        # A minimum above the maximum of the engine is refused, so both are set first.
        params = {"nprobes": params.pop("minimum_nprobes"), **params}
    column, nearest = prepared.column.name, plain.nearest_to
    free = threading.Lock()  # the engine refuses two calls of ``nearest_to`` at once
    methods = [(name, () if value is True else (value,)) for name, value in params.items()]

    def request(query: Any) -> Any:
        with free:
            asked = nearest(query)
        asked.column(column)
        for name, values in methods:
            getattr(asked, name)(*values)
        return asked

    return request
