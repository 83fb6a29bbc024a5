"""Conversion of the array types of other libraries to numpy arrays and lists.

The libraries are recognized by the methods of their objects and are not imported.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model import bfloat16


def plain_array(x: Any, *, what: str = "vectors") -> npt.NDArray[Any]:
    """Convert any array-like of numbers to a numpy array.

    Args:
        x: lists, numpy arrays, torch tensors (on any device), pyarrow arrays and tables, pandas and
            polars series and data frames. A column of lists becomes ``(n, d)``; the columns of a
            data frame or table are the dimensions.

    Raises:
        InputError: rows of different length, or missing rows.
    """
    found = _unwrapped(x, what)
    if isinstance(found, np.ndarray) and found.dtype != object:
        return found
    try:
        array = np.asarray(found)
        if array.dtype == object and array.ndim == 1 and len(array):
            array = np.stack([_unwrapped(row, what) for row in array.tolist()])
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{what} must have rows of equal length ({error})",
            hint="{len(row) for row in rows} shows the lengths",
        ) from None
    return array


_IDS = {int, str}


def plain_ids(ids: Any) -> list[Any]:
    """Convert ids of other libraries to a list; numpy integers become ``int``, UUIDs ``str``.

    Raises:
        InputError: an invalid type of id.
    """
    for method in ("to_pylist", "tolist", "to_list"):  # pyarrow; numpy, pandas, torch; polars
        if hasattr(ids, method):
            ids = getattr(ids, method)()
            break
    listed = list(ids)
    if set(map(type, listed)) <= _IDS:  # no call for each of many ids
        return listed
    plain = [_plain_id(key) for key in listed]
    wrong = [key for key in plain if type(key) not in _IDS]
    if wrong:
        raise InputError(
            f"ids must be int or str; got {wrong[0]!r} of type {type(wrong[0]).__name__}",
            hint="convert other types with int() or str()",
        )
    return plain


def _plain_id(key: Any) -> Any:
    if isinstance(key, np.integer):
        return int(key)
    if isinstance(key, uuid.UUID):
        return str(key)
    if hasattr(key, "as_py"):  # a pyarrow scalar
        return _plain_id(key.as_py())
    return str(key) if isinstance(key, np.str_) else key


def _unwrapped(x: Any, what: str) -> Any:
    """A numpy array or sequence in place of an object of another library."""
    if isinstance(x, np.ndarray) and x.dtype.name == bfloat16.NAME:  # of ml_dtypes
        return bfloat16.from_bfloat16(np.ascontiguousarray(x).view(np.uint16))
    if isinstance(x, (np.ndarray, list, tuple)):
        return x
    if hasattr(x, "detach") and hasattr(x, "cpu"):  # torch; numpy has no bfloat16
        tensor = x.detach().cpu()
        return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()
    if hasattr(x, "to_pylist"):  # pyarrow arrays, chunked arrays and tables
        return _arrow_array(x, what)
    if hasattr(x, "to_frame") and hasattr(x, "to_arrow"):
        return _polars_array(x, what)
    if hasattr(x, "to_series") and hasattr(x, "to_arrow") and x.width == 1:  # polars frame
        column = x.to_series()
        return _polars_array(column, what) if hasattr(column.dtype, "inner") else x.to_numpy()
    if hasattr(x, "collect_schema") and not hasattr(x, "to_numpy"):
        raise InputError(
            f"{what} must be an array of numbers; got a lazy frame",
            hint="call .collect() on it, and select the column of vectors",
        )
    if hasattr(x, "to_numpy"):  # pandas series and data frames, polars data frames
        array = x.to_numpy()
        return array[:, 0] if array.dtype == object and array.shape[1:] == (1,) else array
    return x


def _polars_array(x: Any, what: str) -> Any:
    """Numbers of a polars series; polars' own ``to_arrow`` would need pyarrow."""
    if x.null_count():
        row = x.is_null().to_list().index(True)
        raise _null_row(what, row)
    if not hasattr(x.dtype, "inner"):
        return x.to_numpy()
    values = x.explode()
    if values.null_count():
        raise InputError(f"{what} must not contain nulls", hint="drop rows with missing values")
    if hasattr(x.dtype, "shape"):  # arrays of a fixed width
        return values.to_numpy().reshape(len(x), -1)
    lengths = x.list.len()
    if len(x) and lengths.min() != lengths.max():
        raise _ragged(what, lengths.min(), lengths.max())
    return values.to_numpy().reshape(len(x), -1) if len(x) else values.to_numpy()


def _null_row(what: str, row: int) -> InputError:
    return InputError(
        f"{what} must not contain nulls; row {row} is null", hint="drop rows without a vector"
    )


def _ragged(what: str, least: int, most: int) -> InputError:
    return InputError(
        f"{what} must have rows of equal length; found {least} and {most}",
        hint="remove or correct the rows of another length",
    )


def _arrow_array(x: Any, what: str) -> Any:
    """Numbers of a pyarrow array, chunked array or table without a Python object per value."""
    if hasattr(x, "column_names"):
        return np.column_stack([_arrow_array(column, what) for column in x.columns])
    if hasattr(x, "combine_chunks"):
        x = x.combine_chunks()
        if hasattr(x, "chunks"):  # some versions return a chunked array of one chunk
            x = x.chunk(0)
    if x.null_count:
        row = x.is_null().to_pylist().index(True)
        raise _null_row(what, row)
    if not hasattr(x, "flatten") or not hasattr(x.type, "value_type"):
        return x.to_numpy(zero_copy_only=False)
    values = x.flatten()
    if values.null_count:
        raise InputError(f"{what} must not contain nulls", hint="drop rows with missing values")
    lengths = set(x.value_lengths().to_pylist()) if hasattr(x, "value_lengths") else set()
    if len(lengths) > 1:
        raise _ragged(what, min(lengths), max(lengths))
    return values.to_numpy(zero_copy_only=False).reshape(len(x), -1)
