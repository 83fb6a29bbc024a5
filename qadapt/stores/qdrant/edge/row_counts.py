"""Exact row counts in constant memory.

The engine's exact count holds the id of every row that it counts: 43 MB for 1M rows, which the
allocator then keeps (``benchmarks/memory.py``, qdrant-edge-py 0.9.0). Its count without ``exact``
adds the rows of all segments. That is exact unless an id is in two segments, which only an
interrupted rebuild can leave behind, so it is used if a single segment holds rows. Otherwise ids
are counted in pages; the engine merges the segments of each page and returns every id once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qadapt.stores.qdrant.edge import segment_files
from qadapt.stores.qdrant.edge.connection import client_module

if TYPE_CHECKING:
    import qdrant_edge

# Ids per page. 1M ids take 0.7 s in pages of 1,000 and 0.9 to 1.4 s in pages of 10,000.
PAGE = 1_000


def rows(shard: qdrant_edge.EdgeShard, folder: Path) -> int:
    """The exact number of rows; ``folder`` is the shard's folder."""
    if segment_files.populated(folder) == 1:
        return at_most(shard)
    return _in_pages(shard, None)


def at_most(shard: qdrant_edge.EdgeShard) -> int:
    """The sum of the rows of all segments: an id in two segments counts twice."""
    return int(shard.count(client_module().CountRequest(exact=False)))


def having(shard: qdrant_edge.EdgeShard, name: str, total: int) -> int:
    """The exact number of rows with a vector.

    The engine's estimate also counts vectors of deleted rows.

    Args:
        total: the number of all rows.
    """
    edge = client_module()
    condition = edge.HasVectorCondition(name)
    # Usually every row has it, which one request shows.
    lacking, more = _page(shard, edge.Filter(must_not=[condition]), None)
    if more is None:
        return total - lacking
    return _in_pages(shard, edge.Filter(must=[condition]))


def _in_pages(shard: qdrant_edge.EdgeShard, filter: Any) -> int:
    count, offset = _page(shard, filter, None)
    while offset is not None:
        found, offset = _page(shard, filter, offset)
        count += found
    return count


def _page(shard: qdrant_edge.EdgeShard, filter: Any, offset: Any) -> tuple[int, Any]:
    """The rows of one page, and the start of the next; None at the end."""
    request = client_module().ScrollRequest(
        offset=offset, limit=PAGE, filter=filter, with_payload=False, with_vector=False
    )
    found, following = shard.scroll(request)
    return len(found), following
