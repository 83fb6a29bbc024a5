"""Where a store is: ``qdrant+http://localhost:6333``, ``edge:./data``, ``milvus:notes.db``.

An address may hold a key. Nothing but ``Address.secret()`` gives it out again: it is masked in
``str``, ``repr``, ``identity``, in every document and in every error message.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn
from urllib.parse import quote, unquote

from qadapt.errors import AddressError
from qadapt.model import identity
from qadapt.model.address_form import (
    form_of,
    forms,
    local_example,
    server_example,
    suggested_server,
)
from qadapt.model.credentials import check_transport, refuse_variable
from qadapt.model.masking import MASK, SECRET_NAME, Secret, mask, remember, shown

__all__ = ["MASK", "MEMORY", "Address", "Secret", "mask"]

MEMORY = ":memory:"
MAX_LENGTH = 8192

Transport = Literal["http", "https", "grpc"]
TRANSPORTS: tuple[Transport, ...] = ("http", "https", "grpc")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_.-]+)(?:\+([A-Za-z0-9]*))?:(.*)", re.DOTALL)
_HOST_PORT = re.compile(r"(?:.*@)?(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})(?:/.*)?", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Address:
    """Where a store is.

    Attributes:
        store: the store's name; whether there is such a store, the registry knows.
        transport: ``"http"``, ``"https"``, ``"grpc"``, or None for a folder, file or memory.
        location: ``"localhost:6333"``, a path, or ``":memory:"``.
        options: what stood behind ``?``, without keys.
        collection: what stood behind ``#``.
        key: the key, if one was written into the address; ``secret()`` gives the one to use.
        trusted: whether the user gave the address. One that was read from a plan or a spec file
            is not trusted: its ``key_env`` may name the store's own variables only.
        insecure: whether a key may be sent over plain http to another machine.
    """

    store: str
    transport: Transport | None
    location: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    collection: str | None = None
    key: Secret | str | None = field(default=None, repr=False)
    trusted: bool = field(default=True, repr=False, compare=False)
    insecure: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        options, key = _split_key(self.options, self.key)
        if self.transport:  # a wrapped client may tell "user:password@host"
            place, slash, prefix = self.location.partition("/")
            user, _, place = place.rpartition("@")
            object.__setattr__(self, "location", place + slash + prefix)
            key = key or (Secret(user) if user else None)
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "key", key)

    @classmethod
    def parse(cls, text: str | Address) -> Address:
        """An address from its text; ``%``, ``?`` and ``#`` in a part are written as in URLs.

        Raises:
            AddressError: what is wrong, and what may have been meant.
        """
        if isinstance(text, Address):
            return text
        if not isinstance(text, str):
            raise AddressError(
                f"an address is a string such as {server_example()!r}, got a {type(text).__name__}"
            )
        return _parse(text.strip())

    @classmethod
    def from_file(cls, text: str | Address, allow_key_env: Iterable[str] = ()) -> Address:
        """Parse an address that somebody else may have written into a file.

        Args:
            text: the address.
            allow_key_env: variables that the user allows the address to name by ``key_env``.

        Raises:
            AddressError: what is wrong, and what may have been meant.
        """
        address = cls.parse(text)
        return replace(address, trusted=address.options.get("key_env") in {*allow_key_env})

    def __str__(self) -> str:
        if self.transport:
            user = f"{MASK}@" if self.key else ""
            text = f"{self.store}+{self.transport}://{user}{self.location}"
        else:
            text = f"{self.store}:{_local_text(self.store, self.location)}"
        pairs = [
            f"{identity.quoted(k)}={identity.quoted(v)}" for k, v in sorted(self.options.items())
        ]
        if self.key and not self.transport:
            pairs.append(f"api_key={MASK}")
        if pairs:
            text += "?" + "&".join(pairs)
        return text if self.collection is None else f"{text}#{identity.quoted(self.collection)}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    @property
    def url(self) -> str:
        """``http://host:port`` or ``https://host:port``, without any key.

        Raises:
            AddressError: the address is not one of a server.
        """
        self._place()
        return f"{'https' if self.transport == 'https' else 'http'}://{self.location}"

    @property
    def host(self) -> str:
        """The host's name or number, an IPv6 number without its brackets."""
        return self._place()[0].strip("[]")

    @property
    def port(self) -> int | None:
        """The port; None for a store of a plug-in without one in the address."""
        port = self._place()[1]
        return int(port) if port else None

    @property
    def path(self) -> Path:
        """The folder or file of an address without a server; ``~`` is the user's home.

        Raises:
            AddressError: a server, or memory.
        """
        if self.transport or self.location == MEMORY:
            raise AddressError(f"{self} has no folder or file")
        return Path(os.path.expanduser(self.location))

    @property
    def identity(self) -> str:
        """One text for all addresses of one store; the state folder files everything under it.

        It holds no key, no user, no collection and no option that sets only how to connect.
        ``127.0.0.1``, ``[::1]`` and ``0.0.0.0`` become ``localhost``, a host is in lower case and
        has its port, gRPC becomes the HTTP port of the same server where that is known, and a
        path is absolute with its symbolic links resolved. Two host names of one machine remain
        two stores.
        """
        if self.transport:
            return identity.of_server(self.store, self.transport, self.location, self.options)
        if self.location == MEMORY:
            return f"{self.store}:{MEMORY}"
        path = _local_text(self.store, identity.of_path(self.path))
        kept = identity.what(self.store, self.options)
        return identity.with_options(f"{self.store}:{path}", kept)

    @property
    def reopen(self) -> str:
        """What opens the same store again in any folder: how to connect too, a key masked."""
        options = dict(self.options)
        if self.key and not self.transport:
            options["api_key"] = MASK
        if self.transport:
            user = f"{MASK}@" if self.key else ""
            place = f"{self.store}+{self.transport}://{user}{self.location}"
        elif self.location == MEMORY:
            place = f"{self.store}:{MEMORY}"
        else:
            place = f"{self.store}:{_local_text(self.store, os.path.abspath(self.path))}"
        return identity.with_options(place, options)

    def secret(self, environ: Mapping[str, str] | None = None) -> str | None:
        """The key to use, or None for no key.

        From the address, else ``?key_env=NAME``, else ``QADAPT_API_KEY``, else the variables of
        the store's profile (such as ``QDRANT_API_KEY``).

        Raises:
            AddressError: the variable named by ``key_env`` is not set; the key was masked when
                the address was saved, and no variable holds it; or it would be sent unencrypted
                to another machine.
            ConsentRequiredError: the address was read from a file, and its ``key_env`` names a
                variable that is not the store's own.
        """
        environ = os.environ if environ is None else environ
        found = self._found(environ)
        if found is not None:
            remember(found)
            check_transport(self, environ)
        return found

    def _found(self, environ: Mapping[str, str]) -> str | None:
        written = self.key.reveal() if isinstance(self.key, Secret) else None
        if written not in (None, MASK):
            return written
        usual = self._usual_variables
        named = self.options.get("key_env")
        if named is not None:
            if self.unconfirmed_variable:
                refuse_variable(self, named)
            if environ.get(named):
                return environ[named]
            raise AddressError(
                f"the environment variable {named!r}, named by key_env, is not set",
                hint=f"export {named}=... or take key_env out of {self}",
            )
        for name in usual:
            if environ.get(name):
                return environ[name]
        if written == MASK:
            raise AddressError(
                f"the key of {self} was masked when the address was saved",
                hint=f"give it through {' or '.join(usual)}, or write ?key_env=NAME",
            )
        return None

    @property
    def _usual_variables(self) -> list[str]:
        """Environment variables that hold the store's key unless the address names another."""
        form = form_of(self.store)
        return ["QADAPT_API_KEY", *(form.key_variables if form else ())]

    @property
    def unconfirmed_variable(self) -> str | None:
        """The variable that a file names for the key, where the user has to allow it first."""
        named = self.options.get("key_env")
        return None if self.trusted or named in self._usual_variables else named

    def _place(self) -> tuple[str, str | None]:
        """Host and port."""
        if self.transport is None:
            raise AddressError(
                f"{self} is not the address of a server",
                hint=f"a server looks like {self.store}+http://host:port",
            )
        return identity.split_port(self.location.partition("/")[0])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """In documents an address is its text, with the key masked."""
        from pydantic_core import core_schema as schema

        text = schema.no_info_after_validator_function(cls.from_file, schema.str_schema())
        return schema.json_or_python_schema(
            json_schema=text,
            python_schema=schema.union_schema([schema.is_instance_schema(cls), text]),
            serialization=schema.to_string_ser_schema(),
        )


