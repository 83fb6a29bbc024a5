"""Aliases: other names of collections, which searches and writes take (1.32 and newer).

The server lets a collection be dropped under its aliases, which then lead nowhere.
"""

from __future__ import annotations

from urllib.parse import quote

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model.capabilities import older
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import check_name

SINCE = "1.32"


def aliases(connection: Connection) -> dict[str, str]:
    """The collection behind each alias; empty for a server that has none."""
    if older(connection.version, SINCE):
        return {}
    found = connection.rest("GET", "/v1/aliases", doing="list aliases") or {}
    return {each["alias"]: each["class"] for each in found.get("aliases") or ()}


def switch(connection: Connection, alias: str, collection: str) -> None:
    """Make an alias, or move it in one action.

    Raises:
        UnsupportedError: a server without aliases.
        NotFoundError: no such collection.
        AlreadyExistsError: a collection has that name.
    """
    if older(connection.version, SINCE):
        raise UnsupportedError(
            f"Weaviate has aliases from {SINCE} on; this is {connection.version}",
            hint="let your application read the collection's name from its settings",
        )
    check_name(alias)
    doing = f"let the alias {alias!r} lead to {collection!r}"
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
