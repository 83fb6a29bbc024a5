"""How a vector is stored in fields, and its conversion to Milvus values and back, without I/O.

    float    one vector field of its datatype
    sidecar  two fields: the vector field, and its sign bits in a BINARY_VECTOR (from 2.4)
    array    an ARRAY, which cannot be indexed, and the sign bits in a BINARY_VECTOR (2.3, which
             supports one vector per collection)

bfloat16 vectors and bits are sent as bytes. With cosine, an ``int8`` row is scaled so that its
largest value is 127, which keeps its direction. With other metrics, rows must be integers from -128
to 127, because scaling would change the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.model import Metric, Vector, vector_norms
from qadapt.model.bfloat16 import from_bfloat16, to_bfloat16
from qadapt.model.value_errors import unheld_rows

VectorForm = Literal["float", "sidecar", "array"]
FLOAT: VectorForm = "float"
SIDECAR_FIELD: VectorForm = "sidecar"
ARRAY: VectorForm = "array"

TYPES: Mapping[str, str] = {
    "float32": "FLOAT_VECTOR",
    "float16": "FLOAT16_VECTOR",
    "bfloat16": "BFLOAT16_VECTOR",
    "int8": "INT8_VECTOR",
    "bit": "BINARY_VECTOR",
}
WIDTHS: Mapping[str, float] = {
    "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "bit": 0.125,
}  # fmt: skip
CODES = "qadapt_bits_"
MAX_ARRAY = 4096
_HALF_MAX = 65504
_INT8_MAX = 127


def codes_field(field: str) -> str:
    """The field of a vector's sign bits."""
    return CODES + field


def code_bytes(dim: int) -> int:
    """The size of the sign bits of one vector, in bytes."""
    return -(-dim // 8)


def pack(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The sign bits of rows, first dimension first; the bit of a zero is 0."""
    return np.packbits(array > 0, axis=1)


def fields(name: str, vector: Vector, form: VectorForm) -> list[dict[str, Any]]:
    """The fields of a vector in the form of ``describe_collection``."""
    held: dict[str, Any] = {
        "name": name,
        "type": TYPES[vector.datatype],
        "params": {"dim": vector.dim},
    }
    if form == ARRAY:
        params = {"max_capacity": vector.dim}
        held = {"name": name, "type": "ARRAY", "element_type": "FLOAT", "params": params}
    if form == FLOAT:
        return [held]
    bits = {
        "name": codes_field(name),
        "type": "BINARY_VECTOR",
        "params": {"dim": 8 * code_bytes(vector.dim)},
    }
    return [held, bits]


def columns(
    name: str, vector: Vector, form: VectorForm, array: npt.NDArray[np.float32]
) -> dict[str, Sequence[Any]]:
    """The Milvus values of rows, by field.

    Raises:
        InputError: ``int8`` cannot store the rows.
    """
    held: Sequence[Any] = array.tolist() if form == ARRAY else stored(array, vector)
    if form == FLOAT:
        return {name: held}
    return {name: held, codes_field(name): [code.tobytes() for code in pack(array)]}


def stored(array: npt.NDArray[np.float32], vector: Vector) -> Sequence[Any]:
    """Rows or queries in the form that pymilvus expects for the datatype."""
    if vector.datatype == "float16":
        return list(np.clip(array, -_HALF_MAX, _HALF_MAX).astype(np.float16))
    if vector.datatype == "bfloat16":
        return [row.tobytes() for row in to_bfloat16(array)]
    if vector.datatype == "int8":
        return list(to_int8(array, vector.metric))
    if vector.datatype == "bit":
        return [code.tobytes() for code in pack(array)]
    return list(array)


def to_int8(array: npt.NDArray[np.float32], metric: Metric) -> npt.NDArray[np.int8]:
    """Rows as int8; with cosine, scaled so that the largest component is 127.

    Raises:
        InputError: the metric is not cosine and the rows are not integers from -128 to 127.
    """
    if metric is Metric.COSINE:
        largest = np.abs(array).max(axis=1, keepdims=True).astype(np.float64)
        scale = _INT8_MAX / np.where(largest > 0, largest, 1)
        return np.rint(array * scale).astype(np.int8)
    unheld = vector_norms.unrepresentable_rows(array, "int8", cosine=False)
    if unheld is not None:
        raise unheld_rows(np.flatnonzero(unheld).tolist(), datatype="int8")
    return array.astype(np.int8)


def floats(values: Sequence[Any], vector: Vector) -> npt.NDArray[np.float32]:
    """Milvus values of rows as a float32 array ``(n, d)``."""
    if vector.datatype == "float32":
        return np.asarray(values, dtype=np.float32).reshape(len(values), vector.dim)
    raw = b"".join(_bytes(value) for value in values)
    if vector.datatype == "float16":
        found = np.frombuffer(raw, dtype=np.float16).astype(np.float32)
    elif vector.datatype == "bfloat16":
        found = from_bfloat16(np.frombuffer(raw, dtype=np.uint16))
    elif vector.datatype == "bit":
        found = 2 * np.unpackbits(np.frombuffer(raw, dtype=np.uint8)).astype(np.float32) - 1
    else:
        found = np.frombuffer(raw, dtype=np.int8).astype(np.float32)
    return found.reshape(len(values), vector.dim)


def _bytes(value: Any) -> bytes:
    """A bytes object, a list of one, or an array, depending on the version of pymilvus."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, bytes):
        return first
    return np.asarray(value).tobytes()


def plain(value: Any) -> Any:
    """A value that was read, in the form that pymilvus accepts: bytes are read as a list of one."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        return value[0]
    return value
