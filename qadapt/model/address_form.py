"""What the address of one store may look like: part of the store's profile, found by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt import plugins
from qadapt.errors import QadaptError


@dataclass(frozen=True)
class AddressForm:
    """How a store is addressed.

    Attributes:
        ports: the default port of each transport (``http``, ``https``, ``grpc``) that the store
            has; empty for a store without a server.
        local: what follows ``NAME:`` in an address without a server: ``"folder"``, ``"file"``, or
            ``""`` where there is no such address.
        key_variables: environment variables that hold the key, in the order in which they are
            read, after ``QADAPT_API_KEY``.
        connection_options: options behind ``?`` that say how to connect and not to what; two
            addresses that differ in them alone are the same store. ``key_env``, ``timeout`` and
            ``user`` are such options of every store.
        same_server: a gRPC address is the same store as the HTTP address of that host.
        http_port_option: the option of a gRPC address that holds the HTTP port; ``""`` where both
            transports share a port.
        path_option: the option that the path behind the host stands for, such as ``database``.
        defaults: values of options that mean the same as leaving them out.
        suggested: shown in hints about an address that names no store.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    local: str = ""
    key_variables: tuple[str, ...] = ()
    connection_options: tuple[str, ...] = ()
    same_server: bool = False
    http_port_option: str = ""
    path_option: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    suggested: bool = False

    @property
    def is_server(self) -> bool:
        """Whether an address may name a host."""
        return bool(self.ports)


UNKNOWN = AddressForm(connection_options=("grpc", "rest", "consistency"))


def form_of(store: str) -> AddressForm | None:
    """The form of one store's addresses.

    Returns:
        None for a store that is not installed, or whose plug-in cannot be loaded; opening it
        tells which and why.
    """
    try:
        found = getattr(plugins.load(store), "address", None)
    except QadaptError:
        return None
    return found if isinstance(found, AddressForm) else None


def forms() -> dict[str, AddressForm]:
    """The forms of all stores that are installed, sorted by name."""
    found = {name: form_of(name) for name in plugins.names()}
    return {name: form for name, form in found.items() if form is not None}


def suggested_server() -> tuple[str, AddressForm] | None:
    """The store with a server that hints show; None when no such store is installed."""
    return _first({name: form for name, form in forms().items() if form.is_server})


def suggested_local() -> tuple[str, AddressForm] | None:
    """The store in a folder or file that hints show; None when no such store is installed."""
    return _first({name: form for name, form in forms().items() if form.local})


def _first(among: Mapping[str, AddressForm]) -> tuple[str, AddressForm] | None:
    ordered = sorted(among.items(), key=lambda each: (not each[1].suggested, each[0]))
    return ordered[0] if ordered else None


def server_example() -> str:
    """The address of a server, for a hint: ``NAME+http://localhost:PORT``."""
    found = suggested_server()
    if found is None:
        return "STORE+http://localhost:PORT"
    transport, port = next(iter(found[1].ports.items()))
    return f"{found[0]}+{transport}://localhost:{port}"


def local_example(path: str = "./data") -> str:
    """The address of a folder or file, for a hint: ``NAME:PATH``."""
    found = suggested_local()
    return f"{found[0] if found else 'STORE'}:{path}"
