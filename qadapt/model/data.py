"""Rows and search results: Batch, Hits and SearchProvenance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    SpecError,
    ZeroVectorError,
    unheld_rows,
)
from qadapt.model import ragged_arrays, vector_norms
from qadapt.model.collection_schema import ExtraVector, RaggedArray
from qadapt.model.metric import Metric
from qadapt.model.numbers import is_whole
from qadapt.model.serializable import Serializable

Id = int | str
Floats = npt.NDArray[np.float32]
# Datatypes that a database stores vectors in.
Datatype = Literal["float32", "float16", "bfloat16", "uint8", "int8", "turbo4", "turbo8", "turbo16"]
DATATYPES: tuple[str, ...] = get_args(Datatype)

MAX_DIM = 65536
_EQUAL = "give one id, one vector and one payload for each row"


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
        if self.datatype not in DATATYPES:
            raise SpecError.unknown("datatype", str(self.datatype), DATATYPES)
        if not is_whole(self.dim) or not 1 <= self.dim <= MAX_DIM:
            raise SpecError(f"dim must be a whole number from 1 to {MAX_DIM}; got {self.dim!r:.60}")
        object.__setattr__(self, "dim", int(self.dim))


@dataclass(frozen=True, eq=False, init=False)
class Batch:
    """Rows as columns: ids, one float32 array per named vector, payloads.

    Args:
        ids: ``n`` ids, ``int`` or ``str``.
        vectors: ``{name: (n, d)}``; the unnamed vector is ``""``. Any array-like of
            numbers; converted to C-ordered float32.
        payloads: ``n`` dicts, or None for no payloads.
        missing: ``{name: bool (n,)}``, rows without this vector (their values are 0 and
            meaningless); names that are not in it have no missing vectors.
        extras: ``{name: RaggedArray}`` of ``n`` rows each: sparse vectors and multivectors.

    Raises:
        InputError: columns of different length, an invalid type of id, or duplicate ids.
    """

    ids: Sequence[Id]
    vectors: Mapping[str, Floats]
    payloads: Sequence[Mapping[str, Any]] | None
    missing: Mapping[str, npt.NDArray[np.bool_]]
    extras: Mapping[str, RaggedArray]

    def __init__(
        self,
        ids: Sequence[Id] | npt.NDArray[Any],
        vectors: Mapping[str, npt.ArrayLike] | None = None,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        missing: Mapping[str, npt.NDArray[np.bool_]] | None = None,
        extras: Mapping[str, RaggedArray] | None = None,
    ) -> None:
        listed = _checked_ids(ids)
        _check_columns(vectors, payloads, missing, extras)
        arrays = {name: as_vectors(x, what=_label(name)) for name, x in (vectors or {}).items()}
        for name, array in arrays.items():
            if len(array) != len(listed):
                raise InputError(
                    f"{len(listed)} ids but {len(array)} rows in {_label(name)}", hint=_EQUAL
                )
        if payloads is not None and len(payloads) != len(listed):
            raise InputError(f"{len(listed)} ids but {len(payloads)} payloads", hint=_EQUAL)
        for name, rows in (missing or {}).items():
            if name not in arrays or np.shape(rows) != (len(listed),):
                raise InputError(f"missing[{name!r}] must have one bool per row")
        for name, each in (extras or {}).items():
            if len(each) != len(listed):
                raise InputError(
                    f"{len(listed)} ids but {len(each)} rows in {_label(name)}", hint=_EQUAL
                )
        _fill(self, listed, arrays, payloads, missing or {}, extras or {})

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Size of the vectors in bytes."""
        dense = sum(array.nbytes for array in self.vectors.values())
        return dense + sum(each.nbytes for each in self.extras.values())

    def rows(self, start: int, stop: int) -> Batch:
        """Rows ``start`` to ``stop``; the arrays are views."""
        payloads = None if self.payloads is None else self.payloads[start:stop]
        return _unchecked(
            self.ids[start:stop],
            {name: array[start:stop] for name, array in self.vectors.items()},
            payloads,
            {name: mask[start:stop] for name, mask in self.missing.items()},
            {name: each.rows(start, stop) for name, each in self.extras.items()},
        )

    def take(self, rows: Sequence[int]) -> Batch:
        """Rows in the given order; the arrays are copies."""
        payloads = self.payloads
        index = np.asarray(rows, dtype=np.intp)
        return _unchecked(
            [self.ids[row] for row in rows],
            {name: array[index] for name, array in self.vectors.items()},
            None if payloads is None else [payloads[row] for row in rows],
            {name: mask[index] for name, mask in self.missing.items()},
            {name: each.pick(index) for name, each in self.extras.items()},
        )

    @classmethod
    def concat(cls, batches: Sequence[Batch]) -> Batch:
        """Concatenate batches with the same vectors; rows without a payload get ``{}``.

        Raises:
            InputError: the batches have different vectors.
        """
        if not batches:
            return _unchecked([], {}, None, {}, {})
        names = batches[0].vectors
        for batch in batches:
            shapes = [{n: x.shape[1] for n, x in b.vectors.items()} for b in (batches[0], batch)]
            if not _alike(*shapes) or set(batch.extras) != set(batches[0].extras):
                raise InputError(f"the batches have different vectors: {shapes[0]} and {shapes[1]}")
        missing = {name for batch in batches for name in batch.missing}
        return _unchecked(
            [key for batch in batches for key in batch.ids],
            {name: _stacked([batch.vectors[name] for batch in batches]) for name in names},
            None
            if all(batch.payloads is None for batch in batches)
            else [item for b in batches for item in b.payloads or [{} for _ in range(len(b))]],
            {
                name: np.concatenate(
                    [b.missing.get(name, np.zeros(len(b), dtype=np.bool_)) for b in batches]
                )
                for name in missing
            },
            {
                name: RaggedArray.concat([batch.extras[name] for batch in batches])
                for name in batches[0].extras
            },
        )

    def check(
        self, wanted: Mapping[str, Vector], extras: Mapping[str, ExtraVector] | None = None
    ) -> None:
        """Raise an error if the batch cannot be written.

        Args:
            wanted: vectors of the collection.
            extras: sparse vectors and multivectors of the collection that can be written.

        Raises:
            SpecError: the collection does not have a vector of the batch.
            DimensionError, NonFiniteError, ZeroVectorError: invalid vectors.
            InputError: values outside of the range of the datatype, sparse indices that do not
                ascend, or a multivector without rows.
        """
        for name, array in self.vectors.items():
            if name not in wanted:
                known = [_label(other) for other in wanted]
                raise SpecError.unknown("vector", _label(name), known)
            present = ~self.missing[name] if name in self.missing else None
            check_vectors(array, wanted[name], what=_label(name), present=present, ids=self.ids)
        there = extras or {}
        for name in self.extras:
            if name not in there:
                known = [_label(other) for other in (*wanted, *there)]
                raise SpecError.unknown("vector", _label(name), known)
        ragged_arrays.check_all(self.extras, there, self.ids)

    def ready(
        self,
        wanted: Mapping[str, Vector],
        extras: Mapping[str, ExtraVector] | None = None,
        *,
        normalizes_cosine: bool,
    ) -> Batch:
        """Check the rows, and scale rows with extreme norms to length 1 under cosine, which
        preserves their direction.

        Args:
            wanted, extras: as in ``check``.
            normalizes_cosine: whether the database stores cosine vectors normalized.

            Raises:
            The same errors as ``check``.
        """
        self.check(wanted, extras)
        vectors = dict(self.vectors)
        for name, array in self.vectors.items():
            lengths = vector_norms.safe_norm_range(
                wanted[name].datatype, normalizes_cosine=normalizes_cosine
            )
            if wanted[name].metric is Metric.COSINE and lengths is not None:
                present = ~self.missing[name] if name in self.missing else None
                vectors[name] = vector_norms.rescaled(array, lengths, present=present)
        more = {
            name: ragged_arrays.rescaled(
                each, (extras or {})[name], normalizes_cosine=normalizes_cosine
            )
            for name, each in self.extras.items()
        }
        return _unchecked(self.ids, vectors, self.payloads, self.missing, more)


