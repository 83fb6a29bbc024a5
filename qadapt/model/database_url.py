"""URLs of databases over TCP, such as ``postgresql://user:password@host:5432/name``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from qadapt.errors import AddressError
from qadapt.model import identity
from qadapt.model.address_form import AddressForm
from qadapt.model.address_text import decode, fail, good_host
from qadapt.model.masking import Secret, keep_user

TRANSPORT: Literal["tcp"] = "tcp"


def split_url(
    rest: str, form: AddressForm, options: Mapping[str, str], text: str
) -> tuple[str, dict[str, str], Secret | None]:
    """Split a URL after its scheme into location, options and password.

    Args:
        rest: ``//user:password@host:port/name``; each part after ``//`` may be missing.
        options: options of the URL; ``user``, ``password``, ``host`` and ``port`` may be among
            them.
        text: the whole address, for messages.

    Returns:
        ``host:port/name`` with the default port if the host is not empty, the options with
        ``user``, and the password.

    Raises:
        AddressError: the URL is invalid.
    """
    scheme = form.url_schemes[0]
    for each in form.url_schemes:
        keep_user(each)
    if not rest.startswith("//"):
        fail(text, "'//' is missing", f"for example {scheme}://localhost/postgres")
    authority, _, name = rest[2:].partition("/")
    login, _, place = authority.rpartition("@")
    if "@" in name:
        fail(text, "'@' follows the host", "write '/' in a password as %2F")
    kept = dict(options)
    host, port = _endpoint(place, kept, form)
    if "," in host:
        fail(text, "it names several hosts", "write the address of one server")
    if host and not good_host(host):
        fail(text, "not a valid host", "for example localhost:5432, or [::1]:5432 for IPv6")
    default = str(form.ports[TRANSPORT])
    if port is None:
        port = default if host else None
    elif not port.isdecimal() or len(port) > 5 or not 1 <= int(port) <= 65535:
        fail(text, "the port must be from 1 to 65535", f"the default is {default}")
    database = decode(name, text).strip("/")
    if "/" in database:
        fail(text, "the path has several parts", f"for example {scheme}://localhost/postgres")
    if port and not host:
        kept["port"], port = str(int(port)), None  # of a socket, whose folder is an option
    user, _, password = login.partition(":")
    user, password = decode(user, text), decode(password, text)
    for given, option in ((user, "user"), (password, "password")):
        if given and option in kept:
            raise AddressError(
                f"the address contains more than one {option}", hint="remove one of them"
            )
    password = password or kept.pop("password", "")
    if user:
        kept["user"] = user
    location = host.lower() + (f":{int(port)}" if port else "")
    if database:
        location += "/" + identity.quoted(database)
    return location, kept, Secret(password) if password else None


def _endpoint(place: str, options: dict[str, str], form: AddressForm) -> tuple[str, str | None]:
    """Host and port of a URL, of its options, or of the environment, as the client library does.

    So one server has one location, and the rules for keys apply to its real host. A ``host`` that
    is the folder of a socket stays an option.

    Args:
        place: ``host:port`` of the URL.
        options: ``host`` and ``port`` are removed from it if they are returned.

    Raises:
        AddressError: the URL has a host or a port twice.
    """
    host, port = (place, None) if "," in place else identity.split_port(place)
    for name, given in (("host", host), ("port", port)):
        if given and name in options:
            raise AddressError(f"the address contains more than one {name}", hint="remove one")
    variables = form.url_environment
    if host or "service" in options or os.environ.get(variables.get("service", "")):
        return host, port or options.pop("port", None)
    named = "host" in options or port
    host = _network(options.get("host") or os.environ.get(variables.get("host", ""), ""))
    if host:
        options.pop("host", None)
    port = port or options.pop("port", None)
    if not named:
        port = port or os.environ.get(variables.get("port", ""))
    return host, port


def _network(host: str) -> str:
    """A host of the network, IPv6 in brackets; empty for the folder of a socket."""
    if host.startswith(("/", "@")):
        return ""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
