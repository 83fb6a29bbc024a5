"""Addresses of databases: ``qdrant+http://localhost:6333``, ``edge:./data``, ``milvus:notes.db``.

An address may contain an API key. Only ``Address.secret()`` returns it: it is masked in ``str``,
``repr``, ``identity``, and in all documents and error messages.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qadapt.errors import AddressError
from qadapt.model import identity
from qadapt.model.address_form import (
    AddressForm,
    form_of,
    local_example,
    server_example,
    store_of_scheme,
)
from qadapt.model.address_text import (
    TRANSPORTS,
    Transport,
    decode,
    fail,
    local_text,
    misread,
    no_scheme,
    parse_options,
    server_place,
    split_key,
    suggestion,
)
from qadapt.model.credentials import check_transport, refuse_variable
from qadapt.model.database_url import TRANSPORT, split_url
from qadapt.model.masking import Secret, mask
from qadapt.used_keys import MASK, remember

__all__ = ["MASK", "MEMORY", "Address", "Secret", "mask"]

MEMORY = ":memory:"
MAX_LENGTH = 8192


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_.-]+)(?:\+([A-Za-z0-9]*))?:(.*)", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """Address of a database, and optionally of a collection.

    Attributes:
        store: name of the database type; the registry checks that it exists.
        transport: ``"http"``, ``"https"``, ``"grpc"``, ``"tcp"``, or None for a folder, a file or
            memory.
        location: ``"localhost:6333"``, ``"localhost:5432/name"``, a path, or ``":memory:"``.
        options: options after ``?``, without keys.
        collection: collection name after ``#``.
        key: API key in the address, if any; ``secret()`` returns the key to use.
        trusted: whether the user entered the address. In an address from a plan or spec file,
            ``key_env`` may name only the variables of the database itself.
        insecure: whether the key may be sent unencrypted to another machine.
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
        options, key = split_key(self.options, self.key)
        if self.transport and self.transport != TRANSPORT:
            # Clients repeat "user:password@host" in their errors.
            place, slash, prefix = self.location.partition("/")
            user, _, place = place.rpartition("@")
            object.__setattr__(self, "location", place + slash + prefix)
            key = key or (Secret(user) if user else None)
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "key", key)

    @classmethod
    def parse(cls, text: str | Address) -> Address:
        """Parse an address; ``%``, ``?`` and ``#`` in a component are percent-encoded.

        Raises:
            AddressError: the address is invalid; the hint suggests a valid one.
        """
        if isinstance(text, Address):
            return text
        if not isinstance(text, str):
            raise AddressError(
                f"an address is a string such as {server_example()!r}, got a {type(text).__name__}",
                hint="for a client that is already open: qa.wrap(client)",
            )
        return _parse(text.strip())

    @classmethod
    def from_file(cls, text: str | Address, allow_key_env: Iterable[str] = ()) -> Address:
        """Parse an address from a file, which is not trusted.

        Args:
            text: address.
            allow_key_env: environment variables that the address may name in ``key_env``.

        Raises:
            AddressError: the address is invalid; the hint suggests a valid one.
        """
        address = cls.parse(text)
        return replace(address, trusted=address.options.get("key_env") in {*allow_key_env})

    def __str__(self) -> str:
        if self.transport:
            text = self._server_text
        else:
            place = f"{self.store}:{local_text(self.store, self.location)}"
            text = identity.with_options(place, self.options)
            if self.key:
                text += f"{'&' if self.options else '?'}api_key={MASK}"
        return text if self.collection is None else f"{text}#{identity.quoted(self.collection)}"

    @property
    def _server_text(self) -> str:
        """Address of a server with all options; the key is masked."""
        options = dict(self.options)
        form = form_of(self.store)
        user = options.pop("user", "") if form and form.url_schemes else ""
        login = identity.quoted(user) + (f":{MASK}" if self.key else "")
        if not (form and form.url_schemes):
            login = MASK if self.key else ""
        prefix = (form or AddressForm()).prefix(self.store, str(self.transport))
        return identity.with_options(
            f"{prefix}{login}{'@' if login else ''}{self.location}", options
        )

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    @property
    def url(self) -> str:
        """URL of the server, ``http://host:port`` or ``https://host:port``, without a key.

        Raises:
            AddressError: the address has no host.
        """
        self._place()
        return f"{'https' if self.transport == 'https' else 'http'}://{self.location}"

    @property
    def host(self) -> str:
        """Host name or IP address; IPv6 without brackets."""
        return self._place()[0].strip("[]")

    @property
    def port(self) -> int | None:
        """Port; None if a plug-in store has no default and the address has none."""
        port = self._place()[1]
        return int(port) if port else None

    @property
    def is_local(self) -> bool:
        """Whether the address names a folder or file of this machine."""
        return not self.transport and self.location != MEMORY and not self._is_url

    @property
    def _is_url(self) -> bool:
        """Whether a URL, such as that of an object store, is in the place of a path."""
        if self.transport or "://" not in self.location:
            return False
        form = form_of(self.store)
        return form is not None and form.is_remote(self.location)

    @property
    def path(self) -> Path:
        """Folder or file of a local address; ``~`` is expanded.

        Raises:
            AddressError: the address is of a server, of an object store or of memory.
        """
        if not self.is_local:
            raise AddressError(
                f"{self} is not the address of a folder or file",
                hint=f"for example {local_example()}",
            )
        return Path(os.path.expanduser(self.location))

    @functools.cached_property
    def identity(self) -> str:
        """Canonical address: the same for all spellings; used as the key in the state folder.

        It contains no key, user, collection or connection option. ``127.0.0.1``, ``[::1]`` and
        ``0.0.0.0`` become ``localhost``, host names are lower case with a port, gRPC becomes the
        HTTP port of the same server if that is known, and paths are absolute with symbolic links
        resolved. Two host names of one machine are not recognized as the same server.
        """
        if self.transport:
            return identity.of_server(self.store, self.transport, self.location, self.options)
        if self.location == MEMORY:
            return f"{self.store}:{MEMORY}"
        if self._is_url:
            kept = identity.what(self.store, self.options)
            return identity.with_options(f"{self.store}:{self.location.rstrip('/')}", kept)
        path = local_text(self.store, identity.of_path(self.path))
        kept = identity.what(self.store, self.options)
        return identity.with_options(f"{self.store}:{path}", kept)

    @property
    def spec_text(self) -> str:
        """Address for a spec file: canonical, with the user of a login but without keys."""
        form = form_of(self.store)
        user = self.options.get("user") if form and form.url_schemes else None
        scheme, _, rest = self.identity.partition("://")
        return f"{scheme}://{identity.quoted(user)}@{rest}" if user else self.identity

    @property
    def reopen(self) -> str:
        """Address with an absolute path and all connection options; the key is masked."""
        if self.transport:
            return self._server_text
        options = {**self.options, **({"api_key": MASK} if self.key else {})}
        if self.is_local:
            place = f"{self.store}:{local_text(self.store, os.path.abspath(self.path))}"
        else:
            place = f"{self.store}:{local_text(self.store, self.location)}"
        return identity.with_options(place, options)

    def secret(self, environ: Mapping[str, str] | None = None) -> str | None:
        """API key to use, or None.

        The first of: the address, the variable in ``?key_env=NAME``, ``QADAPT_API_KEY``, the
        variables of the database (such as ``QDRANT_API_KEY``).

        Raises:
            AddressError: the variable in ``key_env`` is not set; the key was masked when the
                address was saved, and no variable contains it; or it would be sent unencrypted to
                another machine.
            ConsentRequiredError: the address was read from a file, and ``key_env`` names a variable
                that does not belong to the database.
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
                f"the environment variable {named!r} in key_env is not set",
                hint=f"export {named}=..., or remove key_env from {self}",
            )
        for name in usual:
            if environ.get(name):
                return environ[name]
        if written == MASK:
            raise AddressError(
                f"the key of {self} was masked when the address was saved",
                hint=f"set {' or '.join(usual)}, or add ?key_env=NAME to the address",
            )
        return None

    @property
    def _usual_variables(self) -> list[str]:
        """Environment variables that are searched for the key, in this order."""
        form = form_of(self.store)
        return ["QADAPT_API_KEY", *(form.key_variables if form else ())]

    @property
    def usual_key_variable(self) -> str:
        """The environment variable of the database's own key, such as ``QDRANT_API_KEY``."""
        return self._usual_variables[-1]

    @property
    def unconfirmed_variable(self) -> str | None:
        """Variable in ``key_env`` that needs permission, because the address is from a file."""
        named = self.options.get("key_env")
        return None if self.trusted or named in self._usual_variables else named

    def _place(self) -> tuple[str, str | None]:
        """Return host and port."""
        if self.transport is None:
            raise AddressError(
                f"{self} is not the address of a server",
                hint=f"use an address such as {self.store}+http://host:port",
            )
        return identity.split_port(self.location.partition("/")[0])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Serialize as a string with a masked key."""
        from pydantic_core import core_schema as schema

        text = schema.no_info_after_validator_function(cls.from_file, schema.str_schema())
        return schema.json_or_python_schema(
            json_schema=text,
            python_schema=schema.union_schema([schema.is_instance_schema(cls), text]),
            serialization=schema.to_string_ser_schema(),
        )


def _parse(text: str) -> Address:
    if not text:
        fail(text, "the address is empty", f"for example {server_example()} or {local_example()}")
    if len(text) > MAX_LENGTH:
        fail(text, f"longer than {MAX_LENGTH} characters", "check where the address comes from")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise AddressError(
            "the address is not valid Unicode text", hint="check where the address comes from"
        )
    body, hash_sign, fragment = text.partition("#")
    body, _, query = body.partition("?")
    found = _SCHEME.fullmatch(body)
    if found is None:
        no_scheme(text, body)
    store, transport, rest = found[1].lower(), found[2], found[3]
    if store in TRANSPORTS:
        fail(text, "it does not name a database", f"did you mean {suggestion(text)}?")
    collection = decode(fragment, text) if hash_sign else None
    if collection == "":
        fail(text, "the collection after '#' is empty", "write URL#collection, or remove '#'")
    options = parse_options(query, text)
    owner = store if transport == TRANSPORT else store_of_scheme(store) if not transport else None
    form = form_of(owner) if owner else None
    if owner and form and form.url_schemes:
        if "@" in query + fragment:
            fail(text, "'@' follows the host", "write '@' in keys and names as %40")
        location, options, password = split_url(rest, form, options, text)
        return Address(owner, TRANSPORT, location, options, collection, password)
    if transport is not None:
        if transport.lower() not in TRANSPORTS:
            raise AddressError.unknown(
                "transport", transport, [f"{store}+{name}" for name in TRANSPORTS]
            )
        way = TRANSPORTS[TRANSPORTS.index(transport.lower())]
        if not rest.startswith("//"):
            fail(text, "'//' is missing", f"for example {store}+{way}://localhost:6333")
        location, key = server_place(rest[2:], store, way, text)
        if "@" in query + fragment:
            fail(text, "'@' follows the host", "write '@' in keys and names as %40")
        return Address(store, way, location, options, collection, key)
    if misread(store, rest):
        no_scheme(text, body)
    location = decode(rest, text)
    if not location:
        fail(text, "the location is empty", f"for example {store}:./data")
    return Address(store, None, location, options, collection)
