"""The part of a store that saves settings of qadapt with a collection."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from qadapt.errors import StoreError, UnsupportedError


class KeepsSettings(abc.ABC):
    """A store that may save settings with a collection, so that every machine reads them."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The store's name in addresses and tables."""

    @abc.abstractmethod
    def forget(self, collection: str) -> None:
        """Discard the snapshot of a collection before or after a change."""

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        """The settings saved by ``save_settings``, which may be some seconds old; None if the store
        cannot persist settings."""
        return None

    def write_settings(self, collection: str, settings: Mapping[str, Any]) -> None:
        """Store settings that differ from the current ones, for ``save_settings``.

        Raises:
            UnsupportedError: the store cannot persist settings.
        """
        raise UnsupportedError(
            f"{self.name} cannot store settings of qadapt in a collection",
            hint="they are kept in the state folder",
        )

    def save_settings(self, collection: str, settings: Mapping[str, Any]) -> bool:
        """Save settings of qadapt with the collection, and read them back.

        Returns:
            False if the store cannot persist settings.

        Raises:
            StoreError: the database stored something else.
        """
        wanted = dict(settings)
        known = self.load_settings(collection)
        if known is None:
            return False
        if known == wanted:
            return True
        self.write_settings(collection, wanted)
        self.forget(collection)
        kept = self.load_settings(collection)
        if kept != wanted:
            raise StoreError(
                f"the settings of {collection!r} were not stored as they were sent: sent "
                f"{wanted!r}, stored {kept!r}",
                hint="apply again; another client may have changed them at the same time",
            )
        return True
