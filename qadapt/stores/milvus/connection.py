"""One ``MilvusClient``: opened from an address or brought by the user, and what is asked of it.

Facts that decide this module (docs/engines/milvus.md#pymilvus): a time-out is obeyed
everywhere only when it is an ``int``; without one pymilvus tries 75 times in silence; each of its
failures is also logged with a whole traceback, which is dropped here because the error is ours to
tell.
"""

from __future__ import annotations

import contextvars
import importlib.metadata
import importlib.util
import logging
import math
import sys
import threading
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
    UnsupportedError,
)
from qadapt.model.address import MEMORY, Address
from qadapt.model.capabilities import older
from qadapt.stores import checks
from qadapt.stores.client_imports import load
from qadapt.stores.milvus.errors import translate

PACKAGE = "pymilvus"
TIMEOUT = 60
OPTIONS = ("timeout", "key_env", "database", "consistency")
_SQLITE = b"SQLite format 3\0"
CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually")
SERVER, LITE, CLOUD = "server", "lite", "cloud"
_CLOUD_HOSTS = (".zillizcloud.com", ".zilliz.com.cn")
_LITE_VERSION = "milvus_lite-"
# pymilvus pings every 10 s. Lite's server takes a ping in 5 minutes, and cuts the connection at the
# third that it finds too many: a call of more than 200 s fails with "Too many pings", is made again
# by pymilvus, and never ends. A server in this process needs no pings (run with 3.0.2 and 3.2.2).
_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1, "grpc.keepalive_permit_without_calls": 0}
LITE_PYTHON = "3"

T = TypeVar("T")
_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("qadapt_milvus_call", default=False)


class Connection:
    """A client, whether it is ours to close, and calls whose errors are those of qadapt.

    Attributes:
        client: the ``MilvusClient``.
        owned: closed by ``close``.
        path: the folder of Milvus Lite; None for a server, or where it can't be told.
        timeout: seconds that one call may take.
        consistency: the level of searches; None for each collection's own.
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
            # Milvus Lite 2 does not tell it.
            if self.path is None:
                raise
            return _LITE_VERSION + importlib.metadata.version("milvus-lite")

    @property
    def version(self) -> str:
        """The server's version as it tells it, without ``v`` and without Lite's own name."""
        return self._reported.removeprefix(_LITE_VERSION).removeprefix("v")

    @property
    def deployment(self) -> str:
        """``server``, ``lite`` or ``cloud``. The package ``milvus`` calls its server
        ``v2.3.5-lite``; it is a real one."""
        if self._reported.startswith(_LITE_VERSION):
            return LITE
        return CLOUD if self._cloud else SERVER

    @property
    def lite(self) -> bool:
        """Whether this is Milvus Lite."""
        return self.deployment == LITE

    @property
    def old_lite(self) -> bool:
        """Whether this is Milvus Lite 2, which is another program, in C++."""
        return self.lite and older(self.version, LITE_PYTHON)

    def call(
        self,
        doing: str,
        function: Callable[..., T],
        *args: Any,
        within: float | None = None,
        **named: Any,
    ) -> T:
        """Call the client with a time limit; its errors become those of qadapt.

        Args:
            doing: what was asked, for the message.
            within: seconds; sent as a whole number, because floats are not obeyed.
        """
        seconds = self.timeout if within is None else max(1, math.ceil(within))
        with quiet():
            try:
                return function(*args, timeout=seconds, **named)
            except Exception as error:
                raise translate(error, doing, limit=seconds) from error

    def close(self) -> None:
        """Close a client of ours; one that the user brought stays open."""
        if self.owned and not self._closed:
            self._closed = True
            with quiet():
                self.client.close()
            if self.path is not None:
                _give_back(self.path)


@contextmanager
def quiet() -> Iterator[None]:
    """Without pymilvus' own log lines of this thread's calls."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _not_ours(_: logging.LogRecord) -> bool:
    return not _ours.get()


def module() -> Any:
    """The module ``pymilvus``, imported when it is first needed.

    Raises:
        MissingExtraError
    """
    try:
        found, inner = load(PACKAGE), load(f"{PACKAGE}.decorators")
    except ImportError as error:
        raise MissingExtraError(PACKAGE, "milvus", purpose="the store 'milvus'") from error
    # A filter acts on the logger that it is given to alone.
    theirs = (f"{PACKAGE}.client.{part}" for part in ("grpc_handler", "connection_manager"))
    for name in (inner.__name__, *theirs, "milvus_lite.server_manager"):
        logger = logging.getLogger(name)
        if _not_ours not in logger.filters:
            logger.addFilter(_not_ours)
    return found


