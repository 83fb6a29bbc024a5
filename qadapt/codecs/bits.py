"""Sign bits: one bit per dimension, packed most significant bit first.

There are two encodings: *ubinary* (uint8, used by faiss and `pack_bits`) and *binary* (the same
bytes minus 128, as int8). If the number of dimensions is not a multiple of 8, the last byte ends
with padding bits of 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.codecs.blocks import BLOCK_BYTES, Array, finite_blocks, rows_in
from qadapt.errors import DimensionError, InputError
from qadapt.model.arrays import as_matrix

#: Flipping this bit adds or subtracts 128: it converts uint8 codes to int8 and back.
TOP_BIT = np.uint8(0x80)


def bytes_for(dim: int) -> int:
    """Bytes that hold ``dim`` bits."""
    return -(-dim // 8)


def require_dtype(codes: npt.ArrayLike, *dtypes: type[np.generic], what: str = "codes") -> Array:
    """The codes as an array of one of ``dtypes``, without a copy.

    Raises:
        InputError: another dtype; codes are never converted implicitly.
    """
    array = np.asarray(codes)
    if array.dtype.type not in dtypes:
        names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise InputError(f"{what} are {array.dtype}", hint=f"pass {names}")
    return array


def pack_rows(x: Array, block_bytes: int, *, signed: bool = False) -> npt.NDArray[Any]:
    """ubinary (uint8) or, if ``signed``, binary (int8) codes of a checked ``(n, d)`` matrix."""
    n, dim = x.shape
    out = np.empty((n, bytes_for(dim)), dtype=np.uint8)
    positive: npt.NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
    for start, block in finite_blocks(x, block_bytes):
        if len(positive) < len(block):
            positive = np.empty(block.shape, dtype=np.bool_)
        bits = np.greater(block, 0, out=positive[: len(block)])
        rows = out[start : start + len(block)]
        if dim % 8 == 0:  # no padding between rows: one call is faster than one per row
            rows.reshape(-1)[:] = np.packbits(bits.reshape(-1))
        else:
            rows[:] = np.packbits(bits, axis=-1)
        if signed:
            np.bitwise_xor(rows, TOP_BIT, out=rows)
    return out.view(np.int8) if signed else out


def pack_bits(x: npt.ArrayLike, *, block_bytes: int = BLOCK_BYTES) -> npt.NDArray[np.uint8]:
    """Sign bits of vectors: bit 1 where ``x > 0``, bit 0 where ``x`` is negative, 0.0 or -0.0.

    Byte-identical to precision ``"ubinary"`` of sentence-transformers 6.2 (dimension 0 is the top
    bit of byte 0). Source: https://huggingface.co/blog/embedding-quantization

    Args:
        x: ``(n, d)`` or ``(d,)``, float16, float32 or float64; may be a memory map.
        block_bytes: bytes of vectors handled at a time. Default 512 KiB.

    Returns:
        uint8 ``(n, ceil(d / 8))``, or ``(ceil(d / 8),)`` for one vector.

    Raises:
        NonFiniteError: NaN or infinity, with the row numbers.
        InputError: not a float array of one or two axes.
    """
    matrix = as_matrix(x, strict=True)
    packed = pack_rows(matrix, block_bytes)
    return packed[0] if np.ndim(x) == 1 else packed


def query_words(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Sign bits of checked rows ``(n, d)`` as words; see `pack_bits` and `pad_words`."""
    return pad_words(np.packbits(rows > 0, axis=1))


def to_signed(ubinary: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """ubinary bytes (uint8, any shape) as binary bytes (int8, same shape): each byte minus 128.

    Raises:
        InputError: the bytes are not uint8.
    """
    return np.bitwise_xor(require_dtype(ubinary, np.uint8), TOP_BIT).view(np.int8)


def to_unsigned(binary: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """binary bytes (int8, any shape) as ubinary bytes (uint8, same shape): each byte plus 128.

    The inverse of `to_signed`. Comparing or unpacking int8 bytes without this step flips the top
    bit of every byte.

    Raises:
        InputError: the bytes are not int8.
    """
    codes = require_dtype(binary, np.int8)
    return np.bitwise_xor(np.ascontiguousarray(codes).view(np.uint8), TOP_BIT).reshape(codes.shape)


def require_ubinary(ubinary: npt.ArrayLike, dim: int, ndim: int | None = None) -> Array:
    """ubinary codes checked against a dimension.

    Raises:
        DimensionError: the number of bytes does not fit ``dim``.
        InputError: not uint8, or not ``ndim`` axes.
    """
    codes = require_dtype(ubinary, np.uint8)
    if dim < 1:
        raise InputError(f"dim is {dim}", hint="pass the number of dimensions of the vectors")
    if codes.ndim == 0 or (ndim is not None and codes.ndim != ndim):
        raise InputError(
            f"codes have the shape {codes.shape}",
            hint=f"pass {ndim if ndim is not None else 'one or two'} axes, bytes last",
        )
    if codes.shape[-1] != bytes_for(dim):
        raise DimensionError(bytes_for(dim) * 8, codes.shape[-1] * 8, what="bit codes")
    return codes


def unpack_signs(ubinary: npt.ArrayLike, dim: int) -> npt.NDArray[np.float32]:
    """Decode bit codes to signs: +1 for bit 1, -1 for bit 0.

    Args:
        ubinary: uint8 ``(n, ceil(dim / 8))`` or ``(ceil(dim / 8),)``.
        dim: number of dimensions; padding bits after it are dropped.

    Returns:
        float32 ``(n, dim)`` or ``(dim,)`` of +1 and -1.

    Raises:
        DimensionError: the bytes do not fit ``dim``.
        InputError: not uint8 with one or two axes.
    """
    codes = require_ubinary(ubinary, dim)
    if codes.ndim > 2:
        raise InputError(f"codes have the shape {codes.shape}", hint="pass one or two axes")
    matrix = codes.reshape(-1, codes.shape[-1])
    out = np.empty((len(matrix), dim), dtype=np.float32)
    rows = rows_in(BLOCK_BYTES, dim * 4)
    for start in range(0, len(matrix), rows):
        signs = out[start : start + rows]
        signs[:] = np.unpackbits(matrix[start : start + rows], axis=-1, count=dim)
        signs *= 2
        signs -= 1
    return out.reshape(*codes.shape[:-1], dim)


def pad_words(ubinary: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Convert bit codes to 64-bit words, for counting bits.

    Args:
        ubinary: uint8 ``(n, bytes)`` or ``(bytes,)``.

    Returns:
        uint64 ``(n, ceil(bytes / 8))`` (or one axis): the bytes in memory order, zeros after the
        last. A view of the input if it needs no padding and its rows are contiguous.

    Raises:
        InputError: not uint8 with one or two axes.
    """
    codes: npt.NDArray[Any] = require_dtype(ubinary, np.uint8)
    if codes.ndim not in (1, 2):
        raise InputError(f"codes have the shape {codes.shape}", hint="pass one or two axes")
    missing = -codes.shape[-1] % 8
    if missing:
        codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, missing)])
    return np.ascontiguousarray(codes).view(np.uint64)
