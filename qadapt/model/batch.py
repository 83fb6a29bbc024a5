"""Rows and search results: Batch, Hits and SearchProvenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import (
    InputError,
    SpecError,
)
from qadapt.model import ragged_arrays, vector_norms
from qadapt.model.arrays import Floats, as_vectors, check_vectors
from qadapt.model.collection_schema import ExtraVector, RaggedArray
from qadapt.model.embedding_kinds import decoded
from qadapt.model.ids import Id, checked_ids
from qadapt.model.metric import Metric
from qadapt.model.table import LONGEST, Table
from qadapt.model.vector import Vector

UNNAMED = "(unnamed)"  # the unnamed vector in lists of names
_PRINTED = 20  # rows of a batch that print shows
_EQUAL = "give one id, one vector and one payload for each row"


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
        kind: form of all vectors, or of each by name, if they are embeddings of a service:
            ``int8``, ``uint8``, ``ubinary``, ``binary`` (bits become -1 and 1), ``base64``,
            ``bfloat16`` (uint16) or ``numbers``; see ``qadapt.model.embedding_kinds``.

    Raises:
        SpecError: unknown kind.
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
        *,
        kind: str | Mapping[str, str] | None = None,
    ) -> None:
        listed = checked_ids(ids)
        _check_columns(vectors, payloads, missing, extras)
        if kind is not None:
            vectors = _decoded(vectors or {}, kind)
        arrays = {name: _rows(x, listed, _label(name)) for name, x in (vectors or {}).items()}
        for name, array in arrays.items():
            if len(array) != len(listed):
                raise InputError(
                    f"{len(listed)} ids but {len(array)} rows in {_label(name)}", hint=_EQUAL
                )
        if payloads is not None and len(payloads) != len(listed):
            raise InputError(f"{len(listed)} ids but {len(payloads)} payloads", hint=_EQUAL)
        for name, rows in (missing or {}).items():
            if name not in arrays or np.shape(rows) != (len(listed),):
                raise InputError(
                    f"missing[{name!r}] must have one bool per row of this vector",
                    hint=f"missing={{{name!r}: numpy.zeros({len(listed)}, dtype=bool)}}",
                )
        for name, each in (extras or {}).items():
            if len(each) != len(listed):
                raise InputError(
                    f"{len(listed)} ids but {len(each)} rows in {_label(name)}", hint=_EQUAL
                )
        # The class is frozen, so attributes are set through its dictionary.
        vars(self).update(
            ids=listed,
            vectors=arrays,
            payloads=payloads,
            missing=missing or {},
            extras=extras or {},
        )

    def table(self) -> Table:
        """One row per row of the batch: id, values of each vector, payload; at most 20 rows."""
        names = list(self.vectors)
        rows = []
        for at, key in enumerate(self.ids[:_PRINTED]):
            vectors = [", ".join(f"{x:.3g}" for x in self.vectors[n][at][:4]) for n in names]
            payload = "" if self.payloads is None else str(self.payloads[at])
            rows.append((str(key), *(f"{each}, ..." for each in vectors), payload[:LONGEST]))
        left = len(self) - len(rows)
        columns = ("Id", *(name or UNNAMED for name in names), "Payload")
        return Table(columns, tuple(rows), notes=(f"{left:,} more rows",) if left else ())

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return self.table()._repr_html_()

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
        return unchecked(
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
        return unchecked(
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
            return unchecked([], {}, None, {}, {})
        names = batches[0].vectors
        for batch in batches:
            shapes = [{n: x.shape[1] for n, x in b.vectors.items()} for b in (batches[0], batch)]
            if not _alike(*shapes) or set(batch.extras) != set(batches[0].extras):
                raise InputError(
                    f"the batches have different vectors: {shapes[0]} and {shapes[1]}",
                    hint="concatenate batches of the same vectors, such as those of one read",
                )
        missing = {name for batch in batches for name in batch.missing}
        return unchecked(
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
        self._check(wanted, extras, ())

    def _check(
        self,
        wanted: Mapping[str, Vector],
        extras: Mapping[str, ExtraVector] | None,
        checked: Sequence[str],
    ) -> None:
        """As ``check``, without the vectors ``checked``."""
        for name, array in self.vectors.items():
            if name not in wanted:
                raise SpecError.unknown("vector", name or UNNAMED, _known(wanted))
            if name not in checked:
                present = ~self.missing[name] if name in self.missing else None
                check_vectors(array, wanted[name], what=_label(name), present=present, ids=self.ids)
        there = extras or {}
        for name in self.extras:
            if name not in there:
                raise SpecError.unknown("vector", name or UNNAMED, _known((*wanted, *there)))
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
            SpecError, DimensionError, NonFiniteError, ZeroVectorError, InputError: see ``check``.
        """
        ranges = {
            name: lengths
            for name, vector in wanted.items()
            if name in self.vectors
            and vector.metric is Metric.COSINE
            and self.vectors[name].shape[1] == vector.dim
            and (
                lengths := vector_norms.safe_norm_range(
                    vector.datatype, normalizes_cosine=normalizes_cosine
                )
            )
        }
        # Norms within a range show that the numbers are finite and no row is zero.
        good = [
            name
            for name, lengths in ranges.items()
            if vector_norms.norm_within(self.vectors[name], lengths).all()
        ]
        self._check(wanted, extras, good)
        vectors = dict(self.vectors)
        for name in ranges.keys() - set(good):
            present = ~self.missing[name] if name in self.missing else None
            vectors[name] = vector_norms.rescaled(vectors[name], ranges[name], present=present)
        more = {
            name: ragged_arrays.rescaled(
                each, (extras or {})[name], normalizes_cosine=normalizes_cosine
            )
            for name, each in self.extras.items()
        }
        return unchecked(self.ids, vectors, self.payloads, self.missing, more)


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


