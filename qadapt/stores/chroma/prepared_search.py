"""A search of a folder that is repeated with other queries, below the checks of the client.

The client validates each request and makes an event of its telemetry for it, which takes as long as
a tenth of the search.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from qadapt.errors import NotFoundError
from qadapt.model import Hits
from qadapt.stores import retry
from qadapt.stores.chroma import search
from qadapt.stores.chroma.connection import in_rust
from qadapt.stores.chroma.errors import translate
from qadapt.stores.chroma.search import IndexSearch

_ARGUMENTS = (
    "self", "collection_id", "query_embeddings", "ids", "n_results", "where", "where_document",
    "include", "tenant", "database",
)  # fmt: skip


def searcher(prepared: IndexSearch) -> Callable[[Any], Hits | None] | None:
    """Searches the engine in this process.

    The answer is None if the general search can give one: the client is closed or has another
    interface, the collection was created again, or the error is transient.

    Args:
        prepared: a search without a filter.

    Returns:
        None for a server, or a version whose engine has another interface. The function raises
        the errors of ``IndexSearch``.
    """
    layout = prepared.layout
    server = layout.native._client
    if not in_rust(server):
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
        except (AttributeError, TypeError):
            return None
        except Exception as error:
            reported = translate(error, f"search {layout.name!r}")
            if isinstance(reported, NotFoundError) or retry.is_transient(reported):
                return None
            raise reported from error
        how = prepared.how()
        return Hits.of_rows(search.FoundByIndex(found, prepared, k, read_payloads), how)

    return searched
