"""What recall does not include, if the vectors of its ground truth are not the originals."""

from __future__ import annotations

from qadapt.model import Vector, VectorInfo
from qadapt.model.vector import Datatype

NARROW_TRUTH = (
    "ground truth and recall are of the first {:,} dimensions, the only ones that the collection "
    "has: `qadapt verify --truth FILE` (truth=) measures against the full vectors"
)
LOSSY_TRUTH = (
    "the ground truth is itself {}: the collection keeps no other vectors, so recall does not "
    "include the loss of {}; `qadapt verify --truth FILE` (truth=) measures against the original "
    "vectors"
)


def truth_notes(vector: VectorInfo, truth: Vector) -> list[str]:
    """What the recall of a vector does not include.

    Args:
        truth: dimensions and datatype of the vectors that ground truth was computed from.
    """
    notes = []
    if truth.datatype != "float32":
        notes.append(LOSSY_TRUTH.format(*_words(truth.datatype)))
    if vector.quantization.dims == vector.dim and truth.dim == vector.dim:
        notes.append(NARROW_TRUTH.format(vector.dim))
    return notes


def _words(datatype: Datatype) -> tuple[str, str]:
    if datatype.startswith("turbo"):
        bits = datatype.removeprefix("turbo")
        return f"of {bits} bits per dimension", "these bits"
    return datatype, "this datatype"