def _alike(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Whether two sets of vectors have the same names and dimensions; a dimension of 0 (no row has
    the vector yet) equals any other."""
    return set(one) == set(other) and all(
        one[name] == other[name] or not one[name] or not other[name] for name in one
    )


def _stacked(arrays: Sequence[Floats]) -> Floats:
    """Concatenate arrays; rows of dimension 0 become zeros."""
    dim = max(array.shape[1] for array in arrays)
    return np.concatenate(
        [
            each if each.shape[1] == dim else np.zeros((len(each), dim), np.float32)
            for each in arrays
        ]
    )


def _unchecked(
    ids: Sequence[Id],
    vectors: Mapping[str, Floats],
    payloads: Sequence[Mapping[str, Any]] | None,
    missing: Mapping[str, npt.NDArray[np.bool_]],
    extras: Mapping[str, RaggedArray],
) -> Batch:
    """Create a batch of columns that were checked before."""
    batch = object.__new__(Batch)
    _fill(batch, ids, vectors, payloads, missing, extras)
    return batch


def _fill(
    batch: Batch,
    ids: Sequence[Id],
    vectors: Mapping[str, Floats],
    payloads: Sequence[Mapping[str, Any]] | None,
    missing: Mapping[str, npt.NDArray[np.bool_]],
    extras: Mapping[str, RaggedArray],
) -> None:
    object.__setattr__(batch, "ids", ids)
    object.__setattr__(batch, "vectors", vectors)
    object.__setattr__(batch, "payloads", payloads)
    object.__setattr__(batch, "missing", missing)
    object.__setattr__(batch, "extras", extras)


def _label(name: str) -> str:
    return f"vector {name!r}" if name else "the unnamed vector"


def _check_columns(vectors: Any, payloads: Any, missing: Any, extras: Any) -> None:
    """Raise an error for columns of an invalid type.

    Raises:
        InputError: the vectors are not a mapping, or the payloads are not a list.
    """
    if vectors is not None and not isinstance(vectors, Mapping):
        raise InputError(
            f"vectors must be a mapping of names to arrays; got a {type(vectors).__name__}",
            hint='the unnamed vector has the name "": Batch(ids, {"": array})',
        )
    for name in vectors or {}:
        if not isinstance(name, str):
            raise InputError(f"the name of a vector must be a string; got {name!r:.60}")
    if payloads is not None and (
        not isinstance(payloads, Sequence) or isinstance(payloads, (str, bytes))
    ):
        raise InputError(
            f"payloads must be a list of mappings; got a {type(payloads).__name__}",
            hint='for a DataFrame: payloads=frame.to_dict("records")',
        )
    for what, given in (("missing", missing), ("extras", extras)):
        if given is not None and not isinstance(given, Mapping):
            raise InputError(f"{what} must be a mapping of names; got a {type(given).__name__}")


def listed_ids(ids: Iterable[Id] | npt.NDArray[Any]) -> list[Id]:
    """Convert ids to a list of ``int`` and ``str``.

    Raises:
        InputError: not a list, or an invalid type of id.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, (Iterable, np.ndarray)):
        raise InputError(
            f"ids must be a list of int or str; got {ids!r:.60}",
            hint="for a single id: [id]",
        )
    listed = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    wrong = [key for key in listed if type(key) is not int and type(key) is not str]
    if wrong:
        raise InputError(
            f"ids must be int or str; got {wrong[0]!r} of type {type(wrong[0]).__name__}",
            hint="convert UUIDs with str()",
        )
    return listed


