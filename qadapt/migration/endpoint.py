"""One side of a migration: an open store and the name of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qadapt.errors import InputError, NotFoundError
from qadapt.model import CollectionSchema
from qadapt.model.address import Address
from qadapt.stores.base import Store
from qadapt.stores.registry import open_store


@dataclass(frozen=True)
class Endpoint:
    """A collection of an open store; the collection need not exist."""

    store: Store
    name: str

    @property
    def key(self) -> tuple[Address, str]:
        """The key of the collection in the state folder."""
        return self.store.address, self.name

    @property
    def exists(self) -> bool:
        """Whether the collection exists."""
        return self.store.has(self.name)

    def ensure_loaded(self) -> None:
        """Check that the collection exists, and load it so that its rows can be read.

        Raises:
            NotFoundError
        """
        if not self.exists:
            raise NotFoundError.missing("collection", self.name, self.store.collections())
        self.store.ensure_loaded(self.name)

    def schema(self) -> CollectionSchema:
        """Schema of the collection apart from its dense vectors."""
        return self.store.collection_schema(self.name)

    def same_family(self, other: Endpoint) -> bool:
        """Whether both stores share native terms for schemas, extra vectors and indexes."""
        ours, theirs = self.store, other.store
        return ours.profile.family == theirs.profile.family

    def partition(self, name: str | None) -> Endpoint:
        """One partition of the collection as an endpoint; None for the whole collection."""
        return self if name is None else Endpoint(self.store, f"{self.name}@{name}")

    def __str__(self) -> str:
        return f"{self.store.address.identity}#{self.name}"


@contextmanager
def open_endpoint(given: Any, *, default: str | None = None) -> Iterator[Endpoint]:
    """Open an endpoint; a store that this opens is closed at the end.

    Args:
        given: ``"URL#collection"``, an ``Address``, a ``Collection`` or ``(Database, name)``.
        default: collection name to use if ``given`` has none.

    Raises:
        InputError, AddressError, MissingExtraError, UnreachableError
    """
    if isinstance(given, Endpoint):
        yield given
        return
    if isinstance(given, (str, Address)):
        address = Address.parse(given)
        name = address.collection or default
        if name is None:
            raise InputError(
                f"the address {address} has no collection",
                hint=f"add the collection: '{address}#articles'",
            )
        store = open_store(address)
        try:
            yield Endpoint(store, name)
        finally:
            store.close()
        return
    database, name = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    held, name = getattr(database, "_store", None), name or getattr(given, "name", default)
    if not isinstance(held, Store) or not isinstance(name, str):
        raise InputError(
            f"not a source or target of a migration: {given!r:.100}",
            hint="pass 'URL#collection', a Collection, or (Database, name)",
        )
    yield Endpoint(held, name)
