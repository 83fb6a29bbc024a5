"""Input checks that all stores share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from qadapt.errors import AddressError, InputError, NotFoundError, UnsupportedError
from qadapt.model import Kind, Quantization, Vector
from qadapt.model.address import Address

Field = TypeVar("Field")


def page(size: Any) -> int:
    """Check a page size.

    Raises:
        InputError
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise InputError(
            f"the page size must be at least 1; got {size!r}",
            hint="for example page=2000",
        )
    return int(size)


def quantizations(
    given: Mapping[str, Quantization], vectors: Mapping[str, Vector]
) -> dict[str, Quantization]:
    """The quantization of each vector; ``none`` for vectors without one.

    Raises:
        NotFoundError: a quantization for an unknown vector.
    """
    for name in given:
        if name not in vectors:
            raise NotFoundError.missing("vector", name, vectors)
    none = Quantization(Kind.NONE)
    return {name: given.get(name, none) for name in vectors}


def options(address: Address, known: Sequence[str]) -> None:
    """Check that an address has only known options.

    Raises:
        AddressError
    """
    for name in address.options:
        if name not in known:
            raise AddressError.unknown("option", name, known, where=str(address))


def number(address: Address, name: str, default: int) -> int:
    """A positive integer option of an address, such as a port or a number of seconds.

    Raises:
        AddressError
    """
    text = address.options.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise AddressError(
            f"{address}: {name} must be a positive integer; got {text!r}",
            hint=f"for example ?{name}=100",
        )
    return int(text)


def vector(name: str, known: Mapping[str, Field], others: Mapping[str, str]) -> Field:
    """Look up one vector of a collection.

    Args:
        known: the vectors by name.
        others: the vectors that qadapt does not support, with reasons.

    Raises:
        NotFoundError: the vector does not exist.
        UnsupportedError: the vector is one of ``others``.
    """
    if name in others:
        raise UnsupportedError(
            f"the vector {name!r} {others[name]}", hint=("qadapt does not support this vector")
        )
    if name not in known:
        raise NotFoundError.missing("vector", name, known)
    return known[name]
