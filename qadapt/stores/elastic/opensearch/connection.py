"""The client: ``opensearchpy.OpenSearch``, opened from an address or given by the user."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from qadapt.errors import StoreError
from qadapt.model.address import Address
from qadapt.stores.elastic.connection import JSON, ClientWire, Connection
from qadapt.stores.elastic.errors import Refused

DISTRIBUTION = "opensearch"
# Connections that are kept; the client's own default of 1 closes those of other threads.
POOL = 16


class OpenSearchWire(ClientWire):
    """Requests through the client, with its connections, headers and keys.

    The client does not pass the header ``Retry-After`` of an error on.
    """

    store = "opensearch"
    packages = ("opensearchpy",)
    distribution = "opensearch-py"
    kind = "OpenSearch"

    @classmethod
    def new_client(
        cls, kind: Any, address: Address, timeout: float, options: Mapping[str, Any]
    ) -> Any:
        given = {**options, "timeout": timeout, "pool_maxsize": POOL}
        secret = address.secret()
        if secret:  # encoded here: the client encodes as Latin-1
            login = f"{address.options.get('user', 'admin')}:{secret}".encode()
            given["headers"] = {"authorization": f"Basic {base64.b64encode(login).decode()}"}
        return kind(f"{address.transport}://{address.location}", **given)

    @classmethod
    def location(cls, client: Any) -> tuple[str, str]:
        scheme, _, place = str(client.transport.get_connection().host).partition("://")
        return scheme, place

    @classmethod
    def check(cls, connection: Connection) -> None:
        if (connection.root.get("version") or {}).get("distribution") != DISTRIBUTION:
            raise StoreError(
                "the server there is not OpenSearch",
                hint="for Elasticsearch, use an address such as "
                "elasticsearch+http://localhost:9200; serverless collections of Amazon are not "
                "supported",
            )

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
            raise self.translated(error, doing) from error

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
            raise self.translated(error, doing) from error

    def translated(self, error: Exception, doing: str) -> Exception:
        """An answer with an error as ``Refused``."""
        status = getattr(error, "status_code", None)
        if type(error).__module__.partition(".")[0] in self.packages and isinstance(status, int):
            info = getattr(error, "info", None)
            return Refused(status, info if info is not None else str(error))
        return super().translated(error, doing)
