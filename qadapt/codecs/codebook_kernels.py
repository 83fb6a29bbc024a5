"""Products of rounded queries with codes of a codebook, by a kernel that numba compiles."""

from __future__ import annotations

from qadapt.jit import Kernel


def _products(codes, tables, out):  # type: ignore[no-untyped-def]
    """Sums of the products of all bytes of a code.

    Args:
        codes: uint8 (m, >= bytes).
        tables: int16 (nq, bytes, 256), product of each value of each byte.
        out: int32 (nq, m), receives the sums.
    """
    count, width, _ = tables.shape
    for query in range(count):
        for row in range(len(codes)):
            total = 0
            for byte in range(width):
                total += tables[query, byte, codes[row, byte]]
            out[query, row] = total


products = Kernel(_products, "products of scalar codes")
