"""A ``MilvusClient``, opened from an address or passed by the user, and calls of it.

Three properties of pymilvus (docs/engines/milvus.md#pymilvus) shape this module: a timeout applies
to every call only if it is an ``int``; without a timeout pymilvus retries 75 times; and it logs
each failure with a traceback, which is suppressed here because qadapt raises the error.
"""

from __future__ import annotations

import contextvars
import importlib.metadata
import importlib.util
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from qadapt.errors import (
    AddressError,
    BusyError,
    IntegrityError,
    MissingExtraError,
    QadaptError,
    UnsupportedError,
)
from qadapt.model.address import MEMORY, Address
from qadapt.model.capabilities import older
from qadapt.stores import checks, forks
from qadapt.stores.awaited import response
from qadapt.stores.client_imports import load_client
from qadapt.stores.milvus import lite_servers
from qadapt.stores.milvus.errors import SPACE, translate

PACKAGE = "pymilvus"
TIMEOUT = 60
OPTIONS = ("timeout", "key_env", "database", "consistency")
_SQLITE = b"SQLite format 3\0"
CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually")
SERVER, LITE, CLOUD = "server", "lite", "cloud"
_CLOUD_HOSTS = (".zillizcloud.com", ".zilliz.com.cn")
_LITE_VERSION = "milvus_lite-"
# pymilvus pings every 10 s. The server of Lite allows one ping in 5 minutes and closes the
# connection after three violations: a call of more than 200 s fails with "Too many pings", pymilvus
# repeats it, and it never ends. A server in this process needs no pings (run with 3.0.2 and 3.2.2).
_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}
LITE_PYTHON = "3"

T = TypeVar("T")
_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("qadapt_milvus_call", default=False)