def connect(address: Address) -> Connection:
    """A client of ours for an address.

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
            f"{address}: Milvus Lite keeps its data in a file", hint="for example milvus:./notes.db"
        )
    if importlib.util.find_spec("milvus_lite") is None:
        raise MissingExtraError("milvus-lite", "lite", purpose="Milvus Lite (milvus:FILE.db)")
    path = address.path.resolve()  # one server for all spellings of the path
    if path.suffix != ".db":
        raise AddressError(
            f"{address}: the file of Milvus Lite must end in .db", hint=f"milvus:{path}.db"
        )
    if not path.parent.is_dir():
        raise AddressError(f"{address}: there is no folder {path.parent}", hint="make it first")
    _check_database(address, path)
    _take(path)
    try:
        settings = {"uri": str(path), "grpc_options": _NO_PINGS}
        client = _made(pymilvus, settings, f"open {address}")
    except Exception as error:
        _give_back(path)
        if "Open local milvus failed" in str(error):
            raise BusyError(
                f"could not open {address}: Milvus Lite did not start",
                hint="one process at a time may have the file open: close the other one",
            ) from error
        raise
    found = Connection(client, owned=True, path=path, timeout=timeout, consistency=consistency)
    _ask_version(found)
    return found


def _check_database(address: Address, path: Path) -> None:
    """Refuse what is no database before Milvus Lite starts a server on it.

    Milvus Lite keeps a database in a folder since 3.0, and in a SQLite file before.

    Raises:
        IntegrityError: a file or folder of another kind has that name.
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
                f"could not open {address}: it is a file of Milvus Lite 2, and version 3 is "
                "installed, which cannot read it",
                hint="install 'milvus-lite<3' to read it, or choose another name",
            )
    else:
        good = True
    if not good:
        raise IntegrityError(
            f"could not open {address}: {path} is not a database of Milvus Lite",
            hint="choose another name; a new database is made where there is nothing yet",
        )


def _made(pymilvus: Any, settings: dict[str, Any], doing: str) -> Any:
    with quiet():
        try:
            return pymilvus.MilvusClient(**settings)
        except Exception as error:
            raise translate(error, doing) from error


def _ask_version(found: Connection) -> None:
    """Ask now, so that a wrong address fails here."""
    try:
        found.version  # noqa: B018
    except Exception:
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
    if not text.isdecimal() or not 1 <= int(text) <= 86_400:
        raise AddressError(f"{address}: timeout is a whole number of seconds; got {text!r}")
    return int(text)


def wrapped(client: Any) -> tuple[Address, Connection]:
    """A client that the user brought, and where it is connected to; no key in the address.

    Raises:
        UnsupportedError: an asynchronous client, or none at all.
    """
    module()
    config = getattr(client, "_config", None)
    if type(client).__name__ != "MilvusClient" or config is None:
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="give a synchronous pymilvus.MilvusClient of pymilvus 3 or newer",
        )
    path = _lite_path(config)
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


def _lite_path(config: Any) -> Path | None:
    """The folder of a Lite server in this process; None for another server."""
    host, _, port = str(config.address).rpartition(":")
    if host != "127.0.0.1" or "milvus_lite.server_manager" not in sys.modules:
        return None
    for path, (_, _, number) in _lite_servers().items():
        if str(number) == port:
            return Path(path)
    return None


# -- servers of Milvus Lite in this process ------------------------------------------------------


def _lite_servers() -> dict[str, Any]:
    """Those that run, by folder."""
    manager = load("milvus_lite.server_manager").server_manager_instance
    return dict(getattr(manager, "_servers", {}))


_users: dict[Path, int] = {}
_lock = threading.Lock()


def _take(path: Path) -> None:
    """Count a user of a Lite server that we started; one that runs already is not ours to end."""
    with _lock:
        if path in _users or str(path) not in _lite_servers():
            _users[path] = _users.get(path, 0) + 1


def _give_back(path: Path) -> None:
    """End a Lite server that we started and nobody of ours uses any more.

    Closing a client leaves it running, and its folder locked, until the process ends.
    """
    with _lock:
        if path not in _users:
            return
        _users[path] -= 1
        if _users[path] > 0:
            return
        del _users[path]
        manager = load("milvus_lite.server_manager").server_manager_instance
        manager.release_server(str(path))
