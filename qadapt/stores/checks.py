"""Input checks that all stores share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from qadapt.errors import (
    AddressError,
    AlreadyExistsError,
    InputError,
    NotFoundError,
    UnsupportedError,
)
from qadapt.model import Kind, Quantization, Vector
from qadapt.model.address import Address
from qadapt.model.numbers import shown
from qadapt.stores.store_types import SearchRequest, check_k

# Levels of a payload that the engines read.
MAX_DEPTH = 64
Field = TypeVar("Field")


MOST_PAGE = 2**31 - 1


def page(size: Any) -> int:
    """Check a page size.

    Raises:
        InputError
    """
    whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
    if not whole or not 1 <= size <= MOST_PAGE:
        raise InputError(
            f"the page size must be an integer from 1 to {MOST_PAGE:,}; got {shown(size)}",
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


def new_name(collection: str, taken: Collection[str]) -> None:
    """Refuse the name of an existing collection or alias.

    Raises:
        AlreadyExistsError
    """
    if collection in taken:
        raise AlreadyExistsError(
            f"a collection or alias {collection!r} already exists",
            hint="open it with db[name], or drop it first",
        )


def problem(check: Callable[[], object]) -> str | None:
    """The message of the InputError or UnsupportedError that a check raises; None if it passes."""
    try:
        check()
    except (InputError, UnsupportedError) as error:
        return error.message
    return None


def vector_names(given: Sequence[str] | None) -> Sequence[str] | None:
    """Check a list of vector names.

    Raises:
        InputError: a single name.
    """
    if isinstance(given, str):
        raise InputError(
            f"vectors must be a list of names; got {given!r}", hint=f"vectors=[{given!r}]"
        )
    return given


def scan_request(search: SearchRequest, store: str, max_k: int) -> None:
    """Refuse what a search that scans all rows does not have.

    Raises:
        InputError: ``k`` is not from 1 to ``max_k``.
        UnsupportedError: rescoring by finer codes, or a search parameter.
    """
    check_k(search.k, max_k)
    if search.rescore is not None and search.rescore.by_codes:
        raise UnsupportedError(
            f"{store} stores no finer codes for rescoring",
            hint="use rescore source 'originals'",
        )
    for option in search.options:
        raise UnsupportedError(
            f"{store} has no search parameter {option!r}",
            hint=f"omit {option!r}",
        )


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
    if not text.isdecimal() or len(text) > 5 or not 1 <= int(text) <= 65535:
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


def check_payloads(payloads: Sequence[Mapping[str, Any]] | None) -> None:
    """Reject payloads that engines reject midway or silently change.

    Qdrant stores integers beyond 64 bits as floats and bytes as lists of numbers, and fails at
    NaN, at keys that are not text and at other types after earlier rows are already written.

    Raises:
        InputError: names the row and the field.
    """
    for row, payload in enumerate(payloads or ()):
        if not isinstance(payload, Mapping):
            raise InputError(
                f"the payload of row {row} is a {type(payload).__name__}, not a dict",
                hint="use {} for a row without payload, or payloads=None for none",
            )
        _check_json(payload, row, "", 0)


def _check_json(value: Any, row: int, place: str, depth: int) -> None:
    problem = None
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            problem = "is text with a lone surrogate, which is not valid Unicode"
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            problem = f"is the number {shown(value)}, which does not fit into 64 bits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            problem = f"is {value}, which JSON cannot represent"
    elif depth > MAX_DEPTH:
        problem = f"is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            _check_json(item, row, f"{place}[{at}]", depth + 1)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                problem = f"has the key {key!r}, which is not text"
                break
            _check_json(item, row, f"{place}.{key}" if place else key, depth + 1)
    else:
        problem = f"is a {type(value).__name__}, which JSON cannot represent"
    if problem:
        raise InputError(
            f"the payload of row {row}: {place or 'the payload'} {problem}",
            hint="payloads must be JSON; nothing was written",
        )


def vector_column(table: Any, name: str, hint: str) -> Any:
    """The column of a vector.

    Args:
        table: has ``name``, ``vectors`` and ``other_vectors``.
        hint: what to do about a vector that qadapt does not use.

    Raises:
        NotFoundError: the vector does not exist.
        UnsupportedError: qadapt does not use it.
    """
    if name in table.other_vectors:
        why = table.other_vectors[name]
        raise UnsupportedError(f"the column {name!r} of {table.name!r} {why}", hint=hint)
    if name not in table.vectors:
        raise NotFoundError.missing("vector", name, table.vectors)
    return table.vectors[name]
