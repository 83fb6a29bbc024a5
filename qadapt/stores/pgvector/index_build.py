"""Building and dropping indexes without blocking searches and writes.

A concurrent build that was cut off leaves an invalid index, with which ``CREATE INDEX IF NOT
EXISTS`` succeeds although no search uses it (docs/engines/pgvector.md#builds). The remains are
dropped before a build, and a build that another session runs is waited for.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from psycopg import sql

from qadapt.errors import NotFoundError, StoreError, StoreTimeoutError
from qadapt.model import Metric
from qadapt.stores.operations import Execution
from qadapt.stores.pgvector import mapping, snapshot
from qadapt.stores.pgvector.schema import Column, Index, Table, label
from qadapt.stores.pgvector.statements import code_expression
from qadapt.stores.polling import poll
from qadapt.stores.store_types import Progress

if TYPE_CHECKING:
    from qadapt.stores.pgvector.index_operations import BuildIndex
    from qadapt.stores.pgvector.store import PgvectorStore

AGAIN = "run `qadapt apply` again, which drops the remains and builds the index"


def build(at: Execution[PgvectorStore], wanted: BuildIndex) -> None:
    """Build an index unless it exists and is valid.

    Raises:
        StoreTimeoutError: not built by the deadline; the build was canceled.
        StoreError: another index has the name, or the server rejected the build.
    """
    table = at.store.table(at.collection)
    column = _column(table, wanted.vector)
    found = _index(table, wanted.name)
    if found is not None and not _same(found, column, wanted):
        raise StoreError(
            f"the index {wanted.name!r} exists with another definition",
            hint=f"drop it: DROP INDEX CONCURRENTLY {wanted.name}",
        )
    if found is not None and not found.valid:
        _wait_for_others(at, found)
        table = at.store.table(at.collection)
        found = _index(table, wanted.name)
    if found is not None and found.valid:
        return
    if found is not None:
        _run(at, _dropping(table, found.name), "drop the remains of a build")
    if not table.is_partitioned:
        _run(at, _creating(at.store, table, column, wanted, concurrently=True), wanted.name)
        return
    _build_partitions(at, table, column, wanted)


def _build_partitions(
    at: Execution[PgvectorStore], table: Table, column: Column, wanted: BuildIndex
) -> None:
    """Build the index of each partition concurrently, then attach them: the server rejects a
    concurrent build of a partitioned table."""
    only = _creating(at.store, table, column, wanted, concurrently=False, only=True)
    with at.store.connection.session(f"build the index {wanted.name!r}") as session:
        session.execute(only)
    for number, (schema, name) in enumerate(table.partitions):
        leaf = at.store.table(f"{schema}.{name}")
        part = f"{wanted.name[:50]}_p{number}"
        existing = _index(leaf, part)
        if existing is not None and not existing.valid:
            _run(at, _dropping(leaf, part), "drop the remains of a build")
            existing = None
        if existing is None:
            statement = _creating(
                at.store, leaf, leaf.vectors[wanted.vector], wanted, concurrently=True, name=part
            )
            _run(at, statement, part)
        with at.store.connection.session(f"attach the index {part!r}") as session:
            session.execute(
                sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
                    sql.Identifier(table.schema, wanted.name), sql.Identifier(schema, part)
                )
            )


def drop(at: Execution[PgvectorStore], vector: str, name: str) -> None:
    """Drop an index of a vector, if it exists.

    Raises:
        StoreError: the index belongs to another column.
    """
    table = at.store.table(at.collection)
    found = _index(table, name)
    if found is None:
        return
    if found.column != _column(table, vector).number:
        raise StoreError(
            f"the index {name!r} is not an index of the vector {vector!r}",
            hint="create a new plan with `qadapt plan`",
        )
    # A concurrent drop that fails leaves the index invalid; repeating it completes it.
    _run(at, _dropping(table, name), f"drop {name}")


def alter_column(at: Execution[PgvectorStore], vector: str, kind: str) -> None:
    """Change the type of a vector column, unless it has the type.

    Raises:
        StoreError: the server rejected the change, for example because a view uses the column.
    """
    table = at.store.table(at.collection)
    column = _column(table, vector)
    if column.type == kind:
        return
    schema = at.store.connection.extension.schema
    statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}({})").format(
        sql.Identifier(table.schema, table.name),
        sql.Identifier(column.name),
        sql.Identifier(schema, kind),
        sql.SQL(str(column.dim)),
    )
    _run(at, statement, f"change the type of {column.name}")


def _column(table: Table, vector: str) -> Column:
    if vector not in table.vectors:
        raise NotFoundError.missing("vector", vector, table.vectors)
    return table.vectors[vector]


def _index(table: Table, name: str) -> Index | None:
    return next((each for each in table.indexes if each.name == name), None)


def _same(index: Index, column: Column, wanted: BuildIndex) -> bool:
    datatype = snapshot.statements_datatype(column)
    opclass = mapping.opclass(wanted.codes, Metric(wanted.metric), datatype)
    return (
        index.column == column.number
        and index.label == label(wanted.codes, wanted.dims)
        and index.method == wanted.using
        and index.opclass == opclass
        and not index.predicate
    )


def _creating(
    store: PgvectorStore,
    table: Table,
    column: Column,
    wanted: BuildIndex,
    *,
    concurrently: bool,
    only: bool = False,
    name: str | None = None,
) -> Any:
    """The statement that creates an index."""
    schema = store.connection.extension.schema
    value: Any = sql.Identifier(column.name)
    datatype = snapshot.statements_datatype(column)
    if wanted.codes != "vector":
        value = sql.SQL("({})").format(
            code_expression(schema, column, wanted.codes, wanted.dims, value)
        )
    opclass = mapping.opclass(wanted.codes, Metric(wanted.metric), datatype)
    options: Any = sql.SQL("")
    if wanted.options:
        pairs = [
            sql.SQL("{} = {}").format(sql.Identifier(key), sql.SQL(str(int(number))))
            for key, number in wanted.options.items()
        ]
        options = sql.SQL(" WITH ({})").format(sql.SQL(", ").join(pairs))
    return sql.SQL("CREATE INDEX {}{} ON {}{} USING {} ({} {}){}").format(
        sql.SQL("CONCURRENTLY " if concurrently else ""),
        sql.Identifier(name or wanted.name),
        sql.SQL("ONLY " if only else ""),
        sql.Identifier(table.schema, table.name),
        sql.Identifier(wanted.using),
        value,
        sql.Identifier(schema, opclass),
        options,
    )


def _dropping(table: Table, name: str) -> Any:
    # The server rejects a concurrent drop of the index of a partitioned table.
    word = "" if table.is_partitioned else "CONCURRENTLY "
    return sql.SQL("DROP INDEX {}IF EXISTS {}").format(
        sql.SQL(word), sql.Identifier(table.schema, name)
    )


# -- long statements -----------------------------------------------------------------------------


class _Running:
    """A statement that runs in a separate thread and connection."""

    def __init__(self, store: PgvectorStore, statement: Any) -> None:
        self._store, self._statement = store, statement
        self.error: BaseException | None = None
        self.connection = store.connection.connect_again()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            limit = self.connection.execute("SHOW statement_timeout").fetchone()[0]
            if limit != "0":
                # Only then, because a pooler would give the setting to other clients.
                self.connection.execute("SET statement_timeout = 0")
            self.connection.execute(self._statement)
            if limit != "0":
                self.connection.execute("RESET statement_timeout")
        except BaseException as error:  # noqa: BLE001 - raised by the waiting thread
            self.error = error

    @property
    def done(self) -> bool:
        """Whether the statement has ended."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Cancel the statement and close the connection."""
        if not self.done:
            self.connection.cancel_safe()
            self._thread.join(30)
        self.connection.close()


