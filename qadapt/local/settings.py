"""Saved settings of collections, stored in the collection itself if the database supports it.

Default search parameters are stored in the collection if its store has a place for them
(``Store.save_settings``), so that qadapt reads them on every machine. Settings of client-side
codes, and all settings for other databases, are stored in the local state folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from qadapt.errors import IntegrityError, SpecError
from qadapt.local import state
from qadapt.local.state import Settings, VectorSettings
from qadapt.model.client_params import KeptIn
from qadapt.stores.base import Store

# Searches of a millisecond or more would otherwise look up the file each time.
RECHECK = 0.01


def read_settings(store: Store, collection: str) -> Settings:
    """Read the settings of a collection.

    For a partition or tenant, these are the settings of the whole collection without client-side
    codes, which cannot search a single partition.

    Returns:
        The same object until the settings change.

    Raises:
        IntegrityError: the settings are damaged.
    """
    whole = store.collection_of(collection)
    if whole != collection:
        settings = read_settings(store, whole)
        if not settings.vectors:
            return settings
        return _known(store, collection, settings, None, lambda: _without_codes(settings))
    here = state.read_settings(store.address, collection)
    kept = store.load_settings(collection)
    if not kept or "vectors" not in kept:
        return here
    return _known(store, collection, here, kept, lambda: _merged(store, collection, here, kept))


class SettingsWatch:
    """Whether the settings of a collection are unchanged, for searches that follow each other.

    Changes of this process are seen at once, those of another process after ``RECHECK`` seconds:
    looking up a file releases the interpreter lock, which makes threads that search wait for each
    other.

    Args:
        settings: the settings to compare with, as ``read_settings`` returned them.

    Attributes:
        until: monotonic time until which they need not be looked up, if ``state.changes`` has the
            number ``changes``.
    """

    def __init__(self, store: Store, collection: str, settings: Settings) -> None:
        self._store = store
        self._collection = collection
        self._settings = settings
        self.until = -math.inf
        self.changes = -1
        # The file, its version, and what the database has; the file is "" before the first look.
        self._sources: tuple[str, state.FileVersion | None, Any] = ("", None, None)

    def unchanged(self, now: float, limit: float = math.inf) -> bool:
        """Whether the settings are the same.

        Args:
            now: monotonic time.
            limit: the latest value of ``until``.

        Raises:
            IntegrityError: the settings are damaged.
        """
        changes = state.changes.number
        if changes == self.changes and now < self.until:
            return True
        if changes != self.changes or not self._same_sources():
            store, collection = self._store, self._collection
            path = state.settings_file(store.address, store.collection_of(collection))
            sources = (path, _version(path), store.load_settings(collection))
            if read_settings(store, collection) is not self._settings:
                return False
            self._sources = sources
        self.until, self.changes = min(now + RECHECK, limit), changes
        return True

    def _same_sources(self) -> bool:
        """Whether the file and the database have what the settings were read from.

        This takes a third of the time of ``read_settings``.
        """
        path, version, kept = self._sources
        if not path or _version(path) != version:
            return False
        return bool(self._store.load_settings(self._collection) == kept)


def _version(path: str) -> state.FileVersion | None:
    try:
        return state.file_version(path)
    except OSError:
        return None  # ``read_settings`` raises an error that names the folder


def _known(
    store: Store,
    collection: str,
    here: Settings,
    kept: Mapping[str, Any] | None,
    make: Callable[[], Settings],
) -> Settings:
    """The settings made before from the same sources, or new ones."""
    known = store.merged_settings.get(collection)
    if known is None or known[0] is not here or known[1] != kept:
        known = store.merged_settings[collection] = (here, kept, make())
    settings: Settings = known[2]
    return settings


def _without_codes(settings: Settings) -> Settings:
    for name, each in settings.vectors.items():
        settings = settings.with_vector(name, each.replace(client=None))
    return settings


def _merged(store: Store, collection: str, here: Settings, kept: Mapping[str, Any]) -> Settings:
    """The local settings, with the default search parameters of the database."""
    try:
        shared = Settings.from_dict({"vectors": kept["vectors"]})
    except SpecError as error:
        raise IntegrityError(
            f"qadapt's settings in {collection!r} of {store.address} are damaged: {error}",
            hint="delete them from the collection and run `qadapt apply` again",
        ) from error
    merged = here
    for name, each in shared.vectors.items():
        merged = merged.with_vector(name, each.replace(client=here.of(name).client))
    return merged


def kept_in(store: Store, collection: str) -> KeptIn:
    """Where the default search parameters of a collection are saved."""
    whole = store.collection_of(collection)
    return "this machine" if store.load_settings(whole) is None else "collection"


def write_settings(store: Store, collection: str, settings: Settings) -> None:
    """Save the settings of a collection."""
    shared, here = Settings(), Settings()
    for name, each in settings.vectors.items():
        shared = shared.with_vector(name, each.shared)
        here = here.with_vector(name, VectorSettings(client=each.client))
    kept = store.save_settings(collection, shared.to_dict() if shared.vectors else {})
    state.write_settings(store.address, collection, here if kept else settings)
