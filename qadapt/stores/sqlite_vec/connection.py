"""Connections to SQLite files with the extension sqlite-vec.

SQLite allows one writer at a time. A connection of qadapt waits for others for the busy timeout,
and writes in short transactions (docs/engines/sqlite-vec.md#writing).
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qadapt.errors import MissingExtraError, StorageError, UnsupportedError
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.sqlite_vec.errors import classes, translate, translated
from qadapt.stores.sqlite_vec.filters import MOMENT, microseconds

PACKAGE, EXTRA = "sqlite_vec", "sqlite-vec"
OPTIONS = ("timeout", "cache_mb")
TIMEOUT = 5  # seconds for which a statement waits for another writer
# SQLite's default of 2 MB makes scans of larger tables three times slower.
CACHE_MB = 64
# Python is often built without extensions of SQLite; pysqlite3 contains a complete SQLite.
DRIVERS = ("sqlite3", "pysqlite3")
NO_EXTENSIONS = "sqlite3 of this Python cannot load extensions, and pysqlite3 is not installed"


def driver() -> Any:
    """A module with the interface of ``sqlite3`` that can load extensions.

    Raises:
        MissingExtraError: sqlite-vec is not installed, or no module can load extensions.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingExtraError(PACKAGE, EXTRA, purpose="the store 'sqlite-vec'")
    for name in DRIVERS:
        if importlib.util.find_spec(name) is None:
            continue
        module = importlib.import_module(name)
        if hasattr(module.Connection, "enable_load_extension"):
            return module
    error = MissingExtraError("pysqlite3", EXTRA, purpose="the store 'sqlite-vec'")
    error.message = NO_EXTENSIONS
    error.hint = "pip install pysqlite3-binary (Linux), or use a Python whose sqlite3 has it"
    raise error


class Connection:
    """One connection, used by one thread at a time.

    Args:
        opened: a connection of ``sqlite3`` or ``pysqlite3`` with the extension.
        owned: whether ``close`` closes it.
        file: absolute path of the file; ``""`` for a database in memory.
    """

    deployment = "embedded"

    def __init__(self, opened: Any, *, owned: bool, file: str = "") -> None:
        self._opened = opened
        self._lock = threading.RLock()
        self.owned = owned
        self.file = file
        opened.create_function(MOMENT, 1, microseconds, deterministic=True)
        self.version = self._read_version()

    def close(self) -> None:
        """Close the connection if qadapt opened it."""
        if self.owned:
            with self._lock:
                self._opened.close()

    @contextmanager
    def session(self, doing: str) -> Iterator[Any]:
        """A cursor with plain rows, for one caller at a time.

        Args:
            doing: the action, for messages.
        """
        with self._lock:
            # Not ``translated``, which takes longer than the rest.
            try:
                cursor = self._opened.cursor()
                cursor.row_factory = None
                try:
                    yield cursor
                finally:
                    cursor.close()
            except classes() as error:
                raise translate(error, doing) from error

    def rows_unless_changed(
        self, key: tuple[int, ...], text: str, values: Sequence[Any]
    ) -> list[Any] | None:
        """The rows of a search; None if ``change_key`` is not ``key`` any more."""
        with self._lock:
            try:
                opened = self._opened
                cursor = opened.cursor()
                if self.owned:  # as ``change_key``, without the time of a call
                    number = cursor.execute(_DATA_VERSION).fetchone()[0]
                    now: tuple[int, ...] = (number, opened.total_changes)
                else:
                    cursor.row_factory = None
                    now = self.change_key(cursor)
                if now != key:
                    return None
                rows: list[Any] = cursor.execute(text, values).fetchall()
                return rows
            except classes() as error:
                raise translate(error, "search") from error

    @contextmanager
    def transaction(self, doing: str) -> Iterator[Any]:
        """A cursor in a transaction that holds the write lock; a savepoint in one of the user.

        Args:
            doing: the action, for messages.
        """
        with self.session(doing) as at:
            nested = self._opened.in_transaction
            at.execute("SAVEPOINT qadapt" if nested else "BEGIN IMMEDIATE")
            try:
                yield at
            except BaseException:
                if self._opened.in_transaction:  # SQLite may have rolled back already
                    at.execute("ROLLBACK TO qadapt" if nested else "ROLLBACK")
                    if nested:
                        at.execute("RELEASE qadapt")
                raise
            at.execute("RELEASE qadapt" if nested else "COMMIT")

    def use_wal(self) -> None:
        """Give a file without tables the journal mode WAL, in which searches continue during
        writes; the mode of other files is kept."""
        with self.session("set the journal mode") as at:
            if self.owned and not at.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                at.execute("PRAGMA journal_mode = WAL")

    def change_key(self, at: Any) -> tuple[int, ...]:
        """Numbers that change when any connection changes the file.

        ``data_version`` counts commits of other connections, ``total_changes`` rows that this one
        changed, https://www.sqlite.org/pragma.html#pragma_data_version.
        """
        if self.owned:
            row = at.execute(_DATA_VERSION).fetchone()
            return (row[0], self._opened.total_changes)
        # The user may drop tables and roll back, which changes none of the two.
        row = at.execute(_VERSIONS).fetchone()
        return (row[0], self._opened.total_changes, row[1], int(self._opened.in_transaction))

    def _read_version(self) -> str:
        cursor = self._opened.cursor()
        cursor.row_factory = None
        with translated("read the version of sqlite-vec"):
            try:
                text = cursor.execute("SELECT vec_version()").fetchone()[0]
            except Exception as error:
                if "such function" not in str(error):
                    raise
                raise UnsupportedError(
                    "the connection does not have the extension sqlite-vec",
                    hint="connection.enable_load_extension(True); sqlite_vec.load(connection)",
                ) from error
        return str(text).removeprefix("v")


