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
from typing import Any

from qadapt.stores.pgvector.connection import Connection
from qadapt.stores.pgvector.errors import translate

MOST_IDLE = 8
_NEVER_BY_COUNT = 1 << 30
# SQLSTATEs after which a search may be repeated in another session: it was ended by an
# administrator, by a crash of the server or for being idle; its prepared statement does not exist,
# exists already, or has another result type than before a change of the table.
_OF_SESSION = ("57P01", "57P02", "57P05", "26000", "42P05", "0A000")


@dataclass(frozen=True, slots=True)
class Session:
    """A connection with the settings of a search; ``cursor`` reads and writes vectors."""

    connection: Any
    cursor: Any
    settings: bytes


class SearchSessions:
    """Connections for repeated searches, each for one thread at a time.

    Attributes:
        connection: opens the connections.
        direct: whether the server is not behind a pooler, as far as known.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._free: list[Session] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.direct = connection.owned

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

        if not self.direct or self._pid != os.getpid():
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
            if is_of_session(error):
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

    def _take(self, settings: bytes) -> Session | None:
        with self._lock:
            for at in range(len(self._free) - 1, -1, -1):
                if self._free[at].settings == settings:
                    return self._free.pop(at)
        opened = self.connection.connect()
        try:
            (number,) = opened.execute("SELECT pg_backend_pid()").fetchone()
            if number != opened.info.backend_pid:
                self.direct = False
                opened.close()
                return None
            if settings:
                opened.execute(settings)
            never_by_count(opened)
            return Session(opened, self.connection.cursor(opened), settings)
        except BaseException:
            opened.close()
            raise

    def _give(self, session: Session) -> None:
        """Keep a session for the next search; of too many, the least recently used is closed."""
        oldest = None
        with self._lock:
            self._free.append(session)
            if len(self._free) > MOST_IDLE:
                oldest = self._free.pop(0)
        if oldest is not None:
            oldest.connection.close()


def never_by_count(connection: Any) -> None:
    """Prepare only statements that ask for it."""
    connection.prepare_threshold = _NEVER_BY_COUNT


def is_of_session(error: Any) -> bool:
    """Whether an error concerns the session and not the statement.

    Either the connection was lost, or the prepared statement of the session is gone or outdated.
    """
    import psycopg

    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state in _OF_SESSION or state.startswith("08")
