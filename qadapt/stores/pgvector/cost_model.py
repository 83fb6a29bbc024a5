"""Cost model of pgvector: indexes in the buffer cache, original vectors in the table.

The sizes of indexes follow from the layout of their pages (docs/engines/pgvector.md#sizes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, supported
from qadapt.model import Quantization, Vector
from qadapt.stores.pgvector import mapping

LAYOUT = "page layout of pgvector 0.8"
_PAGE, _USABLE = 8192, 8160
# A row has a header of 24 bytes and a line pointer of 4; a vector has 8 bytes besides its values.
_ROW, _VALUE = 28, 8
# A larger row is moved out of line in chunks of at most 1996 bytes (TOAST_MAX_CHUNK_SIZE).
_INLINE, _CHUNK, _CHUNK_ROW = 2032, 1996, 36
_POINTER_ROW = 60  # a row whose vector is out of line
CACHED = "the buffer cache holds what is searched; it can be smaller than the index"


class PgvectorCostModel(CostModel):
    """Footprint of the index that a search uses and of the column.

    An index is counted as RAM, because searches visit its pages at random. Original vectors are
    read for the candidates only, if codes are rescored; without codes they are in the index.
    """

    store = "pgvector"
    note = CACHED

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """The footprint of one vector.

        Args:
            index: ``type``, ``m`` and ``lists`` of the current index. Without one, ``none`` has no
                index, and codes get an hnsw index.

        Raises:
            UnsupportedError: pgvector lacks this quantization, or its index has fewer dimensions.
        """
        mapped = supported(mapping.to_native(quantization.replace(rescore=None), vector))
        native = dict(mapped.native or {})
        kind = index.get("type")
        using = native.get("using") or (kind if kind in mapping.METHODS else mapping.HNSW)
        codes, dim = str(native.get("codes", "vector")), native.get("dims") or vector.dim
        indexed = bool(native) or kind in mapping.METHODS
        options = {**index, **native.get("options", {})}
        size = 0
        if indexed and count:
            m = int(options.get("m") or 16)
            full = codes in ("vector", "subvector")
            stored = "halfvec" if full and vector.datatype == "float16" else codes
            lists = int(options.get("lists") or mapping.DEFAULT_LISTS)
            size = mapping.index_bytes(stored, dim, count, using, m, lists)
        heap = heap_bytes(count, vector)
        coded = 0
        if codes != "vector":
            coded = count * mapping.value_bytes(codes, dim)
        parts = (
            Component("codes", coded, coded, f"{codes} values of the index", LAYOUT),
            Component(
                "graph",
                size - coded,
                size - coded,
                f"the rest of the {using} index" if size else "no index",
                LAYOUT,
            ),
            Component(
                "originals",
                0 if size else heap,
                heap,
                "the column of the table" + ("" if size else ", which a search reads as a whole"),
                LAYOUT,
            ),
        )
        return self.of_parts(mapped, parts, native)


def heap_bytes(count: int, vector: Vector) -> int:
    """Bytes of the rows of a table with an integer id and this vector."""
    value = vector.dim * (2 if vector.datatype == "float16" else 4) + _VALUE
    row = -(-(value + 8) // 8) * 8 + _ROW
    if row <= _INLINE:
        return -(-count // (_USABLE // row)) * _PAGE
    chunks, rest = divmod(value, _CHUNK)
    pieces = [_CHUNK + _CHUNK_ROW] * chunks + ([rest + _CHUNK_ROW] if rest else [])
    main = -(-count // (_USABLE // _POINTER_ROW)) * _PAGE
    return round(count * _pages_per_row(pieces) * _PAGE) + main


def _pages_per_row(pieces: list[int], rows: int = 64) -> float:
    """Pages of chunks that are written one after another, each to the last page if it fits."""
    pages, free = 0, 0
    for piece in pieces * rows:
        if piece > free:
            pages, free = pages + 1, _USABLE
        free -= piece
    return pages / rows
