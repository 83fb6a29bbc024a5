"""The metric of a vector. Scores are always "higher is better"."""

from __future__ import annotations

from enum import Enum

from qadapt.errors import SpecError


class Metric(str, Enum):
    """cosine similarity, dot product, or negative squared euclidean distance."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, value: Metric | str) -> Metric:
        """A metric from its name.

        Raises:
            SpecError: not one of cosine, dot, euclidean.
        """
        try:
            return cls(value)
        except ValueError:
            raise SpecError.unknown("metric", str(value), [m.value for m in cls]) from None
