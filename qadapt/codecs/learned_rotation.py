"""Learned rotation: iterative quantization (ITQ).

Gong and Lazebnik 2011, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes"
(doi 10.1109/CVPR.2011.5995432). The rotation starts with the random one and moves vectors closer to
their sign bits: each round takes the bits, and then the rotation that maps the vectors best to
them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qadapt.codecs.rotation import padded_dim
from qadapt.errors import CalibrationError

FloatArray = npt.NDArray[np.float32]

_ROUNDS = 20
# Vectors per dimension. With fewer, the codes of the sample fit so much better than later ones that
# recall over both was lower than with the random rotation (benchmarks/rotational_codes.py learned).
_LEAST = 6
_MOST = 12


def sample_step(rows: int, dim: int) -> int:
    """Step between the rows to learn from: at most 12 vectors per dimension are used.

    Raises:
        CalibrationError: fewer than 6 vectors per dimension.
    """
    width = padded_dim(dim)
    if rows < _LEAST * width:
        raise CalibrationError(
            f"a rotation of {dim} dimensions is learned from the first vectors that are added: "
            f"{rows:,} are too few (at least {_LEAST * width:,})",
            hint="add more vectors first, or create the index with rotation='random'",
        )
    return -(-rows // (_MOST * width))


def learned_rotation(rotated: FloatArray) -> FloatArray:
    """Learn a rotation that is applied after the random one.

    Args:
        rotated: float32 ``(n, d)``, a sample after the random rotation.

    Returns:
        float32 ``(d, d)``, orthogonal.

    Raises:
        CalibrationError: the decomposition does not converge.
    """
    found = np.eye(rotated.shape[1], dtype=np.float32)
    for _ in range(_ROUNDS):
        bits = np.where(rotated @ found > 0, np.float32(1), np.float32(-1))
        try:
            left, _, right = np.linalg.svd(rotated.T @ bits)
        except np.linalg.LinAlgError as error:
            raise CalibrationError(
                f"no rotation can be learned from these vectors: {error}",
                hint="create the index with rotation='random'",
            ) from error
        found = np.asarray(left @ right, dtype=np.float32)
    return found


def apply_learned(rotated: FloatArray, matrix: FloatArray) -> FloatArray:
    """Apply a learned rotation ``(d, d)`` to vectors ``(n, d)``.

    In float64, so that a vector has the same float32 result in almost every batch, although a
    matrix product adds in an order that depends on the batch.
    """
    product = rotated.astype(np.float64) @ matrix.astype(np.float64)
    found: FloatArray = product.astype(np.float32)
    return found
