"""The client: ``elasticsearch.Elasticsearch``, opened from an address or given by the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from qadapt.errors import StoreError
from qadapt.model.address import Address
from qadapt.model.credentials import header_key
from qadapt.stores.elastic.connection import JSON, ClientWire, Connection
from qadapt.stores.elastic.errors import Refused, seconds

SERVERLESS = "serverless"


class ElasticsearchWire(ClientWire):
    """Requests through the transport of the client, with its connections, headers and keys.

    The client itself asks for the compatibility mode of its own major version, which a server of an
    older one refuses. Without this header, a server answers in its own format.
    """

    store = distribution = "elasticsearch"
    packages = ("elasticsearch", "elastic_transport")
    kind = "Elasticsearch"
    options = (*ClientWire.options, "cloud_id")

    @classmethod
    def new_client(
        cls, kind: Any, address: Address, timeout: float, options: Mapping[str, Any]
    ) -> Any:
        given = {**options, "request_timeout": timeout}
        if user := address.options.get("user"):
            if secret := address.secret():
                given["basic_auth"] = (user, secret)
        elif key := header_key(address):
            given["api_key"] = key
        if "cloud_id" in address.options:
            given["cloud_id"] = address.options["cloud_id"]
        else:
            given["hosts"] = [f"{address.transport}://{address.location}"]
        return kind(**given)

    @classmethod
    def location(cls, client: Any) -> tuple[str, str]:
        node = next(iter(client.transport.node_pool.all())).config
        return node.scheme, f"{node.host}:{node.port}{node.path_prefix}"

    @classmethod
    def check(cls, connection: Connection) -> None:
        if (connection.root.get("version") or {}).get("build_flavor") == SERVERLESS:
            connection.deployment = SERVERLESS
        if not connection.version:
            raise StoreError("the server reports no version", hint="check the address")

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
            raise self.translated(error, doing) from error
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
            raise self.translated(error, doing) from error
        return _checked(answered, doing)


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
