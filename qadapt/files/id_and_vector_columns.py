"""Conversion of Arrow columns to ids and vectors; errors are collected by row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.files.payload_values import Rows, is_binary, is_list, is_text, lengths, plain, uuids
from qadapt.files.row_errors import RowErrors
from qadapt.model import Id

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


# -- ids -----------------------------------------------------------------------------------------


def check_id_type(arrow: Any, kind: Any, label: str) -> None:
    """Reject a column that cannot contain ids.

    Raises:
        InputError
    """
    kind = _value_type(arrow, kind)
    types = arrow.types
    fits = types.is_integer(kind) or types.is_decimal(kind) or types.is_null(kind)
    if not fits and not is_text(arrow, kind) and not is_binary(arrow, kind):
        raise InputError(
            f"column {label!r} of the type {kind} cannot contain ids",
            hint="use another column (--id COLUMN), or cast it to integers, text, or 16-byte UUIDs",
        )


def ids(
    arrow: Any,
    array: Any,
    label: str,
    rows: Rows,
    row_errors: RowErrors,
    *,
    json_text: bool = False,
) -> list[Id]:
    """Read the ids of a page; an invalid id is reported, and replaced by one that no row has.

    Args:
        rows: row numbers in the file, int64 ``(n,)``.
        json_text: ids are JSON text, as qadapt writes mixed ids.
    """
    array = plain(arrow, array)
    kind = array.type
    absent = np.asarray(array.is_null(), dtype=np.bool_)
    row_errors.add(f"null in the id column {label!r}", rows[absent])
    listed: list[Any]
    if is_binary(arrow, kind):
        listed = _of_bytes(array, label, rows, row_errors)
    else:
        listed = array.to_pylist()
        if arrow.types.is_decimal(kind):
            listed = _of_decimals(listed, label, rows, row_errors)
        elif json_text:
            listed = _of_json(listed, label, rows, row_errors)
    if not absent.any() and not row_errors:
        return listed
    return [f"\0{row}" if key is None else key for key, row in zip(listed, rows, strict=True)]


def _of_bytes(array: Any, label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    found = array.to_pylist()
    wrong = [at for at, each in enumerate(found) if each is not None and len(each) != 16]
    if wrong:
        row_errors.add(
            f"bytes that are not a UUID (16 bytes) in the id column {label!r}", rows[wrong]
        )
        return [None] * len(found)
    return uuids(array)


def _of_decimals(listed: list[Any], label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    wrong = [at for at, each in enumerate(listed) if each is not None and each != int(each)]
    row_errors.add(f"fractional numbers in the id column {label!r}", rows[wrong])
    return [None if each is None else int(each) for each in listed]


def _of_json(listed: list[Any], label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    made: list[Any] = []
    for row, text in zip(rows.tolist(), listed, strict=True):
        try:
            key = None if text is None else json.loads(text)
        except ValueError:
            key = None
        if type(key) is not int and type(key) is not str:
            row_errors.add(f"invalid id in the id column {label!r}", [row])
            key = None
        made.append(key)
    return made


# -- vectors -------------------------------------------------------------------------------------


def numbers_of(arrow: Any, kind: Any) -> Any:
    """Number type of a list type; None if it is not a list of numbers."""
    kind = _value_type(arrow, kind)
    if not is_list(arrow, kind):
        return None
    inner = _value_type(arrow, kind.value_type)
    if arrow.types.is_floating(inner) or arrow.types.is_integer(inner):
        return inner
    return None


def dim_of(arrow: Any, kind: Any) -> int | None:
    """Dimensions of a list type; None if its lists have variable lengths."""
    kind = _value_type(arrow, kind)
    return int(kind.list_size) if arrow.types.is_fixed_size_list(kind) else None


def first_length(arrow: Any, array: Any) -> int | None:
    """Length of the first list that is neither null nor empty; None if there is none."""
    counted = lengths(arrow, plain(arrow, array))
    there = np.flatnonzero(counted)
    return int(counted[there[0]]) if len(there) else None


def vectors(
    arrow: Any, array: Any, dim: int, label: str, rows: Rows, row_errors: RowErrors
) -> tuple[Floats, Mask]:
    """Read the vectors of a page, float32 ``(n, dim)``, and a mask of nulls, bool ``(n,)``.

    Invalid rows become 0 and are reported.
    """
    array = plain(arrow, array)
    absent = np.asarray(array.is_null(), dtype=np.bool_)
    made = np.zeros((len(array), dim), dtype=np.float32)
    counted = lengths(arrow, array)
    short = ~absent & (counted != dim)
    if short.any():
        row_errors.add(f"not {dim} numbers in column {label!r}", rows[short])
        return made, absent
    there = np.flatnonzero(~absent)
    flat = plain(arrow, array.flatten())
    found = flat.to_numpy(zero_copy_only=False).reshape(-1, dim)
    if flat.null_count:
        holes = np.asarray(flat.is_null(), dtype=np.bool_).reshape(-1, dim)
        row_errors.add(
            f"null among the numbers in column {label!r}", rows[there[holes.any(axis=1)]]
        )
        found = np.where(holes, 0, found)
    with np.errstate(over="ignore"):
        floats = np.asarray(found, dtype=np.float32)
    wrong = ~np.isfinite(floats).all(axis=1)
    if wrong.any():
        inside = np.isfinite(found.astype(np.float64)).all(axis=1)
        row_errors.add(f"NaN or infinity in column {label!r}", rows[there[wrong & ~inside]])
        row_errors.add(f"numbers beyond float32 in column {label!r}", rows[there[wrong & inside]])
    if len(there) == len(array):
        return np.ascontiguousarray(floats), absent
    made[there] = floats
    return made, absent


def _value_type(arrow: Any, kind: Any) -> Any:
    """Type of the decoded values (see ``values.plain``)."""
    if isinstance(kind, arrow.BaseExtensionType):
        return arrow.string() if kind.extension_name == "arrow.uuid" else kind.storage_type
    if arrow.types.is_dictionary(kind):
        return _value_type(arrow, kind.value_type)
    if hasattr(arrow.types, "is_run_end_encoded") and arrow.types.is_run_end_encoded(kind):
        return _value_type(arrow, kind.value_type)
    return kind
