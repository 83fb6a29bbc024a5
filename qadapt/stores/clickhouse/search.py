"""Searches: one statement per query.

An index is used only if the inner statement sorts by the distance alone, so an outer one sorts
equal distances by id (docs/engines/clickhouse.md#searching).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Hits, Metric, SearchProvenance
from qadapt.stores.base import MAX_K, SearchRequest, check_k
from qadapt.stores.clickhouse import mapping, payload
from qadapt.stores.clickhouse.collections import relation
from qadapt.stores.clickhouse.connection import Connection, quoted
from qadapt.stores.clickhouse.filters import Condition
from qadapt.stores.clickhouse.rows import key_of
from qadapt.stores.clickhouse.schema import (
    DISTANCE,
    FUNCTIONS,
    ID,
    PLANES,
    Column,
    Index,
    Table,
)

OPTIONS = ("hnsw_candidate_list_size_for_search",)
# The server refuses a larger vector_search_index_fetch_multiplier.
MAX_FACTOR = 1000
# A search for more results ignores the index, unless a setting allows them.
LIMIT = 1000
CAPPED = (
    f"ClickHouse reads at most {MAX_FACTOR} candidates per result: {{asked:,}} candidates were "
    "requested, {read:,} are rescored"
)
FILTERED = (
    "the index is searched before a filter, so this search compares the original vectors of the "
    "rows that match"
)
TOO_FEW = (
    "the index returned fewer results than requested, because deleted rows are still in it: all "
    "rows were compared for {count} queries"
)
ALWAYS = (
    "a search by the codes of a codec always rescores with the original vectors: as many "
    "candidates as results"
)
UNITS = (
    "the unit of the index's distances differs from that of the vectors: as many candidates "
    "as results are rescored"
)
ALL_ROWS = {"use_skip_indexes": "0", "vector_search_use_quantized_codes": "0"}


@dataclass(frozen=True)
class Prepared:
    """A search of one vector.

    Attributes:
        text: the statement; ``{q:Array(Float32)}`` is the query.
        inner: the statement that uses the index, without the order by id.
        values: parameters of the filter.
        metric: of the vector.
        how: who searched and rescored.
        complete: a statement that compares all rows, for a query with fewer results than ``k``;
            empty if the first one does.
        bits: dimensions of sign bits whose distance is a number of bits; 0 for other distances.
    """

    table: Table
    text: str
    inner: str
    values: Mapping[str, Any]
    metric: Metric
    how: SearchProvenance
    with_payload: bool = False
    complete: str = ""
    bits: int = 0


@dataclass(frozen=True)
class _Form:
    """How a statement is sent: its settings, and whether it merges rows first."""

    settings: Mapping[str, str] = field(default_factory=dict)
    final: bool = False


def prepare(
    table: Table, column: Column, metric: Metric, request: SearchRequest, condition: Condition
) -> Prepared:
    """The statement of a search.

    Raises:
        SpecError, InputError, UnsupportedError
    """
    check_k(request.k, MAX_K)
    for name in request.options:
        if name not in OPTIONS:
            raise SpecError.unknown("search option", str(name), OPTIONS, where="clickhouse")
    rescore = request.rescore
    if rescore is not None and rescore.by_codes:
        raise UnsupportedError(
            "ClickHouse stores no finer codes for rescoring", hint="use rescore source 'originals'"
        )
    index = table.index_of(column.name)
    planes = table.planes_of(column.name)
    if request.no_params:
        return _without_settings(table, column, index, metric, request, condition)
    final = table.replaces and not table.owned
    if request.exact:
        return _exact(table, column, metric, request, condition, final, "store exact")
    if planes is not None and not request.ignore_quantization:
        return _by_planes(table, column, metric, request, condition, final)
    if index is not None:
        coded = index.quantization not in mapping.FULL
        if request.ignore_quantization and coded:
            return _exact(table, column, metric, request, condition, final, "store exact")
        if condition.text:
            found = _exact(table, column, metric, request, condition, final, "store")
            return replace(found, how=replace(found.how, notes=(FILTERED,)))
        return _by_index(table, column, index, metric, request, final)
    if column.codec is not None and metric is not Metric.DOT and not request.ignore_quantization:
        return _by_codec(table, column, metric, request, condition, final)
    return _exact(table, column, metric, request, condition, final, "store")


def _by_index(
    table: Table, column: Column, index: Index, metric: Metric, request: SearchRequest, final: bool
) -> Prepared:
    """The graph of each part, and its candidates by the original vectors."""
    coded = index.quantization not in mapping.FULL
    on = coded and request.rescore is not None and request.rescore.on
    # Without rescoring, the engine returns replaced rows with their former vectors.
    settings = {"vector_search_with_rescoring": str(int(on or final))}
    factor, candidates, notes = _factor(request) if on else (1.0, 0, ())
    if not on and _has_other_distances(index, metric):
        on, candidates, notes = True, request.k, (UNITS,)
        settings["vector_search_with_rescoring"] = "1"
    if on:
        settings["vector_search_index_fetch_multiplier"] = f"{factor:g}"
    if request.k > LIMIT:
        settings["max_limit_for_vector_search_queries"] = str(request.k)
    for name, value in request.options.items():
        settings[name] = str(int(value))
    exact = on or final or index.quantization in mapping.FULL
    how = _how(request, factor, candidates, notes, exact)
    form = _Form(settings, final)
    found = _prepared(table, column, metric, request, Condition(), form, how)
    complete = _text(table, column, metric, request, Condition(), _Form(ALL_ROWS, final))[0]
    return replace(found, complete=complete)


def _has_other_distances(index: Index, metric: Metric) -> bool:
    """Whether the unit of an index's distances differs from that of the vectors, which it returns
    if a part is not indexed: b1 counts bits, and i8 under other metrics than cosine has its own
    (docs/engines/clickhouse.md#evidence)."""
    word = index.quantization
    return word == "b1" or (word == "i8" and metric is not Metric.COSINE)


def _by_codec(
    table: Table,
    column: Column,
    metric: Metric,
    request: SearchRequest,
    condition: Condition,
    final: bool,
) -> Prepared:
    """The codes of all rows, and candidates by the original vectors, which cannot be omitted."""
    factor, candidates, notes = _factor(request)
    settings = {
        "vector_search_use_quantized_codes": "1",
        "vector_search_index_fetch_multiplier": f"{factor:g}",
    }
    if request.k > LIMIT:
        settings["max_limit_for_vector_search_queries"] = str(request.k)
    how = _how(request, factor, candidates, notes, True)
    return _prepared(table, column, metric, request, condition, _Form(settings, final), how)


def _by_planes(
    table: Table,
    column: Column,
    metric: Metric,
    request: SearchRequest,
    condition: Condition,
    final: bool,
) -> Prepared:
    """The highest bit planes of all rows, and candidates by the original vectors if requested."""
    rescore = request.rescore
    on = rescore is not None and rescore.on
    candidates = rescore.count(request.k) if rescore is not None and on else 0
    how = _how(request, rescore.factor(request.k) if rescore and on else 1.0, candidates, (), on)
    distance = (
        f"cosineDistanceTransposedQuantized({quoted(column.name + PLANES)}, "
        f"{{q:Array(Float32)}}, {table.precision_of(column.name)})"
    )
    columns = _columns(table, request)
    source = f"{relation(table)} FINAL" if final else relation(table)
    if on:
        nearest = f"{FUNCTIONS[metric]}({quoted(column.name)}, {{q:Array(Float32)}})"
        source = f"(SELECT * FROM {source}{condition.where} ORDER BY {distance} LIMIT {candidates})"
        inner = (
            f"SELECT {columns}, {nearest} AS {DISTANCE} FROM {source} ORDER BY {DISTANCE} "
            f"LIMIT {request.k}"
        )
    else:
        inner = (
            f"SELECT {columns}, {distance} AS {DISTANCE} FROM {source}{condition.where} "
            f"ORDER BY {DISTANCE} LIMIT {request.k}"
        )
    text = f"SELECT * FROM ({inner}) ORDER BY {DISTANCE}, {ID}"
    return Prepared(table, text, inner, condition.values, metric, how, request.with_payload)


def _columns(table: Table, request: SearchRequest) -> str:
    """The id and the payload, as a search selects them."""
    found = [f"{key_of(table)} AS {ID}"]
    found += payload.expressions(table) if request.with_payload else []
    return ", ".join(found)


def _factor(request: SearchRequest) -> tuple[float, int, tuple[str, ...]]:
    """The multiplier to send, the number of candidates, and notes."""
    rescore = request.rescore
    if rescore is None:
        return 1.0, request.k, ()
    if not rescore.on:
        return 1.0, request.k, (ALWAYS,)
    factor, asked = rescore.engine_factor(request.k), rescore.count(request.k)
    if factor <= MAX_FACTOR:
        return factor, asked, ()
    read = MAX_FACTOR * request.k
    return float(MAX_FACTOR), read, (CAPPED.format(asked=asked, read=read),)


def _how(
    request: SearchRequest, factor: float, candidates: int, notes: tuple[str, ...], exact: bool
) -> SearchProvenance:
    origin = "store default" if request.rescore is None else "call"
    scores: Any = "exact" if exact else "approximate"
    if not candidates:
        return SearchProvenance("store", "none", 1.0, 0, "none", scores, origin, notes)
    on = request.rescore is not None and request.rescore.on
    asked = request.rescore.factor(request.k) if on and request.rescore else factor
    return SearchProvenance("store", "store", asked, candidates, "originals", scores, origin, notes)


def _exact(
    table: Table,
    column: Column,
    metric: Metric,
    request: SearchRequest,
    condition: Condition,
    final: bool,
    searcher: str,
) -> Prepared:
    """The original vectors of all rows, or of those of a filter."""
    origin = "store default" if request.rescore is None else "call"
    how = SearchProvenance(searcher, "none", 1.0, 0, "none", "exact", origin)
    form = _Form(ALL_ROWS, final or table.replaces)
    return _prepared(table, column, metric, request, condition, form, how)


def _without_settings(
    table: Table,
    column: Column,
    index: Index | None,
    metric: Metric,
    request: SearchRequest,
    condition: Condition,
) -> Prepared:
    """``ORDER BY cosineDistance(...) LIMIT k``, as a client without settings sends it."""
    exact = index is None or index.quantization in mapping.FULL
    how = _how(request, 1.0, 0, (), exact)
    found = _prepared(table, column, metric, request, condition, _Form(), how)
    bits = index.dim if index is not None and index.quantization == "b1" else 0
    return replace(found, text=found.inner, bits=bits)


def _prepared(
    table: Table,
    column: Column,
    metric: Metric,
    request: SearchRequest,
    condition: Condition,
    form: _Form,
    how: SearchProvenance,
) -> Prepared:
    if not table.owned and table.index_of(column.name) is None:
        # A column without an index accepts arrays of any length, which have no distance.
        condition = condition.both(f"length({quoted(column.name)}) = {table.dim_of(column)}")
    text, inner = _text(table, column, metric, request, condition, form)
    return Prepared(table, text, inner, condition.values, metric, how, request.with_payload)


def _text(
    table: Table,
    column: Column,
    metric: Metric,
    request: SearchRequest,
    condition: Condition,
    form: _Form,
) -> tuple[str, str]:
    """The statement, and its inner one without settings."""
    distance = f"{FUNCTIONS[metric]}({quoted(column.name)}, {{q:Array(Float32)}}) AS {DISTANCE}"
    order = " DESC" if metric is Metric.DOT else ""
    source = f"{relation(table)} FINAL" if form.final else relation(table)
    inner = (
        f"SELECT {_columns(table, request)}, {distance} FROM {source}{condition.where} "
        f"ORDER BY {DISTANCE}{order} LIMIT {request.k}"
    )
    text = f"SELECT * FROM ({inner}) ORDER BY {DISTANCE}{order}, {ID}"
    if form.settings:
        pairs = ", ".join(f"{name} = {value}" for name, value in form.settings.items())
        text += f" SETTINGS {pairs}"
    return text, inner


# -- running -------------------------------------------------------------------------------------


def run(
    connection: Connection, prepared: Prepared, queries: npt.NDArray[np.float32], k: int
) -> Hits:
    """Search queries ``(nq, d)``."""
    ids = np.full((len(queries), k), None, dtype=object)
    scores = np.full((len(queries), k), np.nan, dtype=np.float32)
    payloads: list[list[Any]] | None = [] if prepared.with_payload else None
    repeated = 0
    for at, query in enumerate(queries):
        given = {**prepared.values, "q": query}
        found = _rows(connection, prepared, prepared.text, given)
        if len(found[0]) < k and prepared.complete:
            whole = _rows(connection, prepared, prepared.complete, given)
            if len(whole[0]) > len(found[0]):
                found, repeated = whole, repeated + 1
        keys, distances, cells = found
        ids[at, : len(keys)] = keys
        numbers = np.asarray(distances, dtype=np.float64)
        if prepared.bits:
            numbers = 2 * numbers / prepared.bits
        scores[at, : len(keys)] = score(prepared.metric, numbers)
        if payloads is not None:
            payloads.append([*cells, *[None] * (k - len(keys))])
    how = prepared.how
    if repeated:
        how = replace(how, notes=(*how.notes, TOO_FEW.format(count=repeated)))
    return Hits(ids, scores, how, payloads)


def _rows(
    connection: Connection, prepared: Prepared, text: str, given: Mapping[str, Any]
) -> tuple[list[Any], list[float], list[Any]]:
    """Ids, distances and payloads of the rows that have a distance; zero vectors have none."""
    found = connection.select(text, f"search {prepared.table.name!r}", given)
    if not found:
        return [], [], []
    keys = found[ID] if isinstance(found[ID], list) else found[ID].tolist()
    distances = found[DISTANCE].tolist()
    cells: list[Any] = [None] * len(keys)
    if prepared.with_payload:
        cells = list(payload.plain(prepared.table, found, len(keys)))
    kept = [at for at, each in enumerate(distances) if each == each]
    if len(kept) < len(keys):
        return (
            [keys[at] for at in kept], [distances[at] for at in kept], [cells[at] for at in kept]
        )  # fmt: skip
    return keys, distances, cells


def score(metric: Metric, distance: Any) -> Any:
    """The scores of distances: cosine similarity, negative squared distance, or dot product."""
    if metric is Metric.COSINE:
        return 1.0 - distance
    return distance if metric is Metric.DOT else -(distance * distance)
