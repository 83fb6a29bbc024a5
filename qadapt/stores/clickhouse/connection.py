"""Connections: chDB in this process, HTTP, and clients of the user; results in the format Native.

Values are parameters (``{name:Type}``), never part of the text. All connections of a process to
chDB have the same data folder (docs/engines/clickhouse.md#one-folder).
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import numpy as np

from qadapt.errors import MissingExtraError, StorageError, StoreError, UnsupportedError
from qadapt.model.address import Address
from qadapt.model.credentials import header_key
from qadapt.stores import checks, forks
from qadapt.stores.clickhouse import native_format
from qadapt.stores.clickhouse.errors import ONE_FOLDER, number_of, translate
from qadapt.stores.clickhouse.http_transport import HttpTransport
from qadapt.stores.clickhouse.native_format import ESCAPES, Given, encoded
from qadapt.stores.clickhouse.version import require_oldest

PACKAGE, EXTRA = "chdb", "clickhouse"
ENGINE_THREADS = "ThreadPool"  # from the import of the package
OPTIONS = ("database", "metric", "id", "timeout", "user")
DATABASE = "default"
# Texts, numbers, and lists of either.
Parameters = Mapping[str, Any]


class Transport(Protocol):
    """Sends statements; ``RuntimeError`` with the text of the engine if one fails."""

    deployment: str

    def query(self, text: str, parameters: Parameters) -> bytes: ...

    def insert(self, text: str, form: str, data: bytes) -> None: ...

    def close(self) -> None: ...


class Connection:
    """A database of an engine; one statement runs at a time.

    Args:
        database: the name of the database that holds the tables.
    """

    def __init__(self, transport: Transport, database: str = DATABASE) -> None:
        self._transport = transport
        self._lock = threading.RLock()
        self.database = database
        self._version = ""

    @property
    def version(self) -> str:
        """The version of the engine, read once."""
        if not self._version:
            (found,) = self.select("SELECT version() AS v", "read the version")["v"]
            self._version = str(found)
        return self._version

    @property
    def deployment(self) -> str:
        """``embedded`` or ``server``."""
        return self._transport.deployment

    def close(self) -> None:
        self._transport.close()

    def select(self, text: str, doing: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """The columns of a result; empty without rows.

        Args:
            doing: the action, for messages.
        """
        return native_format.decode(self._run(text, doing, parameters or {}))

    def rows(
        self, text: str, doing: str, parameters: Parameters | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a result of numbers and texts."""
        found = self.select(text, doing, parameters)
        columns = [e if isinstance(e, list) else e.tolist() for e in found.values()]
        return list(zip(*columns, strict=True))

    def native(self, text: str, doing: str, parameters: Parameters | None = None) -> bytes:
        """The result in the format Native, which ``insert_bytes`` takes."""
        return self._run(text, doing, parameters or {})

    def execute(self, text: str, doing: str, parameters: Parameters | None = None) -> None:
        """Run a statement without a result."""
        self._run(text, doing, parameters or {})

    def _run(self, text: str, doing: str, parameters: Parameters) -> bytes:
        with self._lock:
            try:
                return self._transport.query(text, parameters)
            except RuntimeError as error:
                raise translate(str(error), doing) from error

    def insert(self, text: str, doing: str, columns: Sequence[Given]) -> None:
        """Insert one block of rows; ``text`` is an INSERT without data."""
        self.insert_bytes(text, doing, "Native", native_format.encode(columns))

    def insert_bytes(self, text: str, doing: str, form: str, data: bytes) -> None:
        """Insert rows in a format of the engine."""
        with self._lock:
            try:
                self._transport.insert(text, form, data)
            except RuntimeError as error:
                raise translate(str(error), doing) from error


# -- definitions ----------------------------------------------------------------------------------


def literal(text: str) -> str:
    """A text in a definition, which accepts no parameters."""
    return "'" + text.translate(ESCAPES).replace("'", "\\'") + "'"


