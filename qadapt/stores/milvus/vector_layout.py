"""How a vector lies in its fields, and its floats as Milvus' values and back. No I/O.

    float    one vector field, by its datatype
    beside   that, and sign bits of it in a BINARY_VECTOR beside (servers from 2.4)
    array    an ARRAY of floats, which no index holds, and sign bits in a BINARY_VECTOR (2.3, which
             has one vector in a collection)

16-bit brain floats and 8-bit numbers go over the wire as bytes. Under cosine a row of ``int8`` is
scaled so that its largest value is 127, which keeps its direction; under other metrics the rows
must be whole numbers from -128 to 127, because scaling would change the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.errors import unheld_rows
from qadapt.model import Metric, Vector, vector_norms

VectorForm = Literal["float", "beside", "array"]
FLOAT: VectorForm = "float"
SIDECAR_FIELD: VectorForm = "beside"
ARRAY: VectorForm = "array"

TYPES: Mapping[str, str] = {
    "float32": "FLOAT_VECTOR",
    "float16": "FLOAT16_VECTOR",
    "bfloat16": "BFLOAT16_VECTOR",
    "int8": "INT8_VECTOR",
}
WIDTHS: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
CODES = "qadapt_bits_"
MAX_ARRAY = 4096
_HALF_MAX = 65504
_INT8_MAX = 127


def codes_field(field: str) -> str:
    """The field of a vector's sign bits."""
    return CODES + field


def code_bytes(dim: int) -> int:
    """Bytes of one code of sign bits."""
    return -(-dim // 8)


def pack(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Sign bits of rows, the first dimension first; a dimension that is 0 has no bit."""
    return np.packbits(array > 0, axis=1)


def fields(name: str, vector: Vector, form: VectorForm) -> list[dict[str, Any]]:
    """The fields of a vector as ``describe_collection`` tells them."""
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
    """Milvus' values of rows, for each field.

    Raises:
        InputError: rows that ``int8`` cannot hold.
    """
    held: Sequence[Any] = array.tolist() if form == ARRAY else stored(array, vector)
    if form == FLOAT:
        return {name: held}
    return {name: held, codes_field(name): [code.tobytes() for code in pack(array)]}


def stored(array: npt.NDArray[np.float32], vector: Vector) -> Sequence[Any]:
    """Rows, or queries, by the datatype: what pymilvus takes for it."""
    if vector.datatype == "float16":
        return list(np.clip(array, -_HALF_MAX, _HALF_MAX).astype(np.float16))
    if vector.datatype == "bfloat16":
        return [row.tobytes() for row in _to_bfloat16(array)]
    if vector.datatype == "int8":
        return list(to_int8(array, vector.metric))
    return list(array)


def _to_bfloat16(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The upper half of each float, rounded to the nearest even."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    # Rounding up the largest floats would make them infinite: those are cut off.
    finite = np.where((rounded & 0x7F800000) == 0x7F800000, bits, rounded)
    return (finite >> np.uint32(16)).astype(np.uint16)


def to_int8(array: npt.NDArray[np.float32], metric: Metric) -> npt.NDArray[np.int8]:
    """Rows as 8-bit numbers; under cosine scaled so that the largest component is 127.

    Raises:
        InputError: another metric than cosine, under which scaling would change the scores, and
            rows that are not such numbers already.
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
    """Milvus' values of rows as float32 ``(n, d)``."""
    if vector.datatype == "float32":
        return np.asarray(values, dtype=np.float32).reshape(len(values), vector.dim)
    raw = b"".join(_bytes(value) for value in values)
    if vector.datatype == "float16":
        found = np.frombuffer(raw, dtype=np.float16).astype(np.float32)
    elif vector.datatype == "bfloat16":
        half = np.frombuffer(raw, dtype=np.uint16).astype(np.uint32)
        found = (half << np.uint32(16)).view(np.float32)
    else:
        found = np.frombuffer(raw, dtype=np.int8).astype(np.float32)
    return found.reshape(len(values), vector.dim)


def _bytes(value: Any) -> bytes:
    """One bytes object, a list of one, or an array, by the client's version."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, bytes):
        return first
    return np.asarray(value).tobytes()


def plain(value: Any) -> Any:
    """A value as it was read, as pymilvus takes it: bytes come back in a list of one."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], bytes):
        return value[0]
    return value
