"""Aliases: a second name for a collection, moved in one action.

Facts of 2.3.5 that decide this: creating an alias again is no error; dropping a
collection leaves its alias pointing at nothing; dropping an alias that is not there is no error.
So what is there is looked at first.
"""

from __future__ import annotations

from qadapt.errors import AlreadyExistsError, NotFoundError, StoreError, UnsupportedError
from qadapt.stores.milvus.connection import Connection


def collections(connection: Connection) -> list[str]:
    """Names of collections, without those of aliases."""
    client = connection.client
    return list(
        connection.call(
            "list collections", lambda timeout: client.list_collections(timeout=timeout)
        )
    )


def aliases(connection: Connection) -> dict[str, str]:
    """The collection behind each alias; one that points at nothing is left out."""
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
    """Make an alias, or move it in one action, and look whether it stands there.

    Raises:
        NotFoundError: no such target; nothing was sent.
        AlreadyExistsError: a collection has that name.
        StoreError: the alias does not stand where it was sent.
    """
    there = aliases(connection)
    if there.get(alias) == target:
        return
    known = collections(connection)
    if alias in known:
        raise AlreadyExistsError(
            f"{alias!r} is a collection's own name", hint="choose another name for the alias"
        )
    if target not in known:
        missing = NotFoundError.missing("collection", target, known)
        missing.hint = f"the alias {alias!r} was not moved; {missing.hint or 'it is as it was'}"
        raise missing
    client = connection.client
    send = client.alter_alias if alias in there else client.create_alias
    connection.call(f"move the alias {alias!r}", send, target, alias)
    found = aliases(connection).get(alias)
    if found != target:
        raise StoreError(f"the alias {alias!r} stands at {found!r} and not at {target!r}")


def drop(connection: Connection, alias: str) -> None:
    """Delete an alias.

    Raises:
        NotFoundError
    """
    there = aliases(connection)
    if alias not in there:
        raise NotFoundError.missing("alias", alias, there)
    connection.call(f"drop the alias {alias!r}", connection.client.drop_alias, alias)
