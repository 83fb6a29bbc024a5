"""The HTTP interface of a ClickHouse server, by the standard library.

A statement is the body of a POST request, its parameters are ``param_NAME`` in the URL, and results
are in the format Native. The status of the response and the header ``X-ClickHouse-Exception-Code``
report an error (docs/engines/clickhouse.md#http).
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from qadapt.errors import UnreachableError
from qadapt.stores.clickhouse.native_format import encoded

# Settings of each request: an error in the middle of a result must not look like its end.
SETTINGS = {"default_format": "Native", "wait_end_of_query": "1"}


class HttpTransport:
    """One connection that is kept open.

    Args:
        url: ``http://HOST:8123`` or ``https://HOST:8443``.
        key: the password; it is sent in a header.
        timeout: seconds for each response.
    """

    deployment = "server"

    def __init__(self, url: str, *, user: str = "", key: str = "", timeout: float = 60) -> None:
        parts = urlsplit(url)
        self._url = url
        self._headers = {"User-Agent": "qadapt"}
        if user or key:
            self._headers |= {"X-ClickHouse-User": user or "default", "X-ClickHouse-Key": key}
        host = parts.hostname or "localhost"
        self._prefix = parts.path.rstrip("/") + "/"
        self._http: http.client.HTTPConnection
        if parts.scheme == "https":
            self._http = http.client.HTTPSConnection(
                host, parts.port or 8443, timeout=timeout, context=ssl.create_default_context()
            )
        else:
            self._http = http.client.HTTPConnection(host, parts.port or 8123, timeout=timeout)

    def query(self, text: str, parameters: Mapping[str, Any]) -> bytes:
        given = {f"param_{name}": value for name, value in encoded(parameters).items()}
        return self._post({**SETTINGS, **given}, text.encode(), repeat=_reads(text))

    def insert(self, text: str, form: str, data: bytes) -> None:
        self._post({**SETTINGS, "query": f"{text} FORMAT {form}"}, data, repeat=False)

    def close(self) -> None:
        self._http.close()

    def _post(self, query: Mapping[str, str], body: bytes, *, repeat: bool) -> bytes:
        """Send a request.

        Args:
            repeat: send it again if the server closed the idle connection.
        """
        idle = self._http.sock is not None
        try:
            self._http.request("POST", f"{self._prefix}?{urlencode(query)}", body, self._headers)
            answer = self._http.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            if idle and repeat and not isinstance(error, TimeoutError):
                return self._post(query, body, repeat=False)
            raise UnreachableError(
                f"{self._url} does not answer: {error or type(error).__name__}",
                hint="check that the server runs and that the port is that of HTTP (8123)",
            ) from error
        if answer.status != 200 or answer.getheader("X-ClickHouse-Exception-Code"):
            words = data.decode("utf-8", "replace").strip()
            raise RuntimeError(words or f"HTTP status {answer.status}")
        return data


def _reads(text: str) -> bool:
    return text.lstrip().upper().startswith(("SELECT", "EXPLAIN", "SHOW"))
