"""Codes in memory whose scan estimates scores: rotational codes, and scalar codes of 4 bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from qadapt.code_index.settings import Settings
from qadapt.code_index.vector_blocks import prepared
from qadapt.codecs import codebook, rotational
from qadapt.codecs.codebook import Codebook, codebook_query
from qadapt.codecs.estimates import EstimateQuery
from qadapt.codecs.learned_rotation import apply_learned, learned_rotation, sample_step
from qadapt.codecs.rotation import padded_dim, rotation
from qadapt.codecs.rotational import rotational_query
from qadapt.errors import CalibrationError
from qadapt.model.arrays import Floats, Vectors
from qadapt.model.embedding_kinds import Packed
from qadapt.model.metric import Metric

MIN_CALIBRATION_ROWS = 100
"""Minimum number of rows for automatic calibration."""


class EstimateCodes(ABC):
    """Codes of an index, with what they learned from the first vectors.

    Attributes:
        learned: float32 matrix of the shape ``learned_shape``; None if there is none, or none yet.
        learned_shape: shape of the learned array; None without one.
    """

    learned: Floats | None = None
    learned_shape: tuple[int, int] | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def learn(self, vectors: Vectors) -> Floats | None:
        """What is learned, if necessary from these vectors (n, dim); it is not stored.

        Raises:
            CalibrationError: too few vectors to learn from.
        """
        if self.learned is not None or self.learned_shape is None:
            return self.learned
        return self._learn(vectors)

    @abstractmethod
    def _learn(self, vectors: Vectors) -> Floats: ...

    @abstractmethod
    def encode(self, vectors: Floats, learned: Floats | None = None) -> Packed:
        """Codes of prepared vectors (n, dim), uint8 (n, width).

        Args:
            vectors: float32 (n, dim).
            learned: what was learned, if it is not stored yet.
        """

    @abstractmethod
    def query(self, queries: Floats, *, kernel: bool = False) -> EstimateQuery:
        """Prepare queries float32 (nq, dim); ``kernel`` scores by numba."""

    @abstractmethod
    def kernel_pays(self, queries: int) -> bool:
        """Whether numba is faster than numpy for this number of queries."""

    @abstractmethod
    def levels(self, codes: Packed) -> npt.NDArray[np.uint8]:
        """Numbers of the levels of codes (n, width), uint8 (n, d)."""

    @property
    def _euclidean(self) -> bool:
        return self._settings.metric is Metric.EUCLIDEAN


class RotationalCodes(EstimateCodes):
    """See ``codecs.rotational``; a learned rotation is applied after the random one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.rotation == "learned":
            self.learned_shape = padded_dim(settings.dim), padded_dim(settings.dim)

    def _learn(self, vectors: Vectors) -> Floats:
        step = sample_step(len(vectors), self._settings.dim)
        sample = prepared(vectors[::step], self._settings.metric)
        return learned_rotation(rotation(self._settings.dim)(sample))

    def encode(self, vectors: Floats, learned: Floats | None = None) -> Packed:
        return rotational.encode(self._rotated(vectors, learned), self._settings.bits)

    def _rotated(self, vectors: Floats, learned: Floats | None = None) -> Floats:
        turned = rotation(self._settings.dim)(vectors)
        matrix = self.learned if learned is None else learned
        return turned if matrix is None else apply_learned(turned, matrix)

    def query(self, queries: Floats, *, kernel: bool = False) -> EstimateQuery:
        return rotational_query(
            self._rotated(queries), self._settings.bits,
            cast(Literal[4, 8], self._settings.query_bits),
            euclidean=self._euclidean, kernel=kernel,
        )  # fmt: skip

    def kernel_pays(self, queries: int) -> bool:
        return rotational.kernel_pays(queries)

    def levels(self, codes: Packed) -> npt.NDArray[np.uint8]:
        return rotational.unpacked(codes, self._settings.bits)


class ScalarCodes(EstimateCodes):
    """See ``codecs.codebook``."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.learned_shape = settings.dim, codebook.LEVELS
        self._book: tuple[Floats, Codebook] | None = None

    def _learn(self, vectors: Vectors) -> Floats:
        if len(vectors) < MIN_CALIBRATION_ROWS:
            raise CalibrationError(
                f"the index has no codebook, and {len(vectors)} vectors are too few for it (at "
                f"least {MIN_CALIBRATION_ROWS})",
                hint="create it with codebook=Codebook.fit(sample), or add more rows first",
            )
        sample = prepared(vectors[:: codebook.sample_step(len(vectors))], self._settings.metric)
        return Codebook.fit(sample).levels

    def _codebook(self, learned: Floats | None = None) -> Codebook:
        levels = self.learned if learned is None else learned
        assert levels is not None
        if self._book is None or self._book[0] is not levels:
            self._book = levels, Codebook(levels)
        return self._book[1]

    def encode(self, vectors: Floats, learned: Floats | None = None) -> Packed:
        return self._codebook(learned).encode(vectors)

    def query(self, queries: Floats, *, kernel: bool = False) -> EstimateQuery:
        return codebook_query(queries, self._codebook(), euclidean=self._euclidean, kernel=kernel)

    def kernel_pays(self, queries: int) -> bool:
        return codebook.kernel_pays(queries)

    def levels(self, codes: Packed) -> npt.NDArray[np.uint8]:
        return codebook.unpacked(codes)


def estimate_codes(settings: Settings) -> EstimateCodes | None:
    """Codes of an index with these settings; None for sign bits and int8 codes."""
    if settings.codes == "rotational":
        return RotationalCodes(settings)
    return ScalarCodes(settings) if settings.codes == "scalar" else None
