"""Float queries against int8 and uint8 codes, without decoding the codes.

A code ``u`` represents ``lo + (u + 0.5) * step``. The dot product with a query ``q`` is therefore
``(q * step) . u`` plus a term that depends on the query only: the query is multiplied by the step
once, so each dimension has its scale. Comparing raw codes ignores these scales, which reduces the
quality of int8 in many implementations.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from qadapt.codecs.blocks import Array, float_queries
from qadapt.codecs.calibration import Calibration
from qadapt.codecs.ints import require_codes
from qadapt.codecs.linear import FloatArray, LinearQuery
from qadapt.errors import DimensionError, SpecError, ZeroVectorError

FoldMetric = Literal["dot", "cosine", "euclidean"]


class FoldedQuery(LinearQuery):
    """Queries multiplied by the quantization step; created by `fold`.

    ``score(codes)`` takes int8 or uint8 ``(m, d)`` and returns float32 ``(nq, m)``;
    ``score_pairs(codes)`` takes ``(nq, c, d)`` and returns ``(nq, c)``. int8 and uint8 encodings of
    the same codes have the same scores.
    """

    def __init__(
        self, weights: Array, bias: Array, squares: Array | None, *, centre: Array
    ) -> None:
        super().__init__(weights, bias, squares)
        self._centre: FloatArray = np.asarray(centre, dtype=np.float32)
        self._centred = not centre.any()

    def _check(self, codes: npt.ArrayLike, ndim: int) -> Array:
        return require_codes(codes, self.dim, (ndim,))

    def _decode(self, codes: Array, out: FloatArray) -> None:
        out[...] = codes
        if codes.dtype == np.uint8:
            out -= self._centre + 128
        elif not self._centred:
            out -= self._centre


def fold(
    queries: npt.ArrayLike, calibration: Calibration, *, metric: FoldMetric = "dot"
) -> FoldedQuery:
    """Prepare float queries for scoring against integer codes.

    Scores equal those of the float query with ``dequantize(codes, calibration)``, half step
    included, up to float32 rounding; so they estimate the float score without bias.

    Args:
        queries: ``(nq, d)`` or one ``(d,)``, float16, float32 or float64.
        calibration: the calibration that the codes were made with.
        metric: ``"dot"`` (default): dot product. ``"cosine"``: dot product with the query scaled
            to length 1; the documents must have been scaled to length 1 before encoding; the small
            change of length by encoding is not corrected. ``"euclidean"``: minus the squared
            distance, in squared units of the vectors, at most 0.

    Returns:
        A `FoldedQuery`; higher scores are better under every metric.

    Raises:
        DimensionError: queries and calibration differ in dimensions.
        NonFiniteError: a query holds NaN or infinity.
        ZeroVectorError: a query is zero under cosine.
        SpecError: unknown metric.
    """
    if metric not in get_args(FoldMetric):
        raise SpecError.unknown("metric", metric, get_args(FoldMetric))
    q = float_queries(queries)
    if q.shape[1] != calibration.dim:
        raise DimensionError(calibration.dim, q.shape[1], what="queries")
    if metric == "cosine":
        norms = np.linalg.norm(q, axis=1, keepdims=True)
        zero = np.flatnonzero(norms == 0)
        if len(zero):
            raise ZeroVectorError(zero.tolist(), what="queries")
        q /= norms
    return fold_rows(q, calibration, metric)


def fold_rows(
    q: npt.NDArray[np.float64], calibration: Calibration, metric: FoldMetric
) -> FoldedQuery:
    """`fold` of queries that were checked, and scaled to length 1 under cosine.

    Args:
        q: float64 ``(nq, d)``.
        calibration, metric: as in `fold`.
    """
    # Codes are relative to the middle of the range, so that sums and their rounding errors stay
    # small; in a constant dimension to the first code, which all values in range have.
    centre, origin, steps = calibration.centre, calibration.origin, calibration.wide_steps
    if metric == "euclidean":
        offset = q - origin
        lengths = np.square(offset).sum(axis=1)
        return FoldedQuery(2 * offset * steps, -lengths, np.square(steps), centre=centre)
    return FoldedQuery(q * steps, q @ origin, None, centre=centre)
