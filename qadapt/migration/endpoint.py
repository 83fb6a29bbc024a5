"""One end of a migration: a store that is open, and a collection's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qadapt.errors import InputError, NotFoundError
from qadapt.model.address import Address
from qadapt.stores.base import Store
from qadapt.stores.registry import open_store


@dataclass(frozen=True)
class Endpoint:
    """A collection of an open store, which may not be there yet."""

    store: Store
    name: str

    @property
    def key(self) -> tuple[Address, str]:
        """By what it is known in the state folder."""
        return self.store.address, self.name

    @property
    def there(self) -> bool:
        """Whether there is such a collection."""
        return self.store.has(self.name)

    def must_be_there(self) -> None:
        """Refuse a name that is not there; make one that is there readable.

        Raises:
            NotFoundError
        """
        if not self.there:
            raise NotFoundError.missing("collection", self.name, self.store.collections())
        self.store.wake(self.name)

    def related(self, other: Endpoint) -> bool:
        """Whether both stores speak of schemas, extra vectors and indexes in the same words."""
        ours, theirs = self.store, other.store
        return ours.profile.family == theirs.profile.family

    def __str__(self) -> str:
        return f"{self.store.address.identity}#{self.name}"


@contextmanager
def opened(given: Any, *, default: str | None = None) -> Iterator[Endpoint]:
    """An end from what a caller may give; a store that was opened for it is closed again.

    Args:
        given: ``"URL#collection"``, an ``Address``, a ``Collection``, a ``(Database, name)``.
        default: the collection's name where none is given.

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
                f"{address} names a store and no collection",
                hint=f"write the collection behind it: '{address}#articles'",
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
            f"not an end of a migration: {given!r:.100}",
            hint="give 'URL#collection', a Collection, or (Database, name)",
        )
    yield Endpoint(held, name)