_DATA_VERSION = "PRAGMA data_version"
_VERSIONS = "SELECT data_version, schema_version FROM pragma_data_version, pragma_schema_version"


# -- opening -------------------------------------------------------------------------------------


def open_file(address: Address) -> Connection:
    """Open the file of an address, or create it.

    Raises:
        MissingExtraError, AddressError, StorageError
    """
    checks.options(address, OPTIONS)
    timeout = checks.number(address, "timeout", TIMEOUT)
    cache = checks.number(address, "cache_mb", CACHE_MB)
    memory = address.location == ":memory:"
    path = Path(address.path).absolute() if not memory else Path()
    if not memory:
        _check_place(path)
    opened = connect(":memory:" if memory else str(path), timeout)
    try:
        with translated(f"open {str(path)!r}"):
            opened.execute(f"PRAGMA cache_size = -{cache * 1024}")
            return Connection(opened, owned=True, file="" if memory else str(path))
    except BaseException:
        opened.close()
        raise


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise StorageError(f"{str(path)!r} is a folder", hint="sqlite-vec:FILE.db names a file")
    if not path.parent.is_dir():
        raise StorageError(
            f"the folder {str(path.parent)!r} does not exist", hint="create the folder first"
        )


def connect(path: str, timeout: float) -> Any:
    """A connection in autocommit mode with the extension loaded."""
    module = driver()
    with translated(f"open {path!r}"):
        opened = module.connect(path, timeout, isolation_level=None, check_same_thread=False)
        try:
            load_extension(opened)
        except BaseException:
            opened.close()
            raise
    return opened


def load_extension(opened: Any) -> None:
    """Load sqlite-vec into a connection."""
    package = importlib.import_module(PACKAGE)
    opened.enable_load_extension(True)
    try:
        package.load(opened)
    finally:
        opened.enable_load_extension(False)


def is_client(client: object) -> bool:
    """Whether an object is a connection of ``sqlite3`` or ``pysqlite3``."""
    return any(
        each.__module__.partition(".")[0] in DRIVERS and each.__name__ == "Connection"
        for each in type(client).__mro__
    )


def wrapped(client: Any) -> Connection:
    """A connection of the user.

    Raises:
        UnsupportedError: the extension is not loaded, or each statement opens a transaction.
    """
    if not is_client(client):
        raise UnsupportedError(
            f"sqlite-vec cannot wrap a {type(client).__name__}",
            hint="pass a connection: sqlite3.connect(FILE)",
        )
    if getattr(client, "autocommit", None) is False:
        raise UnsupportedError(
            "the connection has autocommit=False, so changes of qadapt would not be committed",
            hint="sqlite3.connect(FILE, autocommit=True), or isolation_level=None",
        )
    return Connection(client, owned=False, file=file_of(client))


def file_of(client: Any) -> str:
    """The file of a connection; ``""`` for a database in memory."""
    cursor = client.cursor()
    cursor.row_factory = None
    with translated("read the path of the file"):
        rows: Sequence[Any] = cursor.execute("PRAGMA database_list").fetchall()
    return str(next((row[2] for row in rows if row[1] == "main"), "") or "")


def address_of(connection: Connection) -> Address:
    """The address of a connection of the user."""
    return Address("sqlite-vec", None, connection.file or ":memory:", {})
