"""Requests to a server through its Python client."""

from __future__ import annotations

import abc
import importlib.util
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

from qadapt.errors import AddressError, StoreError, UnsupportedError
from qadapt.model.address import Address
from qadapt.stores import checks, client_imports
from qadapt.stores.awaited import LoopClients
from qadapt.stores.elastic.errors import Refused, refused, timed_out, unreachable, with_retries

TIMEOUT = 60
JSON, LINES = "application/json", "application/x-ndjson"
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Wire(abc.ABC):
    """Sends requests to a server.

    Attributes:
        loop_clients: asynchronous clients of the same server; None if there are none.
    """

    loop_clients: LoopClients[Any] | None = None

    @abc.abstractmethod
    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: bytes | None,
        content_type: str,
        timeout: float | None,
        doing: str,
    ) -> Any:
        """Send one request without retries, and return the parsed answer.

        Args:
            timeout: time limit in seconds; None for that of the client.

        Raises:
            Refused: the server answered with an error.
            QadaptError: it did not answer.
        """

    async def awaited(
        self,
        client: Any,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: bytes,
        doing: str,
    ) -> Any:
        """As ``send`` with JSON, by one of ``loop_clients``."""
        raise NotImplementedError("only a wire with loop_clients awaits requests")

    @abc.abstractmethod
    def close(self) -> None:
        """Close the client."""


class Connection:
    """A client, and requests whose errors are converted to qadapt's.

    Attributes:
        owned: whether ``close`` closes the client.
        deployment: ``server`` or another deployment of the product.
        sleep: waits between attempts; tests may replace it.
    """

    def __init__(self, wire: Wire, *, owned: bool, deployment: str = "server") -> None:
        self.wire = wire
        self.owned = owned
        self.deployment = deployment
        self.sleep: Callable[[float], None] = time.sleep

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        doing: str,
        params: Mapping[str, Any] | None = None,
        within: float | None = None,
        repeatable: bool = True,
    ) -> Any:
        """Send a request with a JSON body, and return the parsed answer.

        Args:
            body: JSON, or bytes that are JSON.
            doing: the action, for error messages, such as ``"read the mapping of 'articles'"``.
            within: time limit in seconds.
            repeatable: whether the request is idempotent.

        Raises:
            QadaptError
        """
        sent = body if body is None or isinstance(body, bytes) else dumped(body)
        return self._send(method, path, sent, JSON, doing, params, within, repeatable)

    async def awaited(
        self, method: str, path: str, body: bytes, *, doing: str, params: Mapping[str, Any]
    ) -> Any:
        """As ``ask``, awaited by an event loop, and sent once."""
        assert self.wire.loop_clients is not None
        client = self.wire.loop_clients.get()
        try:
            answer = await self.wire.awaited(client, method, path, params, body, doing)
        except Refused as error:
            raise refused(error, doing) from None
        return _json_object(answer, doing)

    def lines(
        self,
        path: str,
        body: bytes,
        *,
        doing: str,
        params: Mapping[str, Any] | None = None,
        repeatable: bool = True,
    ) -> Any:
        """Send lines of JSON: bulk requests and several searches."""
        return self._send("POST", path, body, LINES, doing, params, None, repeatable)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
        doing: str,
        params: Mapping[str, Any] | None,
        within: float | None,
        repeatable: bool,
    ) -> Any:
        def once() -> Any:
            try:
                return self.wire.send(method, path, params or {}, body, content_type, within, doing)
            except Refused as error:
                raise refused(error, doing) from None

        return _json_object(with_retries(once, repeatable=repeatable, sleep=self.sleep), doing)

    def found(self, path: str, *, doing: str, params: Mapping[str, Any] | None = None) -> Any:
        """The answer of a GET; None for status 404."""

        def once() -> Any:
            try:
                return self.wire.send("GET", path, params or {}, None, JSON, None, doing)
            except Refused as error:
                if error.status == 404:
                    return None
                raise refused(error, doing) from None

        return with_retries(once, repeatable=True, sleep=self.sleep)

    @cached_property
    def root(self) -> Mapping[str, Any]:
        """The answer of ``GET /``; empty where the server does not have it.

        The server of the tests has none (docs/engines/elasticsearch.md#test-server).
        """
        try:
            answer = self.wire.send("GET", "/", {}, None, JSON, None, "read the server's version")
        except Refused as error:
            if error.status in (404, 405):
                return {}
            raise refused(error, "read the server's version") from None
        return answer if isinstance(answer, Mapping) else {}

    @cached_property
    def version(self) -> str:
        """The version of the server; of the oldest node where only nodes report one."""
        told = self.root.get("version")
        if isinstance(told, Mapping) and told.get("number"):
            return str(told["number"])
        answer = self.ask(
            "GET",
            "/_nodes",
            params={"filter_path": "nodes.*.version"},
            doing="read the server's version",
        )
        found = [str(node["version"]) for node in (answer.get("nodes") or {}).values()]
        if not found:
            raise StoreError(
                "the server reports no version",
                hint="check the address, and that the key has the privilege `monitor`",
            )
        return min(found, key=_numbers)

    def close(self) -> None:
        """Close the client if qadapt opened it; one given by the user stays open."""
        if self.owned:
            self.wire.close()


