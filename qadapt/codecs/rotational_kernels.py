"""Products of rounded queries with rotational codes, by a kernel that numba compiles."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from qadapt.jit import Kernel


def _typed_popcount(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


_popcount = intrinsic(_typed_popcount)


def _products(codes, planes, bits, out):  # type: ignore[no-untyped-def]
    """Sums of a query's integers times the levels of a code.

    Args:
        codes: uint64 (m, >= bits * w), a row holds one plane after the other.
        planes: uint64 (nq, query_bits, w), integers in two's complement.
        bits: planes of a code.
        out: int64 (nq, m), receives the products.
    """
    count, query_bits, words = planes.shape
    for row in range(len(codes)):
        for query in range(count):
            total = 0
            for plane in range(bits):
                for bit in range(query_bits):
                    same = 0
                    for word in range(words):
                        same += _popcount(
                            codes[row, plane * words + word] & planes[query, bit, word]
                        )
                    if bit == query_bits - 1:
                        same = -same
                    total += same << (plane + bit)
            out[query, row] = total


products = Kernel(_products, "products of rotational codes")
