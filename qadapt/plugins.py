"""Entry points of the group ``qadapt.stores``: one for each store, including the built-in ones."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from qadapt.errors import QadaptError, SpecError

GROUP = "qadapt.stores"

_loaded: dict[str, Any] = {}


def names() -> list[str]:
    """The names of all stores that are installed, sorted."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})


def load(name: str) -> Any:
    """The object that the entry point of a store names; imported once per process.

    Raises:
        SpecError: the store does not exist.
        QadaptError: the plug-in cannot be imported.
    """
    if name in _loaded:
        return _loaded[name]
    points = importlib.metadata.entry_points(group=GROUP, name=name)
    if not points:
        raise SpecError.unknown("store", name, names())
    point = next(iter(points))
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