class ClientWire(Wire):
    """The client of one product, opened from an address or given by the user.

    Attributes:
        store: name of the store, of its extra and of its addresses.
        packages: the package of the client, and others whose errors it raises.
        distribution: the name by which pip installs the package.
        kind: class of the synchronous client.
        options: options of an address.
        client: the client.
    """

    store: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    distribution: ClassVar[str]
    kind: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ("timeout", "key_env", "ca_certs", "fingerprint", "user")

    def __init__(self, client: Any, loop_clients: LoopClients[Any] | None = None) -> None:
        self.client = client
        self.loop_clients = loop_clients

    @classmethod
    def connect(cls, address: Address) -> Connection:
        """Connect to an address.

        Raises:
            AddressError, MissingExtraError, UnreachableError, AuthError
            StoreError: the server is another product.
        """
        checks.options(address, cls.options)
        module = client_imports.load_client(cls.packages[0], cls.distribution, cls.store)
        timeout = checks.number(address, "timeout", TIMEOUT)
        options: dict[str, Any] = {"max_retries": 0, "retry_on_timeout": False}
        for name, option in ("ca_certs", "ca_certs"), ("fingerprint", "ssl_assert_fingerprint"):
            if name in address.options:
                options[option] = address.options[name]
        # Only OpenSearch's client has an error of its own for wrong options.
        invalid = (TypeError, ValueError, getattr(module, "ImproperlyConfigured", ValueError))
        new = partial(cls.new_client, address=address, timeout=timeout, options=options)
        try:
            client = new(getattr(module, cls.kind))
        except AddressError:
            raise  # about the key
        except invalid as error:
            example = f"for example {cls.store}+http://localhost:9200"
            raise AddressError(f"{address}: {error}", hint=example) from error
        loop_clients = None
        if importlib.util.find_spec("aiohttp") is not None:  # an extra of both clients
            loop_clients = LoopClients(lambda: new(getattr(module, f"Async{cls.kind}")), _closed)
        connection = Connection(cls(client, loop_clients), owned=True)
        try:
            cls.check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @classmethod
    def wrapped(cls, client: Any) -> tuple[Address, Connection]:
        """A user's client, and its address without keys.

        Raises:
            UnsupportedError: the client is asynchronous.
            StoreError: the server is another product.
        """
        if type(client).__name__ != cls.kind:
            raise UnsupportedError(
                f"a {type(client).__name__} cannot be wrapped",
                hint=f"pass a synchronous {cls.packages[0]}.{cls.kind}",
            )
        scheme, place = cls.location(client)
        connection = Connection(cls(client), owned=False)
        cls.check(connection)
        return Address(cls.store, "https" if scheme == "https" else "http", place), connection

    @classmethod
    @abc.abstractmethod
    def new_client(
        cls, kind: Any, address: Address, timeout: float, options: Mapping[str, Any]
    ) -> Any:
        """A client of an address.

        Args:
            kind: class of the client, synchronous or asynchronous.
            timeout: time limit of a request in seconds.
            options: keyword arguments that both clients have.
        """

    @classmethod
    @abc.abstractmethod
    def location(cls, client: Any) -> tuple[str, str]:
        """Scheme of a client's server, and its host, port and path."""

    @classmethod
    @abc.abstractmethod
    def check(cls, connection: Connection) -> None:
        """Check which product the server is, and set the deployment.

        Raises:
            StoreError: it is another product.
        """

    def translated(self, error: Exception, doing: str) -> Exception:
        """The error of qadapt for one of the client; other errors unchanged."""
        if type(error).__module__.partition(".")[0] not in self.packages:
            return error
        name = type(error).__name__
        if name == "ConnectionTimeout":
            return timed_out(doing)
        if name in ("ConnectionError", "TlsError", "SSLError"):
            return unreachable(doing, str(error))
        return StoreError(f"could not {doing}: {name}: {error}", hint="check the address")

    def close(self) -> None:
        self.client.close()


def _json_object(answer: Any, doing: str) -> Any:
    """The answer.

    Raises:
        StoreError: it is no JSON object.
    """
    if not isinstance(answer, Mapping):
        raise StoreError(
            f"could not {doing}: the response is not a JSON object",
            hint="check the address: another server or a proxy may have answered",
        )
    return answer


async def _closed(client: Any) -> None:
    await client.close()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("-")[0].split(".") if part.isdecimal()]


def dumped(value: Any) -> bytes:
    """Compact JSON as bytes."""
    return _ENCODER.encode(value).encode()


def joined(lines: Iterable[bytes]) -> bytes:
    """Lines of JSON, each with a line end."""
    return b"\n".join([*lines, b""])


def check_shards(answer: Mapping[str, Any], doing: str) -> None:
    """Refuse an answer that lacks the rows of a shard.

    Raises:
        StoreError
    """
    shards = answer.get("_shards") or {}
    if shards.get("failed") or answer.get("timed_out"):
        failures: Sequence[Any] = shards.get("failures") or ()
        why = str(failures[0].get("reason")) if failures else "the time limit was exceeded"
        raise StoreError(
            f"could not {doing}: {shards.get('failed', 0)} shards did not answer: {why[:400]}",
            hint="`GET /_cluster/health` shows missing shards",
        )
