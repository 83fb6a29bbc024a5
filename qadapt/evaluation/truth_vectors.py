"""Which stored vectors ground truth is computed from, and what its recall does not include."""

from __future__ import annotations

import dataclasses

from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.local.settings import read_settings
from qadapt.model import CollectionInfo, Vector, VectorInfo
from qadapt.model.vector import Datatype
from qadapt.stores.base import Store

NARROW_TRUTH = (
    "ground truth and recall are of the first {:,} dimensions, the only ones that the collection "
    "has: `qadapt verify --truth FILE` (truth=) measures against the full vectors"
)
OTHER_TRUTH = (
    "ground truth and recall are of the first {:,} dimensions: `qadapt verify` measures against "
    "all {:,} of the vector {!r}"
)
LOSSY_TRUTH = (
    "the ground truth is itself {}: the collection keeps no other vectors, so recall does not "
    "include the loss of {}; `qadapt verify --truth FILE` (truth=) measures against the original "
    "vectors"
)
OF_FULL_VECTOR = "{} of the vector {!r} with all {:,} dimensions"


def vector_of_truth(store: Store, info: CollectionInfo, name: str) -> VectorInfo:
    """The vector of the same rows with all dimensions, if there is one; else the vector itself.

    Args:
        name: of the vector that is searched, which may hold the first dimensions only.
    """
    full = read_settings(store, info.name).of(name).full_vector
    found = None if full is None else info.vectors.get(full)
    return info.vectors[name] if found is None else found


def described(truth: GroundTruth, whole: VectorInfo, name: str) -> GroundTruth:
    """Name the vector of the ground truth if it is not the one that is searched."""
    if whole.name == name:
        return truth
    words = OF_FULL_VECTOR.format(truth.about.ground_truth, whole.name, whole.dim)
    return dataclasses.replace(truth, about=truth.about.replace(ground_truth=words))


def truth_notes(vector: VectorInfo, truth: Vector, whole: VectorInfo) -> list[str]:
    """What the recall of a vector does not include.

    Args:
        truth: dimensions and datatype of the vectors that ground truth was computed from.
        whole: see ``vector_of_truth``.
    """
    notes = []
    if truth.datatype != "float32":
        notes.append(LOSSY_TRUTH.format(*_words(truth.datatype)))
    if truth.dim == vector.dim and whole.name != vector.name:
        notes.append(OTHER_TRUTH.format(vector.dim, whole.dim, whole.name))
    elif truth.dim == vector.dim == vector.quantization.dims:
        notes.append(NARROW_TRUTH.format(vector.dim))
    return notes


def _words(datatype: Datatype) -> tuple[str, str]:
    if datatype.startswith("turbo"):
        bits = datatype.removeprefix("turbo")
        return f"of {bits} bits per dimension", "these bits"
    return datatype, "this datatype"
