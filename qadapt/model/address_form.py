"""The form of a store's addresses: the part of its profile that ``Address`` uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt import plugins
from qadapt.errors import QadaptError


@dataclass(frozen=True)
class AddressForm:
    """The addresses that a store accepts.

    Attributes:
        ports: the default port of each supported transport (``http``, ``https``, ``grpc``);
            empty for a store without a server.
        local: what ``NAME:PATH`` addresses: ``"folder"`` or ``"file"``; ``""`` if the store
            requires a server.
        key_variables: environment variables for the key, in order of precedence, after
            ``QADAPT_API_KEY``.
        connection_options: query options that do not identify the store: two addresses that
            differ only in these options have the same identity. ``key_env``, ``timeout`` and
            ``user`` are such options of every store.
        same_server: a gRPC address has the identity of the HTTP address of the same server.
        http_port_option: the query option of a gRPC address with the HTTP port; ``""`` if both
            transports share a port.
        path_option: the query option that the URL path is short for, such as ``database``.
        defaults: default values of query options.
        advice: what to write instead of a refused transport; empty for the list of examples.
        suggested: used as the example in hints about malformed addresses.
        url_schemes: schemes of URLs that address the store over ``tcp``, such as ``postgresql``;
            the first one is used when an address is printed. The host may be empty, the part
            before ``@`` is a user and a password, and the path names a database.
        remote: schemes of URLs that may follow ``NAME:`` in place of a path, such as ``s3``.
        url_environment: environment variables of the client library for the ``host`` and the
            ``port`` of a URL that has neither, and for a ``service``, which replaces both; also
            for the ``database`` and the ``user`` of a URL without them.
    """

    ports: Mapping[str, int] = field(default_factory=dict)
    local: str = ""
    key_variables: tuple[str, ...] = ()
    connection_options: tuple[str, ...] = ()
    same_server: bool = False
    http_port_option: str = ""
    path_option: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    suggested: bool = False
    url_schemes: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    url_environment: Mapping[str, str] = field(default_factory=dict)

    def examples(self, store: str) -> list[str]:
        """Placeholder addresses of every accepted form."""
        found = [f"{self.prefix(store, name)}HOST:{port}" for name, port in self.ports.items()]
        return [*found, *([f"{store}:{self.local.upper()}"] if self.local else [])]

    def accepts(self, transport: str | None) -> bool:
        """Whether the store accepts addresses with a transport; None for local addresses."""
        return bool(self.local) if transport is None else transport in self.ports

    def is_remote(self, location: str) -> bool:
        """Whether a location without a transport is a URL, such as that of an object store."""
        return location.partition("://")[0] in self.remote and "://" in location

    def prefix(self, store: str, transport: str) -> str:
        """The part of an address before the host, such as ``milvus+http://``."""
        return f"{self.url_schemes[0]}://" if self.url_schemes else f"{store}+{transport}://"

    @property
    def is_server(self) -> bool:
        """Whether the store accepts addresses of servers."""
        return bool(self.ports)


UNKNOWN = AddressForm(connection_options=("grpc", "rest", "consistency"))


def form_of(store: str) -> AddressForm | None:
    """The form of a store's addresses.

    Returns:
        None for a store that is not installed, or whose plug-in cannot be loaded; opening it raises
        the error.
    """
    try:
        found = getattr(plugins.load(store), "address", None)
    except QadaptError:
        return None
    return found if isinstance(found, AddressForm) else None


def store_of_scheme(scheme: str) -> str | None:
    """The store that a URL scheme such as ``postgresql`` addresses; None if there is none."""
    if scheme in plugins.names():  # without loading all profiles, which import numpy
        return None
    for name, form in forms().items():
        if scheme in form.url_schemes:
            return name
    return None


def forms() -> dict[str, AddressForm]:
    """Address formats of all installed stores, sorted by name."""
    found = {name: form_of(name) for name in plugins.names()}
    return {name: form for name, form in found.items() if form is not None}


def suggested_server() -> tuple[str, AddressForm] | None:
    """The example of a store with a server; None if none is installed."""
    return _first({name: form for name, form in forms().items() if form.is_server})


def suggested_local() -> tuple[str, AddressForm] | None:
    """The example of a store in a folder or file; None if none is installed."""
    return _first({name: form for name, form in forms().items() if form.local})


def _first(among: Mapping[str, AddressForm]) -> tuple[str, AddressForm] | None:
    ordered = sorted(among.items(), key=lambda each: (not each[1].suggested, each[0]))
    return ordered[0] if ordered else None


def server_example() -> str:
    """An example address of a server for hints: ``NAME+http://localhost:PORT``."""
    found = suggested_server()
    if found is None:
        return "STORE+http://localhost:PORT"
    transport, port = next(iter(found[1].ports.items()))
    return f"{found[1].prefix(found[0], transport)}localhost:{port}"


def local_example(path: str = "./data") -> str:
    """An example address of a folder or file for hints: ``NAME:PATH``."""
    found = suggested_local()
    return f"{found[0] if found else 'STORE'}:{path}"
