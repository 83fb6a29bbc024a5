"""Ranges of ids that are read in parallel, and rows that no read returns."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from qadapt.model import Id
from qadapt.stores.lancedb.schema import Table


def all_ids(handle: Any, table: Table) -> pa.ChunkedArray:
    """The ids of all rows, in the order of the rows."""
    return handle.search().select([table.key]).to_arrow().column(table.key)


def hidden(handle: Any, table: Table, most: int = 5) -> tuple[int, list[Id]]:
    """Rows that ``pages`` does not return, because another row has the same id or it is null."""
    ids = all_ids(handle, table)
    counts = pc.value_counts(ids.drop_null())
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    return len(ids) - len(counts), twice[:most].to_pylist()


def ranges(handle: Any, table: Table, n: int) -> list[dict[str, Any]]:
    """Ranges of ids with about equally many rows each."""
    ids = all_ids(handle, table).drop_null()
    ids = ids.take(pc.sort_indices(ids))
    ends = sorted({ids[len(ids) * part // n - 1].as_py() for part in range(1, n) if len(ids) >= n})
    return [
        {name: each for name, each in (("after", low), ("through", high)) if each is not None}
        for low, high in itertools.pairwise([None, *ends, None])
    ]
