"""Requests to a server through its Python client."""

from __future__ import annotations

import abc
import importlib.util
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from qadapt.errors import StoreError
from qadapt.stores.awaited import LoopClients
from qadapt.stores.elastic.errors import Refused, refused, with_retries

TIMEOUT = 60
JSON, LINES = "application/json", "application/x-ndjson"


class Wire(abc.ABC):
    """The client of one product.

    Attributes:
        client: the client of the user or of qadapt.
        loop_clients: asynchronous clients of the same server; None if there are none.
    """

    client: Any
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
            return await self.wire.awaited(client, method, path, params, body, doing)
        except Refused as error:
            raise refused(error, doing) from None

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

        return with_retries(once, repeatable=repeatable, sleep=self.sleep)

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


def awaitable() -> bool:
    """Whether the asynchronous clients can be used; they need aiohttp, an extra of both."""
    return importlib.util.find_spec("aiohttp") is not None


async def closed(client: Any) -> None:
    """Close an asynchronous client."""
    await client.close()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("-")[0].split(".") if part.isdecimal()]


def dumped(value: Any) -> bytes:
    """Compact JSON as bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


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