class Connection:
    """A client whose calls raise the errors of qadapt.

    Attributes:
        client: the ``MilvusClient``.
        owned: whether ``close`` closes the client.
        path: the folder of Milvus Lite; None for a server or if it is unknown.
        timeout: the time limit of one call, in seconds.
        consistency: the consistency level of searches; None for the level of each collection.
    """

    def __init__(
        self,
        client: Any,
        *,
        owned: bool,
        path: Path | None = None,
        cloud: bool = False,
        timeout: int = TIMEOUT,
        consistency: str | None = None,
    ) -> None:
        self.client = client
        self.owned = owned
        self.path = path
        self.timeout = timeout
        self.consistency = consistency
        self._cloud = cloud
        self._closed = False

    @cached_property
    def _reported(self) -> str:
        try:
            return str(self.call("read the server's version", self.client.get_server_version))
        except UnsupportedError:
            # Milvus Lite 2 does not report its version.
            if self.path is None:
                raise
            return _LITE_VERSION + importlib.metadata.version("milvus-lite")

    @property
    def version(self) -> str:
        """The version that the server reports, without ``v`` and without the name of Lite."""
        return self._reported.removeprefix(_LITE_VERSION).removeprefix("v")

    @property
    def deployment(self) -> str:
        """``server``, ``lite`` or ``cloud``. The package ``milvus`` calls its server
        ``v2.3.5-lite``, but it is a full server."""
        if self._reported.startswith(_LITE_VERSION):
            return LITE
        return CLOUD if self._cloud else SERVER

    @property
    def lite(self) -> bool:
        """Whether this is Milvus Lite."""
        return self.deployment == LITE

    @property
    def old_lite(self) -> bool:
        """Whether this is Milvus Lite 2, a different implementation in C++."""
        return self.lite and older(self.version, LITE_PYTHON)

    def call(
        self,
        doing: str,
        function: Callable[..., T],
        *args: Any,
        within: float | None = None,
        **named: Any,
    ) -> T:
        """Call the client with a time limit, and translate its errors.

        Args:
            doing: the action, for the message: ``"write to 'articles'"``.
            within: time limit in seconds; rounded, because pymilvus ignores a float.
        """
        seconds = self.timeout if within is None else max(1, math.ceil(within))
        with quiet():
            try:
                return function(*args, timeout=seconds, **named)
            except Exception as error:
                raise self._with_folder(translate(error, doing, limit=seconds)) from error

    async def awaited(self, doing: str, ask: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """As ``call``, for calls that take ``_async``; awaited by an event loop, and sent once."""
        with quiet():
            try:
                future = ask(*args, timeout=self.timeout, _async=True, **named)
                if future._future is not None:  # else it failed before it was sent
                    await response(future._future)
                return future.result()
            except Exception as error:
                raise self._with_folder(translate(error, doing, limit=self.timeout)) from error

    def _with_folder(self, error: QadaptError) -> QadaptError:
        """Name the folder of Milvus Lite in the hint of a full disk."""
        if error.hint == SPACE and self.path is not None:
            error.hint = f"{SPACE}; its folder is {self.path}"
        return error

    def close(self) -> None:
        """Close the client unless the user passed it."""
        if self.owned and not self._closed:
            self._closed = True
            with quiet():
                self.client.close()
            if self.path is not None:
                lite_servers.remove_user(self.path)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the log messages of pymilvus for calls of this thread."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _ours.get()


def module() -> Any:
    """Import ``pymilvus`` on first use.

    Raises:
        MissingExtraError: pymilvus is not installed.
    """
    found, inner = (
        load_client(each, PACKAGE, "milvus") for each in (PACKAGE, f"{PACKAGE}.decorators")
    )
    # A logging filter applies only to the logger it is added to.
    theirs = (f"{PACKAGE}.client.{part}" for part in ("grpc_handler", "connection_manager"))
    for name in (inner.__name__, *theirs, "milvus_lite.server_manager"):
        logger = logging.getLogger(name)
        if _not_ours not in logger.filters:
            logger.addFilter(_not_ours)
    # It logs the traceback of each failed request from a thread of the engine. Without any handler,
    # Python prints that to the terminal.
    engine = logging.getLogger("milvus_lite.adapter.grpc.servicer")
    if not engine.handlers:
        engine.addHandler(logging.NullHandler())
    return found


def connect(address: Address) -> Connection:
    """Open a client for an address.

    Raises:
        AddressError, MissingExtraError, UnreachableError, BusyError, AuthError
    """
    checks.options(address, OPTIONS)
    timeout, consistency = _seconds(address), _level(address)
    pymilvus = module()
    if address.transport is None:
        return _open_lite(pymilvus, address, timeout, consistency)
    settings: dict[str, Any] = {"uri": address.url, "timeout": min(timeout, 15)}
    secret = address.secret()
    if secret:
        settings["token"] = secret
    if "database" in address.options:
        settings["db_name"] = address.options["database"]
    client = _made(pymilvus, settings, f"connect to {address}")
    cloud = address.host.endswith(_CLOUD_HOSTS)
    found = Connection(client, owned=True, cloud=cloud, timeout=timeout, consistency=consistency)
    _ask_version(found)
    return found


def _open_lite(
    pymilvus: Any, address: Address, timeout: int, consistency: str | None
) -> Connection:
    if address.location == MEMORY:
        raise AddressError(
            f"{address}: Milvus Lite needs a file name", hint="for example milvus:./notes.db"
        )
    if importlib.util.find_spec("milvus_lite") is None:
        raise MissingExtraError("milvus-lite", "lite", purpose="Milvus Lite (milvus:FILE.db)")
    path = address.path.resolve()  # one server per folder, however the path is written
    if path.suffix != ".db":
        raise AddressError(f"{address}: the file name must end in .db", hint=f"milvus:{path}.db")
    if not path.parent.is_dir():
        raise AddressError(
            f"{address}: the folder {path.parent} does not exist", hint=f"mkdir -p {path.parent}"
        )
    _check_database(address, path)
    forks.engine_starts(PACKAGE, str(address))
    lite_servers.add_user(path)
    try:
        settings = {"uri": str(path), "grpc_options": _NO_PINGS}
        client = _made(pymilvus, settings, f"open {address}")
    except BaseException as error:
        lite_servers.remove_user(path)
        if "Open local milvus failed" in str(error):
            raise BusyError(
                f"could not open {address}: Milvus Lite did not start",
                hint="only one process can open the file at a time: close the other one",
            ) from error
        raise
    found = Connection(client, owned=True, path=path, timeout=timeout, consistency=consistency)
    _ask_version(found)
    return found


def _check_database(address: Address, path: Path) -> None:
    """Refuse a path that is not a database before Milvus Lite starts a server for it.

    A database of Milvus Lite 3 is a folder; one of Milvus Lite 2 is a SQLite file.

    Raises:
        IntegrityError: the path is a file or folder of another kind.
    """
    old = int(importlib.metadata.version("milvus-lite").partition(".")[0]) < 3
    if path.is_dir():
        good = not old and (not any(path.iterdir()) or (path / "LOCK").is_file())
    elif path.is_file():
        with path.open("rb") as file:
            start = file.read(len(_SQLITE))
        good = old and start in (b"", _SQLITE)
        if start == _SQLITE and not old:
            raise IntegrityError(
                f"could not open {address}: the file was written by Milvus Lite 2, and the "
                "installed Milvus Lite 3 cannot read it",
                hint="install 'milvus-lite<3' to read it, or choose another file name",
            )
    else:
        good = True
    if not good:
        raise IntegrityError(
            f"could not open {address}: {path} is not a Milvus Lite database",
            hint="choose another file name; a file that does not exist is created",
        )


def _made(pymilvus: Any, settings: dict[str, Any], doing: str) -> Any:
    with quiet():
        try:
            return pymilvus.MilvusClient(**settings)
        except Exception as error:
            raise translate(error, doing) from error


def _ask_version(found: Connection) -> None:
    """Read the version, so that a wrong address fails on opening."""
    try:
        found.version  # noqa: B018
    except BaseException:
        found.close()
        raise


def _level(address: Address) -> str | None:
    text = address.options.get("consistency")
    if text is not None and text not in CONSISTENCY_LEVELS:
        raise AddressError.unknown(
            "consistency level", text, CONSISTENCY_LEVELS, where=str(address)
        )
    return text


def _seconds(address: Address) -> int:
    text = address.options.get("timeout", str(TIMEOUT))
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 86_400:
        raise AddressError(
            f"{address}: timeout must be a whole number of seconds, not {text!r}",
            hint="for example ?timeout=60",
        )
    return int(text)


def wrapped(client: Any) -> tuple[Address, Connection]:
    """A client passed by the user, and its address without credentials.

    Raises:
        UnsupportedError: an asynchronous client, or another type.
    """
    module()
    config = getattr(client, "_config", None)
    if type(client).__name__ != "MilvusClient" or config is None:
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="pass a synchronous pymilvus.MilvusClient (pymilvus 3 or newer)",
        )
    path = lite_servers.path_of(config)
    options = {"database": config.db_name} if config.db_name not in ("", "default") else {}
    if path is not None:
        return Address("milvus", None, str(path), options), Connection(
            client, owned=False, path=path
        )
    place = str(config.address)
    transport: Any = "https" if str(config.uri).startswith("https") else "http"
    cloud = place.partition(":")[0].endswith(_CLOUD_HOSTS)
    return Address("milvus", transport, place, options), Connection(
        client, owned=False, cloud=cloud
    )
