"""Connections to PostgreSQL, and the extension that they use.

Each statement runs in a separate transaction, and settings are local to it, so that a pooler in
transaction mode (PgBouncer) works (docs/engines/pgvector.md#poolers).
"""

from __future__ import annotations

import importlib.util
import logging
import os
import selectors
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from qadapt.errors import (
    MissingExtraError,
    StoreError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model.address import Address
from qadapt.model.credentials import insecure_allowed, is_loopback
from qadapt.stores import checks
from qadapt.stores.pgvector.binary_format import register
from qadapt.stores.pgvector.errors import translated
from qadapt.stores.pgvector.version import Extension, read_extension

PACKAGE, DISTRIBUTION = "psycopg", "psycopg"
TIMEOUT = 10
# Options of libpq that an address may have, https://www.postgresql.org/docs/current/libpq-connect.html
LIBPQ = (
    "application_name", "channel_binding", "connect_timeout", "gssencmode", "host", "passfile",
    "port", "require_auth", "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert",
    "target_session_attrs",
)  # fmt: skip
OPTIONS = (*LIBPQ, "user", "key_env", "timeout", "metric")
_ENCRYPTED = ("require", "verify-ca", "verify-full")
# `require_auth` of libpq 16: the connection fails if the server asks for a plain-text password.
_NO_PLAIN_PASSWORD = "!password"


class Connection:
    """A pool of connections, or one connection of the user.

    Attributes:
        owned: whether ``close`` closes the connections.
    """

    deployment = "server"

    def __init__(self, arguments: dict[str, Any] | None = None, client: Any = None) -> None:
        self.arguments = arguments or {}
        self._client = client
        self._free: list[Any] = []
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._extension: Extension | None = None
        self._server = ""
        self._exported: str | None = None
        self._readers: Connection | None = None

    @property
    def owned(self) -> bool:
        """Whether qadapt opened the connections."""
        return self._client is None

    def close(self) -> None:
        """Close the connections that qadapt opened."""
        with self._lock:
            free, self._free = self._free, []
        for each in free:
            each.close()

    @contextmanager
    def session(self, doing: str) -> Iterator[Any]:
        """A connection in autocommit mode, for one caller at a time.

        Args:
            doing: the action, for messages.
        """
        if self._client is not None:
            with self._lock:
                self._refuse_closed(doing)
                with translated(doing):
                    yield self._client
            return
        with translated(doing):
            found = self._take()
            try:
                yield found
            except BaseException:
                # The state of the connection is unknown, so it is not used again.
                found.close()
                raise
            self._give(found)

    def _refuse_closed(self, doing: str) -> None:
        if self._client.closed:
            raise UnreachableError(
                f"could not {doing}: the connection that was passed to qadapt is closed",
                hint="open another connection and pass it to qadapt.wrap",
            )

    def _take(self) -> Any:
        with self._lock:
            if self._pid != os.getpid():
                raise StoreError(
                    "the connection was opened before the process was forked",
                    hint="open the database in the child process",
                )
            while self._free:
                found = self._free.pop()
                if not _ended(found):
                    return found
                found.close()
        return self.connect()

    def _give(self, found: Any) -> None:
        if found.closed or found.info.transaction_status:
            found.close()
            return
        with self._lock:
            self._free.append(found)

    @contextmanager
    def consistent_reads(self, snapshot: str | None = None) -> Iterator[str | None]:
        """Within the context, ``reading`` sees the rows as they were at its begin, in all threads.

        A transaction exports its snapshot and stays open until the end, so VACUUM keeps the rows
        that are deleted during this time. For a connection of the user, other connections to the
        same database read; not within a transaction of the user, whose rows only it sees.
        https://www.postgresql.org/docs/current/functions-admin.html

        Args:
            snapshot: the name of a snapshot that another process exported.
        """
        if self._exported is not None or (self._client and self._client.info.transaction_status):
            yield self._exported
            return
        readers = self if self.owned else self._beside()
        try:
            with readers._exporting(snapshot) as self._exported:
                self._readers = readers
                yield self._exported
        finally:
            self._exported = self._readers = None
            if readers is not self:
                readers.close()

    @contextmanager
    def _exporting(self, snapshot: str | None) -> Iterator[str]:
        """The name of a snapshot; an own one exists within the context."""
        if snapshot is not None:
            yield snapshot
            return
        with translated("export a snapshot"):
            exporter = self.connect()
        try:
            with translated("export a snapshot"):
                exporter.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                exporter.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                name = exporter.execute("SELECT pg_export_snapshot()").fetchone()[0]
            yield name
        finally:
            exporter.close()

    @contextmanager
    def reading(self, doing: str) -> Iterator[Any]:
        """A session that reads rows; in the exported snapshot within ``consistent_reads``."""
        exported = self._exported
        with (self._readers or self).session(doing) as at:
            if exported is None:
                yield at
                return
            at.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                # The name is a literal, because the statement takes no parameter.
                at.execute(_snapshot_statement(exported))
                yield at
            finally:
                if not at.closed:
                    at.execute("ROLLBACK")

    def connect(self) -> Any:
        """Open a connection; the caller closes it."""
        import psycopg

        # psycopg logs each error that it ignores. Without any handler, Python prints it to the
        # terminal, next to the error that is raised.
        logger = logging.getLogger(PACKAGE)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        # Prepared statements fail behind a pooler in transaction mode.
        opened = psycopg.connect(**self.arguments, autocommit=True, prepare_threshold=None)
        # Settings of an extension are dropped if they are set before its library is loaded
        # (docs/engines/pgvector.md#settings).
        if self._extension is not None:
            self._prepare(opened, self._extension)
        return opened

    def _prepare(self, opened: Any, extension: Extension) -> None:
        opened.execute(load_statement(extension.schema))
        if self.owned:
            register(opened, extension.types)

    def cursor(self, at: Any) -> Any:
        """A binary cursor that reads and writes vectors."""
        cursor = at.cursor(binary=True)
        if not self.owned:
            register(cursor, self.extension.types)
        return cursor

    def connect_again(self) -> Any:
        """Another connection to the same database, for a statement that runs long."""
        return (self if self.owned else self._beside()).connect()

    def _beside(self) -> Connection:
        """Other connections to the database of the connection of the user."""
        info = self._client.info
        more = {"password": info.password} if info.password else {}
        return Connection({**info.get_parameters(), **more})

    @property
    def extension(self) -> Extension:
        """The extension of the database.

        Raises:
            UnsupportedError: it is not installed.
        """
        if self._extension is None:
            with self.session("read the version of pgvector") as at:
                self._extension = read_extension(at)
                self._prepare(at, self._extension)
        return self._extension

    @property
    def version(self) -> str:
        """The version of the extension."""
        return self.extension.version

    @property
    def server_version(self) -> str:
        """The version of PostgreSQL, such as ``18.1``."""
        if not self._server:
            with self.session("read the version of PostgreSQL") as at:
                number = int(at.info.server_version)
            self._server = f"{number // 10000}.{number % 10000}"
        return self._server


def _ended(connection: Any) -> bool:
    """Whether the server has ended an idle connection, without a request.

    A server sends nothing to an idle connection except a message that it ends, or the end of the
    stream, after a restart, a timeout of a proxy, or ``pg_terminate_backend``.
    """
    if connection.closed:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def _snapshot_statement(name: str) -> Any:
    from psycopg import sql

    return sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(name))


