"""The client: ``opensearchpy.OpenSearch``, opened from an address or given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from qadapt.errors import AddressError, MissingExtraError, StoreError, UnsupportedError
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.awaited import LoopClients
from qadapt.stores.client_imports import load
from qadapt.stores.elastic.connection import (
    JSON,
    TIMEOUT,
    Connection,
    Wire,
    awaitable,
    closed,
)
from qadapt.stores.elastic.errors import Refused, timed_out, unreachable

PACKAGE = "opensearchpy"
OPTIONS = ("timeout", "key_env", "ca_certs", "fingerprint", "user")
DISTRIBUTION = "opensearch"
# Connections that are kept; the client's own default of 1 closes those of other threads.
POOL = 16


class OpenSearchWire(Wire):
    """Requests through the client, with its connections, headers and keys.

    The client does not pass the header ``Retry-After`` of an error on.
    """

    def __init__(self, client: Any, loop_clients: LoopClients[Any] | None = None) -> None:
        self.client = client
        self.loop_clients = loop_clients

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
        headers = {"content-type": content_type} if body is not None else None
        try:
            return self.client.transport.perform_request(
                method, path, params=dict(params), body=body, timeout=timeout, headers=headers
            )
        except Exception as error:
            raise _translated(error, doing) from error

    async def awaited(
        self,
        client: Any,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: bytes,
        doing: str,
    ) -> Any:
        headers = {"content-type": JSON}
        try:
            return await client.transport.perform_request(
                method, path, params=dict(params), body=body, headers=headers
            )
        except Exception as error:
            raise _translated(error, doing) from error

    def close(self) -> None:
        self.client.close()


def _translated(error: Exception, doing: str) -> Exception:
    """An answer with an error as ``Refused``; other errors of the client as those of qadapt."""
    if type(error).__module__.partition(".")[0] != PACKAGE:
        return error
    name, status = type(error).__name__, getattr(error, "status_code", None)
    if isinstance(status, int):
        info = getattr(error, "info", None)
        return Refused(status, info if info is not None else str(error))
    if name == "ConnectionTimeout":
        return timed_out(doing)
    if name in ("ConnectionError", "SSLError"):
        return unreachable(doing, str(error))
    return StoreError(f"could not {doing}: {name}: {error}", hint="check the address")


def module() -> Any:
    """Import the client on first use.

    Raises:
        MissingExtraError
    """
    try:
        return load(PACKAGE)
    except ImportError as error:
        raise MissingExtraError(
            "opensearch-py", "opensearch", purpose="the store 'opensearch'"
        ) from error


def connect(address: Address) -> Connection:
    """Connect to an address.

    Raises:
        AddressError, MissingExtraError, UnreachableError, AuthError
    """
    checks.options(address, OPTIONS)
    loop_clients = None
    if awaitable():
        loop_clients = LoopClients(partial(_made, address, "AsyncOpenSearch"), closed)
    wire = OpenSearchWire(_made(address, "OpenSearch"), loop_clients)
    connection = Connection(wire, owned=True)
    try:
        return _probed(connection)
    except BaseException:
        connection.close()
        raise


def _probed(connection: Connection) -> Connection:
    """The connection to a server that says that it is OpenSearch.

    Raises:
        StoreError: it is another product.
    """
    version = connection.root.get("version") or {}
    if version.get("distribution") != DISTRIBUTION:
        raise StoreError(
            "the server there is not OpenSearch",
            hint="for Elasticsearch, use an address such as elasticsearch+http://localhost:9200; "
            "serverless collections of Amazon are not supported",
        )
    return connection


def _made(address: Address, name: str) -> Any:
    options: dict[str, Any] = {
        "timeout": checks.number(address, "timeout", TIMEOUT),
        "max_retries": 0,
        "retry_on_timeout": False,
        "pool_maxsize": POOL,
    }
    secret = address.secret()
    if secret:
        options["http_auth"] = (address.options.get("user", "admin"), secret)
    if "ca_certs" in address.options:
        options["ca_certs"] = address.options["ca_certs"]
    if "fingerprint" in address.options:
        options["ssl_assert_fingerprint"] = address.options["fingerprint"]
    client = module()
    try:
        return getattr(client, name)(f"{address.transport}://{address.location}", **options)
    except (TypeError, ValueError, client.ImproperlyConfigured) as error:
        raise AddressError(
            f"{address}: {error}", hint="for example opensearch+http://localhost:9200"
        ) from error


def wrapped(client: Any) -> tuple[Address, Connection]:
    """A user's client, and its address without keys.

    Raises:
        UnsupportedError: the client is asynchronous.
    """
    if type(client).__name__ != "OpenSearch":
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="pass a synchronous opensearchpy.OpenSearch",
        )
    host = client.transport.get_connection().host
    scheme, _, place = str(host).partition("://")
    address = Address("opensearch", "https" if scheme == "https" else "http", place)
    return address, _probed(Connection(OpenSearchWire(client), owned=False))
