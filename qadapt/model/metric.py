"""Distance metrics. A higher score is always better."""

from __future__ import annotations

from enum import Enum

from qadapt.errors import SpecError


class Metric(str, Enum):
    """Cosine similarity, dot product, or negative squared Euclidean distance."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, value: Metric | str) -> Metric:
        """Parse the name of a metric.

        Raises:
            SpecError: not cosine, dot or euclidean.
        """
        try:
            return cls(value)
        except ValueError:
            raise SpecError.unknown("metric", str(value), [m.value for m in cls]) from None