def load_statement(schema: str) -> Any:
    from psycopg import sql

    return sql.SQL("SELECT '[1]'::{}").format(sql.Identifier(schema, "vector"))


# -- opening -------------------------------------------------------------------------------------


def client_module() -> Any:
    """The module ``psycopg``.

    Raises:
        MissingExtraError
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingExtraError(PACKAGE, "pgvector", purpose="the store 'pgvector'")
    import psycopg

    return psycopg


def arguments(address: Address) -> dict[str, Any]:
    """The arguments of ``psycopg.connect`` for an address.

    Raises:
        AddressError: an unknown option.
    """
    checks.options(address, OPTIONS)
    place, _, database = address.location.partition("/")
    found: dict[str, Any] = {
        name: address.options[name] for name in LIBPQ if name in address.options
    }
    found.setdefault("connect_timeout", address.options.get("timeout", TIMEOUT))
    found.setdefault("application_name", "qadapt")
    if place:
        found |= {"host": address.host, "port": address.port}
    for key, value in (("dbname", unquote(database)), ("user", address.options.get("user"))):
        if value:
            found[key] = value
    password = address.secret()
    if password:
        found["password"] = password
    if _may_leak_password(address) and "require_auth" not in found and _libpq() >= 160000:
        found["require_auth"] = _NO_PLAIN_PASSWORD
    return found


def _may_leak_password(address: Address) -> bool:
    """Whether a server could request the password over an unencrypted connection."""
    remote = bool(address.host) and not is_loopback(address.host)
    encrypted = address.options.get("sslmode") in _ENCRYPTED
    return remote and not encrypted and not (address.insecure or insecure_allowed(os.environ))


def _libpq() -> int:
    import psycopg

    return int(psycopg.pq.version())


def wrapped(client: Any) -> Connection:
    """A connection of the user.

    Raises:
        UnsupportedError: an asynchronous connection, or one that is not in autocommit mode.
    """
    psycopg = client_module()
    if not isinstance(client, psycopg.Connection):
        raise UnsupportedError(
            f"pgvector cannot wrap a {type(client).__name__}",
            hint="pass a psycopg.Connection: psycopg.connect(..., autocommit=True)",
        )
    if not client.autocommit:
        raise UnsupportedError(
            "the connection is not in autocommit mode, so that an index cannot be built "
            "concurrently",
            hint="psycopg.connect(..., autocommit=True)",
        )
    return Connection(client=client)


def address_of(client: Any) -> Address:
    """The address of a connection of the user, without its password."""
    info = client.info
    host = f"[{info.host}]" if ":" in info.host else info.host
    options = {"user": info.user} if info.user else {}
    if host.startswith(("/", "@")):  # a socket
        options |= {"host": host, "port": str(info.port)}
        host = ""
    place = f"{host}:{info.port}" if host else ""
    return Address("pgvector", "tcp", f"{place}/{info.dbname}", options)
