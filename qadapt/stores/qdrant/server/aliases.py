"""Creating, moving and deleting aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qadapt.errors import AlreadyExistsError, NotFoundError
from qadapt.stores.qdrant.server import copy_switch, local_mode
from qadapt.stores.qdrant.server.connection import check_name

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore


def switch_alias(store: QdrantStore, alias: str, collection: str) -> None:
    """Create an alias, or move it in one action.

    Raises:
        NotFoundError: the collection does not exist.
        AlreadyExistsError: a collection has this name.
    """
    known = store.aliases()
    real = [name for name in store.collections() if name not in known]
    if collection not in real:
        raise NotFoundError.missing("collection", collection, real)
    if alias in real:
        raise AlreadyExistsError(
            f"{alias!r} is the name of a collection and cannot be used for an alias",
            hint="choose another alias, or drop that collection first",
        )
    if store.connection.local:
        local_mode.switch_alias(store.connection, alias, collection)
    else:
        copy_switch.switch(store.connection, check_name(alias), collection)
    store.forget(alias)


def drop_alias(store: QdrantStore, alias: str) -> None:
    """Delete an alias.

    Raises:
        NotFoundError: the alias does not exist.
    """
    known = store.aliases()
    if alias not in known:
        raise NotFoundError.missing("alias", alias, known)
    if store.connection.local:
        local_mode.drop_alias(store.connection, alias)
    else:
        copy_switch.drop_alias(store.connection, alias)
    store.forget(alias)