def quoted(name: str) -> str:
    """An identifier in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


# -- chDB ----------------------------------------------------------------------------------------


class _OpenFolder:
    """The folder that this process has open, and how many connections use it."""

    path = ""
    users = 0
    lock = threading.Lock()


class ChdbTransport:
    """chDB in this process.

    Args:
        client: a connection or a session of ``chdb``.
        folder: the folder if qadapt opened it; None for a client of the user.
    """

    deployment = "embedded"

    def __init__(self, client: Any, folder: str | None = None) -> None:
        self._client = client
        self._folder = folder

    def query(self, text: str, parameters: Parameters) -> bytes:
        found = self._client.query(text, "Native", params=encoded(parameters))
        data = found.bytes()
        return bytes(data) if data else b""

    def insert(self, text: str, form: str, data: bytes) -> None:
        """Insert rows.

        ``send_insert`` reports no error of the table, such as that of a constraint, and the rows
        are lost (docs/engines/clickhouse.md#native-format). A statement does, but holds text only.
        """
        if form != "Native":
            self._client.query(f"{text} FORMAT {form}\n{data.decode()}")
            return
        with self._client.send_insert(text, form) as stream:
            stream.append(data)
            stream.finish()

    def close(self) -> None:
        if self._folder is None:
            return
        self._client.close()
        with _OpenFolder.lock:
            _OpenFolder.users -= 1
        self._folder = None


def open_folder(path: Path) -> ChdbTransport:
    """Open a data folder, or create it.

    Raises:
        MissingExtraError, StorageError
        StoreError: this process has another folder open.
        BusyError: another process has the folder open.
    """
    try:
        chdb = importlib.import_module(PACKAGE)
    except ImportError:
        raise MissingExtraError(PACKAGE, EXTRA, purpose="the store 'clickhouse'") from None
    place = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(place)):
        raise StorageError(
            f"the folder {os.path.dirname(place)!r} does not exist", hint="create the folder first"
        )
    if os.path.exists(place) and not os.path.isdir(place):
        raise StorageError(f"{place!r} is a file", hint="clickhouse:DIR names a folder")
    if os.path.isdir(place) and not os.access(place, os.W_OK | os.X_OK):
        raise StorageError(
            f"cannot open {place!r}: the folder is not writable",
            hint="chdb writes to its folder with each use: give this user write permission",
        )
    forks.engine_starts(PACKAGE, repr(place))
    forks.refuse_inherited(PACKAGE, ENGINE_THREADS, repr(place))
    with _OpenFolder.lock:
        if _OpenFolder.users and place != _OpenFolder.path:
            raise StoreError(
                f"cannot open {place!r}: this process has {_OpenFolder.path!r} open",
                hint=ONE_FOLDER,
            )
        try:
            client = chdb.connect(place)
        except RuntimeError as error:
            raise translate(str(error), f"open {place!r}") from error
        _OpenFolder.path = place
        _OpenFolder.users += 1
    return ChdbTransport(client, place)


# -- opening -------------------------------------------------------------------------------------


def open_address(address: Address) -> Connection:
    """Connect to a database of an address.

    Raises:
        MissingExtraError, AddressError, StorageError, AuthError, UnreachableError
        NotFoundError: the database does not exist.
        UnsupportedError: an old version.
    """
    checks.options(address, OPTIONS)
    database = address.options.get("database", DATABASE)
    transport: Transport
    if address.transport is None:
        transport = open_folder(address.path)
    else:
        transport = HttpTransport(
            address.url,
            user=address.options.get("user", ""),
            key=header_key(address) or "",
            timeout=checks.number(address, "timeout", 60),
        )
    connection = Connection(transport, database)
    try:
        require_oldest(connection.version)
        _use(connection, create=address.transport is None)
    except BaseException:
        connection.close()
        raise
    return connection


def _use(connection: Connection, create: bool) -> None:
    """Create the database of a folder; that of a server must exist."""
    if create and connection.database != DATABASE:
        name = quoted(connection.database)
        connection.execute(f"CREATE DATABASE IF NOT EXISTS {name}", "create the database")
        return
    found = connection.rows(
        "SELECT name FROM system.databases WHERE name = {name:String}",
        "read the databases",
        {"name": connection.database},
    )
    if not found:
        raise translate(
            f"Code: 81. Database {connection.database} does not exist", "open the database"
        )


# -- clients of the user -------------------------------------------------------------------------


class ClientTransport:
    """A client of ``clickhouse_connect``, which the user opened."""

    deployment = "server"

    def __init__(self, client: Any) -> None:
        self._client = client

    def query(self, text: str, parameters: Parameters) -> bytes:
        given = {
            name: each.tolist() if isinstance(each, np.ndarray) else each
            for name, each in parameters.items()
        }
        with _client_errors():
            found = self._client.raw_query(text, parameters=given, fmt="Native")
        return bytes(found)

    def insert(self, text: str, form: str, data: bytes) -> None:
        table, _, columns = text.removeprefix("INSERT INTO ").partition(" (")
        with _client_errors():
            self._client.raw_insert(
                table,
                column_names=[each.strip("` ") for each in columns.rstrip(")").split(",")]
                if columns
                else None,
                insert_block=data,
                fmt=form,
            )

    def close(self) -> None:
        """The user closes the client."""


@contextmanager
def _client_errors() -> Iterator[None]:
    """Raise errors of ``clickhouse_connect`` as the text of the engine."""
    try:
        yield
    except Exception as error:
        if number_of(str(error)) is None:
            raise
        raise RuntimeError(str(error)) from error


def is_client(client: object) -> bool:
    """Whether an object is a connection of ``chdb`` or a client of ``clickhouse_connect``."""
    package = type(client).__module__.partition(".")[0]
    if package == "chdb":
        return hasattr(client, "send_insert")
    return package == "clickhouse_connect" and hasattr(client, "raw_query")


def wrapped(client: Any) -> Connection:
    """A connection of the user.

    Raises:
        UnsupportedError: another type.
        StoreError: the parent process started chDB.
    """
    if not is_client(client):
        raise UnsupportedError(
            f"clickhouse cannot wrap a {type(client).__name__}",
            hint="pass chdb.connect(DIR) or clickhouse_connect.get_client(host=...)",
        )
    if type(client).__module__.startswith("chdb"):
        forks.refuse_inherited(PACKAGE, ENGINE_THREADS, "this client", client)
        return Connection(ChdbTransport(client))
    return Connection(ClientTransport(client), getattr(client, "database", None) or DATABASE)


def address_of(connection: Connection, client: Any) -> Address:
    """The address of a client of the user."""
    if connection.deployment == "embedded":
        row = connection.rows(
            "SELECT value FROM system.server_settings WHERE name = 'path'", "read the folder"
        )
        folder = row[0][0] if row and row[0][0] else ":memory:"
        return Address("clickhouse", None, str(folder).rstrip("/"), {})
    place = str(getattr(client, "url", "http://localhost:8123"))
    return Address.parse(f"clickhouse+{place}?{urlencode({'database': connection.database})}")
