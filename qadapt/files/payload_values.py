"""Conversion of Arrow columns to payload fields: each type has one JSON form (see docs/migrate.md).

Whole columns are converted at once, nested ones by their flattened values.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.files.row_errors import RowErrors

Rows = npt.NDArray[np.int64]
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400


def entries(arrow: Any, array: Any, label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    """Convert a column to JSON values; None for null.

    Args:
        arrow: the module pyarrow.
        label: the column's name, for messages.
        rows: row number of each value in the file, int64 ``(n,)``.
        row_errors: collects rows whose values JSON does not support.

    Raises:
        InputError: a type without a JSON form.
    """
    array = plain(arrow, array)
    kind, types = array.type, arrow.types
    if types.is_null(kind):
        return [None] * len(array)
    if types.is_boolean(kind) or types.is_integer(kind) or is_text(arrow, kind):
        found: list[Any] = array.to_pylist()
        return found
    if types.is_floating(kind):
        return _floats(array, label, rows, row_errors)
    if is_binary(arrow, kind):
        return [None if each is None else base64.b64encode(each).decode("ascii")
                for each in array.to_pylist()]  # fmt: skip
    if types.is_decimal(kind):
        return [None if each is None else format(each, "f") for each in array.to_pylist()]
    if types.is_temporal(kind):
        return _temporal(arrow, array)
    if types.is_struct(kind):
        return _structs(arrow, array, label, rows, row_errors)
    if types.is_map(kind):
        return _maps(arrow, array, label, rows, row_errors)
    if is_list(arrow, kind):
        return _lists(arrow, array, label, rows, row_errors)
    raise InputError(
        f"column {label!r} is of the type {kind}, which is not supported in payloads",
        hint="remove the column from the file, or cast it to text",
    )


def plain(arrow: Any, array: Any) -> Any:
    """Decode dictionaries, run-end encoding and extension types.

    Arrow's UUID extension type becomes text in canonical form.
    """
    kind = array.type
    if isinstance(kind, arrow.BaseExtensionType):
        storage = array.storage
        if kind.extension_name == "arrow.uuid":
            return arrow.array(uuids(storage), type=arrow.string())
        return plain(arrow, storage)
    if arrow.types.is_dictionary(kind):
        return plain(arrow, array.dictionary_decode())
    if hasattr(arrow.types, "is_run_end_encoded") and arrow.types.is_run_end_encoded(kind):
        import pyarrow.compute

        return plain(arrow, pyarrow.compute.run_end_decode(array))
    return array


def uuids(array: Any) -> list[str | None]:
    """Convert 16-byte values to UUIDs in canonical form.

    Raises:
        ValueError: a value has another length.
    """
    return [None if each is None else str(uuid.UUID(bytes=each)) for each in array.to_pylist()]


def is_text(arrow: Any, kind: Any) -> bool:
    """Whether a type is text of any layout."""
    return bool(
        arrow.types.is_string(kind) or arrow.types.is_large_string(kind)
        or str(kind) == "string_view"
    )  # fmt: skip


def is_binary(arrow: Any, kind: Any) -> bool:
    """Whether a type is bytes of any layout."""
    types = arrow.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"
    )  # fmt: skip


def is_list(arrow: Any, kind: Any) -> bool:
    """Whether a type is a list of any layout, but not a map."""
    types = arrow.types
    return bool(
        types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        or str(kind).startswith(("list_view<", "large_list_view<"))
    )  # fmt: skip


def lengths(arrow: Any, array: Any) -> npt.NDArray[np.int64]:
    """Lengths of the lists; 0 for null."""
    import pyarrow.compute

    counted = pyarrow.compute.list_value_length(array).fill_null(0)
    found: npt.NDArray[np.int64] = counted.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _floats(array: Any, label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    # Nulls are NaN here, but valid.
    known = array.to_numpy(zero_copy_only=False).astype(np.float64)
    there = ~np.asarray(array.is_null(), dtype=np.bool_)
    row_errors.add(
        f"NaN or infinity in column {label!r}", np.unique(rows[there & ~np.isfinite(known)])
    )
    found: list[Any] = array.to_pylist()
    return found


def _lists(arrow: Any, array: Any, label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    counted = lengths(arrow, array)
    flat = entries(arrow, array.flatten(), label, np.repeat(rows, counted), row_errors)
    ends = np.cumsum(counted).tolist()
    starts = [0, *ends[:-1]]
    missing_vectors = array.is_null().to_pylist()
    return [None if gone else flat[start:end]
            for start, end, gone in zip(starts, ends, missing_vectors, strict=True)]  # fmt: skip


def _structs(arrow: Any, array: Any, label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    names = [field.name for field in array.type]
    if len(set(names)) != len(names):
        raise InputError(
            f"column {label!r} has duplicate fields: {', '.join(names)}",
            hint="rename the fields in the program that wrote the file",
        )
    columns = [
        entries(arrow, child, f"{label}.{name}", rows, row_errors)
        for name, child in zip(names, array.flatten(), strict=True)
    ]
    made = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    made = made or [{} for _ in range(len(array))]  # without fields
    missing_vectors = array.is_null().to_pylist()
    return [None if gone else value for value, gone in zip(made, missing_vectors, strict=True)]


def _maps(arrow: Any, array: Any, label: str, rows: Rows, row_errors: RowErrors) -> list[Any]:
    """Convert maps to objects, or to lists of ``key`` and ``value`` if keys are not text."""
    kind = array.type
    text = is_text(arrow, kind.key_type)
    fields = [arrow.field("key", kind.key_type), arrow.field("value", kind.item_type)]
    pairs = _lists(arrow, array.cast(arrow.list_(arrow.struct(fields))), label, rows, row_errors)
    if not text:
        return pairs
    made: list[Any] = []
    for row, listed in zip(rows.tolist(), pairs, strict=True):
        if listed is None:
            made.append(None)
            continue
        one = {pair["key"]: pair["value"] for pair in listed}
        if len(one) != len(listed):
            row_errors.add(f"a duplicate key in column {label!r}", [row])
        made.append(one)
    return made


# -- times ---------------------------------------------------------------------------------------


def _temporal(arrow: Any, array: Any) -> list[Any]:
    kind, types = array.type, arrow.types
    if str(kind) == "month_day_nano_interval":
        return [None if each is None else
                f"P{each.months}M{each.days}DT{_decimal(each.nanoseconds, 10**9)}S"
                for each in array.to_pylist()]  # fmt: skip
    missing_vectors = np.asarray(array.is_null(), dtype=np.bool_)
    width = arrow.int32() if kind.bit_width == 32 else arrow.int64()
    numbers = array.cast(width).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    if types.is_date(kind):
        days = numbers if types.is_date32(kind) else numbers // (_DAY * 1_000)
        made = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
    else:
        per = _PER_SECOND[kind.unit]
        if types.is_duration(kind):
            made = [f"{'-' if each < 0 else ''}PT{_decimal(abs(each), per)}S"
                    for each in numbers.tolist()]  # fmt: skip
        else:
            seconds, rest = np.divmod(numbers, per)
            whole = np.datetime_as_string(seconds.astype("datetime64[s]")).tolist()
            if types.is_time(kind):
                whole = [text[11:] for text in whole]
            zone = "+00:00" if types.is_timestamp(kind) and kind.tz is not None else ""
            made = [f"{text}{_fraction(part, per)}{zone}"
                    for text, part in zip(whole, rest.tolist(), strict=True)]  # fmt: skip
    return [
        None if gone else text for text, gone in zip(made, missing_vectors.tolist(), strict=True)
    ]


def _fraction(part: int, per: int) -> str:
    """Format a fraction as ``datetime.isoformat`` does: no digits, or six; nine if needed."""
    if not part:
        return ""
    nanos = part * (1_000_000_000 // per)
    return f".{nanos:09}" if nanos % 1_000 else f".{nanos // 1_000:06}"


def _decimal(number: int, per: int) -> str:
    """Convert parts of a second to seconds, without trailing zeros."""
    sign = "-" if number < 0 else ""
    whole, part = divmod(abs(number), per)
    digits = f"{part * (1_000_000_000 // per):09}".rstrip("0")
    return f"{sign}{whole}{'.' + digits if digits else ''}"
