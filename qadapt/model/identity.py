"""Canonical addresses: the keys of settings, history and locks."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from qadapt.model.address_form import UNKNOWN, AddressForm, form_of

# Options of every database that do not identify the database.
_CONNECTING = ("key_env", "timeout", "user")
# Names and addresses of this machine.
_LOCALHOST = ("localhost", "localhost.localdomain", "127.0.0.1", "0.0.0.0", "::1", "::")
# Default folders of the sockets of PostgreSQL, by build.
_SOCKET_FOLDERS = ("/tmp", "/var/run/postgresql", "/run/postgresql")
_LEGACY_IPV4 = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")


def of_server(store: str, transport: str, location: str, options: Mapping[str, str]) -> str:
    """Canonical address of a server.

    Args:
        transport: ``http``, ``https`` or ``grpc``.
        location: ``host:port/prefix``.
    """
    form = form_of(store) or UNKNOWN
    kept = what(store, options)
    authority, _, prefix = location.partition("/")  # no host: a socket of this machine
    prefix = prefix.strip("/")
    host, port = split_port(authority)
    if transport == "grpc" and form.same_server:
        transport = "http"
        if form.http_port_option:
            port = options.get(form.http_port_option)
    if form.url_schemes and not host:
        port = port or kept.pop("port", None)
        if kept.get("host") in _SOCKET_FOLDERS:
            del kept["host"]
    if form.url_schemes and not prefix:
        prefix = quoted(_default_database(form, options))
    default = form.ports.get(transport)
    port = port or (None if default is None else str(default))
    if form.path_option and prefix:
        kept.setdefault(form.path_option, prefix.partition("/")[0])
        prefix = ""
    for name, value in form.defaults.items():
        if kept.get(name) == value:
            del kept[name]
    place = canonical_host(host) + (f":{port}" if port else "") + (f"/{prefix}" if prefix else "")
    return with_options(f"{form.prefix(store, transport)}{place}", kept)


def _default_database(form: AddressForm, options: Mapping[str, str]) -> str:
    """The database that libpq uses for a URL without one: that with the name of the user. Empty if
    it is the one of a service."""
    variables = form.url_environment

    def given(name: str) -> str:
        return os.environ.get(variables.get(name, ""), "")

    if "service" in options or given("service"):
        return ""
    return given("database") or options.get("user") or given("user") or _account()


def _account() -> str:
    """The name of the user whose process this is; empty if the system has none."""
    try:
        pwd = importlib.import_module("pwd")
        return str(pwd.getpwuid(os.geteuid()).pw_name)
    except (ImportError, KeyError, AttributeError):  # Windows; a container without accounts
        return ""


def of_path(path: Path) -> str:
    """Absolute path with symbolic links resolved."""
    return os.path.normcase(os.path.realpath(path))


def what(store: str, options: Mapping[str, str]) -> dict[str, str]:
    """Options that identify the database."""
    connecting = {*_CONNECTING, *(form_of(store) or UNKNOWN).connection_options}
    return {name: value for name, value in options.items() if name not in connecting}


def canonical_host(host: str) -> str:
    """Canonical host: lower case, ``localhost`` for this machine, IPv6 in brackets."""
    name = host.lower().removeprefix("[").removesuffix("]").rstrip(".")
    number: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    try:
        number = ipaddress.ip_address(name)
    except ValueError:
        if _LEGACY_IPV4.fullmatch(name):
            with contextlib.suppress(OSError):  # resolvers also accept 127.1 and 0x7f.1
                number = ipaddress.IPv4Address(socket.inet_aton(name))
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped:
        number = number.ipv4_mapped
    if number is not None:
        name = str(number)
    if name in ("", *_LOCALHOST) or name.endswith(".localhost"):
        return "localhost"
    return f"[{name}]" if ":" in name else name


def split_port(place: str) -> tuple[str, str | None]:
    """Split ``host:port`` or ``[IPv6]:port``."""
    if place.startswith("["):
        host, bracket, tail = place.partition("]")
        if tail and not tail.startswith(":"):
            return place, None
        return host + bracket, tail[1:] if tail else None
    host, colon, port = place.partition(":")
    return host, port if colon else None


def with_options(place: str, options: Mapping[str, str]) -> str:
    """Assemble an address with sorted options."""
    pairs = "&".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted(options.items()))
    return f"{place}?{pairs}" if pairs else place


def quoted(part: str) -> str:
    """Percent-encode a component of an address."""
    return quote(part, safe="/:,.~-_")
