"""Address formats of the databases: part of each store profile, looked up by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt import plugins
from qadapt.errors import QadaptError


@dataclass(frozen=True)
class AddressForm:
    """Address format of a database.

    Attributes:
        ports: default port of each supported transport (``http``, ``https``, ``grpc``); empty for
            a database without a server.
        local: what a local address ``NAME:PATH`` names: ``"folder"``, ``"file"``, or ``""`` if
            there are no local addresses.
        key_variables: environment variables for the key, read in this order after
            ``QADAPT_API_KEY``.
        connection_options: options after ``?`` that are ignored when addresses are compared.
            ``key_env``, ``timeout`` and ``user`` are connection options of every database.
        same_server: whether a gRPC address is the same server as the HTTP address of that host.
        http_port_option: option of a gRPC address for the HTTP port; ``""`` if both transports
            share a port.
        path_option: option that the path after the host is short for, such as ``database``.
        defaults: default values of options.
        suggested: whether hints about an address without a database show this one.
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
    """Address format of a database.

    Returns:
        None if the store is not installed or its plug-in cannot be loaded; ``connect`` then
        reports which and why.
    """
    try:
        found = getattr(plugins.load(store), "address", None)
    except QadaptError:
        return None
    return found if isinstance(found, AddressForm) else None


def forms() -> dict[str, AddressForm]:
    """Address formats of all installed stores, sorted by name."""
    found = {name: form_of(name) for name in plugins.names()}
    return {name: form for name, form in found.items() if form is not None}


def suggested_server() -> tuple[str, AddressForm] | None:
    """Server that hints show as an example; None if no server store is installed."""
    return _first({name: form for name, form in forms().items() if form.is_server})


def suggested_local() -> tuple[str, AddressForm] | None:
    """Local store that hints show as an example; None if no local store is installed."""
    return _first({name: form for name, form in forms().items() if form.local})


def _first(among: Mapping[str, AddressForm]) -> tuple[str, AddressForm] | None:
    ordered = sorted(among.items(), key=lambda each: (not each[1].suggested, each[0]))
    return ordered[0] if ordered else None


def server_example() -> str:
    """Example address of a server for hints: ``NAME+http://localhost:PORT``."""
    found = suggested_server()
    if found is None:
        return "STORE+http://localhost:PORT"
    transport, port = next(iter(found[1].ports.items()))
    return f"{found[0]}+{transport}://localhost:{port}"


def local_example(path: str = "./data") -> str:
    """Example address of a folder or file for hints: ``NAME:PATH``."""
    found = suggested_local()
    return f"{found[0] if found else 'STORE'}:{path}"
