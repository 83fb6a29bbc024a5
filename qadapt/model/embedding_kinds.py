"""Forms in which embedding services return vectors: integers, packed bits, base64, bfloat16."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qadapt.errors import DimensionError, InputError, SpecError
from qadapt.model import bfloat16
from qadapt.model.array_input import plain_array

EmbeddingKind = Literal["int8", "uint8", "ubinary", "binary", "base64", "bfloat16", "numbers"]
"""How vectors are given.

- ``int8``: integers from -128 to 127, proportional to the floats.
- ``uint8``: the same plus 128.
- ``ubinary``: sign bits, 8 per uint8, dimension 0 in the top bit.
- ``binary``: the same bytes minus 128, as int8.
- ``base64``: text of little-endian float32 values, one per vector.
- ``bfloat16``: uint16, the upper half of each float32.
- ``numbers``: integers that are the values.
"""

Floats = npt.NDArray[np.float32]
Packed = npt.NDArray[np.uint8]

KINDS: tuple[str, ...] = get_args(EmbeddingKind)
PACKED = ("ubinary", "binary")

_DTYPES = {
    "int8": np.int8,
    "binary": np.int8,
    "uint8": np.uint8,
    "ubinary": np.uint8,
    "bfloat16": np.uint16,
}
BYTES_HINT = (
    "--kind {packed} for packed bits; --kind numbers for numbers (--kind {numbers} for codes of an "
    "embedding service)"
)
_TOP_BIT = np.uint8(0x80)
_OFFSET = 128


def checked_kind(kind: str) -> str:
    """The kind, if it is known.

    Raises:
        SpecError
    """
    if kind not in KINDS:
        raise SpecError.unknown("kind of embeddings", str(kind), KINDS)
    return kind


def unclear_bytes(what: str, dtype: str, width: int, hint: str = BYTES_HINT) -> InputError:
    """The error for int8 or uint8 vectors whose kind is not given.

    Args:
        what: what has them, with a verb, such as ``FILE.npy has uint8 (10, 48)``.
        dtype: ``int8`` or ``uint8``.
        width: numbers of each row.
        hint: how to name the kind; ``{packed}`` and ``{numbers}`` are the kinds of the datatype.
    """
    packed = "ubinary" if dtype == "uint8" else "binary"
    return InputError(
        f"{what}, which may be packed bits of {8 * width} dimensions or numbers of {width}",
        hint=hint.format(packed=packed, numbers=dtype),
    )


def decoded(codes: Any, kind: str, *, what: str = "codes", dim: int | None = None) -> Floats:
    """Convert embeddings to floats; bits become -1 and 1.

    Args:
        codes: ``(n, width)`` or ``(width,)`` integers; a list of ``n`` rows of bytes, as Milvus
            returns a BINARY_VECTOR; a list of texts for ``base64``.
        kind: see ``EmbeddingKind``.
        what: name in messages.
        dim: dimensions, which omit the padding bits of packed bits; None for all bits.

    Returns:
        float32 ``(n, d)``.

    Raises:
        SpecError: unknown kind.
        InputError: another dtype, values out of range, or invalid base64.
        DimensionError: ``dim`` does not fit the width.
    """
    if checked_kind(kind) == "base64":
        return _of_base64(codes, what)
    if kind in PACKED:
        return _signs(packed_bits(codes, kind, what=what, dim=dim), dim)
    array = _integers(codes, kind, what)
    if kind == "bfloat16":
        return bfloat16.from_bfloat16(array)
    floats = array.astype(np.float32)
    return floats - np.float32(_OFFSET) if kind == "uint8" else floats


def packed_bits(codes: Any, kind: str, *, what: str = "codes", dim: int | None = None) -> Packed:
    """Convert packed bits to ``ubinary``: uint8 ``(n, ceil(d / 8))``.

    Args:
        codes, kind, what: as in :func:`decoded`; ``ubinary`` or ``binary``.
        dim: dimensions; padding bits after them must be 0. None for all bits.

    Raises:
        InputError: another dtype, values out of range, or padding bits of 1.
        DimensionError: ``dim`` does not fit the width.
    """
    array = _integers(codes, kind, what)
    packed = array.view(np.uint8)
    if kind == "binary":
        packed = packed ^ _TOP_BIT
    if dim is None:
        return packed
    if packed.shape[1] != -(-dim // 8):
        raise DimensionError(dim, 8 * packed.shape[1], what=f"bits in {what}")
    padding = 8 * packed.shape[1] - dim
    if padding and (packed[:, -1] & ((1 << padding) - 1)).any():
        raise InputError(
            f"{what} have bits of 1 after dimension {dim}",
            hint="padding bits must be 0: check the number of dimensions",
        )
    return packed


def _signs(packed: Packed, dim: int | None) -> Floats:
    bits = np.unpackbits(packed, axis=1, count=dim).astype(np.float32)
    bits *= 2
    bits -= 1
    return bits


def _integers(codes: Any, kind: str, what: str) -> npt.NDArray[Any]:
    """C-ordered integers (n, width) of the dtype of a kind."""
    held = _of_bytes(codes, kind, what)
    array = plain_array(codes, what=what) if held is None else held
    if kind == "bfloat16" and array.dtype in (np.dtype("V2"), np.dtype(np.int16)):
        array = array.view(np.uint16)  # as numpy.load returns arrays of ml_dtypes
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(
            f"{what} of the kind {kind!r} must be integers; got an array of {array.dtype}",
            hint="pass floats without a kind",
        )
    array = np.atleast_2d(array)
    if array.ndim != 2:
        raise InputError(
            f"{what} must have the shape (n, width); got {array.shape}",
            hint="n is the number of vectors",
        )
    wanted = np.dtype(_DTYPES.get(kind, array.dtype))
    if array.dtype != wanted and array.size:
        limits = np.iinfo(wanted)
        other_sign = array.dtype.itemsize == wanted.itemsize
        if other_sign or not limits.min <= array.min() <= array.max() <= limits.max:
            raise InputError(
                f"{what} of the kind {kind!r} must be {wanted} ({limits.min} to {limits.max}); "
                f"got an array of {array.dtype} from {array.min()} to {array.max()}",
                hint=f"known kinds: {', '.join(KINDS)}",
            )
    return np.ascontiguousarray(array, dtype=wanted)


def _of_bytes(codes: Any, kind: str, what: str) -> npt.NDArray[Any] | None:
    """Integers of rows of bytes, as Milvus returns a BINARY_VECTOR; None for other forms.

    pymilvus returns ``[b"..."]`` for the BINARY_VECTOR of a row.
    """
    if kind not in _DTYPES or not isinstance(codes, (list, tuple)) or not codes:
        return None
    rows = [row[0] if isinstance(row, (list, tuple)) and len(row) == 1 else row for row in codes]
    if not isinstance(rows[0], bytes):
        return None
    if not all(isinstance(row, bytes) and len(row) == len(rows[0]) for row in rows):
        raise InputError(
            f"{what} must have rows of equally many bytes",
            hint="{len(row) for row in codes} shows the lengths",
        )
    return np.frombuffer(b"".join(rows), dtype=_DTYPES[kind]).reshape(len(rows), -1)


def _of_base64(codes: Any, what: str) -> Floats:
    if isinstance(codes, (str, bytes)):
        codes = [codes]
    if not isinstance(codes, Iterable):
        raise InputError(
            f"{what} of the kind 'base64' must be a list of texts; got {type(codes).__name__}",
            hint="pass the field `embedding` of each item of the response",
        )
    rows = []
    for at, text in enumerate(codes):
        try:
            rows.append(base64.b64decode(text, validate=True))
        except (binascii.Error, TypeError, ValueError) as error:
            raise InputError(
                f"{what}: row {at} is not base64 ({error})",
                hint="pass the field `embedding` of each item of the response",
            ) from error
    sizes = sorted(set(map(len, rows)))
    if len(sizes) > 1 or (sizes and sizes[0] % 4):
        raise InputError(
            f"{what}: base64 rows have {', '.join(map(str, sizes[:5]))} bytes",
            hint="each row must hold the same number of float32 values, 4 bytes each",
        )
    width = sizes[0] // 4 if sizes else 0
    return np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), width).astype(np.float32)


def refuse_packed(array: Any, dim: int, *, what: str, how: str) -> None:
    """Raise an error for integers that look like the packed bits of vectors of ``dim`` dimensions.

    Args:
        array: vectors, as given.
        dim: expected dimensions.
        what: name in messages.
        how: how a kind is named.

    Raises:
        InputError
    """
    dtype, shape = getattr(array, "dtype", None), getattr(array, "shape", ())
    if dtype not in (np.uint8, np.int8) or not shape or dim < 2 or shape[-1] != -(-dim // 8):
        return
    kind = "ubinary" if dtype == np.uint8 else "binary"
    raise InputError(
        f"{what} are {dtype} with {shape[-1]} columns, which fits packed bits of {dim} dimensions",
        hint=how.format(kind=kind),
    )
