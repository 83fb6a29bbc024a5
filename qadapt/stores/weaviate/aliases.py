"""Aliases: further names of collections, usable in searches and writes (1.32 and newer).

The server allows dropping a collection that has aliases, which then point to nothing.
"""

from __future__ import annotations

from urllib.parse import quote

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model.capabilities import older
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import check_name

SINCE = "1.32"


def aliases(connection: Connection) -> dict[str, str]:
    """The collection of each alias; empty for a server without aliases."""
    if older(connection.version, SINCE):
        return {}
    found = connection.rest("GET", "/v1/aliases", doing="list aliases") or {}
    return {each["alias"]: each["class"] for each in found.get("aliases") or ()}


def switch(connection: Connection, alias: str, collection: str) -> None:
    """Create an alias, or move it atomically.

    Raises:
        UnsupportedError: the server has no aliases.
        NotFoundError: the collection does not exist.
        AlreadyExistsError: a collection has that name.
    """
    if older(connection.version, SINCE):
        raise UnsupportedError(
            f"aliases need Weaviate {SINCE}; this is {connection.version}",
            hint="make the collection's name a setting of your application",
        )
    check_name(alias)
    doing = f"point the alias {alias!r} to {collection!r}"
    if alias in aliases(connection):
        body = {"class": collection}
        connection.rest("PUT", f"/v1/aliases/{quote(alias)}", body, doing=doing, repeatable=True)
    else:
        connection.rest("POST", "/v1/aliases", {"alias": alias, "class": collection}, doing=doing)


def drop(connection: Connection, alias: str) -> None:
    """Delete an alias.

    Raises:
        NotFoundError
    """
    known = aliases(connection)
    if alias not in known:
        raise NotFoundError.missing("alias", alias, known)
    connection.rest("DELETE", f"/v1/aliases/{quote(alias)}", doing=f"drop the alias {alias!r}")