def unchecked(
    ids: Sequence[Id],
    vectors: Mapping[str, Floats],
    payloads: Sequence[Mapping[str, Any]] | None,
    missing: Mapping[str, npt.NDArray[np.bool_]],
    extras: Mapping[str, RaggedArray],
) -> Batch:
    """Create a batch of valid columns: different ids, C-ordered float32 arrays, equal lengths."""
    batch = object.__new__(Batch)
    vars(batch).update(ids=ids, vectors=vectors, payloads=payloads, missing=missing, extras=extras)
    return batch


def _known(names: Iterable[str]) -> list[str]:
    return [name or UNNAMED for name in names]


def _rows(x: npt.ArrayLike, ids: Sequence[Id], what: str) -> Floats:
    """Convert the vectors of a batch; ``[]`` has no rows."""
    if not ids and np.shape(x) == (0,):
        return np.empty((0, 0), dtype=np.float32)
    return as_vectors(x, what=what)


def _decoded(vectors: Mapping[str, Any], kind: str | Mapping[str, str]) -> dict[str, npt.ArrayLike]:
    """Vectors of embeddings of the named kinds."""
    kinds = dict.fromkeys(vectors, kind) if isinstance(kind, str) else kind
    for name in kinds:
        if name not in vectors:
            raise SpecError.unknown("vector", name or UNNAMED, _known(vectors))
    return {
        name: decoded(x, kinds[name], what=_label(name)) if name in kinds else x
        for name, x in vectors.items()
    }


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
            raise InputError(
                f"the name of a vector must be a string; got {name!r:.60}",
                hint='the unnamed vector has the name "": Batch(ids, {"": array})',
            )
    if payloads is not None and (
        not isinstance(payloads, Sequence) or isinstance(payloads, (str, bytes))
    ):
        raise InputError(
            f"payloads must be a list of mappings; got a {type(payloads).__name__}",
            hint='for a DataFrame: payloads=frame.to_dict("records")',
        )
    for what, given in (("missing", missing), ("extras", extras)):
        if given is not None and not isinstance(given, Mapping):
            raise InputError(
                f"{what} must be a mapping of names; got a {type(given).__name__}",
                hint=f'for the unnamed vector: {what}={{"": ...}}',
            )
