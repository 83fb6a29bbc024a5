"""Refreshes, which make writes visible to searches."""

from __future__ import annotations

from qadapt.errors import AuthError
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.product import Product
from qadapt.stores.elastic.schema import Index, quoted

# Seconds of the units of time.
_SECONDS = {
    "nanos": 1e-9,
    "micros": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


def refresh(connection: Connection, index: Index) -> None:
    """Make all writes visible to searches."""
    path = f"/{quoted(index.real)}/_refresh"
    connection.ask("POST", path, doing=f"refresh {index.name!r}")


def show_all(connection: Connection, product: Product, index: Index) -> None:
    """Make the writes of all clients visible to searches.

    If the key may not refresh the index, the next refresh of the server is awaited.

    Raises:
        AuthError: automatic refreshes of the index are turned off.
    """
    try:
        refresh(connection, index)
    except AuthError as error:
        interval = _refresh_interval(connection, index)
        if interval is None:
            raise AuthError(
                f"could not read all rows of {index.name!r}: automatic refreshes are turned off "
                "(refresh_interval is -1), and the key may not refresh the index",
                hint=f"grant the privilege `{product.refresh_privilege}`, or refresh the index "
                "before the call",
            ) from error
        connection.sleep(interval)


def _refresh_interval(connection: Connection, index: Index) -> float | None:
    """Seconds within which the server shows writes; None without automatic refreshes."""
    key = "index.refresh_interval"
    answer = connection.ask(
        "GET",
        f"/{quoted(index.real)}/_settings/{key}",
        params={"flat_settings": "true", "include_defaults": "true"},
        doing=f"read the refresh interval of {index.name!r}",
    )
    found = answer.get(index.real) or {}
    text = {**(found.get("defaults") or {}), **(found.get("settings") or {})}.get(key, "1s")
    unit = str(text).lstrip("-0123456789.")
    number = float(str(text).removesuffix(unit))
    return None if number < 0 else number * _SECONDS.get(unit, 1.0)
