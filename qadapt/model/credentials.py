"""Rules for keys: which variables may be read, and which connections may carry a key."""

from __future__ import annotations

import ipaddress
import os
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from qadapt.errors import AddressError, ConsentRequiredError, InsecureTransportWarning

if TYPE_CHECKING:
    from qadapt.model.address import Address

# If set to 1, keys may be sent over plain http to any host, as with `--insecure`.
INSECURE_VARIABLE = "QADAPT_INSECURE"
_NOT_IN_HEADERS = re.compile(r"[^ -~]|^ | \Z")


def insecure_allowed(environ: Mapping[str, str]) -> bool:
    """Whether the environment allows unencrypted keys.

    Raises:
        AddressError: the variable is neither ``0``, ``1`` nor empty.
    """
    value = environ.get(INSECURE_VARIABLE, "")
    if value not in ("", "0", "1"):
        raise AddressError(
            f"{INSECURE_VARIABLE} must be 0 or 1; got {value!r:.40}",
            hint=f"unset it, or export {INSECURE_VARIABLE}=1 to send keys over plain http",
        )
    return value == "1"


def refuse_variable(address: Address, name: str) -> NoReturn:
    """Raise the error for a key variable that is named by a file and not by the user.

    Raises:
        ConsentRequiredError: always; the message names the variable and the host.
    """
    raise ConsentRequiredError(
        f"the file asks to send the environment variable {name} as a key to {address.location}",
        hint=f"if you trust the file and the host: --allow-key-env {name} "
        f"(in Python: allow_key_env=[{name!r}])",
    )


def header_key(address: Address) -> str | None:
    """The key of an address, to be sent in an HTTP header without any encoding.

    Raises:
        AddressError: a header cannot contain the key; or see ``Address.secret``.
    """
    key = address.secret()
    wrong = _NOT_IN_HEADERS.search(key or "")
    if key is None or wrong is None:
        return key
    raise AddressError(
        f"the key for {address.location} cannot be sent in an HTTP header: character "
        f"{wrong.start() + 1} of {len(key)} is a line break, a control character, a non-ASCII "
        "character, or a space at an end",
        hint="copy the key again, without quotes, spaces and line breaks "
        f"({address.usual_key_variable}, QADAPT_API_KEY, or the address)",
    )


def check_transport(address: Address, environ: Mapping[str, str] | None = None) -> None:
    """Refuse to send a key unencrypted to another machine.

    Raises:
        AddressError: the connection is not encrypted, the host is not this machine, and neither
            ``--insecure``, ``insecure=True`` nor ``QADAPT_INSECURE=1`` allows it.
    """
    # The store of a tcp address tells the client library which connections may carry a password.
    if address.transport in (None, "https", "tcp") or is_loopback(address.host):
        return
    if not (address.insecure or insecure_allowed(os.environ if environ is None else environ)):
        raise AddressError(
            f"refusing to send a key to {address.location} over {address.transport} without TLS",
            hint=f"use {address.store}+https://..., or allow it with --insecure "
            f"(in Python: insecure=True; in the environment: {INSECURE_VARIABLE}=1)",
        )
    warnings.warn(
        f"the key is sent to {address.location} unencrypted",
        InsecureTransportWarning,
        stacklevel=2,
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or IP address is this machine."""
    name = host.strip("[]").lower().rstrip(".")
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_loopback