def _split_key(
    options: Mapping[str, str], key: Secret | str | None
) -> tuple[dict[str, str], Secret | None]:
    """Options without keys, and the key."""
    kept = {name: value for name, value in options.items() if not SECRET_NAME.fullmatch(name)}
    found = [(name, value) for name, value in options.items() if name not in kept]
    if len(found) + (key is not None) > 1:
        raise AddressError("the address holds more than one key", hint="leave one of them")
    if found:
        name, key = found[0]
        if not key:
            raise AddressError(f"{name} is empty", hint=f"write {name}=..., or leave it out")
        if name.lower() == "password" and "user" in kept and key != MASK:
            key = f"{kept['user']}:{key}"
    if not key:
        return kept, None
    return kept, key if isinstance(key, Secret) else Secret(key)


def _fail(text: str, problem: str, hint: str) -> NoReturn:
    raise AddressError(f"{shown(text)!r}: {problem}", hint=hint)


def _decode(part: str, text: str) -> str:
    try:
        result = unquote(part, errors="strict")
    except UnicodeDecodeError:
        _fail(text, "a %-sequence is not UTF-8", "write % itself as %25")
    if "\0" in result:
        _fail(text, "it holds a NUL character", "take it out")
    return result


def _parse(text: str) -> Address:
    if not text:
        _fail(text, "the address is empty", f"for example {server_example()} or {local_example()}")
    if len(text) > MAX_LENGTH:
        _fail(text, f"longer than {MAX_LENGTH} characters", "check where it comes from")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise AddressError("the address is not valid Unicode text")
    body, hash_sign, fragment = text.partition("#")
    body, _, query = body.partition("?")
    found = _SCHEME.fullmatch(body)
    if found is None:
        _no_scheme(text, body)
    store, transport, rest = found[1].lower(), found[2], found[3]
    if store in TRANSPORTS:
        _fail(text, "it does not say which store it is", f"did you mean {_guess(text)}?")
    collection = _decode(fragment, text) if hash_sign else None
    if collection == "":
        _fail(text, "the collection behind '#' is empty", "write URL#collection, or no '#'")
    options = _options(query, text)
    if transport is not None:
        if transport.lower() not in TRANSPORTS:
            raise AddressError.unknown(
                "transport", transport, [f"{store}+{name}" for name in TRANSPORTS]
            )
        way = TRANSPORTS[TRANSPORTS.index(transport.lower())]
        if not rest.startswith("//"):
            _fail(text, "'//' is missing", f"for example {store}+{way}://localhost:6333")
        location, key = _server(rest[2:], store, way, text)
        if "@" in query + fragment:
            _fail(text, "'@' stands behind the host", "write '@' in keys and names as %40")
        return Address(store, way, location, options, collection, key)
    if _misread(store, rest):
        _no_scheme(text, body)
    location = _decode(rest, text)
    if not location:
        _fail(text, "the location is empty", f"for example {store}:./data")
    return Address(store, None, location, options, collection)


