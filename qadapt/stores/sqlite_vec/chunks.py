"""Chunks: vec0 stores the vectors of 1,024 rows in one blob, which is read 30 times as fast as rows
(docs/engines/sqlite-vec.md#tables)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.stores.sqlite_vec import mapping
from qadapt.stores.sqlite_vec.schema import Codes, Column, Table, shadow


def chunks(
    at: Any, name: str, place: int, width: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
    """Rowids ``(n,)`` and bytes ``(n, width)`` of the rows of each chunk."""
    source = shadow(name, "chunks")
    query = (
        f"SELECT c.validity, c.rowids, v.vectors FROM {source} AS c "
        f"JOIN {shadow(name, f'vector_chunks{place:02d}')} AS v ON v.rowid = c.chunk_id "
        "WHERE c.chunk_id = ?"
    )
    # One at a time: all of them may exceed the memory.
    for number in at.execute(f"SELECT chunk_id FROM {source} ORDER BY 1").fetchall():
        validity, rowids, vectors = at.execute(query, number).fetchone()
        bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
        used = bits.astype(np.bool_)
        found = np.frombuffer(rowids, "<i8")
        data = np.frombuffer(vectors, np.uint8).reshape(len(found), width)
        yield found[used[: len(found)]], data[used[: len(found)]]


def size_of(at: Any, table: Table, codes: Codes) -> int:
    """Bytes of the chunks of codes."""
    place = table.place_of(codes.column) if not codes.separate else 0
    source = shadow(codes.table, f"vector_chunks{place:02d}")
    return int(at.execute(f"SELECT coalesce(sum(length(vectors)), 0) FROM {source}").fetchone()[0])


def vectors_of(at: Any, table: Table, column: Column) -> Iterator[mapping.Floats]:
    """All original vectors, chunk by chunk."""
    for _, cells in chunks(at, table.name, table.place_of(column.name), 4 * column.dim):
        yield np.ascontiguousarray(cells).view("<f4")
