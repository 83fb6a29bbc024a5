"""Integer codes: 256 equal buckets per dimension between the ranges of a calibration."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt import jit
from qadapt.codecs.bits import TOP_BIT, require_dtype
from qadapt.codecs.blocks import (
    BLOCK_BYTES,
    Array,
    finite_blocks,
    plain_blocks,
    raise_non_finite,
    rows_in,
    work_dtype,
)
from qadapt.codecs.calibration import Calibration
from qadapt.errors import DimensionError, InputError

# Ranges are repeated up to this number of values, so that numpy processes several short rows per
# call: at a few hundred dimensions, overhead per row dominates.
_LANES = 16 * 1024

# Values encoded by this process above which numba is started; about 0.2 s of encoding by numpy.
_KERNEL_PAYS = 1 << 26
_encoded = 0


def encode(
    x: Array, calibration: Calibration, block_bytes: int, *, signed: bool
) -> npt.NDArray[Any]:
    """Codes ``clip(floor((x - lo) / step), 0, 255)`` of a checked ``(n, d)`` matrix.

    They are uint8, or int8 (the same minus 128) if ``signed``.

    It must be a division, because a product with 1 / step results in other codes. Values are
    clipped first, and the cast to uint8 computes the floor: ``floor(clip(v)) == clip(floor(v))``
    for the integers 0 and 255, and truncating a value >= 0 is its floor.
    """
    n, dim = x.shape
    dtype = work_dtype(x)
    repeats = max(1, min(_LANES // dim, n))
    lo = np.tile(calibration.lo.astype(dtype), repeats)
    steps = np.tile(calibration.steps.astype(dtype), repeats)
    out = np.empty((n, dim), dtype=np.uint8)
    encode_blocks = _by_kernel if _kernel_pays(x.size) else _by_numpy
    encode_blocks(x, block_bytes, lo, steps, out, TOP_BIT if signed else np.uint8(0))
    return out.view(np.int8) if signed else out


def _kernel_pays(values: int) -> bool:
    """Whether to use the kernel of numba, if it is installed.

    Starting numba takes about as long as it saves for the first ``_KERNEL_PAYS`` values.
    """
    global _encoded
    _encoded += values
    if "numba" not in sys.modules and _encoded < _KERNEL_PAYS:
        return False
    return jit.unavailable_reason() is None


def _by_numpy(
    x: Array, block_bytes: int, lo: Array, steps: Array, out: Array, flip: np.uint8
) -> None:
    rows = min(len(x), rows_in(block_bytes, x.shape[1] * lo.dtype.itemsize))
    work = np.empty(rows * x.shape[1], dtype=lo.dtype)
    for start, block in finite_blocks(x, block_bytes):
        values = work[: block.size]
        _buckets(block.reshape(-1), lo, steps, out=values)
        np.clip(values, 0, 255, out=values)
        codes = out[start : start + len(block)].reshape(-1)
        np.copyto(codes, values, casting="unsafe")
        if flip:
            np.bitwise_xor(codes, flip, out=codes)


def _by_kernel(
    x: Array, block_bytes: int, lo: Array, steps: Array, out: Array, flip: np.uint8
) -> None:
    from qadapt.codecs.int_kernels import encode

    for start, block in plain_blocks(x, block_bytes):
        flat = block.reshape(-1)
        flat.flags.writeable = False  # one type of array, so that the kernel compiles once
        if encode(flat, lo, steps, out[start : start + len(block)].reshape(-1), flip):
            raise_non_finite(x, start)


def _buckets(flat: Array, lo: Array, steps: Array, *, out: Array) -> None:
    """``(flat - lo) / steps`` for concatenated rows and repeated ranges."""
    whole = flat.size - flat.size % lo.size
    with np.errstate(over="ignore"):  # far out of range: infinity clips to the last bucket
        for start, stop, width in ((0, whole, lo.size), (whole, flat.size, flat.size - whole)):
            if start < stop:
                target = out[start:stop].reshape(-1, width)
                np.subtract(flat[start:stop].reshape(-1, width), lo[:width], out=target)
                np.divide(target, steps[:width], out=target)


def require_codes(codes: npt.ArrayLike, dim: int, ndim: tuple[int, ...]) -> Array:
    """int8 or uint8 codes checked against a dimension.

    Raises:
        DimensionError: the last axis is not ``dim``.
        InputError: another dtype or number of axes.
    """
    array = require_dtype(codes, np.int8, np.uint8)
    if array.ndim not in ndim:
        raise InputError(
            f"codes have the shape {array.shape}",
            hint=f"pass {' or '.join(map(str, ndim))} axes, dimensions last",
        )
    if array.shape[-1] != dim:
        raise DimensionError(dim, array.shape[-1], what="codes")
    return array


def dequantize(
    codes: npt.ArrayLike, calibration: Calibration, *, half_step: bool = True
) -> npt.NDArray[np.float32]:
    """Decode integer codes to vectors.

    A code represents a bucket. With ``half_step``, the middle of the bucket is returned, which
    halves the root mean square error; without it the lower edge, which sentence-transformers 6.2
    uses for rescoring. A dimension that is constant in the calibration has no width, so its value
    is returned without a half step.

    Args:
        codes: int8 or uint8, ``(n, d)`` or ``(d,)``; may be a memory map.
        calibration: calibration of the codes.
        half_step: middle (default) or lower edge of the bucket.

    Returns:
        float32 of the shape of ``codes``, in the units of the original vectors.

    Raises:
        DimensionError: codes and calibration differ in dimensions.
        InputError: not int8 or uint8, or not one or two axes.
    """
    array = require_codes(codes, calibration.dim, (1, 2))
    matrix = array.reshape(-1, calibration.dim)
    shift = np.full(calibration.dim, 128 if array.dtype == np.int8 else 0, dtype=np.float32)
    if half_step:
        shift += calibration.half
    out = np.empty(matrix.shape, dtype=np.float32)
    rows = rows_in(BLOCK_BYTES, calibration.dim * 4)
    for start in range(0, len(matrix), rows):
        values = out[start : start + rows]
        values[:] = matrix[start : start + rows]
        values += shift
        values *= calibration.steps
        values += calibration.lo
    return out.reshape(array.shape)
