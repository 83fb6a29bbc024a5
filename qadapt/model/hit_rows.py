"""Search results as rows: iteration, tables, pandas and Arrow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from qadapt.errors import MissingExtraError
from qadapt.model.table import Table, Tabular

if TYPE_CHECKING:
    from qadapt.model.arrays import Floats
    from qadapt.model.found_rows import FoundRows
    from qadapt.model.hits import SearchProvenance
    from qadapt.model.ids import Id

_PAYLOAD_WIDTH = 60
_INT64 = np.iinfo(np.int64)
_UINT64 = np.iinfo(np.uint64)


class _Fields(NamedTuple):
    id: Id
    score: float
    payload: dict[str, Any] | None
    query: int


if TYPE_CHECKING:
    Hit = _Fields
    _hit: Callable[[Iterable[Any]], Hit]
else:

    class _HitType(type):
        def __call__(cls, id, score, payload, query):
            return tuple.__new__(cls, (id, score, payload, query))

    class Hit(tuple, metaclass=_HitType):
        """One row of search results, a named tuple.

        Attributes:
            id: id of the row.
            score: higher is better.
            payload: None if payloads were not requested.
            query: position of the query, from 0.
        """

        # A class derived from NamedTuple has a constructor in Python, which its subclasses inherit.
        __slots__ = ()
        _fields = __match_args__ = _Fields._fields
        id, score, payload, query = _Fields.id, _Fields.score, _Fields.payload, _Fields.query
        _asdict, _replace = _Fields._asdict, _Fields._replace

        @classmethod
        def _make(cls, fields):
            return Hit(*fields)

        def __reduce__(self):
            return Hit, tuple(self)

        def __repr__(self):
            shown = ", ".join(f"{name}={each!r}" for name, each in self._asdict().items())
            return f"Hit({shown})"

    class _RowType(_HitType):
        __call__ = type.__call__  # without a function in Python

    class _Row(Hit, metaclass=_RowType):
        """A ``Hit`` that is made from a tuple, in two thirds of the time."""

        __slots__ = ()

    _hit = _Row


_FIRST, _NONE = repeat(0), repeat(None)


class HitRows(Tabular):
    """Mixin of ``Hits``: one ``Hit`` per result, query by query, without padding."""

    ids: npt.NDArray[Any]
    scores: Floats
    how: SearchProvenance
    payloads: list[list[dict[str, Any] | None]] | None

    # What the client returned, of an instance that converts it when it is read.
    _rows: ClassVar[FoundRows | None] = None

    def __len__(self) -> int:
        rows = self._rows
        if rows is None or "ids" in self.__dict__:
            return sum(1 for key in self.ids.ravel().tolist() if key is not None)
        return sum(map(len, rows.lists()[0]))

    def __bool__(self) -> bool:
        # Otherwise a search without results would be false, as None is.
        return True

    def __iter__(self) -> Iterator[Hit]:
        rows = self._rows
        if rows is None or "ids" in self.__dict__:
            padded = self._chained(self.ids.tolist(), self.scores.tolist())
            return map(_hit, (row for row in padded if row[0] is not None))
        ids, scores = rows.lists()
        if len(ids) != 1:
            return map(_hit, self._chained(ids, scores))
        # One query, without the cost of chaining.
        row: Iterable[Any] = _NONE
        if rows.with_payload:
            fields = self.__dict__
            if "payloads" not in fields:
                fields["payloads"] = rows.payloads()
            row = fields["payloads"][0]
        return map(_hit, zip(ids[0], scores[0], row, _FIRST))  # noqa: B905  # repeats never end

    def _chained(self, ids: list[Any], scores: list[Any]) -> Iterator[tuple[Any, ...]]:
        """The fields of each row of ids and scores by query."""
        payloads: Iterable[Iterable[Any]] = self.payloads or repeat(_NONE)
        return chain.from_iterable(
            zip(keys, values, row, repeat(query))
            for keys, values, row, query in zip(ids, scores, payloads, count())
        )

    def to_arrow(self) -> Any:
        """Convert to a ``pyarrow.Table``, one row per result.

        Returns:
            The columns query (int64), id (int64, uint64 or string), score (float32) and, if
            payloads were requested, payload (JSON text).

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        pa = _imported("pyarrow", "files", "Hits.to_arrow")
        rows = list(self)
        ids = id_column([row.id for row in rows])
        keys = [str(key) for key in ids] if ids.dtype == object else ids
        columns = {
            "query": pa.array([row.query for row in rows], pa.int64()),
            "id": pa.array(keys, pa.string() if ids.dtype == object else None),
            "score": pa.array([row.score for row in rows], pa.float32()),
        }
        if self.payloads is not None:
            columns["payload"] = pa.array([_json(row.payload) for row in rows], pa.string())
        return pa.table(columns)

    def to_pandas(self) -> Any:
        """Convert to a ``pandas.DataFrame``, one row per result.

        Returns:
            The columns query, id, score and, if payloads were requested, payload (dicts).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pd = _imported("pandas", "pandas", "Hits.to_pandas")
        rows = list(self)
        columns: dict[str, Any] = {
            "query": np.array([row.query for row in rows], np.int64),
            "id": id_column([row.id for row in rows]),
            "score": np.array([row.score for row in rows], np.float32),
        }
        if self.payloads is not None:
            columns["payload"] = pd.Series([row.payload for row in rows], dtype=object)
        return pd.DataFrame(columns)

    def table(self) -> Table:
        """One row per result; long payloads are shortened."""
        several = len(self.ids) > 1
        columns = ["#Query"] * several + ["Id", "#Score"]
        columns += ["Payload"] * (self.payloads is not None)
        rows = []
        for hit in self:
            cells = [str(hit.query)] * several + [str(hit.id), f"{hit.score:.6g}"]
            if self.payloads is not None:
                text = _json(hit.payload)
                cells.append(text if len(text) <= _PAYLOAD_WIDTH else f"{text[:_PAYLOAD_WIDTH]}...")
            rows.append(tuple(cells))
        return Table(tuple(columns), tuple(rows), notes=self.how.notes)


def id_column(ids: npt.NDArray[Any] | Sequence[Any]) -> npt.NDArray[Any]:
    """Ids as int64, or as uint64 if one exceeds it; as objects unless all are integers.

    Args:
        ids: an array, a list of ids, or ``nq`` lists of equal length; None for padding.
    """
    plain = np.asarray(ids, dtype=object)
    flat = plain.ravel().tolist()
    if not flat or not all(type(key) is int for key in flat):
        return plain
    low, high = min(flat), max(flat)
    if _INT64.min <= low and high <= _INT64.max:
        return plain.astype(np.int64)
    return plain.astype(np.uint64) if low >= 0 and high <= _UINT64.max else plain


def _json(payload: dict[str, Any] | None) -> str:
    return json.dumps(payload, ensure_ascii=False, default=str)


def _imported(package: str, extra: str, purpose: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingExtraError(package, extra, purpose=purpose) from error
