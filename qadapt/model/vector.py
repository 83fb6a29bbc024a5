"""Definition of a dense vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from qadapt.errors import (
    SpecError,
)
from qadapt.model import synonyms
from qadapt.model.metric import Metric
from qadapt.model.numbers import is_whole, shown
from qadapt.model.serializable import Serializable

# Datatypes that a database stores vectors in. ``bit`` holds -1 and 1.
Datatype = Literal[
    "float32", "float16", "bfloat16", "uint8", "int8", "turbo4", "turbo8", "turbo16", "bit"
]


DATATYPES: tuple[str, ...] = get_args(Datatype)


MAX_DIM = 65536


@dataclass(frozen=True)
class Vector(Serializable):
    """Definition of a vector: dimensions, metric and datatype.

    Args:
        dim: 1 to 65,536; a database may allow fewer.
        metric: ``cosine``, ``dot`` or ``euclidean``.
        datatype: datatype in the database; ``float32`` by default.
    """

    dim: int
    metric: Metric = Metric.COSINE
    datatype: Datatype = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", Metric.of(self.metric))
        object.__setattr__(self, "datatype", synonyms.datatype(str(self.datatype)))
        if self.datatype not in DATATYPES:
            raise SpecError.unknown("datatype", str(self.datatype), DATATYPES)
        if not is_whole(self.dim) or not 1 <= self.dim <= MAX_DIM:
            raise SpecError(
                f"dim must be a whole number from 1 to {MAX_DIM}; got {shown(self.dim)}",
                hint="use the number of dimensions of the embedding model",
            )
        object.__setattr__(self, "dim", int(self.dim))
