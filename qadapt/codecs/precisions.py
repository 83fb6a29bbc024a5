"""Entry point for converting vectors to codes."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qadapt.codecs import bits, ints
from qadapt.codecs.blocks import BLOCK_BYTES, Array, finite_blocks
from qadapt.codecs.calibration import Calibration
from qadapt.errors import CalibrationError, DimensionError, InputError, SpecError
from qadapt.model.arrays import as_matrix

Precision = Literal["int8", "uint8", "binary", "ubinary", "float16"]

#: Precisions that `quantize` supports.
PRECISIONS: tuple[str, ...] = get_args(Precision)


def quantize(
    x: npt.ArrayLike,
    precision: Precision,
    *,
    calibration: Calibration | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> npt.NDArray[Any]:
    """Encode vectors, byte-identical to sentence-transformers 6.2 ``quantize_embeddings``.

    ``"uint8"`` is ``clip(floor((x - lo) / step), 0, 255)`` per dimension with the ranges of the
    calibration and ``step = (hi - lo) / 255`` (1 where that is 0); ``"int8"`` is the same minus
    128. Values outside the ranges take the first or last bucket. ``"ubinary"`` is one bit per
    dimension, 1 where ``x > 0``; ``"binary"`` is the same bytes minus 128. float64 input is
    computed in float64, all else in float32. Source:
    https://huggingface.co/blog/embedding-quantization

    Two intentional differences: NaN and infinity are rejected (the reference converts them to a
    code), and ranges are never computed from the vectors to encode, because codes of two batches
    would not be comparable. ``"float16"`` is a rounding, not part of the reference.

    Args:
        x: ``(n, d)`` or ``(d,)``, float16, float32 or float64; may be a memory map, which is read
            block by block.
        precision: ``"int8"``, ``"uint8"``, ``"binary"``, ``"ubinary"`` or ``"float16"``.
        calibration: per-dimension ranges; required by int8 and uint8, not used by the others.
        block_bytes: bytes of vectors per block. Default 512 KiB. Apart from the output, memory use
        is a small multiple of this.

    Returns:
        int8 or uint8 ``(n, d)``; int8 or uint8 ``(n, ceil(d / 8))`` for binary and ubinary;
        float16 ``(n, d)``. For one vector, one row without the first axis.

    Raises:
        CalibrationError: int8 or uint8 without a calibration.
        DimensionError: vectors and calibration differ in dimensions.
        NonFiniteError: NaN or infinity, with the row numbers.
        InputError: not a float array of one or two axes, or beyond the float16 range.
        SpecError: unknown precision.
    """
    matrix = as_matrix(x, strict=True)
    codes: npt.NDArray[Any]
    if precision in ("int8", "uint8"):
        if calibration is None:
            raise CalibrationError(
                f"{precision} codes need per-dimension ranges, and no calibration was given",
                hint="create one from a sample of at least 100 vectors with "
                "Calibration.fit(sample), or from known ranges with "
                "Calibration.from_ranges(ranges), and save it with the codes",
            )
        if matrix.shape[1] != calibration.dim:
            raise DimensionError(calibration.dim, matrix.shape[1])
        codes = ints.encode(matrix, calibration, block_bytes, signed=precision == "int8")
    elif precision in ("binary", "ubinary"):
        codes = bits.pack_rows(matrix, block_bytes, signed=precision == "binary")
    elif precision == "float16":
        codes = _to_float16(matrix, block_bytes)
    else:
        raise SpecError.unknown("precision", precision, PRECISIONS)
    return codes[0] if np.ndim(x) == 1 else codes


def _to_float16(x: Array, block_bytes: int) -> npt.NDArray[np.float16]:
    out = np.empty(x.shape, dtype=np.float16)
    for start, block in finite_blocks(x, block_bytes):
        halves = out[start : start + len(block)]
        with np.errstate(over="ignore"):
            halves[:] = block
        beyond = np.flatnonzero(~np.isfinite(halves).all(axis=1))
        if len(beyond):
            raise InputError(
                f"vectors contain values beyond +-65504, the range of float16, from row "
                f"{start + int(beyond[0])} on",
                hint="use int8 with a calibration, or keep float32",
            )
    return out
