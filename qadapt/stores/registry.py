"""Which stores there are. All come from entry points of the group ``qadapt.stores``, ours too.

An entry point names a ``Store`` subclass; its module must import without the client, which is
imported only when a store is opened.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from qadapt.errors import MissingExtraError, QadaptError, SpecError, UnsupportedError
from qadapt.model.address import Address
from qadapt.model.credentials import insecure_allowed
from qadapt.stores.base import Store

GROUP = "qadapt.stores"


def names() -> list[str]:
    """The names of all stores that are known, sorted."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})


def load(name: str) -> type[Store]:
    """The class of a store.

    Raises:
        SpecError: no such store.
        QadaptError: a plug-in that cannot be loaded, or does not give a Store.
    """
    points = importlib.metadata.entry_points(group=GROUP, name=name)
    if not points:
        raise SpecError.unknown("store", name, names())
    point = next(iter(points))
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise QadaptError(
            f"the plug-in of the store {name!r} cannot be loaded: {error}",
            hint=f"reinstall or remove the package that gives {point.value!r}",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Store)):
        raise QadaptError(
            f"the plug-in of the store {name!r} gives {found!r}, not a qadapt Store",
            hint="its entry point must name a subclass of qadapt.stores.base.Store",
        )
    return found


def load_all() -> tuple[dict[str, type[Store]], dict[str, QadaptError]]:
    """All stores by name, and beside them why some cannot be loaded."""
    stores: dict[str, type[Store]] = {}
    broken: dict[str, QadaptError] = {}
    for name in names():
        try:
            stores[name] = load(name)
        except QadaptError as error:
            broken[name] = error
    return stores, broken


def installed(store: type[Store]) -> bool:
    """Whether the store's client can be imported."""
    return importlib.util.find_spec(store.package) is not None


def open_store(
    address: str | Address, *, disabled: Sequence[str] = (), insecure: bool = False
) -> Store:
    """Open the store at an address such as ``"edge:./data"``.

    Args:
        address: see "Addresses" in docs/reference.md.
        disabled: native features to switch off, such as ``("native-rescore",)``.
        insecure: allow the key to be sent over plain http to another machine.

    Raises:
        AddressError, SpecError, MissingExtraError, UnreachableError
    """
    parsed = Address.parse(address)
    if insecure or insecure_allowed(os.environ):
        parsed = replace(parsed, insecure=True)  # part of the address, for workers elsewhere too
    store = load(parsed.store)
    if not installed(store):
        raise MissingExtraError(store.package, store.extra, purpose=f"the store {parsed.store!r}")
    return store.open(parsed, disabled=disabled)


def wrap_client(client: object, *, disabled: Sequence[str] = ()) -> Store:
    """The store on a client that the user already has; it is never closed by us.

    Only stores whose client library is imported already are asked: whoever has a client has
    imported it.

    Raises:
        UnsupportedError: no store wraps such a client.
    """
    stores, broken = load_all()
    for store in stores.values():
        if store.package in sys.modules and store.wraps(client):
            return store.wrap(client, disabled=disabled)
    takers = [name for name, store in stores.items() if "wrap" in vars(store)]
    failed = "".join(f"; {error.message}" for error in broken.values())
    kind = type(client)
    raise UnsupportedError(
        f"no store wraps a {kind.__module__}.{kind.__qualname__}",
        hint=f"clients of these stores can be wrapped: {', '.join(takers) or 'none'}; "
        f"open others by their address{failed}",
    )
