"""Entry points of the group ``qadapt.stores``: one for each store, including the built-in ones."""

from __future__ import annotations

import importlib.metadata
from importlib.metadata import EntryPoint
from typing import Any

from qadapt.errors import QadaptError, SpecError

GROUP = "qadapt.stores"

_loaded: dict[str, Any] = {}
# Each scan reads the metadata of all installed packages, which takes longer than opening a store.
_scanned: dict[str, EntryPoint] = {}


def _scan() -> dict[str, EntryPoint]:
    _scanned.update({each.name: each for each in importlib.metadata.entry_points(group=GROUP)})
    return _scanned


def names() -> list[str]:
    """The names of all stores that were installed at the first call, sorted."""
    return sorted(_scanned or _scan())


def load(name: str) -> Any:
    """The object that the entry point of a store names; imported once per process.

    Raises:
        SpecError: the store does not exist.
        QadaptError: the plug-in cannot be imported.
    """
    if name in _loaded:
        return _loaded[name]
    point = _scanned.get(name) or _scan().get(name)  # it may have been installed since
    if point is None:
        raise SpecError.unknown("store", name, names())
    try:
        found = point.load()
    except Exception as error:
        raise QadaptError(
            f"the plug-in of the store {name!r} cannot be loaded: {error}",
            hint=f"upgrade, reinstall or remove the package that provides {point.value!r}",
        ) from error
    # The class of a store also has its profile.
    _loaded[name] = getattr(found, "profile", found) if isinstance(found, type) else found
    return _loaded[name]
