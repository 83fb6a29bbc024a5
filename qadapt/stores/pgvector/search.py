"""Searches: one statement per query, and settings that are local to the transaction.

``ceil(f * k)`` candidates are read by the index of the codes and sorted by the original vectors.
``hnsw.ef_search`` limits the candidates, so it is raised with them
(docs/engines/pgvector.md#oversampling).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import OperationalError, sql

from qadapt.errors import SpecError
from qadapt.model import Hits, SearchProvenance
from qadapt.stores.base import SearchRequest
from qadapt.stores.pgvector import payload
from qadapt.stores.pgvector.binary_format import QueryVector
from qadapt.stores.pgvector.connection import Connection
from qadapt.stores.pgvector.mapping import IVFFLAT
from qadapt.stores.pgvector.ranked_rows import RankedRows
from qadapt.stores.pgvector.schema import Index, Table
from qadapt.stores.pgvector.snapshot import EF_SEARCH
from qadapt.stores.pgvector.statements import (
    Source,
    Statement,
    code_distance,
    distance,
    identifier,
    nearest,
    relation,
)
from qadapt.stores.pgvector.version import SINCE_ITERATIVE, ExtensionVersion

OPTIONS = ("ef_search", "probes", "iterative_scan", "max_scan_tuples")
MAX_EF = 1000
MOST_PREPARED = 256
CAPPED = (
    "hnsw.ef_search is at most 1000 and this pgvector has no iterative scans: {asked:,} candidates "
    "were requested, at most 1,000 are rescored"
)
MAY_MISS = (
    "this pgvector filters after the index search, so a search may return fewer results than "
    "exist; 0.8.0 and newer continue the scan"
)
ALL_ROWS_READ = "no index is used: all rows are compared"
OTHER_SQL = (
    "the search of a client without settings; it compares all rows unless an index on the column "
    "itself exists"
)
FLOAT16 = "the column stores float16"


@dataclass(frozen=True)
class Prepared:
    """A search of one vector: its statement and settings.

    Attributes:
        query: text with one parameter for each vector of ``vectors`` values.
        before, after: parameters before and after those of the query vector.
        copies: how often the query vector is a parameter.
        settings: of the transaction, by name.
        candidates: number of rows that the index search returns.
        how: who searched and rescored.
    """

    query: Any
    before: tuple[Any, ...]
    copies: tuple[int, int]
    settings: Mapping[str, str]
    how: SearchProvenance

    @cached_property
    def text(self) -> bytes:
        """The statement."""
        return bytes(self.query.as_bytes(None))

    @cached_property
    def set_text(self) -> bytes:
        """The statements that set the settings for one transaction."""
        return self._set("SET LOCAL {} = {}")

    @cached_property
    def session_text(self) -> bytes:
        """The statements that set the settings for a session."""
        return self._set("SET {} = {}")

    def _set(self, pattern: Any) -> bytes:
        parts = [
            sql.SQL(pattern).format(sql.SQL(name), sql.Literal(value))
            for name, value in self.settings.items()
        ]
        return bytes(sql.SQL("; ").join(parts).as_bytes(None))


class PreparedSearches:
    """Searches without a filter, prepared once for each description of a table.

    Args:
        prepare: prepares a search of a table.
    """

    def __init__(self, prepare: Callable[[Table, SearchRequest], tuple[Source, Prepared]]) -> None:
        self._prepare = prepare
        self._known: dict[Any, tuple[Table, tuple[Source, Prepared]]] = {}

    def get(self, table: Table, request: SearchRequest) -> tuple[Source, Prepared]:
        """The prepared search."""
        if request.filter is not None:
            return self._prepare(table, request)
        key = (
            table.oid, request.k, request.vector, request.rescore, request.exact,
            request.with_payload, request.ignore_quantization, request.no_params,
            tuple(sorted(request.options.items())),
        )  # fmt: skip
        known = self._known.get(key)
        if known is not None and known[0] is table:
            return known[1]
        made = self._prepare(table, request)
        if len(self._known) >= MOST_PREPARED:
            self._known.clear()
        self._known[key] = (table, made)
        return made


def prepare(
    source: Source,
    index: Index | None,
    request: SearchRequest,
    condition: Statement | None,
    version: ExtensionVersion,
) -> Prepared:
    """The statement of a search.

    Args:
        index: the index of the codes or of the column; None for an exact search.

    Raises:
        SpecError: an unknown option.
    """
    for name in request.options:
        if name not in OPTIONS:
            raise SpecError.unknown("search option", str(name), OPTIONS, where="pgvector")
    coded = index is not None and index.codes != "vector"
    if request.no_params:
        return _plain(source, index, coded, request, condition)
    if index is None or request.exact or (request.ignore_quantization and coded):
        return _exact(source, request, condition)
    assert index is not None
    rescore = request.rescore if coded else None
    on = rescore is not None and rescore.on
    candidates = rescore.count(request.k) if rescore is not None and on else request.k
    settings, scanned, notes = _settings(index, candidates, request, version)
    if condition is not None and not version.has(SINCE_ITERATIVE):
        notes = (*notes, MAY_MISS)
    if on:
        query, before, copies = _two_stages(source, index, scanned, request, condition)
    else:
        query, before, copies = _one_stage(source, index, request, condition)
    how = _how(source, coded, request, scanned if on else 0, notes)
    return Prepared(query, before, copies, settings, how)


def _how(
    source: Source, coded: bool, request: SearchRequest, candidates: int, notes: tuple[str, ...]
) -> SearchProvenance:
    origin = "store default" if request.rescore is None else "call"
    half = source.vector.datatype == "float16"
    if half:
        notes = (*notes, FLOAT16)
    if not coded:
        scores: Any = "approximate" if half else "exact"
        return SearchProvenance("store", "none", 1.0, 0, "none", scores, origin, notes)
    if not candidates:
        return SearchProvenance("store", "none", 1.0, 0, "none", "approximate", origin, notes)
    assert request.rescore is not None
    factor, scores = request.rescore.factor(request.k), "approximate" if half else "exact"
    return SearchProvenance(
        "store", "store", factor, candidates, "originals", scores, origin, notes
    )


def _settings(
    index: Index, candidates: int, request: SearchRequest, version: ExtensionVersion
) -> tuple[dict[str, str], int, tuple[str, ...]]:
    """Settings of the transaction, the candidates that they allow, and notes."""
    given = dict(request.options)
    notes: tuple[str, ...] = ()
    settings = {"enable_seqscan": "off"}
    iterative = str(given.get("iterative_scan", ""))
    if index.method == IVFFLAT:
        if "probes" in given:
            settings["ivfflat.probes"] = str(given["probes"])
        if request.filter is not None and version.has(SINCE_ITERATIVE):
            settings["ivfflat.iterative_scan"] = iterative or "relaxed_order"
        return settings, candidates, notes
    ef = max(EF_SEARCH, candidates, int(given.get("ef_search", 0)))
    if version.has(SINCE_ITERATIVE):
        # Rows that a filter drops, or that were deleted since the last VACUUM, count for ef_search.
        iterative = iterative or "relaxed_order"
    elif candidates > MAX_EF:
        notes = (CAPPED.format(asked=candidates),)
        candidates = MAX_EF
    settings["hnsw.ef_search"] = str(min(MAX_EF, ef))
    if iterative:
        settings["hnsw.iterative_scan"] = iterative
        most = int(given.get("max_scan_tuples", max(20_000, 20 * candidates)))
        settings["hnsw.max_scan_tuples"] = str(most)
    return settings, candidates, notes


def _columns(source: Source, request: SearchRequest, *, as_text: bool = True) -> list[Any]:
    key = identifier(source.table.require_key().name)
    columns = [sql.SQL("{} AS {}").format(key, _output(source, "id"))]
    if request.with_payload:
        # As text, which the client reads in C; all of them are parsed at once.
        cast = "({})::text AS {}" if as_text else "{} AS {}"
        name = _output(source, "fields")
        columns.append(sql.SQL(cast).format(payload.select(source.table), name))
    return columns


def _output(source: Source, name: str) -> Any:
    """The name of an output column, which is never that of the vector column."""
    return sql.SQL(f"{name}_" if source.column.name == name else name)


def _one_stage(
    source: Source, index: Index | None, request: SearchRequest, condition: Statement | None
) -> tuple[Any, tuple[Any, ...], tuple[int, int]]:
    columns = [*_columns(source, request), sql.SQL("{} AS d").format(code_distance(source, index))]
    query = nearest(source, index, request.k, condition, columns)
    return query, condition.values if condition else (), (1, 1)


def _two_stages(
    source: Source,
    index: Index,
    candidates: int,
    request: SearchRequest,
    condition: Statement | None,
) -> tuple[Any, tuple[Any, ...], tuple[int, int]]:
    """Candidates by their codes, then the best of them by the original vectors."""
    vector = identifier(source.column.name)
    fields = _columns(source, request, as_text=False)
    inner = nearest(source, index, candidates, condition, [*fields, vector])
    names = [_output(source, "id")]
    if request.with_payload:
        names.append(sql.SQL("{}::text").format(_output(source, "fields")))
    exact = distance(source, "vector")
    query = sql.SQL("SELECT {}, {} AS d FROM ({}) AS candidates ORDER BY d LIMIT {}").format(
        sql.SQL(", ").join(names), exact, inner, sql.SQL(str(request.k))
    )
    return query, condition.values if condition else (), (1, 1)


def _exact(source: Source, request: SearchRequest, condition: Statement | None) -> Prepared:
    """All rows: an index of the column is not used, because the distance is part of a sum."""
    tests = [sql.SQL("{} IS NOT NULL").format(identifier(source.column.name))]
    if condition is not None:
        tests.append(condition.text)
    query = sql.SQL("SELECT {}, ({}) + 0 AS d FROM {} WHERE {} ORDER BY d LIMIT {}").format(
        sql.SQL(", ").join(_columns(source, request)),
        distance(source, "vector"),
        relation(source.table),
        sql.SQL(" AND ").join(tests),
        sql.SQL(str(request.k)),
    )
    half = source.vector.datatype == "float16"
    origin = "store default" if request.rescore is None else "call"
    searcher = "store exact" if request.exact or request.ignore_quantization else "store"
    notes = ((ALL_ROWS_READ,) if not request.exact else ()) + ((FLOAT16,) if half else ())
    how = SearchProvenance(
        searcher, "none", 1.0, 0, "none", "approximate" if half else "exact", origin, notes
    )
    return Prepared(query, condition.values if condition else (), (1, 0), {}, how)


def _plain(
    source: Source, index: Index | None, coded: bool, request: SearchRequest, condition: Any
) -> Prepared:
    """``ORDER BY embedding <=> query LIMIT k``, as a client without qadapt sends it."""
    query, before, copies = _one_stage(source, None, request, condition)
    notes = (OTHER_SQL,) if coded or index is None else ()
    how = SearchProvenance("store", "none", 1.0, 0, "none", "exact", "store default", notes)
    return Prepared(query, before, copies, {}, how)


# -- running -------------------------------------------------------------------------------------


def run(
    connection: Connection,
    source: Source,
    prepared: Prepared,
    queries: npt.NDArray[np.float32],
    request: SearchRequest,
) -> Hits:
    """Run a search of queries ``(nq, d)`` in one transaction."""
    front, back = prepared.copies
    values = []
    for query in queries:
        vector = QueryVector(query, source.column.type)
        values.append((*[vector] * front, *prepared.before, *[vector] * back))
    with connection.session(doing(source.table)) as at, _transaction(at, prepared):
        rows = _all_rows(connection, at, prepared, values)
    return Hits.of_rows(RankedRows(rows, source, request.k, request.with_payload), prepared.how)


def doing(table: Table) -> str:
    """The action, for messages."""
    return f"search {table.name!r}"


def _all_rows(
    connection: Connection, at: Any, prepared: Prepared, values: Sequence[tuple[Any, ...]]
) -> list[list[Any]]:
    """The rows of each query; several statements are sent without waiting."""
    if len(values) == 1:
        cursor = connection.cursor(at)
        return [cursor.execute(prepared.text, values[0]).fetchall()]
    with at.pipeline():
        cursors = [connection.cursor(at).execute(prepared.text, each) for each in values]
        return [cursor.fetchall() for cursor in cursors]


@contextmanager
def _transaction(at: Any, prepared: Prepared) -> Iterator[None]:
    """A transaction with the settings of a search; begun and set in one round trip.

    In a transaction of the user, it is a savepoint.
    """
    if at.info.transaction_status:
        with at.transaction():
            if prepared.settings:
                at.execute(prepared.set_text)
            yield
        return
    at.execute(b"BEGIN; " + prepared.set_text)
    try:
        yield
    except BaseException:
        try:
            at.execute(b"ROLLBACK")
        except OperationalError:
            at.close()  # the connection is lost: the first error says why
        raise
    at.execute(b"COMMIT")


def as_text(prepared: Prepared) -> str:
    """The statement with ``{q}`` for the query, for clients that send SQL as text."""
    text = prepared.text.decode().replace("{", "{{").replace("}", "}}").replace("%b", "{q}")
    return text.replace("%%", "%")
