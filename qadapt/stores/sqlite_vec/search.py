"""Searches: one SQL statement per query.

Without codes, vec0 compares the original vectors of all rows. With codes, it compares all codes,
and ``ceil(f * k)`` candidates are sorted by the original vectors in the same statement
(docs/engines/sqlite-vec.md#searching).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Hits, SearchProvenance
from qadapt.model.found_rows import Columns, FoundRows, Payloads, clip
from qadapt.stores import distances
from qadapt.stores.base import SearchRequest, check_k
from qadapt.stores.sqlite_vec import filters, mapping, payload
from qadapt.stores.sqlite_vec.schema import METRICS, Codes, Column, Table, quoted, sql_name

# The largest k of a statement of vec0.
MAX_K = 4096
# Above this factor, reading the candidates takes as long as comparing all original vectors.
FACTOR = 20
CAPPED = (
    f"sqlite-vec returns at most {MAX_K:,} candidates: {{asked:,}} were requested, {MAX_K:,} are "
    "rescored"
)
OUT_OF_STEP = (
    "the codes are not in step with the rows: the original vectors of all rows are compared"
)
_FUNCTIONS = {"cosine": "vec_distance_cosine", "l2": "vec_distance_l2"}


@dataclass(frozen=True)
class Prepared:
    """A search of one vector.

    Attributes:
        table: the table.
        text: the statement; its parameters are the values of conditions after ``inputs``.
        inputs: the form of each parameter of the query: ``floats``, or ``int8`` for its codes.
        values: parameters of the conditions.
        scores: the scores of distances.
        scale: of int8 codes under ``l2``; None scales the query by its largest absolute value.
        how: who searched and rescored.
    """

    table: Table
    text: str
    inputs: tuple[str, ...]
    values: tuple[Any, ...]
    scores: Callable[[Iterable[float]], list[float]]
    scale: float | None
    how: SearchProvenance
    with_payload: bool = False


def prepare(
    table: Table, column: Column, codes: Codes | None, request: SearchRequest, note: str = ""
) -> Prepared:
    """The statement of a search.

    Args:
        codes: the codes to search; None for the original vectors.
        note: why no codes are searched.

    Raises:
        SpecError, InputError, UnsupportedError
    """
    check_k(request.k, MAX_K)
    for name in request.options:
        raise SpecError(f"sqlite-vec has no search parameter {name!r}", hint=f"omit {name!r}")
    if request.rescore is not None and request.rescore.by_codes:
        raise UnsupportedError(
            "sqlite-vec stores no finer codes for rescoring", hint="use rescore source 'originals'"
        )
    if codes is None or request.exact or request.ignore_quantization or request.no_params:
        return _floats(table, column, codes, request, note)
    return _coded(table, column, codes, request)


def _floats(
    table: Table, column: Column, codes: Codes | None, request: SearchRequest, note: str
) -> Prepared:
    """The original vectors of all rows."""
    conditions = filters.in_search(request.filter, table)
    names = _columns(table, request.with_payload)
    text = _nearest(table.name, column.name, names, "?", request.k, conditions)
    whole = request.exact or (codes is not None and not request.no_params)
    origin = "store default" if request.rescore is None else "call"
    how = SearchProvenance(
        "store exact" if whole else "store", "none", 1.0, 0, "none", "exact", origin,
        (note,) if note else (),
    )  # fmt: skip
    return _prepared(table, column, text, ("floats",), conditions, None, how, request)


def _coded(table: Table, column: Column, codes: Codes, request: SearchRequest) -> Prepared:
    rescore = request.rescore
    on = rescore is not None and rescore.on
    asked = rescore.count(request.k) if rescore is not None and on else request.k
    candidates = min(asked, MAX_K)
    notes = (CAPPED.format(asked=asked),) if candidates < asked else ()
    origin = "store default" if rescore is None else "call"
    conditions = filters.in_search(request.filter, table, codes=codes.separate)
    key = sql_name(table.key.name)
    operand = "vec_quantize_binary(?)" if codes.kind == "bit" else "vec_int8(?)"
    inner = _nearest(codes.table, codes.column, [key], operand, candidates, conditions)
    form = "floats" if codes.kind == "bit" else "int8"
    names = [f"t.{each}" for each in _columns(table, request.with_payload)]
    if on:
        assert rescore is not None
        exact = f"{_FUNCTIONS[column.metric]}(t.{sql_name(column.name)}, ?)"
        text = (
            f"WITH c AS MATERIALIZED ({inner}) SELECT {', '.join(names)}, {exact} AS d FROM c "
            f"CROSS JOIN {quoted(table.name)} AS t ON t.{key} = c.{key} "
            f"ORDER BY d NULLS LAST LIMIT {request.k}"
        )
        factor = rescore.factor(request.k)
        how = SearchProvenance(
            "store", "store", factor, candidates, "originals", "exact", origin, notes
        )
        found = _prepared(table, column, text, (form, "floats"), conditions, None, how, request)
        return replace(found, scale=codes.scale)
    how = SearchProvenance("store", "none", 1.0, 0, "none", "approximate", origin, notes)
    text = inner
    if request.with_payload:
        text = (
            f"WITH c AS MATERIALIZED ({inner}) SELECT {', '.join(names)}, c.distance FROM c "
            f"CROSS JOIN {quoted(table.name)} AS t ON t.{key} = c.{key} ORDER BY c.distance"
        )
    return _prepared(table, column, text, (form,), conditions, codes, how, request)


def _prepared(
    table: Table,
    column: Column,
    text: str,
    inputs: tuple[str, ...],
    conditions: list[filters.Condition],
    codes: Codes | None,
    how: SearchProvenance,
    request: SearchRequest,
) -> Prepared:
    values = tuple(value for each in conditions for value in each.values)
    metric = METRICS[column.metric]
    scale = codes.scale if codes is not None and codes.kind == "int8" else None
    scores = distances.SCORES[metric]
    if codes is not None and codes.kind == "bit":
        scores = partial(mapping.bit_scores, column.dim)
    elif scale is not None:
        scores = partial(mapping.step_scores, metric, scale)
    return Prepared(table, text, inputs, values, scores, scale, how, request.with_payload)


def _columns(table: Table, with_payload: bool) -> list[str]:
    names = [table.key.name, *(payload.names(table) if with_payload else [])]
    return [sql_name(each) for each in names]


def _nearest(
    source: str,
    column: str,
    names: list[str],
    operand: str,
    k: int,
    conditions: list[filters.Condition],
) -> str:
    tests = [f"{sql_name(column)} MATCH {operand}", f"k = {k}", *(each.text for each in conditions)]
    listed = ", ".join([*names, "distance"])
    return f"SELECT {listed} FROM {quoted(source)} WHERE {' AND '.join(tests)}"


# -- running -------------------------------------------------------------------------------------


def run(at: Any, prepared: Prepared, queries: npt.NDArray[np.float32], k: int) -> Hits:
    """Run a search of queries ``(nq, d)``."""
    found = [at.execute(prepared.text, values(prepared, each)).fetchall() for each in queries]
    return Hits.of_rows(SqlRows(found, prepared, k), prepared.how)


class SqlRows(FoundRows):
    """Rows of a statement for each query: id, payload columns, distance."""

    __slots__ = ("_columns", "_prepared")

    def __init__(self, found: list[list[Any]], prepared: Prepared, k: int) -> None:
        # One is made for each search: everything else is left for when the results are read.
        self._columns: list[Any] = found
        self._prepared = prepared
        self._lists = None
        self.k = k
        self.with_payload = prepared.with_payload
        self.clip = self.typed_ids = False

    def lists(self) -> Columns:
        """Ids and scores of each query."""
        if self._lists is None:
            ids, scores, found = [], [], []
            for rows in self._columns:
                columns = list(zip(*rows, strict=True)) or [(), ()]
                if None in columns[-1]:  # such as zero vectors and NaN
                    kept = [row for row in rows if row[-1] is not None]
                    columns = list(zip(*kept, strict=True)) or [(), ()]
                found.append(columns)
                ids.append(list(columns[0]))
                scores.append(self._prepared.scores(columns[-1]))
            self._columns = found
            self._lists = (ids, clip(scores) if self.clip else scores)
        return self._lists

    def payload_lists(self) -> Payloads:
        """Payloads of each query."""
        self.lists()
        table = self._prepared.table
        return [payload.plain_rows(table, each[1:-1]) for each in self._columns]


def values(prepared: Prepared, query: npt.NDArray[np.float32]) -> tuple[Any, ...]:
    """The parameters: the query for the search, conditions, the query for rescoring."""
    plain = query.tobytes()
    first = plain if prepared.inputs[0] == "floats" else _int8(prepared, query)
    rest = (plain,) if len(prepared.inputs) == 2 else ()
    return (first, *prepared.values, *rest)


def _int8(prepared: Prepared, query: npt.NDArray[np.float32]) -> bytes:
    return mapping.int8(query[None, :], prepared.scale).tobytes()
