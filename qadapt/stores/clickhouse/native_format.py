"""Blocks of ClickHouse's format Native, which holds columns as numpy stores them, and parameters.

A block has the number of columns and of rows, then name, type and values of each column. Vectors
are one array of offsets and one of values, so that neither side converts numbers to text
(docs/engines/clickhouse.md#native-format).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import StoreError

NUMBERS = {
    "Int8": "<i1", "Int16": "<i2", "Int32": "<i4", "Int64": "<i8", "UInt8": "<u1", "UInt16": "<u2",
    "UInt32": "<u4", "UInt64": "<u8", "Float32": "<f4", "Float64": "<f8", "Bool": "?",
}  # fmt: skip
_NESTED = re.compile(r"(\w+)\((.*)\)$", re.S)


@dataclass(frozen=True)
class Arrays:
    """A column of arrays.

    Attributes:
        ends: the end of each row in ``values``.
        values: values of all rows.
    """

    ends: npt.NDArray[np.uint64]
    values: npt.NDArray[Any]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """The number of values of each row."""
        ends: npt.NDArray[np.int64] = self.ends.astype(np.int64)
        found = ends.copy()
        found[1:] -= ends[:-1]
        return found


@dataclass(frozen=True)
class Given:
    """A column to send.

    Attributes:
        name, type: as in the table, such as ``id`` and ``Int64``.
        values: an array for numbers, a matrix for ``Array(Float32)``, texts for ``String``.
    """

    name: str
    type: str
    values: Any


# -- writing -------------------------------------------------------------------------------------


def encode(columns: Sequence[Given]) -> bytes:
    """One block."""
    rows = len(columns[0].values)
    parts = [_number(len(columns)), _number(rows)]
    for each in columns:
        parts += [_text(each.name), _text(each.type), _values(each)]
    return b"".join(parts)


def _values(column: Given) -> bytes:
    if column.type == "String":
        return b"".join(map(_text, column.values))
    if column.type.startswith("Array("):
        inner = NUMBERS[column.type[6:-1]]
        rows = np.ascontiguousarray(column.values, dtype=inner)
        ends = np.arange(1, len(rows) + 1, dtype="<u8") * np.uint64(rows.shape[1])
        return ends.tobytes() + rows.tobytes()
    return np.ascontiguousarray(column.values, dtype=NUMBERS[column.type]).tobytes()


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _text(text: str) -> bytes:
    data = text.encode()
    return _number(len(data)) + data


# -- reading -------------------------------------------------------------------------------------


def decode(data: bytes) -> dict[str, Any]:
    """The columns of all blocks: numpy arrays, lists of texts, or ``Arrays``; empty without rows.

    Raises:
        StoreError: a type that no statement of qadapt selects.
    """
    reader, blocks = _Reader(data), []
    while reader.at < len(data):
        columns, rows = reader.number(), reader.number()
        block = {}
        for _ in range(columns):
            name = reader.text()
            block[name] = reader.column(reader.text(), rows)
        blocks.append(block)
    if len(blocks) <= 1:
        return blocks[0] if blocks else {}
    return {name: _joined([each[name] for each in blocks]) for name in blocks[0]}


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], list):
        return [value for part in parts for value in part]
    if isinstance(parts[0], Arrays):
        ends, total = [], np.uint64(0)
        for part in parts:
            ends.append(part.ends + total)
            total = ends[-1][-1] if len(ends[-1]) else total
        return Arrays(np.concatenate(ends), np.concatenate([part.values for part in parts]))
    return np.concatenate(parts)


class _Reader:
    """Reads values one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self) -> int:
        """A variable-length integer."""
        found = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7

    def raw(self) -> bytes:
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str:
        return self.raw().decode("utf-8", "replace")

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += found.nbytes
        return found.copy()  # aligned, which other libraries require

    def column(self, kind: str, rows: int) -> Any:
        """The values of a column."""
        if kind in NUMBERS:
            return self.array(NUMBERS[kind], rows)
        if kind == "String":
            return [self.text() for _ in range(rows)]
        nested = _NESTED.match(kind)
        if nested and nested[1] == "Array":
            ends = self.array("<u8", rows)
            return Arrays(ends, self.column(nested[2], int(ends[-1]) if rows else 0))
        if nested and nested[1] == "Nullable":
            missing = self.array("?", rows)
            found = self.column(nested[2], rows)
            return [
                None if none else value
                for none, value in zip(missing.tolist(), list(found), strict=True)
            ]
        raise StoreError(
            f"the server returned a column of the type {kind}, which qadapt does not read",
            hint="report this with the output of SHOW CREATE TABLE",
        )


# -- parameters ----------------------------------------------------------------------------------

ESCAPES = str.maketrans({
    "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f",
})  # fmt: skip


def encoded(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The values of ``{name:Type}``, which the engine parses as fields of a TSV file."""
    return {name: _encoded(value) for name, value in parameters.items()}


def _encoded(value: Any) -> str:
    if isinstance(value, str):
        return value.translate(ESCAPES)
    if isinstance(value, np.ndarray):  # float32, which 9 digits identify
        return f"[{','.join(['%.9g'] * len(value))}]" % tuple(value.tolist())
    if isinstance(value, list):
        return f"[{','.join(map(_element, value))}]"
    return repr(value)


def _element(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.translate(ESCAPES).replace("'", "\\'") + "'"
    return repr(value)
