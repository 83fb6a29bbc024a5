"""A client of chromadb, opened from an address or by the user, and its calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from qadapt.errors import AddressError, UnsupportedError
from qadapt.model.address import MEMORY, Address
from qadapt.model.credentials import header_key
from qadapt.stores import checks, forks, retry
from qadapt.stores.chroma.errors import translate
from qadapt.stores.client_imports import load, load_client, quiet

PACKAGE = "chromadb"
ENGINE_THREADS = "tokio-"
SERVER, EMBEDDED = "server", "embedded"
OPTIONS = ("timeout", "key_env", "tenant", "database")
TENANT, DATABASE = "default_tenant", "default_database"
TIMEOUT = 60
# A call with more rows is refused; the same number on a server.
BATCH = 5_461
# SQLite accepts 32,766 variables in the statement of one `get`.
FETCHED = 5_000


class Connection:
    """A client, and calls whose errors are translated.

    Attributes:
        client: a ``chromadb.api.client.Client``.
        owned: whether ``close`` closes the client.
        sleep: waits between attempts; tests may replace it.
    """

    def __init__(self, client: Any, *, owned: bool) -> None:
        self.client = client
        self.owned = owned
        self.sleep: Callable[[float], None] = time.sleep

    @cached_property
    def settings(self) -> Any:
        """The settings of the client."""
        return self.client.get_settings()

    @cached_property
    def deployment(self) -> str:
        """``embedded`` or ``server``."""
        return SERVER if self.settings.chroma_server_host else EMBEDDED

    @cached_property
    def folder(self) -> Path | None:
        """The folder of an embedded database; None for a server or a database in memory."""
        if self.deployment == SERVER or not self.settings.is_persistent:
            return None
        return Path(self.settings.persist_directory)

    @cached_property
    def version(self) -> str:
        """The version of the package, or the one that a server reports, which is that of its API:
        chromadb 1.5.9 reports 1.0.0."""
        return str(self.call("read the version", self.client.get_version))

    @cached_property
    def batch(self) -> int:
        """The largest number of rows of one call."""
        found = self.call("read the batch limit", self.client.get_max_batch_size)
        return int(found) if found and int(found) > 0 else BATCH

    def call(self, doing: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a call of the client that may be repeated: reads, and writes by id.

        Args:
            doing: the action, for messages.
        """

        def once() -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                raise translate(error, doing) from error

        return retry.with_retries(once, retry.is_transient, sleep=self.sleep)

    def close(self) -> None:
        """Close the client, unless the user opened it.

        Its own ``close`` leaves the connections to a server open.
        """
        if not self.owned:
            return
        sessions = _sessions(self.client)
        if hasattr(self.client, "close"):  # since 1.4
            self.client.close()
        for session in sessions:
            session.close()


def module() -> Any:
    """Import ``chromadb`` when it is first needed.

    Raises:
        MissingExtraError
    """
    return load_client(PACKAGE, PACKAGE, "chroma")


def connect(address: Address) -> Connection:
    """Open a client for an address, without the client's telemetry.

    Raises:
        AddressError, MissingExtraError, UnreachableError, StoreError, StorageError
    """
    checks.options(address, OPTIONS)
    chromadb = module()
    secret = header_key(address)
    if address.transport is None:
        forks.engine_starts(PACKAGE, str(address))
        _refuse_systems_of_parent(str(address))
    given: dict[str, Any] = {
        "settings": load("chromadb.config").Settings(anonymized_telemetry=False),
        "tenant": address.options.get("tenant", TENANT),
        "database": address.options.get("database", DATABASE),
    }
    try:
        with quiet():
            client = _opened(chromadb, address, secret, given)
    except Exception as error:
        raise translate(error, f"open {address}") from error
    return Connection(client, owned=True)


def _refuse_systems_of_parent(place: str) -> None:
    """Refuse a folder if a forked process has engines of its parent: a client of the same folder
    would use the parent's.

    Raises:
        StoreError
    """
    shared = load("chromadb.api.shared_system_client").SharedSystemClient
    if getattr(shared, "_identifier_to_system", None):
        forks.refuse_inherited(PACKAGE, ENGINE_THREADS, place)


def _opened(chromadb: Any, address: Address, secret: str | None, given: dict[str, Any]) -> Any:
    if address.location == MEMORY:
        return chromadb.EphemeralClient(**given)
    if address.transport is None:
        folder = address.path.absolute()
        if folder.exists() and not folder.is_dir():
            raise AddressError(f"{folder} is a file", hint="name the folder of the database")
        return chromadb.PersistentClient(str(folder), **given)
    headers = {"x-chroma-token": secret} if secret else None
    client = chromadb.HttpClient(
        host=address.host,
        port=address.port or 8000,
        ssl=address.transport == "https",
        headers=headers,
        **given,
    )
    _limit_time(client, checks.number(address, "timeout", TIMEOUT))
    return client


def in_rust(server: Any) -> bool:
    """Whether the server of a client is the engine in this process."""
    return type(server).__name__ == "RustBindingsAPI"


def _limit_time(client: Any, seconds: float) -> None:
    """Set the time limit of requests, which the client has none of."""
    for session in _sessions(client):
        session.timeout = seconds


def _sessions(client: Any) -> list[Any]:
    """The HTTP clients of a client and of its admin client, which has its own; none for a folder,
    or in a version with another layout."""
    admin = getattr(client, "_admin_client", None)
    servers = [getattr(each, "_server", None) for each in (client, admin)]
    found = [getattr(server, "_session", None) for server in servers]
    return [each for each in found if each is not None]


def address_of(client: Any) -> Address:
    """The address of a client that the user opened, without its key.

    Raises:
        UnsupportedError: a collection, or an asynchronous client.
        StoreError: the parent process opened the folder.
    """
    if type(client).__module__ != "chromadb.api.client" or type(client).__name__ != "Client":
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="pass a synchronous client of chromadb, such as chromadb.PersistentClient(...)",
        )
    made = client.get_settings()
    options = {
        name: value
        for name, value, default in (
            ("tenant", client.tenant, TENANT),
            ("database", client.database, DATABASE),
        )
        if value != default
    }
    if made.chroma_server_host:
        host = f"{made.chroma_server_host}:{made.chroma_server_http_port}"
        secure = bool(made.chroma_server_ssl_enabled)
        return Address("chroma", "https" if secure else "http", host, options)
    folder = str(Path(made.persist_directory).absolute()) if made.is_persistent else MEMORY
    if in_rust(client._server):
        forks.refuse_inherited(PACKAGE, ENGINE_THREADS, f"chroma:{folder}", client)
    return Address("chroma", None, folder, options)
