"""A ``QdrantClient``, opened from an address or by the user, and its requests.

Points are read with the client's typed calls, which are the same over REST, over gRPC and in local
mode. Searches and upserts over REST are raw JSON, which is several times faster. Requests for
configuration and inspection are raw JSON over REST too, through the same httpx client (its base
URL, key, timeout and transport), because the typed client drops fields that it does not know and
fails on telemetry and optimizations of other versions. A ``qdrant+grpc`` address therefore needs
the server's REST port as well: 6333, or ``?rest=PORT``.
"""

from __future__ import annotations

import importlib.metadata
import logging
import re
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import to_json

from qadapt.errors import (
    AddressError,
    BusyError,
    InputError,
    StoreError,
    UnsupportedError,
)
from qadapt.model.address import MEMORY, Address
from qadapt.model.credentials import header_key
from qadapt.stores import checks
from qadapt.stores.awaited import LoopClients
from qadapt.stores.client_imports import load, load_client, quiet, silence
from qadapt.stores.qdrant.server.errors import translate, with_retries
from qadapt.used_keys import remember

PACKAGE = "qdrant_client"
DISTRIBUTION = "qdrant-client"
TIMEOUT = 60
SERVER, LOCAL = "server", "local"
OPTIONS = ("timeout", "key_env", "grpc", "rest")

_JSON = {"content-type": "application/json"}

_log = logging.getLogger("qadapt.qdrant")


