"""The parts of an address: scheme, key, host, options, local path."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal, NoReturn
from urllib.parse import quote, unquote

from qadapt.errors import AddressError
from qadapt.model import identity
from qadapt.model.address_form import form_of, forms, local_example, suggested_server
from qadapt.model.masking import SECRET_NAME, Secret, shown
from qadapt.used_keys import MASK

Transport = Literal["http", "https", "grpc", "tcp"]
TRANSPORTS: tuple[Transport, ...] = ("http", "https", "grpc")
IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST_PORT = re.compile(r"(?:.*@)?(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})(?:/.*)?", re.DOTALL)


_HOST = re.compile(r"[A-Za-z0-9_.-]+")


def split_key(
    options: Mapping[str, str], key: Secret | str | None
) -> tuple[dict[str, str], Secret | None]:
    """Split the options into those without keys, and the key."""
    kept = {name: value for name, value in options.items() if not SECRET_NAME.fullmatch(name)}
    found = [(name, value) for name, value in options.items() if name not in kept]
    if len(found) + (key is not None) > 1:
        raise AddressError("the address contains more than one key", hint="remove one of them")
    if found:
        name, key = found[0]
        if not key:
            raise AddressError(f"{name} is empty", hint=f"write {name}=..., or remove it")
        if name.lower() == "password" and "user" in kept and key != MASK:
            key = f"{kept['user']}:{key}"
    if not key:
        return kept, None
    return kept, key if isinstance(key, Secret) else Secret(key)


def fail(text: str, problem: str, hint: str) -> NoReturn:
    raise AddressError(f"{shown(text)!r}: {problem}", hint=hint)


def with_option(text: str, name: str, value: str) -> str:
    """An address with another option."""
    place, hash_, collection = text.partition("#")
    joined = "&" if "?" in place else "?"
    # Bytes of a command line that are not UTF-8 become an invalid address, which is reported.
    given = quote(value, safe="", errors="surrogateescape")
    return f"{place}{joined}{name}={given}{hash_}{collection}"


def decode(part: str, text: str) -> str:
    try:
        result = unquote(part, errors="strict")
    except UnicodeDecodeError:
        fail(text, "a %-sequence is not UTF-8", "write % itself as %25")
    if "\0" in result:
        fail(text, "it contains a NUL character", "remove it")
    return result


def misread(store: str, rest: str) -> bool:
    """Whether the text after ``store:`` looks like a server and not like a path."""
    if rest.startswith("//") or _HOST_PORT.fullmatch(rest):
        return True
    digits = re.fullmatch(r"[0-9]{1,5}(/.*)?", rest, re.DOTALL) is not None
    return digits and form_of(store) is None


def suggestion(text: str) -> str:
    """Suggest an address for one without a database."""
    scheme, _, rest = shown(text).rpartition("://")
    found = _HOST_PORT.fullmatch(re.split(r"[?#]", rest)[0])
    known = scheme.lower().partition("+")[0]
    store, transport = _listening(int(found[1]) if found else None)
    form = form_of(known)
    if form is not None and form.is_server and known != store:
        store, transport = known, next(iter(form.ports))
    if known in TRANSPORTS:
        transport = known
    return f"{_prefix(store, transport)}{rest}"


def _prefix(store: str, transport: str) -> str:
    form = form_of(store)
    return form.prefix(store, transport) if form else f"{store}+{transport}://"


def _listening(port: int | None) -> tuple[str, str]:
    """Database and transport that use a port by default; the suggested database for others."""
    for name, form in forms().items():
        for transport, default in form.ports.items():
            # The ports of web servers identify no database.
            if port == default and port not in (80, 443):
                return name, transport
    shown_store = suggested_server()
    if shown_store is None:
        return "STORE", "http"
    return shown_store[0], next(iter(shown_store[1].ports))


def no_scheme(text: str, body: str) -> NoReturn:
    store, _, rest = body.partition(":")
    store = store.lower()
    form = form_of(store)
    if form is not None and not form.is_server and rest.startswith("//"):
        guess = f"{store}:/{shown(rest.lstrip('/'))}"
        fail(text, f"{store} is not a server", f"did you mean {guess}?")
    if form is not None and form.is_server and not rest.startswith("//"):
        guess = suggestion(f"{store}://{rest or 'localhost'}")
        fail(text, "the address of a server needs a transport", f"did you mean {guess}?")
    if "://" in text or _HOST_PORT.fullmatch(body):
        fail(text, "the database or the transport is missing", f"did you mean {suggestion(text)}?")
    fail(text, "the database is missing", f"did you mean {local_example(shown(text))}?")


def server_place(rest: str, store: str, transport: Transport, text: str) -> tuple[str, str | None]:
    """Split ``user:password@host:port/prefix`` into location and key."""
    authority, slash, prefix = rest.partition("/")
    user, at, place = authority.rpartition("@")
    if "@" in prefix:
        fail(text, "'@' follows the host", "write '/' in a password as %2F")
    if not place:
        fail(text, "the location is empty", f"for example {store}+{transport}://localhost:6333")
    host, port = identity.split_port(place)
    if not good_host(host):
        fail(text, "not a valid host", "for example localhost:6333, or [::1]:6333 for IPv6")
    form = form_of(store)
    default = form.ports.get(transport) if form else None
    if port is None:
        port = None if default is None else str(default)
    elif not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        fail(text, "the port must be from 1 to 65535", f"the default is {default or 'host:port'}")
    if re.search(r"[\s\\]", prefix) or not prefix.isprintable():
        fail(text, "the path after the host contains spaces", "write a space as %20")
    location = host.lower() + (f":{int(port)}" if port else "")
    path = (slash + prefix).rstrip("/")
    key = decode(user, text).removeprefix(":") if at else None
    if key == "":
        fail(text, "the key before '@' is empty", "remove '@' if there is no key")
    return location + path, key


def good_host(host: str) -> bool:
    """Whether a host is a name or an IP address."""
    found = IPV6.fullmatch(host)
    if found is None:
        return _HOST.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(found[1])
    except ValueError:
        return False
    return True


def parse_options(query: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        name, value = decode(name, text), decode(value, text)
        if not equals or not name:
            fail(text, "an option is not of the form name=value", "for example ?grpc=50051")
        if name in options:
            fail(text, "an option is given twice", "remove one of them")
        options[name] = value
    if not VARIABLE.fullmatch(options.get("key_env", "KEY")):
        raise AddressError(
            "key_env is not the name of an environment variable",
            hint="name the variable that contains the key, as in ?key_env=MY_KEY",
        )
    return options


def local_text(store: str, location: str) -> str:
    """Path text that parses to the same path, changed as little as possible."""
    last = len(location) - 1
    text = "".join(
        quote(char) if _unsafe(char) or (char == " " and at in (0, last)) else char
        for at, char in enumerate(location)
    )
    if misread(store, text):
        first = "".join(f"%{byte:02X}" for byte in location[0].encode())
        return first + quote(location[1:], safe="/")
    return text


def _unsafe(char: str) -> bool:
    return char in "%?#" or (char != " " and not char.isprintable())
