"""Distance metrics. A higher score is always better."""

from __future__ import annotations

from enum import Enum

from qadapt.errors import SpecError
from qadapt.model import synonyms


class Metric(str, Enum):
    """Cosine similarity, dot product, or negative squared Euclidean distance."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, value: Metric | str) -> Metric:
        """Parse the name of a metric, in any case; also ``l2``, ``ip`` and other common names.

        Raises:
            SpecError: the name is unknown.
        """
        try:
            return cls(synonyms.metric(value) if isinstance(value, str) else value)
        except ValueError:
            raise SpecError.unknown("metric", str(value), [m.value for m in cls]) from None
