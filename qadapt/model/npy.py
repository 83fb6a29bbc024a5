"""Arrays of ``.npy`` files that somebody else may have made or damaged."""

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
_HINT = "give a .npy file of an array (n, d), as numpy.save writes it"
# What numpy raises for a damaged header: it is a Python literal, which numpy hands to the parser.
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
    """Map an array into memory; its values are read when they are used.

    Args:
        path: a ``.npy`` file, format 1.0 to 3.0.
        what: what the file is to the user, for error messages.

    Raises:
        InputError: no such file, not a ``.npy`` file, a damaged or huge header, a file shorter
            than its header says, or an array of Python objects (which would be a pickle).
    """
    place = Path(path)
    try:
        with place.open("rb") as file:
            start = file.read(len(_MAGIC))
        if start.startswith(_ZIP):
            raise InputError(f"{what} {place} holds several arrays", hint="give a .npy, not a .npz")
        if start != _MAGIC:
            raise InputError(f"{what} {place} is not a .npy file", hint=_HINT)
        _check_size(place)
        # numpy maps no array without bytes.
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
    """Shape, type and where the values begin, by the header."""
    reader = {(1, 0): np.lib.format.read_array_header_1_0}
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = reader.get(version, np.lib.format.read_array_header_2_0)
        shape, _, dtype = read(file)
        return shape, dtype, file.tell()


def _check_size(path: Path) -> None:
    shape, dtype, start = _shape(path)
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, not numbers", hint=_HINT)
    if any(length < 0 for length in shape):
        raise InputError(f"{path} says that its shape is {shape}", hint=_HINT)
    needed, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - start
    if needed > there:
        raise InputError(
            f"{path} is cut off: its header says {shape} of {dtype}, {needed:,} bytes, "
            f"and {there:,} follow",
            hint="make the file again",
        )
