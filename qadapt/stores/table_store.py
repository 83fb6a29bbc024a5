"""Base class of stores whose collections are tables with columns of vectors."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from qadapt.errors import NotFoundError
from qadapt.stores.client import Client, ClientStore

SETTINGS_KEY = "search"  # of search parameters among the settings of a table


class VectorTable(Protocol):
    """The definition of a table."""

    @property
    def name(self) -> str:
        """The name without quotes."""

    @property
    def vectors(self) -> Mapping[str, Any]:
        """Columns of vectors by the name of the vector."""

    @property
    def other_vectors(self) -> Mapping[str, str]:
        """Columns of vectors that qadapt does not use, with the reason."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of qadapt that are stored with the table."""

    def column_of(self, name: str, /) -> Any:
        """The column of a vector.

        Raises:
            NotFoundError, UnsupportedError: as ``checks.vector_column``.
        """


C = TypeVar("C", bound=Client)
T = TypeVar("T", bound=VectorTable)


class TableStore(ClientStore[C], Generic[C, T]):
    """A store of tables."""

    @abc.abstractmethod
    def table(self, collection: str) -> T:
        """The table of a collection, read again.

        Raises:
            NotFoundError
        """

    def known_table(self, collection: str) -> T:
        """The table as searches and reads use it, which may be cached."""
        return self.table(collection)

    def vector_names(self, table: T, names: Sequence[str] | None) -> list[str]:
        """The requested vectors; all if ``names`` is None.

        Raises:
            NotFoundError, UnsupportedError
        """
        for name in names or ():
            table.column_of(name)
        return list(table.vectors if names is None else names)

    def uncopied(self, collection: str) -> Mapping[str, str]:
        others = self.table(collection).other_vectors
        return {name: f"a column that {why}" for name, why in others.items()}

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        found = self.known_table(collection).settings.get(SETTINGS_KEY)
        return found if isinstance(found, dict) else {}


class CatalogStore(TableStore[C, T]):
    """A store that reads the definition of one table from the catalogs of the database.

    Attributes:
        table_age: seconds for which a definition is used.
    """

    table_age: ClassVar[float] = 10.0

    @abc.abstractmethod
    def read_table(self, collection: str) -> T | None:
        """Read the definition of a table; None if there is none with vectors."""

    def has(self, collection: str) -> bool:
        return self.read_table(collection) is not None

    def table(self, collection: str) -> T:
        found = self.read_table(collection)
        if found is None:
            raise NotFoundError.missing("collection", collection, self.collections())
        self.snapshots.put(collection, found)
        return found

    def known_table(self, collection: str) -> T:
        """The table as it was at most ``table_age`` seconds ago."""
        found: T | None = self.snapshots.get(collection, self.table_age)
        return found or self.table(collection)