def _checked_ids(ids: Iterable[Id] | npt.NDArray[Any]) -> list[Id]:
    listed = listed_ids(ids)
    if len(set(listed)) != len(listed):
        seen: set[Id] = set()
        twice = sorted({str(key) for key in listed if key in seen or seen.add(key)})  # type: ignore[func-returns-value]
        raise InputError(
            f"{len(twice)} ids are duplicated in the batch: {', '.join(twice[:10])}",
            hint="keep one row per id; the result for duplicate ids is undefined",
        )
    return listed


def as_vectors(x: Any, *, what: str = "vectors") -> Floats:
    """Convert to C-ordered float32 of shape ``(n, d)``; ``(d,)`` becomes ``(1, d)``.

    Raises:
        InputError: not numbers, rows of different length, more than 2 axes, or nonzero rows that
            become zero in float32. Numbers too large for float32 become infinite, which
            ``check_vectors`` rejects.
    """
    try:
        raw = np.asarray(x)
    except ValueError as error:
        raise InputError(f"{what} must have rows of equal length ({error})") from None
    if raw.dtype.kind not in "fiub":
        raise InputError(
            f"{what} must be an array of numbers; got an array of {raw.dtype}",
            hint="numpy.asarray(rows, dtype='float32') shows which row is invalid",
        )
    if raw.ndim == 1:
        raw = raw[None, :]
    if raw.ndim != 2:
        raise InputError(
            f"{what} must have the shape (n, d) or (d,); got {raw.shape}",
            hint="n is the number of vectors and d the number of dimensions",
        )
    with np.errstate(over="ignore"):
        found: Floats = np.ascontiguousarray(raw, dtype=np.float32)
    if raw.dtype.itemsize > 4 and raw.dtype.kind == "f":
        nothing = np.flatnonzero(~found.any(axis=1))
        lost = nothing[raw[nothing].any(axis=1)]
        if len(lost):
            raise unheld_rows(lost[:100].tolist(), len(lost), datatype="float32", what=what)
    return found