class Connection:
    """A client with calls whose errors are translated to those of qadapt.

    Attributes:
        client: the ``QdrantClient``.
        owned: whether ``close`` closes the client.
        loop_clients: asynchronous clients of the same server; None in local mode and for a client
            that the user opened.
        sleep: waits between attempts; tests may replace it.
    """

    def __init__(
        self, client: Any, *, owned: bool, loop_clients: LoopClients[Any] | None = None
    ) -> None:
        self.client = client
        self.owned = owned
        self.loop_clients = loop_clients
        self.sleep: Callable[[float], None] = time.sleep
        if key := getattr(client._client, "_api_key", None):
            remember(key)
        # A warning of local mode with more than 20,000 points, at each write.
        silence("Local mode is not recommended", __name__)

    @cached_property
    def local(self) -> bool:
        """Whether this is the client's local mode, which has no server.

        docs/engines/qdrant.md#local-mode
        """
        module = load("qdrant_client.local.qdrant_local")
        return isinstance(self.client._client, module.QdrantLocal)

    @property
    def in_memory(self) -> bool:
        """Whether local mode stores nothing on disk."""
        return not getattr(self.client._client, "persistent", True)

    @property
    def deployment(self) -> str:
        """The deployment: a server or local mode."""
        return LOCAL if self.local else SERVER

    @property
    def grpc(self) -> bool:
        """Whether points are sent over gRPC."""
        return bool(getattr(self.client._client, "_prefer_grpc", False))

    @property
    def timeout(self) -> float | None:
        """The timeout of a gRPC request in seconds."""
        found: float | None = getattr(self.client._client, "_timeout", None)
        return found

    @cached_property
    def version(self) -> str | None:
        """The server's version; None in local mode. Requires no key.

        Raises:
            UnreachableError
            StoreError: the server is not Qdrant.
        """
        if self.local:
            return None
        doing = f"read the server's version at {address_of(self.client)}"
        found = self.ask("GET", "/", doing=doing, whole=True)
        version = found.get("version") if isinstance(found, dict) else None
        if not isinstance(version, str):
            raise StoreError(
                "the server is not Qdrant: it returned no version",
                hint="check the address (default REST port: 6333)",
            )
        if self.note(version):
            _log.warning("%s", self.note(version))
        return version

    def note(self, version: str) -> str | None:
        """A note that replaces the client's warning if its version is far from the server's."""
        client = importlib.metadata.version(DISTRIBUTION)
        ours, theirs = _major_minor(client), _major_minor(version)
        if ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1:
            return None
        return (
            f"qdrant-client {client} and server {version} are more than one minor version apart; "
            "qadapt is not affected, because it reads configuration and telemetry as raw JSON"
        )

    def call(self, doing: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run an idempotent typed call of the client: reads, and writes by id."""

        def once() -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                raise translate(error, doing) from error

        return with_retries(once, repeatable=True, sleep=self.sleep)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        doing: str,
        names: dict[str, str] | None = None,
        whole: bool = False,
        repeatable: bool | None = None,
    ) -> Any:
        """Send a request in raw JSON and return its ``result``.

        Args:
            path: with ``{name}`` for each of ``names``, which are quoted.
            whole: return the whole response instead of its ``result``.
            repeatable: the request is idempotent; by default true for GET.
        """
        api = self.client.http.client
        content = {} if body is None else {"content": to_json(body), "headers": _JSON}
        again = method == "GET" if repeatable is None else repeatable

        def once() -> Any:
            try:
                return api.request(
                    type_=Any, method=method, url=path, path_params=names or {}, **content
                )
            except Exception as error:
                raise translate(error, doing) from error

        return _result(with_retries(once, repeatable=again, sleep=self.sleep), doing, whole=whole)

    async def awaited(
        self, method: str, path: str, body: Any, *, doing: str, names: dict[str, str]
    ) -> Any:
        """As ``ask``, by one of ``loop_clients``, and sent once."""
        assert self.loop_clients is not None
        api = self.loop_clients.get().http.client
        content = {"content": to_json(body), "headers": _JSON}
        try:
            found = await api.request(
                type_=Any, method=method, url=path, path_params=names, **content
            )
        except Exception as error:
            raise translate(error, doing) from error
        return _result(found, doing)

    async def awaited_grpc(self, doing: str, method: str, request: Any) -> Any:
        """The response of a method of the points service, by one of ``loop_clients``."""
        assert self.loop_clients is not None
        call = getattr(self.loop_clients.get().grpc_points, method)
        try:
            return await call(request, timeout=self.timeout)
        except Exception as error:
            raise translate(error, doing) from error

    def close(self) -> None:
        """Close the client, unless the user opened it."""
        if self.owned:
            with quiet(every=True):
                self.client.close()


def _result(found: Any, doing: str, *, whole: bool = False) -> Any:
    """The result of a response in JSON, or the whole response."""
    if not isinstance(found, dict) or (not whole and found.get("result") is None):
        raise StoreError(
            f"could not {doing}: the response contains no result",
            hint="check that the address is that of a Qdrant server, and check proxies in between",
        )
    return found if whole else found["result"]


def module() -> Any:
    """Import ``qdrant_client`` when it is first needed.

    Raises:
        MissingExtraError
    """
    return load_client(PACKAGE, DISTRIBUTION, "qdrant")


def connect(address: Address) -> Connection:
    """Open a client for an address and read the server's version.

    Raises:
        AddressError, MissingExtraError, UnreachableError, BusyError
    """
    checks.options(address, OPTIONS)
    client = module()
    # `note` and the address report its warnings (another version, a key without TLS).
    if address.transport is None:
        with quiet(every=True):
            opened = _open_local(client, address)
        return Connection(opened, owned=True)
    secret = header_key(address)
    settings = {**_server_settings(address), "api_key": secret}
    with quiet(every=True):
        opened = client.QdrantClient(**settings)

    def open_for_loop() -> Any:
        with quiet(every=True):
            return client.AsyncQdrantClient(**settings)

    async def close(loop_client: Any) -> None:
        await loop_client.close()

    found = Connection(opened, owned=True, loop_clients=LoopClients(open_for_loop, close))
    try:
        found.version  # noqa: B018  # asked now, so that a wrong address fails here
    except BaseException:
        found.close()
        raise
    return found


def _open_local(client: Any, address: Address) -> Any:
    if address.location == MEMORY:
        return client.QdrantClient(location=MEMORY)
    if address.path.exists() and not address.path.is_dir():
        raise AddressError(
            f"{address}: the path is a file", hint="the DIR of qdrant:DIR must be a folder"
        )
    try:
        return client.QdrantClient(path=str(address.path))
    except RuntimeError as error:
        raise BusyError(
            f"could not open {address}: {error}", hint="only one process at a time can open it"
        ) from error


def _major_minor(version: str) -> tuple[int, int]:
    found = re.match(r"\D*(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _server_settings(address: Address) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "timeout": checks.number(address, "timeout", TIMEOUT),
        "check_compatibility": False,
    }
    if address.transport == "grpc":
        host = f"[{address.host}]" if ":" in address.host else address.host
        rest = f"http://{host}:{checks.number(address, 'rest', 6333)}"
        return {**settings, "url": rest, "prefer_grpc": True, "grpc_port": address.port}
    if "rest" in address.options:
        raise AddressError(
            f"{address}: rest= is valid only in qdrant+grpc addresses",
            hint="for example qdrant+grpc://localhost:6334?rest=6333",
        )
    settings["url"] = address.url
    if "grpc" in address.options:
        settings.update(prefer_grpc=True, grpc_port=checks.number(address, "grpc", 6334))
    return settings


def address_of(client: Any) -> Address:
    """The address of a client that the user opened, without its key.

    Raises:
        UnsupportedError: an asynchronous client.
    """
    module()
    inner = getattr(client, "_client", None)
    if type(client).__name__ != "QdrantClient" or inner is None:
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="pass a synchronous qdrant_client.QdrantClient",
        )
    if hasattr(inner, "location"):
        return Address("qdrant", None, str(inner.location))
    parts = urlsplit(inner.rest_uri)
    location = parts.netloc + parts.path.rstrip("/")
    return Address("qdrant", "https" if parts.scheme == "https" else "http", location)


def check_name(name: str) -> str:
    """Check that a collection name can be used in a path.

    Raises:
        InputError
    """
    if not isinstance(name, str) or not 1 <= len(name) <= 255 or name in (".", ".."):
        raise InputError(f"{name!r} is not a valid collection name", hint="1 to 255 characters")
    bad = sorted(set(name) & set('<>:"/\\|?*\0\x1f'))
    if bad:
        raise InputError(
            f"{name!r} is not a valid collection name: it contains {' '.join(map(repr, bad))}",
            hint="choose a name such as 'articles'",
        )
    return name
