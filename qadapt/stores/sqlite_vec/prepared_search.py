"""A search that is repeated with other queries.

A scan replaces the contents of the processor's caches, so that the time of what follows is that of
the functions called: there are few.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qadapt.model import Hits
from qadapt.stores.sqlite_vec import search
from qadapt.stores.sqlite_vec.search import Prepared, SqlRows

if TYPE_CHECKING:
    from qadapt.stores.sqlite_vec.store import SqliteVecStore


def searcher(
    store: SqliteVecStore, key: tuple[int, ...], prepared: Prepared, k: int
) -> Callable[[Any], Hits | None]:
    """Runs a search again; the answer is None if the file has changed.

    Args:
        key: ``Connection.change_key`` when the search was prepared.
    """
    connection, pid, getpid = store.connection, os.getpid(), os.getpid
    rows_of, text, how = connection.rows_unless_changed, prepared.text, prepared.how
    # Its only parameter is the query, once or twice.
    plain = not prepared.values and set(prepared.inputs) == {"floats"}
    count = len(prepared.inputs)

    def searched(queries: Any) -> Hits | None:
        if getpid() != pid:
            store.connection  # noqa: B018  # raises
        found = []
        for query in queries:
            values = (query.tobytes(),) * count if plain else search.values(prepared, query)
            rows = rows_of(key, text, values)
            if rows is None:
                return None
            found.append(rows)
        return Hits.of_rows(SqlRows(found, prepared, k), how)

    return searched
