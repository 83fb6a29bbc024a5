"""The registry of stores: entry points of the group ``qadapt.stores``, including the built-in ones.

An entry point names a ``StoreProfile``; opening a store imports its class.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import replace

from qadapt import plugins
from qadapt.errors import AddressError, MissingExtraError, QadaptError, UnsupportedError
from qadapt.model.address import Address
from qadapt.model.credentials import insecure_allowed
from qadapt.stores.base import Store
from qadapt.stores.profile import INTERFACE, StoreProfile

# The default store of ``qadapt cost --rows`` and ``qa.simulate(rows)``.
DEFAULT = "qdrant"


def names() -> list[str]:
    """The names of all installed stores, sorted."""
    return plugins.names()


def profile(name: str) -> StoreProfile:
    """The profile of a store.

    Raises:
        SpecError: the store does not exist.
        QadaptError: the plug-in cannot be loaded, names no profile, or has another interface
            version.
    """
    found = plugins.load(name)
    version = getattr(found, "interface", None)
    if isinstance(found, StoreProfile) and version == INTERFACE:
        if found.name == name:
            return found
        raise QadaptError(
            f"the plug-in of the store {name!r} has a profile named {found.name!r}",
            hint="its entry point and its profile must have the same name",
        )
    if isinstance(version, int) and version != INTERFACE:
        older = version < INTERFACE
        raise QadaptError(
            f"the plug-in of the store {name!r} has version {version} of the store interface; "
            f"this qadapt has version {INTERFACE}",
            hint="upgrade the package of the plug-in, or remove it"
            if older
            else "upgrade qadapt, or install an older version of the plug-in",
        )
    raise QadaptError(
        f"the plug-in of the store {name!r} provides {found!r:.200}, not a StoreProfile",
        hint="its entry point must name a qadapt.stores.profile.StoreProfile",
    )


def load(name: str) -> type[Store]:
    """The class of a store.

    Raises:
        SpecError, QadaptError: as ``profile``; or the class cannot be imported.
    """
    path = profile(name).store
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise QadaptError(
            f"the class {path!r} of the store {name!r} cannot be loaded: {error}",
            hint="upgrade, reinstall or remove the package of the plug-in",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Store)):
        raise QadaptError(
            f"the plug-in of the store {name!r} provides {found!r}, not a qadapt Store",
            hint="StoreProfile.store must name a subclass of qadapt.stores.base.Store",
        )
    return found


def load_all() -> tuple[dict[str, StoreProfile], dict[str, QadaptError]]:
    """The profiles of all stores by name, and the errors of those that cannot be loaded."""
    known: dict[str, StoreProfile] = {}
    broken: dict[str, QadaptError] = {}
    for name in names():
        try:
            known[name] = profile(name)
        except QadaptError as error:
            broken[name] = error
    return known, broken


def profiles() -> dict[str, StoreProfile]:
    """The profiles of all loadable stores, by name."""
    return load_all()[0]


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
        parsed = replace(parsed, insecure=True)  # part of the address, so that workers use it too
    known = profile(parsed.store)
    if not known.address.accepts(parsed.transport):
        raise AddressError(
            f"{parsed}: the store {known.name!r} does not accept this address",
            hint=known.address.advice
            or f"accepted: {', '.join(known.address.examples(known.name))}",
        )
    if not known.installed:
        raise missing(known)
    return load(parsed.store).open(parsed, disabled=disabled)


def missing(known: StoreProfile) -> MissingExtraError:
    """The error for a store whose client is not installed."""
    error = MissingExtraError(known.package, known.extra, purpose=f"the store {known.name!r}")
    error.hint = known.install_command
    return error


def wrap_client(client: object, *, disabled: Sequence[str] = ()) -> Store:
    """Return a store on a client that the user opened; qadapt never closes it.

    Only stores whose client package is already imported are considered.

    Raises:
        UnsupportedError: no store can wrap this client.
    """
    known, broken = load_all()
    takers = [name for name, each in known.items() if each.wraps_clients]
    for name in takers:
        if known[name].package in sys.modules and load(name).wraps(client):
            return load(name).wrap(client, disabled=disabled)
    failed = "".join(f"; {error.message}" for error in broken.values())
    kind = type(client)
    raise UnsupportedError(
        f"no store can wrap a {kind.__module__}.{kind.__qualname__}",
        hint=f"stores whose clients can be wrapped: {', '.join(takers) or 'none'}; open other "
        f"stores by their address{failed}",
    )
