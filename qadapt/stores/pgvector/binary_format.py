"""The binary format of vectors: dimensions and zero as int16, then the values, big-endian.

https://github.com/pgvector/pgvector/blob/master/src/vector.c, ``vector_send`` and ``halfvec_send``
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_DTYPES = {"vector": ">f4", "halfvec": ">f2"}


class QueryVector:
    """A vector as a parameter.

    Attributes:
        data: in the binary format.
        type: ``vector`` or ``halfvec``.
    """

    __slots__ = ("data", "type")

    def __init__(self, values: Floats, type: str = "vector") -> None:
        self.data = struct.pack(">hh", len(values), 0) + values.astype(_DTYPES[type]).tobytes()
        self.type = type


def packed(rows: Floats, type: str) -> list[bytes]:
    """Rows ``(n, d)`` in the binary format."""
    n, dim = rows.shape
    out = np.empty(n, dtype=[("head", ">i2", 2), ("values", _DTYPES[type], dim)])
    out["head"] = (dim, 0)
    out["values"] = rows
    whole, width = out.tobytes(), out.dtype.itemsize
    return [whole[at : at + width] for at in range(0, n * width, width)]


def unpacked(
    cells: Sequence[bytes | None], dim: int, type: str
) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
    """Rows ``(n, d)`` and the mask of those that are NULL (None if there are none)."""
    missing = np.fromiter((each is None for each in cells), dtype=np.bool_, count=len(cells))
    empty = bytes(4 + np.dtype(_DTYPES[type]).itemsize * dim)
    joined = b"".join(cells if not missing.any() else [each or empty for each in cells])  # type: ignore[arg-type]
    found = np.frombuffer(joined, dtype=[("head", ">i2", 2), ("values", _DTYPES[type], dim)])
    return found["values"].astype(np.float32), missing if missing.any() else None


def register(context: Any, types: dict[str, int]) -> None:
    """Let a connection or a cursor accept ``QueryVector`` and return vectors in the binary format.

    A connection of the user is not changed: its cursors are registered instead.
    """
    dumper, loader = _adapters(tuple(sorted(types.items())))
    context.adapters.register_dumper(QueryVector, dumper)
    for name in ("vector", "halfvec"):
        if name in types:
            context.adapters.register_loader(types[name], loader)


@functools.cache
def _adapters(types: tuple[tuple[str, int], ...]) -> tuple[Any, Any]:
    """Classes that write and read the vectors of a database, by the OIDs of its types."""
    import psycopg
    from psycopg.adapt import Dumper, Loader

    oids = dict(types)

    class VectorDumper(Dumper):
        format = psycopg.pq.Format.BINARY

        def dump(self, obj: QueryVector) -> bytes:
            return obj.data

        def get_key(self, obj: QueryVector, format: Any) -> Any:
            return (QueryVector, obj.type)

        def upgrade(self, obj: QueryVector, format: Any) -> Dumper:
            made = VectorDumper(QueryVector)
            made.oid = oids[obj.type]
            return made

    class RawLoader(Loader):
        format = psycopg.pq.Format.BINARY

        def load(self, data: Any) -> bytes:
            return bytes(data)

    return VectorDumper, RawLoader
