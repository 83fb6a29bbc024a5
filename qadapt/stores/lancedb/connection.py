"""Connections of lancedb: a folder, an object store, or LanceDB Cloud.

The engine runs in this process, and a handle of a table shows one version until
``checkout_latest`` is called (docs/engines/lancedb.md#versions-of-a-table).
"""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tenacity import RetryCallState

from qadapt.errors import AddressError, BusyError, MissingExtraError, StorageError, UnsupportedError
from qadapt.model.address import MEMORY, Address
from qadapt.model.credentials import header_key
from qadapt.stores import checks, client_imports
from qadapt.stores.lancedb.errors import translated
from qadapt.stores.lancedb.version import require_oldest
from qadapt.stores.retry import with_retries

T = TypeVar("T")
Stamp = tuple[int, int, int]

PACKAGE, EXTRA = "lancedb", "lancedb"
CLOUD, EMBEDDED = "cloud", "embedded"
# ``id`` and ``metric`` describe tables of other programs; the others are of the connection.
OPTIONS = ("id", "metric", "region", "endpoint", "host_override", "key_env", "timeout")
# The name of a manifest is this number minus the version.
_NEWEST = 2**64 - 1
# Options of an address, as object stores name them.
_STORAGE = {"region": "aws_region", "endpoint": "aws_endpoint"}


def package() -> Any:
    """The module ``lancedb``.

    It starts a thread when it is imported, so it is imported only to open a database.

    Raises:
        MissingExtraError
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingExtraError(PACKAGE, EXTRA, purpose="the store 'lancedb'")
    return client_imports.load(PACKAGE)


class Connection:
    """A connection of lancedb.

    Attributes:
        client: ``lancedb.DBConnection``.
        owned: whether qadapt opened it.
        deployment: ``embedded`` or ``cloud``.
        version: of lancedb.
    """

    def __init__(self, client: Any, *, owned: bool) -> None:
        self.client = client
        self.owned = owned
        remote = type(client).__module__.startswith("lancedb.remote")
        self.deployment = CLOUD if remote else EMBEDDED
        self.version = str(package().__version__)

    def close(self) -> None:
        """Nothing: a connection holds no files, and tables are closed with their last use."""

    def names(self) -> list[str]:
        """The names of all tables, sorted."""
        found: list[str] = []
        token = None
        with translated("list the tables"):
            while True:
                page = self.client.list_tables(page_token=token)
                found += page.tables
                token = page.page_token
                if not token:
                    return sorted(found)

    def open_table(self, name: str) -> Any:
        """A new handle of a table, which no other code uses.

        Raises:
            NotFoundError
        """
        with translated(f"open the table {name!r}"):
            return self.client.open_table(name)


def manifest(connection: Connection, table: str, version: int) -> Stamp | None:
    """The inode, time and size of the file of the latest version of a table in a folder.

    None if the version is not the latest one, or if files do not show it: in object stores, and
    beside tags, which keep the file of a version when those of later ones are removed. The file
    tells in microseconds what ``checkout_latest`` takes a millisecond for
    (docs/engines/lancedb.md#versions-of-a-table).
    """
    folder = f"{connection.client.uri}/{table}.lance"
    if connection.deployment != EMBEDDED or os.path.exists(f"{folder}/_refs"):
        return None
    try:
        found = os.stat(f"{folder}/_versions/{_NEWEST - version}.manifest")
    except OSError:
        return None
    if os.path.exists(f"{folder}/_versions/{_NEWEST - version - 1}.manifest"):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def async_table(handle: Any) -> Any:
    """The asynchronous table below a handle of a folder or a bucket; None in LanceDB Cloud and in a
    namespace, which may run queries on a server."""
    table = client_imports.load("lancedb.table")
    found = getattr(handle, "_table", None)
    if type(handle) is not table.LanceTable or not isinstance(found, table.AsyncTable):
        return None
    return found if getattr(handle, "_namespace_client", None) is None else None


def event_loop() -> Any:
    """The loop of the client; ``run`` runs a coroutine of an asynchronous table in its thread."""
    return client_imports.load("lancedb.background_loop").LOOP


def retried(doing: str, call: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """Run a change again if another client committed one at the same time.

    Args:
        doing: the action, for messages.
        call: idempotent.
    """

    def attempt() -> T:
        with translated(doing):
            return call()

    def pause(state: RetryCallState) -> float:
        # At random, because two builds of the same table take equally long.
        return random.uniform(0.1, 1.0) * float(2**state.attempt_number)

    return with_retries(
        attempt, lambda error: isinstance(error, BusyError), sleep=sleep, pause=pause
    )


def connect(address: Address) -> Connection:
    """Open the database of an address; a folder is created by its first table.

    Raises:
        MissingExtraError, StorageError, UnsupportedError
        AddressError: a wrong option, or the URL of another kind of store.
    """
    checks.options(address, OPTIONS)
    module = package()
    require_oldest(str(module.__version__))
    place = address.location
    if place == MEMORY:
        return Connection(_opened(module, "memory://"), owned=True)
    if not address.is_local:
        return Connection(_opened(module, place, **_arguments(address)), owned=True)
    if "://" in place:
        raise AddressError(
            f"LanceDB has no store for {place!r:.80}",
            hint="lancedb:FOLDER, lancedb:s3://, gs://, az:// and db:// are supported",
        )
    path = Path(address.path).absolute()
    if path.is_file():
        raise StorageError(f"{str(path)!r} is a file", hint="lancedb:FOLDER names a folder")
    return Connection(_opened(module, str(path)), owned=True)


def _opened(module: Any, place: str, **arguments: Any) -> Any:
    with translated(f"open {place!r}"):
        return module.connect(place, **arguments)


def _arguments(address: Address) -> dict[str, Any]:
    """Arguments of ``lancedb.connect`` for a URL; credentials of object stores are read by the
    engine from the environment."""
    options = address.options
    if address.location.startswith("db://"):
        found = {name: options[name] for name in ("region", "host_override") if name in options}
        return {**found, "api_key": header_key(address)}
    storage = {_STORAGE[name]: options[name] for name in _STORAGE if name in options}
    return {"storage_options": storage} if storage else {}


def is_client(client: object) -> bool:
    """Whether an object is a connection of lancedb; imports nothing."""
    return any(
        each.__module__.startswith("lancedb.") and each.__name__ == "DBConnection"
        for each in type(client).__mro__
    )


def wrapped(client: Any) -> Connection:
    """A connection of the user.

    Raises:
        UnsupportedError: another object, such as an asynchronous connection.
    """
    if not is_client(client):
        raise UnsupportedError(
            f"lancedb cannot wrap a {type(client).__name__}",
            hint="pass a connection: lancedb.connect(FOLDER)",
        )
    connection = Connection(client, owned=False)
    require_oldest(connection.version)
    return connection


def address_of(connection: Connection) -> Address:
    """The address of a connection of the user."""
    place = str(connection.client.uri)
    return Address("lancedb", None, MEMORY if place.startswith("memory://") else place, {})
