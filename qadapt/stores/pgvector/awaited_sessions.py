"""Repeated searches of an event loop: sessions as in ``session_settings``, awaited.

psycopg cancels the statement on the server if a task is cancelled, and reads the rest of the
answer, so the session can be used again.
https://www.psycopg.org/psycopg3/docs/advanced/async.html#interrupting-async-operations-using-ctrl-c
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from qadapt.stores.awaited import LoopClients
from qadapt.stores.pgvector.binary_format import register
from qadapt.stores.pgvector.connection import Connection, load_statement
from qadapt.stores.pgvector.errors import translate
from qadapt.stores.pgvector.session_settings import (
    MOST_IDLE,
    SearchSessions,
    Session,
    is_of_session,
    never_by_count,
)


class AwaitedSessions:
    """Connections of one event loop, each for one search at a time.

    Args:
        sessions: those of threads; they know whether the server is behind a pooler.
    """

    def __init__(self, sessions: SearchSessions) -> None:
        self._sessions = sessions
        self._free: list[Session] = []

    async def rows(
        self, statement: bytes, settings: bytes, values: Sequence[Any], doing: str
    ) -> list[Any] | None:
        """The rows of a search; None if a thread must run it.

        Args:
            doing: the action, for messages.
        """
        import psycopg

        if not self._sessions.direct:
            return None
        try:
            session = await self._take(settings)
        except psycopg.Error:
            return None  # nothing was sent; the thread reports the error, if it has it, too
        if session is None:
            return None
        try:
            await session.cursor.execute(statement, values, prepare=True)
            found: list[Any] = await session.cursor.fetchall()
        except asyncio.CancelledError:
            await self._give(session)
            raise
        except BaseException as error:
            await session.connection.close()
            if not isinstance(error, psycopg.Error):
                raise
            if is_of_session(error):
                return None
            raise translate(error, doing) from error
        await self._give(session)
        return found

    async def close(self) -> None:
        """Close the connections; no search may run."""
        free, self._free = self._free, []
        for each in free:
            await each.connection.close()

    async def _take(self, settings: bytes) -> Session | None:
        for at in range(len(self._free) - 1, -1, -1):
            if self._free[at].settings == settings:
                return self._free.pop(at)
        connection = self._sessions.connection
        opened = await _connect(connection)
        try:
            await opened.execute(load_statement(connection.extension.schema))
            register(opened, connection.extension.types)
            cursor = await opened.execute("SELECT pg_backend_pid()")
            (number,) = await cursor.fetchone()
            if number != opened.info.backend_pid:
                self._sessions.direct = False
                await opened.close()
                return None
            if settings:
                await opened.execute(settings)
            never_by_count(opened)
            return Session(opened, connection.cursor(opened), settings)
        except BaseException:
            await opened.close()
            raise

    async def _give(self, session: Session) -> None:
        """Keep an idle session for the next search; of too many, the oldest one is closed."""
        if session.connection.info.transaction_status:  # a statement still runs, or it is lost
            await session.connection.close()
            return
        self._free.append(session)
        if len(self._free) > MOST_IDLE:
            await self._free.pop(0).connection.close()


def loop_clients(sessions: SearchSessions) -> LoopClients[AwaitedSessions] | None:
    """The sessions of event loops; None for a connection of the user, which is the only one."""
    if not sessions.connection.owned:
        return None
    return LoopClients(partial(AwaitedSessions, sessions), AwaitedSessions.close)


async def _connect(connection: Connection) -> Any:
    import psycopg

    return await psycopg.AsyncConnection.connect(
        **connection.arguments, autocommit=True, prepare_threshold=None
    )
