"""Validation of ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from qadapt.errors import InputError

Id = int | str


def clean_ids(ids: Any, *, what: str = "ids") -> list[Id]:
    """Convert ids to int and str.

    1 and "1" are different ids. NumPy integers and strings, and pyarrow arrays, are converted;
    other types are rejected (including bool and float, which may compare equal to an int).

    Raises:
        InputError: an invalid type of id, or not a list.
    """
    if isinstance(ids, np.ndarray):
        ids = ids.reshape(-1).tolist()
    elif hasattr(ids, "to_pylist"):  # pyarrow
        ids = ids.to_pylist()
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InputError(
            f"{what} must be a list of int or str; got {ids!r}", hint="for one id: [id]"
        )
    plain = list(ids)
    if set(map(type, plain)) <= {int, str}:
        return plain
    return [_plain(one, what) for one in plain]


def _plain(one: Any, what: str) -> Id:
    if isinstance(one, np.integer):
        return int(one)
    if isinstance(one, str):
        return str(one)
    if isinstance(one, int) and not isinstance(one, bool):
        return int(one)
    raise InputError(
        f"{what} must be int or str; got {one!r} of type {type(one).__name__}",
        hint="write UUIDs as strings: str(uuid)",
    )


def shown(ids: Sequence[Id]) -> str:
    """Format the first ids for a message."""
    text = ", ".join(repr(one) for one in ids[:10])
    return text + (f", ... ({len(ids)} in total)" if len(ids) > 10 else "")
