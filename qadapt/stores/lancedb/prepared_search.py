"""A search that is repeated with other queries, by the asynchronous table below the client's.

Each search of the synchronous client reads the schema of the table and passes each part of the
answer between two threads. Here one call returns the answer (docs/engines/lancedb.md#search).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qadapt.stores.lancedb.connection import async_table, event_loop

if TYPE_CHECKING:
    import pyarrow as pa

    from qadapt.stores.lancedb.search import Prepared


def answers(prepared: Prepared) -> Callable[[Any], pa.Table] | None:
    """Returns the rows of a query ``(d,)``; None for a table without an asynchronous one, such as
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
    column, nearest, run = prepared.column.name, plain.nearest_to, event_loop().run
    methods = [(name, () if value is True else (value,)) for name, value in params.items()]

    async def found(query: Any) -> pa.Table:
        # In the thread of the client: two threads cannot call ``nearest_to`` of one object at the
        # same time ("Already borrowed").
        asked = nearest(query).column(column)
        for name, values in methods:
            getattr(asked, name)(*values)
        return await asked.to_arrow()

    return lambda query: run(found(query))