def _misread(store: str, rest: str) -> bool:
    """Whether what follows ``store:`` looks like a server and not like a path."""
    if rest.startswith("//") or _HOST_PORT.fullmatch(rest):
        return True
    digits = re.fullmatch(r"[0-9]{1,5}(/.*)?", rest, re.DOTALL) is not None
    return digits and form_of(store) is None


def _guess(text: str) -> str:
    """What may have been meant by an address without a store."""
    scheme, _, rest = shown(text).rpartition("://")
    found = _HOST_PORT.fullmatch(re.split(r"[?#]", rest)[0])
    known = scheme.lower().partition("+")[0]
    store, transport = _listening(int(found[1]) if found else None)
    form = form_of(known)
    if form is not None and form.is_server and known != store:
        store, transport = known, next(iter(form.ports))
    if known in TRANSPORTS:
        transport = known
    return f"{store}+{transport}://{rest}"


def _listening(port: int | None) -> tuple[str, str]:
    """The store, and the transport of it, that listens on a port by default; the one that hints
    show for another port."""
    for name, form in forms().items():
        for transport, default in form.ports.items():
            # Ports of every web server say nothing of a store.
            if port == default and port not in (80, 443):
                return name, transport
    shown_store = suggested_server()
    if shown_store is None:
        return "STORE", "http"
    return shown_store[0], next(iter(shown_store[1].ports))


