"""What a collection has beside the vectors that qadapt quantizes: extra vectors, schema, parts."""

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
    """A vector that qadapt copies, and neither quantizes nor searches.

    Attributes:
        kind: ``sparse`` (index and value of each entry that is not 0), or ``multi`` (many rows of
            one length for each row of the collection, as of late interaction models).
        dim: of each row; None for sparse ones.
        metric: of each row; None for sparse ones, which are compared by dot product.
        datatype: what the store keeps of the numbers.
        native: further settings in the words of the store's family.
    """

    kind: Literal["sparse", "multi"]
    dim: int | None = None
    metric: Metric | None = None
    datatype: str = "float32"
    native: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class RaggedArray:
    """The extra vectors of ``n`` rows, one behind the other.

    Attributes:
        offsets: int64 ``(n + 1,)``; the row ``i`` has the entries from ``offsets[i]`` up to
            ``offsets[i + 1]``.
        values: float32 ``(total,)`` of sparse vectors, ``(total, d)`` of multivectors.
        indices: uint32 ``(total,)`` of sparse vectors, ascending in each row; None of multivectors.
        missing: bool ``(n,)``, rows that have no such vector at all, which is not an empty one;
            None where all have one.

    Raises:
        InputError: parts of different length.
    """

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    indices: npt.NDArray[np.uint32] | None = None
    missing: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        total = int(self.offsets[-1])
        if len(self.values) != total or (self.indices is not None and len(self.indices) != total):
            raise InputError(
                f"extra vectors of {total} entries by their offsets, and {len(self.values)} values"
            )
        if self.missing is not None and len(self.missing) != len(self):
            raise InputError(f"{len(self)} extra vectors and {len(self.missing)} gaps or not")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, start: int, stop: int) -> RaggedArray:
        """The rows from ``start`` up to ``stop``, fewer where there are fewer; views."""
        offsets = self.offsets[start : stop + 1]
        first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
        return RaggedArray(
            offsets - first if len(offsets) else np.zeros(1, dtype=np.int64),
            self.values[first:last],
            None if self.indices is None else self.indices[first:last],
            None if self.missing is None else self.missing[start:stop],
        )

    def pick(self, rows: npt.NDArray[np.intp]) -> RaggedArray:
        """Some rows, in the order given."""
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
        """Which rows have none, bool ``(n,)``."""
        return np.zeros(len(self), dtype=np.bool_) if self.missing is None else self.missing

    @classmethod
    def concat(cls, parts: Sequence[RaggedArray]) -> RaggedArray:
        """Those of several batches, one behind the other; at least one."""
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
        """Bytes of values and indices."""
        return self.values.nbytes + (0 if self.indices is None else self.indices.nbytes)


@dataclass(frozen=True)
class CollectionSchema(Serializable):
    """What ``Store.collection_schema`` found, and what ``Store.create`` makes beside the vectors.

    Attributes:
        extras: other vectors, by name.
        schema: how entries of the payload are declared (typed fields, lengths, tokenizers), in the
            words of the store's family; empty where nothing is declared.
        partitions: names of tenants, partitions or shard keys that rows are in, each row in one.
        is_partitioned: whether there are such parts at all; there may be none yet.
        partition_key: whether the store finds the part of a row by an entry of its payload.
        inactive_partitions: parts that cannot be read now, such as tenants that are not active.
    """

    extras: Mapping[str, ExtraVector] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=dict)
    partitions: tuple[str, ...] = ()
    is_partitioned: bool = False
    partition_key: str | None = None
    inactive_partitions: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.extras or self.schema or self.is_partitioned)
