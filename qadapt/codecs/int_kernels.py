"""Integer codes by a kernel that numba compiles: one pass over the values.

The bytes are those of NumPy: the same subtraction and division in the same precision. The kernel is
written in LLVM's intermediate language, because numba computes with 64-bit integers and therefore
does not vectorize the conversion to bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import types as core_types
from numba.extending import intrinsic

from qadapt.jit import Kernel

_LANES = 16
_BYTE, _INT = ir.IntType(8), ir.IntType(32)
_BYTES, _INTS = ir.VectorType(_BYTE, _LANES), ir.VectorType(_INT, _LANES)


class _Step:
    """Emits the instructions for 16 values.

    Args:
        builder: builder of LLVM instructions.
        double: whether the values are float64.
    """

    def __init__(self, builder: Any, double: bool) -> None:
        self._builder = builder
        self._vector = ir.VectorType(ir.DoubleType() if double else ir.FloatType(), _LANES)
        bits = ir.IntType(64 if double else 32)
        self._pattern = ir.VectorType(bits, _LANES)
        self._exponent = self._pattern([0x7FF0000000000000 if double else 0x7F800000] * _LANES)
        self._align = 8 if double else 4

    def load(self, base: Any, at: Any) -> Any:
        b = self._builder
        vector = b.load(b.bitcast(b.gep(base, [at]), self._vector.as_pointer()))
        vector.align = self._align
        return vector

    def codes(self, values: Any, lo: Any, steps: Any, flip: Any) -> Any:
        """``clip((values - lo) / steps, 0, 255)`` as bytes, XOR ``flip``."""
        b = self._builder
        least, most = self._vector([0.0] * _LANES), self._vector([255.0] * _LANES)
        bucket = b.fdiv(b.fsub(values, lo), steps)
        bucket = b.select(b.fcmp_ordered(">", bucket, least), bucket, least)
        bucket = b.select(b.fcmp_ordered("<", bucket, most), bucket, most)
        whole = b.trunc(b.fptosi(bucket, _INTS), _BYTES)
        empty = ir.Constant(_BYTES, ir.Undefined)
        first = b.insert_element(empty, flip, _INT(0))
        return b.xor(whole, b.shuffle_vector(first, empty, _INTS([0] * _LANES)))

    def store(self, codes: Any, base: Any, at: Any) -> None:
        b = self._builder
        stored = b.store(codes, b.bitcast(b.gep(base, [at]), _BYTES.as_pointer()))
        stored.align = 1

    def not_finite(self, values: Any) -> Any:
        """Nonzero i64 if a value is NaN or infinite: all bits of its exponent are 1."""
        b = self._builder
        exponent = b.and_(b.bitcast(values, self._pattern), self._exponent)
        found = b.icmp_unsigned("==", exponent, self._exponent)
        return b.zext(b.bitcast(found, ir.IntType(_LANES)), ir.IntType(64))


def _typed_step(
    typing: Any, x: Any, lo: Any, steps: Any, out: Any, at: Any, column: Any, flip: Any
) -> Any:
    """Type and code of a step: encodes ``x[at:at + 16]``; nonzero if a value is not finite."""
    signature = types.int64(x, lo, steps, out, at, column, flip)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def data(number: int) -> Any:
            return context.make_array(signature.args[number])(context, builder, args[number]).data

        step = _Step(builder, signature.args[0].dtype == core_types.float64)
        values = step.load(data(0), args[4])
        codes = step.codes(
            values, step.load(data(1), args[5]), step.load(data(2), args[5]), args[6]
        )
        step.store(codes, data(3), args[4])
        return step.not_finite(values)

    return signature, generate


_step = intrinsic(_typed_step)


def _encode(x, lo, steps, out, flip):  # type: ignore[no-untyped-def]
    """Encode values whose ranges repeat.

    Args:
        x: float32 or float64 (n,), whole rows one after the other.
        lo, steps: ranges of several rows, the same dtype, (p,).
        out: uint8 (n,).
        flip: uint8, XOR-ed with each code.

    Returns:
        Nonzero if a value is NaN or infinite.
    """
    period = len(lo)
    bad = 0
    for begin in range(0, len(x), period):
        size = min(period, len(x) - begin)
        whole = size - size % _LANES
        for at in range(0, whole, _LANES):
            bad |= _step(x, lo, steps, out, begin + at, at, flip)
        if whole < size:
            left = size - whole
            values = np.zeros(_LANES, dtype=x.dtype)
            low = np.zeros(_LANES, dtype=x.dtype)
            width = np.ones(_LANES, dtype=x.dtype)
            codes = np.empty(_LANES, dtype=np.uint8)
            values[:left] = x[begin + whole : begin + size]
            low[:left] = lo[whole:size]
            width[:left] = steps[whole:size]
            bad |= _step(values, low, width, codes, 0, 0, flip)
            out[begin + whole : begin + size] = codes[:left]
    return bad


encode = Kernel(_encode, "encoder of int8 codes")
