"""Names of parts on their way from store to store: a tenant's in the words of a partition's.

A name that the target takes stays. One that it does not has each odd character written as
``_x2d_`` (its code point, in hexadecimal), so that ``a-b`` becomes ``a_x2d_b``; a store that takes
``a-b`` gives it that name again. A name that looks written so already is written once more, so no
two names become one.
"""

from __future__ import annotations

import re

from qadapt.errors import UnsupportedError
from qadapt.model import Beside
from qadapt.stores.base import Store

_ODD = re.compile(r"[^A-Za-z0-9_]")
_LIKE = re.compile(r"_(?=x[0-9a-f])")
_WRITTEN = re.compile(r"_x([0-9a-f]{2,6})_")


def named(target: Store, name: str, *, alike: bool) -> str:
    """The name that a part has in the target.

    Args:
        alike: source and target have parts of one kind, so that all names stay.

    Raises:
        UnsupportedError: the target takes none that stands for it.
    """
    refusal = _refusal(target, name)
    if alike:
        if refusal is None:
            return name
    else:
        read = _WRITTEN.sub(_char, name)
        if read != name and _written(read) == name and _refusal(target, read) is None:
            return read
        if refusal is None and read == name:
            return name
        written = _written(name)
        if _refusal(target, written) is None:
            return written
    raise UnsupportedError(
        f"the target cannot have a part {name!r}: {refusal}",
        hint=f"rename it, or copy it alone to a collection of its own: SRC@{name}",
    )


def _refusal(target: Store, name: str) -> str | None:
    return target.refuses_beside(Beside(parts=(name,), parted=True)).get("parts")


def _char(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    return chr(code) if code <= 0x10FFFF else found[0]


def _written(name: str) -> str:
    plain = _LIKE.sub("_x5f_", name)
    return _ODD.sub(lambda found: f"_x{ord(found[0]):02x}_", plain)
