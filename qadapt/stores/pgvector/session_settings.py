"""Repeated searches: prepared statements in sessions that keep the settings of the search.

A search with settings of its transaction takes three round trips. Here the settings belong to the
session (``SET``), so a search is one statement, which the server parses once. Behind a pooler in
transaction mode, a session is not one connection of the server
(docs/engines/pgvector.md#poolers), so these searches are used only if the server reports the
process id of the connection itself; poolers report an invented one to their clients.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qadapt.model import Hits
from qadapt.stores.base import PreparedSearch, SearchRequest
from qadapt.stores.pgvector import search
from qadapt.stores.pgvector.binary_format import QueryVector
from qadapt.stores.pgvector.connection import Connection
from qadapt.stores.pgvector.errors import translate

if TYPE_CHECKING:
    from qadapt.stores.pgvector.store import PgvectorStore

MOST_IDLE = 8
# Only statements that ask for it are prepared.
_NEVER_BY_COUNT = 1 << 30
# SQLSTATEs after which a search may be repeated in another session: it was ended by an
# administrator, by a crash of the server or for being idle; its prepared statement does not exist,
# exists already, or has another result type than before a change of the table.
_OF_SESSION = ("57P01", "57P02", "57P05", "26000", "42P05", "0A000")


@dataclass(frozen=True, slots=True)
class _Session:
    connection: Any
    cursor: Any
    settings: bytes


class SearchSessions:
    """Connections for repeated searches, each for one thread at a time.

    Args:
        connection: opens the connections.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._free: list[_Session] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # Without a pooler, as far as known.
        self._direct = connection.owned

    def rows(
        self, statement: bytes, settings: bytes, values: Sequence[Any], doing: str
    ) -> list[Any] | None:
        """The rows of a search; None if it must be run with settings of its transaction.

        A search is repeated only if its session failed before it ran, or was ended by the server.
        Any other error, such as that of a time limit, is raised: the statement never runs twice.

        Args:
            doing: the action, for messages.
        """
        import psycopg

        if not self._direct or self._pid != os.getpid():
            return None
        try:
            session = self._take(settings)
        except psycopg.Error:
            return None  # nothing was sent; the general way uses an open connection if there is one
        if session is None:
            return None
        try:
            found: list[Any] = session.cursor.execute(statement, values, prepare=True).fetchall()
        except BaseException as error:
            session.connection.close()
            if not isinstance(error, psycopg.Error):
                raise
            if _is_of_session(error):
                return None
            raise translate(error, doing) from error
        self._give(session)
        return found

    def close(self) -> None:
        """Close all connections that are not in use; the next search opens them again."""
        if self._pid != os.getpid():
            return
        with self._lock:
            free, self._free = self._free, []
        for each in free:
            each.connection.close()

    def _take(self, settings: bytes) -> _Session | None:
        with self._lock:
            for at in range(len(self._free) - 1, -1, -1):
                if self._free[at].settings == settings:
                    return self._free.pop(at)
        opened = self._connection.connect()
        try:
            (number,) = opened.execute("SELECT pg_backend_pid()").fetchone()
            if number != opened.info.backend_pid:
                self._direct = False
                opened.close()
                return None
            if settings:
                opened.execute(settings)
            opened.prepare_threshold = _NEVER_BY_COUNT
            return _Session(opened, self._connection.cursor(opened), settings)
        except BaseException:
            opened.close()
            raise

    def _give(self, session: _Session) -> None:
        """Keep a session for the next search; of too many, the least recently used is closed."""
        oldest = None
        with self._lock:
            self._free.append(session)
            if len(self._free) > MOST_IDLE:
                oldest = self._free.pop(0)
        if oldest is not None:
            oldest.connection.close()


def _is_of_session(error: Any) -> bool:
    """Whether an error concerns the session and not the statement.

    Either the connection was lost, or the prepared statement of the session is gone or outdated.
    """
    import psycopg

    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state in _OF_SESSION or state.startswith("08")


def prepare_search(
    store: PgvectorStore, collection: str, request: SearchRequest
) -> PreparedSearch | None:
    """A search by the current description of the table; see ``Store.prepare_search``."""
    if request.filter is not None:
        return None
    table = store.known_table(collection)
    source, prepared = store._searches.get(table, request)
    front, back = prepared.copies
    type = source.column.type
    k, with_payload, statement = request.k, request.with_payload, prepared.text
    settings, doing = prepared.session_text, search.doing(table)

    def run(queries: Any) -> Hits | None:
        if store.known_table(collection) is not table:
            return None
        if len(queries) > 1:
            return search.run(store.connection, source, prepared, queries, request)
        vector = QueryVector(queries[0], type)
        values = (*[vector] * front, *prepared.before, *[vector] * back)
        rows = store.sessions.rows(statement, settings, values, doing)
        if rows is None:
            return search.run(store.connection, source, prepared, queries, request)
        kept = [search.with_distance(rows)]
        return Hits.of_rows(search.found_rows(source, kept, k, with_payload), prepared.how)

    return run
