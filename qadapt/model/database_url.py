"""URLs of databases over TCP, such as ``postgresql://user:password@host:5432/name``."""

from __future__ import annotations

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
        options: options of the URL; ``user`` and ``password`` may be among them.
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
    if "," in place:
        fail(text, "it names several hosts", "write the address of one server")
    host, port = identity.split_port(place)
    if host and not good_host(host):
        fail(text, "not a valid host", "for example localhost:5432, or [::1]:5432 for IPv6")
    default = str(form.ports[TRANSPORT])
    if port is None:
        port = default if host else None
    elif not port.isdecimal() or not 1 <= int(port) <= 65535:
        fail(text, "the port must be from 1 to 65535", f"the default is {default}")
    database = decode(name, text).strip("/")
    if "/" in database:
        fail(text, "the path has several parts", f"for example {scheme}://localhost/postgres")
    kept = dict(options)
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
