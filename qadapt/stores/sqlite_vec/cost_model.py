"""Cost model of sqlite-vec: chunks of vectors and codes in a file, and SQLite's page cache.

Sizes follow from the layout of the shadow tables (docs/engines/sqlite-vec.md#sizes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Kind, Quantization, Vector
from qadapt.stores.sqlite_vec import mapping

CHUNK = 1024
LAYOUT = "shadow tables of sqlite-vec 0.1.9"
CACHED = (
    "a search reads all codes, or all vectors without codes; the page cache of the system or of "
    "SQLite (cache_mb) holds them"
)


class SqliteVecCostModel(CostModel):
    """Footprint of what a search reads as a whole (RAM) and of the file.

    A chunk holds 1,024 rows, so that the last one is padded.
    """

    store = "sqlite-vec"
    note = CACHED

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        mapped = supported(mapping.to_native(quantization.replace(rescore=None), vector))
        coded = mapped.target.kind is not Kind.NONE
        size = original_bytes(padded(count), vector)
        codes = ids = 0
        if coded:
            kind = mapping.WORDS[mapped.target.kind]
            codes = padded(count) * mapping.row_bytes(kind, vector.dim)
            ids = ids_bytes(count)
        parts = (
            Component("codes", codes, codes, "chunks of 1,024 rows of the table of codes", LAYOUT),
            Component(
                "originals", 0 if coded else size, size, "chunks of 1,024 rows of float32", LAYOUT
            ),
            Component(
                "ids", 0, ids_bytes(count) + ids, "8 B per chunk slot and 16 B per row", LAYOUT
            ),
        )
        return self.of_parts(mapped, parts)


def padded(count: int) -> int:
    """Rows of all chunks, of which the last one may not be full."""
    return -(-count // CHUNK) * CHUNK


def ids_bytes(count: int) -> int:
    """Bytes of ids: 8 and a bit for each row of a chunk, and a row of the table of rowids."""
    return padded(count) * 8 + padded(count) // 8 + 16 * count