def _no_scheme(text: str, body: str) -> NoReturn:
    store, _, rest = body.partition(":")
    store = store.lower()
    form = form_of(store)
    if form is not None and not form.is_server and rest.startswith("//"):
        guess = f"{store}:/{shown(rest.lstrip('/'))}"
        _fail(text, f"{store} is not a server", f"did you mean {guess}?")
    if form is not None and form.is_server and not rest.startswith("//"):
        guess = _guess(f"{store}://{rest or 'localhost'}")
        _fail(text, "a server's address names its transport", f"did you mean {guess}?")
    if "://" in text or _HOST_PORT.fullmatch(body):
        _fail(text, "no store or no transport is named", f"did you mean {_guess(text)}?")
    _fail(text, "no store is named", f"did you mean {local_example(shown(text))}?")


def _server(rest: str, store: str, transport: Transport, text: str) -> tuple[str, str | None]:
    """``user:password@host:port/prefix`` as location and key."""
    authority, slash, prefix = rest.partition("/")
    user, at, place = authority.rpartition("@")
    if "@" in prefix:
        _fail(text, "'@' stands behind the host", "write '/' in a password as %2F")
    if not place:
        _fail(text, "the location is empty", f"for example {store}+{transport}://localhost:6333")
    host, port = identity.split_port(place)
    if not _good_host(host):
        _fail(text, "this is not a host", "for example localhost:6333, or [::1]:6333 for IPv6")
    form = form_of(store)
    default = form.ports.get(transport) if form else None
    if port is None:
        port = None if default is None else str(default)
    elif not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        _fail(text, "the port is a number from 1 to 65535", f"usual is {default or 'host:port'}")
    if re.search(r"[\s\\]", prefix) or not prefix.isprintable():
        _fail(text, "blanks in the path behind the host", "write a blank as %20")
    location = host.lower() + (f":{int(port)}" if port else "")
    path = (slash + prefix).rstrip("/")
    key = _decode(user, text).removeprefix(":") if at else None
    if key == "":
        _fail(text, "the key before '@' is empty", "leave '@' out for no key")
    return location + path, key


def _good_host(host: str) -> bool:
    found = _IPV6.fullmatch(host)
    if found is None:
        return _HOST.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(found[1])
    except ValueError:
        return False
    return True


def _options(query: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, equals, value = pair.partition("=")
        name, value = _decode(name, text), _decode(value, text)
        if not equals or not name:
            _fail(text, "an option is not of the form name=value", "for example ?grpc=50051")
        if name in options:
            _fail(text, "an option occurs twice", "leave one of them")
        options[name] = value
    if not _VARIABLE.fullmatch(options.get("key_env", "KEY")):
        raise AddressError(
            "key_env is not the name of an environment variable",
            hint="it names the variable that holds the key, as in ?key_env=MY_KEY",
        )
    return options


def _local_text(store: str, location: str) -> str:
    """A path, with as little changed as reading it again allows."""
    last = len(location) - 1
    text = "".join(
        quote(char) if _unsafe(char) or (char == " " and at in (0, last)) else char
        for at, char in enumerate(location)
    )
    if _misread(store, text):
        first = "".join(f"%{byte:02X}" for byte in location[0].encode())
        return first + quote(location[1:], safe="/")
    return text


def _unsafe(char: str) -> bool:
    return char in "%?#" or (char != " " and not char.isprintable())
