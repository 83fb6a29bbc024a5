"""The client: ``opensearchpy.OpenSearch``, opened from an address or given by the user."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from qadapt.errors import AddressError, MissingExtraError, StoreError, UnsupportedError
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.client_imports import load
from qadapt.stores.elastic.connection import TIMEOUT, Connection, Wire
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

    def __init__(self, client: Any) -> None:
        self.client = client

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
    connection = Connection(OpenSearchWire(_made(address)), owned=True)
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


def _made(address: Address) -> Any:
    options: dict[str, Any] = {
        "timeout": checks.number(address, "timeout", TIMEOUT),
        "max_retries": 0,
        "retry_on_timeout": False,
        "pool_maxsize": POOL,
    }
    secret = address.secret()
    if secret:  # encoded here: the client encodes as Latin-1
        login = f"{address.options.get('user', 'admin')}:{secret}"
        options["headers"] = {"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    if "ca_certs" in address.options:
        options["ca_certs"] = address.options["ca_certs"]
    if "fingerprint" in address.options:
        options["ssl_assert_fingerprint"] = address.options["fingerprint"]
    client = module()
    try:
        return client.OpenSearch(f"{address.transport}://{address.location}", **options)
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
