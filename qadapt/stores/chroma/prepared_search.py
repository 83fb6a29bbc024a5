"""A search of a folder that is repeated with other queries, below the checks of the client.

The client validates each request and makes an event of its telemetry for it, which takes as long as
a tenth of the search.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from qadapt.model import Hits
from qadapt.stores.chroma import search
from qadapt.stores.chroma.search import IndexSearch

_ARGUMENTS = (
    "self", "collection_id", "query_embeddings", "ids", "n_results", "where", "where_document",
    "include", "tenant", "database",
)  # fmt: skip


def searcher(prepared: IndexSearch) -> Callable[[Any], Hits | None] | None:
    """Searches the engine in this process; the answer is None if the call failed.

    Args:
        prepared: a search without a filter.

    Returns:
        None for a server, or a version whose engine has another interface.
    """
    layout = prepared.layout
    server = layout.native._client
    if type(server).__name__ != "RustBindingsAPI":
        return None
    if tuple(inspect.signature(type(server)._query).parameters) != _ARGUMENTS:
        return None
    k, include, read_payloads = prepared.k, prepared.include, prepared.with_payload
    before, after = (str(layout.native.id), None), (k, None, None, include)
    place = (layout.native.tenant, layout.native.database)

    def searched(queries: Any) -> Hits | None:
        try:
            # The engine is an attribute that a closed client does not have.
            found = server.bindings.query(*before, list(queries), *after, *place)
        except Exception:  # noqa: BLE001  # the general search reports it
            return None
        how = prepared.how()
        return Hits.of_rows(search.FoundByIndex(found, prepared, k, read_payloads), how)

    return searched
