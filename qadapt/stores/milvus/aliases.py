"""Create, move, list and drop aliases.

Milvus 2.3.5 reports no error when an existing alias is created again or when an alias that does not
exist is dropped, and dropping a collection leaves its aliases behind. The existing aliases are
therefore read before each change.
"""

from __future__ import annotations

from qadapt.errors import AlreadyExistsError, NotFoundError, StoreError, UnsupportedError
from qadapt.stores.milvus.connection import Connection


def collections(connection: Connection) -> list[str]:
    """Names of collections, without aliases."""
    client = connection.client
    return list(
        connection.call(
            "list collections", lambda timeout: client.list_collections(timeout=timeout)
        )
    )


def aliases(connection: Connection) -> dict[str, str]:
    """The collection that each alias points to; aliases of dropped collections are left out."""
    client = connection.client
    try:
        found = connection.call("list aliases", client.list_aliases)
    except UnsupportedError:
        return {}
    pairs = {}
    for alias in found["aliases"]:
        try:
            reported = connection.call(
                f"describe the alias {alias!r}", client.describe_alias, alias
            )
        except NotFoundError:
            continue
        pairs[str(alias)] = str(reported["collection_name"])
    return pairs


def of(connection: Connection, collection: str) -> list[str]:
    """The aliases of one collection, sorted."""
    return sorted(name for name, real in aliases(connection).items() if real == collection)


def switch(connection: Connection, alias: str, target: str) -> None:
    """Create an alias or move it atomically, and verify that it points to the target.

    Raises:
        NotFoundError: the target does not exist; nothing was sent.
        AlreadyExistsError: a collection has this name.
        StoreError: the alias points to another collection afterwards.
    """
    there = aliases(connection)
    if there.get(alias) == target:
        return
    known = collections(connection)
    if alias in known:
        raise AlreadyExistsError(
            f"{alias!r} is the name of a collection", hint="choose another name for the alias"
        )
    if target not in known:
        missing = NotFoundError.missing("collection", target, known)
        missing.hint = "; ".join(filter(None, (f"the alias {alias!r} was not moved", missing.hint)))
        raise missing
    client = connection.client
    send = client.alter_alias if alias in there else client.create_alias
    connection.call(f"move the alias {alias!r}", send, target, alias)
    found = aliases(connection).get(alias)
    if found != target:
        raise StoreError(
            f"the alias {alias!r} points to {found!r} instead of {target!r}",
            hint="another client moved the alias; repeat the command",
        )


def drop(connection: Connection, alias: str) -> None:
    """Delete an alias.

    Raises:
        NotFoundError: the alias does not exist.
    """
    there = aliases(connection)
    if alias not in there:
        raise NotFoundError.missing("alias", alias, there)
    connection.call(f"drop the alias {alias!r}", connection.client.drop_alias, alias)
