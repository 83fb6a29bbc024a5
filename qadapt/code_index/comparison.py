"""Comparison of vectors with the codes of an index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qadapt.code_index.contents import Contents
from qadapt.code_index.estimate_codes import EstimateCodes
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.rows import Id
from qadapt.code_index.vector_blocks import prepared_blocks
from qadapt.codecs import Calibration, pack_bits, quantize
from qadapt.codecs.estimates import factors
from qadapt.model.arrays import Floats, Vectors
from qadapt.model.embedding_kinds import Packed
from qadapt.model.metric import Metric

_ESTIMATE_ROUNDING = 1e-4  # relative difference of the factors of one vector
_ROUNDING = 2.0**-20  # relative error of a vector that was normalized in float32 elsewhere


def differing(inside: Contents, names: IdColumn, vectors: Vectors) -> list[Id]:
    """Ids that are unknown, or whose codes do not match these vectors.

    Args:
        names: ids.
        vectors: floating-point (n, dim); rows that are invalid for the index always differ.
    """
    rows = inside.rows.places(names)
    good = rows >= 0
    with np.errstate(over="ignore"):
        good &= np.isfinite(vectors.astype(np.float32, copy=False)).all(axis=1)
    if inside.settings.metric is Metric.COSINE:
        good &= vectors.any(axis=1)
    kept = np.flatnonzero(good)
    first = 0
    for block in prepared_blocks(vectors[kept], inside.settings.metric):
        places = kept[first : first + len(block)]
        good[places] = _same(inside, rows[places], block)
        first += len(block)
    return names.take(np.flatnonzero(~good)).tolist()


def _same(inside: Contents, rows: npt.NDArray[np.int64], block: Floats) -> npt.NDArray[np.bool_]:
    """Whether these rows have the codes of these prepared vectors, bool (n,)."""
    if inside.int8 is None:
        assert inside.bits is not None
        if inside.estimates is not None:
            return _same_estimates(inside.estimates, inside.bits.take(rows), block)
        same: npt.NDArray[np.bool_] = (inside.bits.take(rows) == pack_bits(block)).all(axis=1)
        return same
    assert inside.calibration is not None
    here = inside.int8.take(rows).astype(np.int16)
    there = quantize(block, "int8", calibration=inside.calibration).astype(np.int16)
    same = np.all(np.abs(here - there) <= _slack(inside.calibration), axis=1)
    return np.asarray(same, dtype=np.bool_)


def _same_estimates(estimates: EstimateCodes, here: Packed, block: Floats) -> npt.NDArray[np.bool_]:
    """Whether rotational or scalar codes are those of these vectors, bool (n,).

    Values close to the edge between two levels may be on either side of it.
    """
    there = estimates.encode(block)
    apart = np.abs(estimates.levels(here).astype(np.int8) - estimates.levels(there).astype(np.int8))
    edges = np.count_nonzero(apart, axis=1) <= 1 + apart.shape[1] // 128
    near = np.isclose(factors(here), factors(there), rtol=_ESTIMATE_ROUNDING).all(axis=1)
    same: npt.NDArray[np.bool_] = edges & (apart.max(axis=1) <= 1) & near
    return same


def _slack(calibration: Calibration) -> npt.NDArray[np.int16]:
    """Tolerance of int8 codes of the same vector in steps, per dimension.

    A database may normalize differently, so that a value near the edge of a step is rounded to
    either side; if steps are close to the precision of float32, the difference may be larger.
    """
    largest = np.maximum(np.abs(calibration.lo), np.abs(calibration.hi))
    rounding = np.ceil(largest * np.float32(_ROUNDING) / calibration.steps)
    return np.asarray(1 + np.minimum(rounding, 255), dtype=np.int16)
