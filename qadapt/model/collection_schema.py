"""Collection schema beyond the vectors that qadapt quantizes: extra vectors, fields, partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model.metric import Metric
from qadapt.model.serializable import Serializable


@dataclass(frozen=True)
class ExtraVector(Serializable):
    """Vector that qadapt copies but neither quantizes nor searches.

    Attributes:
        kind: ``sparse`` (indices and values of the nonzero entries), or ``multi`` (several vectors
            of one dimension per row, as in late interaction models).
        dim: dimensions; None for sparse vectors.
        metric: None for sparse vectors, which are compared by dot product.
        datatype: datatype in the database.
        native: native settings of the database.
    """

    kind: Literal["sparse", "multi"]
    dim: int | None = None
    metric: Metric | None = None
    datatype: str = "float32"
    native: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RaggedArray:
    """Extra vectors of ``n`` rows, concatenated.

    Attributes:
        offsets: int64 ``(n + 1,)``; row ``i`` has the entries ``offsets[i]:offsets[i + 1]``.
        values: float32 ``(total,)`` of sparse vectors, ``(total, d)`` of multivectors.
        indices: uint32 ``(total,)`` of sparse vectors, ascending in each row; None for
            multivectors.
        missing: bool ``(n,)``, rows without this vector (an empty vector is not missing); None if
            all rows have one.

    Raises:
        InputError: the arrays have different lengths.
    """

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    indices: npt.NDArray[np.uint32] | None = None
    missing: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        total = int(self.offsets[-1])
        if len(self.values) != total or (self.indices is not None and len(self.indices) != total):
            raise InputError(
                f"the offsets describe {total} entries, but there are {len(self.values)} values",
                hint="the last offset is the number of values, and of indices if there are any",
            )
        if self.missing is not None and len(self.missing) != len(self):
            raise InputError(
                f"{len(self)} extra vectors but {len(self.missing)} values in missing",
                hint="missing has one bool per row",
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, start: int, stop: int) -> RaggedArray:
        """Rows ``start`` to ``stop`` (clipped), as views."""
        offsets = self.offsets[start : stop + 1]
        first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
        return RaggedArray(
            offsets - first if len(offsets) else np.zeros(1, dtype=np.int64),
            self.values[first:last],
            None if self.indices is None else self.indices[first:last],
            None if self.missing is None else self.missing[start:stop],
        )

    def pick(self, rows: npt.NDArray[np.intp]) -> RaggedArray:
        """Rows in the given order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        entries = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return RaggedArray(
            offsets,
            self.values[entries],
            None if self.indices is None else self.indices[entries],
            None if self.missing is None else self.missing[rows],
        )

    def absent(self) -> npt.NDArray[np.bool_]:
        """Rows without this vector, bool ``(n,)``."""
        return np.zeros(len(self), dtype=np.bool_) if self.missing is None else self.missing

    @classmethod
    def concat(cls, parts: Sequence[RaggedArray]) -> RaggedArray:
        """Concatenate at least one array."""
        ends = np.cumsum([0, *(int(each.offsets[-1]) for each in parts)])
        gaps = any(each.missing is not None for each in parts)
        return cls(
            np.concatenate(
                [np.zeros(1, dtype=np.int64)]
                + [each.offsets[1:] + end for each, end in zip(parts, ends, strict=False)]
            ),
            np.concatenate([each.values for each in parts]),
            None
            if parts[0].indices is None
            else np.concatenate([each.indices for each in parts if each.indices is not None]),
            np.concatenate([each.absent() for each in parts]) if gaps else None,
        )

    @property
    def nbytes(self) -> int:
        """Size of values and indices in bytes."""
        return self.values.nbytes + (0 if self.indices is None else self.indices.nbytes)


@dataclass(frozen=True)
class CollectionSchema(Serializable):
    """Schema that ``Store.collection_schema`` reads and ``Store.create`` applies.

    Attributes:
        extras: extra vectors by name.
        schema: native declarations of payload fields (types, lengths, tokenizers); empty if the
            database declares none.
        partitions: names of the tenants, partitions or shard keys; each row is in one.
        is_partitioned: whether the collection is partitioned; there may be no partition yet.
        partition_key: whether a payload field determines the partition of a row.
        inactive_partitions: partitions that cannot be read now, such as inactive tenants.
    """

    extras: Mapping[str, ExtraVector] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=dict)
    partitions: tuple[str, ...] = ()
    is_partitioned: bool = False
    partition_key: str | None = None
    inactive_partitions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.extras or self.schema or self.is_partitioned)
