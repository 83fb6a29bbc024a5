"""Reader of untrusted or damaged ``.npy`` files."""

from __future__ import annotations

import math
import os
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError

_MAGIC = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_HINT = "pass a .npy file with an (n, d) array, as written by numpy.save"
# Errors of numpy for a damaged header, which it parses as a Python literal.
_DAMAGED = (
    ValueError,
    TypeError,
    OverflowError,
    EOFError,
    SyntaxError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)


def open_npy(path: str | os.PathLike[str], *, what: str = "the file") -> npt.NDArray[Any]:
    """Memory-map an array.

    Args:
        path: ``.npy`` file, format 1.0 to 3.0.
        what: name of the file in error messages.

    Raises:
        InputError: the file does not exist, is not a ``.npy`` file, has a damaged or huge header,
            is truncated, or contains Python objects (a pickle).
    """
    place = Path(path)
    try:
        with place.open("rb") as file:
            start = file.read(len(_MAGIC))
        if start.startswith(_ZIP):
            raise InputError(
                f"{what} {place} contains several arrays", hint="pass a .npy file, not .npz"
            )
        if start != _MAGIC:
            raise InputError(f"{what} {place} is not a .npy file", hint=_HINT)
        _check_size(place)
        # numpy cannot map an empty array.
        mode: Any = None if 0 in _shape(place)[0] else "r"
        return np.load(place, mmap_mode=mode, allow_pickle=False)  # type: ignore[no-any-return]
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"cannot read {what} {place}: {reason}", hint=_HINT) from error
    except _DAMAGED as error:
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot read {what} {place}: its header is damaged ({reason[:120]})", hint=_HINT
        ) from error


def _shape(path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Read the header: shape, dtype and offset of the values."""
    reader = {(1, 0): np.lib.format.read_array_header_1_0}
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = reader.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read(file)
        return shape, dtype, file.tell()


def _check_size(path: Path) -> None:
    shape, dtype, start = _shape(path)
    if dtype.hasobject:
        raise InputError(f"{path} contains Python objects, not numbers", hint=_HINT)
    if any(length < 0 for length in shape):
        raise InputError(f"{path} has the invalid shape {shape}", hint=_HINT)
    needed, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - start
    if needed > there:
        raise InputError(
            f"{path} is truncated: its header declares {shape} of {dtype}, {needed:,} bytes, "
            f"but it contains {there:,}",
            hint="create the file again",
        )
