"""bfloat16 values as uint16 (the upper half of each float32), a type that numpy lacks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NAME = "bfloat16"


def to_bfloat16(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round to the nearest bfloat16, ties to even; uint16 of the same shape."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    # Rounding up the largest values would make them infinite: they are truncated.
    finite = np.where((rounded & 0x7F800000) == 0x7F800000, bits, rounded)
    return (finite >> np.uint32(16)).astype(np.uint16)


def from_bfloat16(halves: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """float32 of the same shape; exact."""
    found: npt.NDArray[np.float32] = (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return found