def _run(at: Execution[PgvectorStore], statement: Any, doing: str) -> None:
    """Run a long statement with progress; it is canceled at the deadline and on Ctrl-C.

    Raises:
        StoreTimeoutError
        StoreError: the server rejected the statement.
    """
    from qadapt.stores.pgvector.errors import translated

    with translated(f"build {doing!r}"):
        running = _Running(at.store, statement)
        try:
            poll(
                lambda: running.done,
                bool,
                lambda _: _progress(at.store, running, doing),
                lambda _: StoreTimeoutError(f"{doing} was not finished in time", hint=AGAIN),
                at.wait,
            )
        finally:
            running.stop()
        if running.error is not None:
            raise running.error


def _progress(store: PgvectorStore, running: _Running, doing: str) -> Progress:
    pid = running.connection.info.backend_pid
    with store.connection.session("read the progress of a build") as at:
        row = at.execute(
            "SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total, "
            "CASE WHEN lockers_total > 0 THEN current_locker_pid END "
            "FROM pg_stat_progress_create_index WHERE pid = %s",
            [pid],
        ).fetchone()
    if row is None:
        return Progress(doing)
    phase, tuples, tuples_total, blocks, blocks_total, locker = row
    if locker:
        phase = f"{phase}: process {locker} has an open transaction"
    if tuples_total:
        return Progress(phase, tuples, tuples_total, "rows")
    return Progress(phase, blocks or 0, blocks_total or None, "blocks")


def _wait_for_others(at: Execution[PgvectorStore], index: Index) -> None:
    """Wait while another session builds an index."""

    def look() -> Any:
        with at.store.connection.session("read the progress of a build") as session:
            return snapshot.build_of(session, index)

    poll(
        look,
        lambda found: found is None,
        lambda found: Progress(f"another session builds {index.name}: {found.phase}", found.done,
                               found.total or None, "blocks"),
        lambda _: StoreTimeoutError(
            f"another session still builds the index {index.name!r}", hint="wait, then run again"
        ),
        at.wait,
    )  # fmt: skip
