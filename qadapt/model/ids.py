"""Ids of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model.array_input import plain_ids

Id = int | str


def listed_ids(ids: Iterable[Id] | npt.NDArray[Any]) -> list[Id]:
    """Convert ids to a list of ``int`` and ``str``.

    Raises:
        InputError: not a list, or an invalid type of id.
    """
    if isinstance(ids, (str, bytes)) or not isinstance(ids, (Iterable, np.ndarray)):
        raise InputError(
            f"ids must be a list of int or str; got {ids!r:.60}",
            hint="for a single id: [id]",
        )
    return plain_ids(ids)


def checked_ids(ids: Iterable[Id] | npt.NDArray[Any]) -> list[Id]:
    listed = listed_ids(ids)
    if len(set(listed)) != len(listed):
        seen: set[Id] = set()
        twice = sorted({str(key) for key in listed if key in seen or seen.add(key)})  # type: ignore[func-returns-value]
        raise InputError(
            f"{len(twice)} ids are duplicated in the batch: {', '.join(twice[:10])}",
            hint="keep one row per id; the result for duplicate ids is undefined",
        )
    return listed