def check_vectors(
    x: Floats,
    vector: Vector,
    *,
    what: str = "vectors",
    present: npt.NDArray[np.bool_] | None = None,
    ids: Sequence[Id] = (),
) -> None:
    """Raise an error for wrong dimensions, NaN, infinity, zero vectors under cosine, and values
    outside of the range of the datatype.

    Args:
        x: float32 ``(n, d)``.
        vector: definition of the vector.
        present: bool ``(n,)``, rows to check; all by default.
        ids: ids of all rows, for the message.

    Raises:
        DimensionError, NonFiniteError, ZeroVectorError: invalid vectors.
        InputError: values outside of the range of the datatype.
    """
    if x.shape[1] != vector.dim:
        raise DimensionError(vector.dim, x.shape[1], what=what)
    cosine = vector.metric is Metric.COSINE
    if (named := _named(np.asarray(~np.isfinite(x).all(axis=1)), present, ids)) is not None:
        raise NonFiniteError(*named[:2], what=what, ids=named[2])
    if cosine and (named := _named(np.asarray(~x.any(axis=1)), present, ids)) is not None:
        raise ZeroVectorError(*named[:2], what=what, ids=named[2])
    unheld = vector_norms.unrepresentable_rows(x, vector.datatype, cosine=cosine)
    if unheld is not None and (named := _named(unheld, present, ids)) is not None:
        raise unheld_rows(*named[:2], datatype=vector.datatype, what=what, ids=named[2])


def _named(
    bad: npt.NDArray[np.bool_], present: npt.NDArray[np.bool_] | None, ids: Sequence[Id]
) -> tuple[list[int], int, list[Id]] | None:
    """First rows of a mask, their total number, and their ids; None if the mask is empty."""
    if present is not None:
        bad = bad & present
    if not bad.any():
        return None
    rows = np.flatnonzero(bad)
    first = rows[:100].tolist()
    return first, len(rows), [ids[row] for row in first] if ids else []


@dataclass(frozen=True)
class SearchProvenance(Serializable):
    """How a search was executed: searcher, rescorer, candidates and precision.

    Attributes:
        searcher: ``"store"`` (index of the database), ``"qadapt"`` (client-side codes) or
            ``"store exact"`` (no index).
        rescorer: ``"store"``, ``"qadapt"`` or ``"none"``.
        oversampling: requested or default factor.
        candidates: number of rescored candidates per query; 0 for none. It is a lower bound for a
            database that oversamples per segment.
        rescored_on: ``"originals"``, ``"codes"`` or ``"none"``.
        scores: ``"exact"``, or ``"approximate"`` if they were computed from codes or from vectors
            that the database stores with less precision than float32 (see notes).
        rescore_from: origin of the setting: ``"call"``, ``"collection"`` or ``"store default"``.
        notes: remarks about the results.
    """

    searcher: str
    rescorer: str
    oversampling: float
    candidates: int
    rescored_on: str
    scores: Literal["exact", "approximate"]
    rescore_from: str = "store default"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class HitsDocument(Serializable):
    """JSON form of ``Hits``; padding is null."""

    ids: tuple[tuple[Id | None, ...], ...]
    scores: tuple[tuple[float | None, ...], ...]
    how: SearchProvenance
    payloads: tuple[tuple[dict[str, Any] | None, ...], ...] | None = None


@dataclass(frozen=True, eq=False)
class Hits:
    """Search results, best first.

    Attributes:
        ids: object array ``(nq, k)``; padded with None.
        scores: float32 ``(nq, k)``, higher is better (cosine similarity, dot product, negative
            squared L2); padded with NaN.
        how: how the search was executed.
        payloads: ``nq`` lists of dicts (padded with None), or None if not requested.
    """

    ids: npt.NDArray[np.object_]
    scores: Floats
    how: SearchProvenance
    payloads: list[list[dict[str, Any] | None]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types; padding and non-finite scores become null."""
        result: dict[str, Any] = {
            "ids": self.ids.tolist(),
            "scores": [
                [score if math.isfinite(score) else None for score in row]
                for row in self.scores.tolist()
            ],
            "how": self.how.to_dict(),
        }
        if self.payloads is not None:
            result["payloads"] = self.payloads
        return result

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[tuple[Id, float]]],
        k: int,
        how: SearchProvenance,
        payloads: list[list[dict[str, Any] | None]] | None = None,
    ) -> Hits:
        """Create hits from ``nq`` lists of (id, score), padded to ``k`` columns."""
        ids = np.full((len(rows), k), None, dtype=object)
        scores = np.full((len(rows), k), np.nan, dtype=np.float32)
        for at, row in enumerate(rows):
            found = min(len(row), k)
            ids[at, :found] = [item[0] for item in row[:k]]
            scores[at, :found] = [item[1] for item in row[:k]]
        if payloads is not None:
            payloads = [(row + [None] * k)[:k] for row in payloads]
        return cls(ids, scores, how, payloads)
