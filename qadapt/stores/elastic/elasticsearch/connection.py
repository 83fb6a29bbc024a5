"""The client: ``elasticsearch.Elasticsearch``, opened from an address or given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from qadapt.errors import (
    AddressError,
    MissingExtraError,
    QadaptError,
    StoreError,
    UnsupportedError,
)
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
from qadapt.stores.elastic.errors import Refused, seconds, timed_out, unreachable

PACKAGE = "elasticsearch"
OPTIONS = ("timeout", "key_env", "cloud_id", "ca_certs", "fingerprint", "user")
SERVERLESS = "serverless"


class ElasticsearchWire(Wire):
    """Requests through the transport of the client, with its connections, headers and keys.

    The client itself asks for the compatibility mode of its own major version, which a server of an
    older one refuses. Without this header, a server answers in its own format.
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
        options = _options(self.client, body, content_type, timeout)
        try:
            answered = self.client.transport.perform_request(
                method, _target(path, params), **options
            )
        except Exception as error:
            raise _translated(error, doing) from error
        return _checked(answered, doing)

    async def awaited(
        self,
        client: Any,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: bytes,
        doing: str,
    ) -> Any:
        options = _options(client, body, JSON, None)
        try:
            answered = await client.transport.perform_request(
                method, _target(path, params), **options
            )
        except Exception as error:
            raise _translated(error, doing) from error
        return _checked(answered, doing)

    def close(self) -> None:
        self.client.close()


def _target(path: str, params: Mapping[str, Any]) -> str:
    return f"{path}?{urlencode(params, safe=',*')}" if params else path


def _options(
    client: Any, body: bytes | None, content_type: str, timeout: float | None
) -> dict[str, Any]:
    """Arguments of ``perform_request``."""
    headers = {**client._headers, "accept": "application/json"}
    if body is not None:
        headers["content-type"] = content_type
    return {
        "headers": headers,
        "body": body,
        "request_timeout": client._request_timeout if timeout is None else timeout,
        "max_retries": client._max_retries,
        "retry_on_status": client._retry_on_status,
        "retry_on_timeout": client._retry_on_timeout,
    }


def _checked(answered: Any, doing: str) -> Any:
    """The body of an answer.

    Raises:
        Refused: the answer is an error.
        StoreError: the server is another product.
    """
    meta, answer = answered
    if not 200 <= meta.status < 300:
        raise Refused(meta.status, answer, seconds(meta.headers.get("retry-after")))
    if meta.headers.get("x-elastic-product") != "Elasticsearch":
        raise StoreError(
            f"could not {doing}: the server there is not Elasticsearch",
            hint="for OpenSearch, use an address such as opensearch+http://localhost:9200",
        )
    return answer


def _translated(error: Exception, doing: str) -> Exception:
    """The error of qadapt for one of the transport."""
    name = type(error).__name__
    if name == "ConnectionTimeout":
        return timed_out(doing)
    if name in ("ConnectionError", "TlsError"):
        return unreachable(doing, str(error))
    if type(error).__module__.partition(".")[0] in ("elasticsearch", "elastic_transport"):
        return StoreError(f"could not {doing}: {name}: {error}", hint="check the address")
    return error


def module() -> Any:
    """Import the client on first use.

    Raises:
        MissingExtraError
    """
    try:
        return load(PACKAGE)
    except ImportError as error:
        raise MissingExtraError(
            PACKAGE, "elasticsearch", purpose="the store 'elasticsearch'"
        ) from error


def connect(address: Address) -> Connection:
    """Connect to an address.

    Raises:
        AddressError, MissingExtraError, UnreachableError, AuthError
    """
    checks.options(address, OPTIONS)
    loop_clients = None
    if awaitable():
        loop_clients = LoopClients(partial(_made, address, "AsyncElasticsearch"), closed)
    wire = ElasticsearchWire(_made(address, "Elasticsearch"), loop_clients)
    connection = Connection(wire, owned=True)
    try:
        return _probed(connection)
    except BaseException:
        connection.close()
        raise


def _probed(connection: Connection) -> Connection:
    """The connection with the deployment that the server reports."""
    told = connection.root.get("version") or {}
    if told.get("build_flavor") == SERVERLESS:
        connection.deployment = SERVERLESS
    if not connection.version:
        raise StoreError("the server reports no version", hint="check the address")
    return connection


def _made(address: Address, name: str) -> Any:
    options: dict[str, Any] = {
        "request_timeout": checks.number(address, "timeout", TIMEOUT),
        "max_retries": 0,
        "retry_on_timeout": False,
    }
    secret = address.secret()
    user = address.options.get("user")
    if secret:
        options |= {"basic_auth": (user, secret)} if user else {"api_key": secret}
    if "ca_certs" in address.options:
        options["ca_certs"] = address.options["ca_certs"]
    if "fingerprint" in address.options:
        options["ssl_assert_fingerprint"] = address.options["fingerprint"]
    if "cloud_id" in address.options:
        options["cloud_id"] = address.options["cloud_id"]
    else:
        options["hosts"] = [f"{address.transport}://{address.location}"]
    try:
        return getattr(module(), name)(**options)
    except (TypeError, ValueError) as error:
        raise AddressError(
            f"{address}: {error}", hint="for example elasticsearch+http://localhost:9200"
        ) from error


def wrapped(client: Any) -> tuple[Address, Connection]:
    """A user's client, and its address without keys.

    Raises:
        UnsupportedError: the client is asynchronous.
    """
    if type(client).__name__ != "Elasticsearch":
        raise UnsupportedError(
            f"a {type(client).__name__} cannot be wrapped",
            hint="pass a synchronous elasticsearch.Elasticsearch",
        )
    node = next(iter(client.transport.node_pool.all())).config
    place = f"{node.host}:{node.port}{node.path_prefix}"
    transport: Any = "https" if node.scheme == "https" else "http"
    address = Address("elasticsearch", transport, place)
    connection = Connection(ElasticsearchWire(client), owned=False)
    try:
        return address, _probed(connection)
    except QadaptError:
        raise
