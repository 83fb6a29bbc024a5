"""What all stores refuse in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from qadapt.errors import AddressError, InputError, NotFoundError, UnsupportedError
from qadapt.model import Kind, Quantization, Vector
from qadapt.model.address import Address

Field = TypeVar("Field")


def page(size: Any) -> int:
    """A page's number of rows.

    Raises:
        InputError
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise InputError(f"a page has at least 1 row; got {size!r}")
    return int(size)


def quantizations(
    given: Mapping[str, Quantization], vectors: Mapping[str, Vector]
) -> dict[str, Quantization]:
    """The quantization of each vector: what was given, none where nothing was.

    Raises:
        NotFoundError: one of no vector.
    """
    for name in given:
        if name not in vectors:
            raise NotFoundError.missing("vector", name, vectors)
    none = Quantization(Kind.NONE)
    return {name: given.get(name, none) for name in vectors}


def options(address: Address, known: Sequence[str]) -> None:
    """An address with no options but those that are known.

    Raises:
        AddressError
    """
    for name in address.options:
        if name not in known:
            raise AddressError.unknown("option", name, known, where=str(address))


def number(address: Address, name: str, default: int) -> int:
    """An option of an address that is a whole number, such as a port or seconds.

    Raises:
        AddressError
    """
    text = address.options.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise AddressError(f"{address}: {name} is a whole number from 1; got {text!r}")
    return int(text)


def vector(name: str, known: Mapping[str, Field], others: Mapping[str, str]) -> Field:
    """One vector of a collection.

    Args:
        known: by their names.
        others: those that qadapt cannot describe, and why.

    Raises:
        NotFoundError: no such vector.
        UnsupportedError: one of the others.
    """
    if name in others:
        raise UnsupportedError(f"the vector {name!r} {others[name]}", hint="qadapt leaves it alone")
    if name not in known:
        raise NotFoundError.missing("vector", name, known)
    return known[name]
