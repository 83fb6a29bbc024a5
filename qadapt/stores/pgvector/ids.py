"""Ids and the types of primary keys."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from qadapt.errors import InputError
from qadapt.model import Id
from qadapt.stores import key_ids, uuids
from qadapt.stores.pgvector.schema import ID_TYPES, Column

_INTEGERS = {"int2": 2, "int4": 4, "int8": 8}


def kind_of_ids(ids: Sequence[Id]) -> str:
    """``int``, ``uuid`` or ``text``.

    Raises:
        InputError: integers and texts.
    """
    if key_ids.are_integers(ids):
        return "int"
    return "uuid" if all(uuids.usual(str(each)) for each in ids) else "text"


def possible(key: Column, ids: Sequence[Id]) -> list[Id]:
    """The ids that a primary key of this type can have."""
    kind = ID_TYPES[key.type]
    if kind == "int":
        most = 1 << (8 * _INTEGERS[key.type] - 1)
        return [each for each in ids if isinstance(each, int) and -most <= each < most]
    texts: list[Id] = [each for each in ids if isinstance(each, str) and key_ids.is_text(each)]
    return texts if kind == "text" else [each for each in texts if uuids.usual(str(each))]


def check_ids(key: Column, ids: Sequence[Id]) -> None:
    """Check that a primary key can have these ids.

    Raises:
        InputError
    """
    if len(possible(key, ids)) == len(ids):
        return
    kept = set(possible(key, ids))
    wrong = next(each for each in ids if each not in kept)
    kind = {"int": "integers", "uuid": "UUIDs", "text": "texts"}[ID_TYPES[key.type]]
    raise InputError(
        f"the id {wrong!r:.60} does not fit the primary key {key.name!r} of the type {key.type}",
        hint=f"use ids that are {kind}",
    )


def id_bytes(key: Column, ids: Sequence[Id]) -> list[bytes]:
    if key.type in _INTEGERS:
        width = _INTEGERS[key.type]
        return [int(each).to_bytes(width, "big", signed=True) for each in ids]
    if key.type == "uuid":
        return [uuid.UUID(str(each)).bytes for each in ids]
    return [str(each).encode() for each in ids]


def as_ids(key: Column, values: Sequence[Any]) -> list[Id]:
    return [str(each) for each in values] if ID_TYPES[key.type] != "int" else list(values)


def parameter(key: Column, ids: Sequence[Id]) -> list[Any]:
    """Ids as a parameter of the type of the key."""
    if key.type == "uuid":
        return [uuid.UUID(str(each)) for each in ids]
    return list(ids)
