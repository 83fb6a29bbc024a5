"""The connection: a ``WeaviateClient``, opened from an address or given by the user.

Schema, nodes and aliases use REST with raw JSON, because the typed client loses fields
(docs/engines/weaviate.md#python-client). Rows and searches use the server's gRPC messages on the
client's channel, with its headers: vectors stay bytes of numpy arrays, each call has a time limit,
and the client's own retries (up to a minute without output if a server is down) are skipped. The
client's checks at start are skipped too, because one of them queries a package index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from qadapt.errors import (
    AddressError,
    StoreError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model.address import Address
from qadapt.model.credentials import header_key
from qadapt.stores import checks
from qadapt.stores.awaited import response
from qadapt.stores.client_imports import load_client
from qadapt.stores.weaviate.errors import by_status, closed, translate, with_retries

PACKAGE = "weaviate"
DISTRIBUTION = "weaviate-client"
TIMEOUT = 60
GRPC_PORT = 50051
CONNECT_SECONDS = 10
MAX_MESSAGE = 10 << 20
OPTIONS = ("timeout", "key_env", "grpc")
SERVER, CLOUD = "server", "cloud"
_CLOUD_HOSTS = (".weaviate.network", ".weaviate.cloud", ".semi.technology")

# By default, a channel that lost its server waits for up to two minutes before it reconnects.
_RECONNECT = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

T = TypeVar("T")


class Connection:
    """A client, and calls whose errors are converted to qadapt's.

    Attributes:
        client: the ``WeaviateClient``.
        owned: whether ``close`` closes the client.
        timeout: time limit of one request, in seconds.
        sleep: waits between attempts; tests may replace it.
    """

    def __init__(
        self, client: Any, *, owned: bool, timeout: float = TIMEOUT, cloud: bool = False
    ) -> None:
        self.client = client
        self.owned = owned
        self.timeout = timeout
        self.deployment = CLOUD if cloud else SERVER
        self.sleep: Callable[[float], None] = time.sleep

    # -- server ------------------------------------------------------------------------------

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        """The server's metadata."""
        found = self.rest("GET", "/v1/meta", doing="read the server's version")
        if not isinstance(found, dict) or not isinstance(found.get("version"), str):
            raise StoreError(
                "the server there is not Weaviate: it reports no version",
                hint="check the address; the REST port is 8080 by default",
            )
        return found

    @property
    def version(self) -> str:
        """The server's version."""
        return str(self.meta["version"])

    @property
    def max_message(self) -> int:
        """Largest gRPC message in bytes; 10 MB if the server does not report a limit."""
        return int(self.meta.get("grpcMaxMessageSize") or MAX_MESSAGE)

    # -- requests ----------------------------------------------------------------------------

    def rest(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        doing: str,
        params: Mapping[str, Any] | None = None,
        within: float | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """Send a REST request in raw JSON, and return the response; None if it has no body.

        Args:
            path: such as ``/v1/schema/Articles``.
            doing: the action, for error messages: ``"read the schema of 'Articles'"``.
            within: time limit in seconds; ``timeout`` by default.
            repeatable: whether the request is idempotent; a GET is by default.
        """
        again = method == "GET" if repeatable is None else repeatable

        def once() -> Any:
            wire = self.client._connection
            if wire._client is None:
                raise closed(doing)
            token = wire.get_current_bearer_token()
            try:
                answer = wire._client.request(
                    method,
                    wire.url + path,
                    json=body,
                    params=params,
                    headers={**wire._headers, **({"authorization": token} if token else {})},
                    timeout=within or self.timeout,
                )
            except Exception as error:
                raise translate(error, doing) from error
            if answer.status_code >= 300:
                raise by_status(answer.status_code, answer.text, doing)
            if not answer.content:
                return None
            try:
                return answer.json(parse_int=_whole)
            except ValueError:
                raise StoreError(
                    f"could not {doing}: the response is not JSON",
                    hint="check the address; the REST port is 8080 by default",
                ) from None

        return with_retries(once, repeatable=again, sleep=self.sleep)

    def call(self, doing: str, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run a typed call of the client once, and convert its errors to qadapt's."""
        try:
            return function(*args, **named)
        except Exception as error:
            raise translate(error, doing) from error

    def ask(
        self,
        method: str,
        request: Any,
        *,
        doing: str,
        within: float | None = None,
        repeatable: bool = True,
    ) -> Any:
        """Send a gRPC request, and return the response.

        Args:
            method: ``Search``, ``Aggregate``, ``BatchObjects`` or ``BatchDelete``.
            within: time limit in seconds; ``timeout`` by default.
            repeatable: whether the request is idempotent.
        """

        def once() -> Any:
            try:
                return self._method(method)(
                    request, metadata=self._headers, timeout=within or self.timeout
                )
            except Exception as error:
                raise translate(error, doing) from error

        return with_retries(once, repeatable=repeatable, sleep=self.sleep)

    def ask_many(
        self, method: str, requests: Iterable[Any], *, doing: str, at_once: int = 16
    ) -> Iterator[Any]:
        """Yield gRPC responses in the order of the requests, several of which run at a time.

        A failed request is repeated alone, as by ``ask``; the first final error is raised.
        """
        waiting: list[tuple[Any, Any]] = []
        try:
            for request in requests:
                waiting.append((request, self._start(method, request, doing)))
                if len(waiting) >= at_once:
                    yield self._finish(method, *waiting.pop(0), doing)
            while waiting:
                yield self._finish(method, *waiting.pop(0), doing)
        finally:
            for _, future in waiting:
                future.cancel()

    def _start(self, method: str, request: Any, doing: str) -> Any:
        try:
            call = self._method(method)
            return call.future(request, metadata=self._headers, timeout=self.timeout)
        except Exception as error:
            raise translate(error, doing) from error

    def _finish(self, method: str, request: Any, future: Any, doing: str) -> Any:
        first = [future]

        def once() -> Any:
            try:
                if first:
                    return first.pop().result()
                return self._method(method)(request, metadata=self._headers, timeout=self.timeout)
            except Exception as error:
                raise translate(error, doing) from error

        return with_retries(once, repeatable=True, sleep=self.sleep)

    async def awaited(self, method: str, request: Any, *, doing: str) -> Any:
        """As ``ask``, awaited by an event loop, and sent once."""
        call = self._start(method, request, doing)
        try:
            return await response(call)
        except Exception as error:
            raise translate(error, doing) from error

    def _method(self, name: str) -> Any:
        """The client's own call; raises if the client is closed."""
        return getattr(self.client._connection.grpc_stub, name)

    @property
    def _headers(self) -> Any:
        return self.client._connection.grpc_headers()

    def check_grpc(self) -> None:
        """Check that the gRPC port responds.

        Raises:
            UnreachableError
        """
        channel = self.client._connection._grpc_channel
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        try:
            check(b"", timeout=CONNECT_SECONDS)
        except Exception as error:
            place = self.client._connection._connection_params.grpc
            raise UnreachableError(
                f"Weaviate answers on REST, but no gRPC server at {place.host}:{place.port}",
                hint=f"add the server's gRPC port to the address: ?grpc={GRPC_PORT}",
            ) from error

    def close(self) -> None:
        """Close the client if qadapt opened it; one given by the user stays open."""
        if self.owned:
            self.client.close()


def _whole(text: str) -> int | float:
    """Parse an integer of JSON; the server writes the float -0.0 as ``-0``."""
    return -0.0 if text == "-0" else int(text)


def module(name: str = "") -> Any:
    """Import ``weaviate``, or one of its modules, on first use.

    Raises:
        MissingExtraError
    """
    return load_client(f"{PACKAGE}.{name}" if name else PACKAGE, DISTRIBUTION, "weaviate")


def proto() -> Any:
    """The client's messages of the server's gRPC service."""
    return module("proto.v1")


def connect(address: Address) -> Connection:
    """Connect to an address, and check both ports.

    Raises:
        AddressError, MissingExtraError, UnreachableError, AuthError
    """
    checks.options(address, OPTIONS)
    client = _made(address, header_key(address))
    doing = f"connect to {address}"
    try:
        client.connect()
    except Exception as error:
        client.close()
        # Another server answered 200: no JSON, or JSON without a version.
        odd = type(error).__name__ == "ResponseCannotBeDecodedError"
        if odd or isinstance(error, (KeyError, ValueError)):
            raise StoreError(
                f"could not {doing}: the server there is not Weaviate",
                hint="check the address; the REST port is 8080 by default",
            ) from error
        raise translate(error, doing) from error
    found = Connection(
        client, owned=True, timeout=_timeout(address), cloud=address.host.endswith(_CLOUD_HOSTS)
    )
    try:
        found.check_grpc()
    except BaseException:
        found.close()
        raise
    return found


def _made(address: Address, secret: str | None) -> Any:
    if address.transport not in ("http", "https"):
        raise AddressError(
            f"{address}: the address of a Weaviate server needs its REST port",
            hint=f"for example weaviate+http://localhost:8080?grpc={GRPC_PORT}",
        )
    if "/" in address.location:
        raise AddressError(
            f"{address}: the client knows no path behind the host", hint="remove the path"
        )
    weaviate = module()
    settings, auth = module("classes.init"), module("auth")
    secure = address.transport == "https"
    cloud = address.host.endswith(_CLOUD_HOSTS)
    grpc_host = f"grpc-{address.host}" if cloud else address.host
    grpc_port = checks.number(address, "grpc", 443 if cloud else GRPC_PORT)
    if grpc_port == address.port and not cloud:
        raise AddressError(
            f"{address}: REST and gRPC cannot have the same port",
            hint=f"by default, REST uses 8080 and gRPC {GRPC_PORT}",
        )
    bracket = "[{}]" if ":" in address.host else "{}"
    timeout = _timeout(address)
    more = {}
    if hasattr(settings, "GrpcConfig"):  # not in older clients
        more["grpc_config"] = settings.GrpcConfig(channel_options=_RECONNECT)
    return weaviate.WeaviateClient(
        connection_params=module("connect").ConnectionParams.from_params(
            http_host=bracket.format(address.host),
            http_port=address.port,
            http_secure=secure,
            grpc_host=bracket.format(grpc_host),
            grpc_port=grpc_port,
            grpc_secure=secure,
        ),
        auth_client_secret=auth.AuthApiKey(api_key=secret) if secret else None,
        additional_config=settings.AdditionalConfig(
            timeout=settings.Timeout(init=CONNECT_SECONDS, query=timeout, insert=timeout), **more
        ),
        skip_init_checks=True,
    )


def _timeout(address: Address) -> int:
    return checks.number(address, "timeout", TIMEOUT)


def wrapped(client: Any) -> tuple[Address, Connection]:
    """Wrap a user's client, and return its address, without the key, and the connection.

    Raises:
        UnsupportedError: the client is asynchronous or not connected.
    """
    module()
    if type(client).__name__ != "WeaviateClient":
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="pass a synchronous weaviate.WeaviateClient",
        )
    if not client.is_connected():
        raise UnsupportedError(
            "the WeaviateClient is not connected", hint="call client.connect() first"
        )
    wire = client._connection
    place = wire._connection_params
    host = f"{place.http.host}:{place.http.port}"
    options = {}
    if place.grpc.port != GRPC_PORT:
        options["grpc"] = str(place.grpc.port)
    address = Address("weaviate", "https" if place.http.secure else "http", host, options)
    timeout = wire.timeout_config.query
    cloud = place.http.host.endswith(_CLOUD_HOSTS)
    return address, Connection(client, owned=False, timeout=timeout, cloud=cloud)
