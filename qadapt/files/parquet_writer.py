"""Writing of Parquet files: ids, vectors as fixed-size lists, payload, and collection metadata.

    id        int64, uint64, or string; mixed ids as JSON text (the metadata says which)
    vector    fixed_size_list<float32>[dim], null if a row lacks it; vector:NAME for named ones
    sparse:NAME, multi:NAME    see ``files.extras``
    payload   JSON text, exact; for other readers also one column per field with a single plain
              type in the first page: payload.NAME

The metadata ``qadapt`` of the schema is the JSON of ``Head``: vectors, quantization, calibration.
Each page has a checksum, and the whole file one more (``seal``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qadapt.errors import MissingExtraError
from qadapt.files import extra_vectors
from qadapt.files.checksum import seal
from qadapt.model import Batch, ExtraVector, Quantization, Serializable, Vector

META = b"qadapt"
IdKind = Literal["int64", "uint64", "string", "json"]
_PLAIN = {bool: "bool_", int: "int64", float: "float64", str: "string"}


@dataclass(frozen=True)
class Head(Serializable):
    """Metadata of a file.

    Attributes:
        collection: name of the exported collection.
        vectors: dimensions, metric and datatype by name.
        ids: encoding of the ids.
        quantization: configured quantization of each vector.
        calibration: ranges of client-side codes as a ``qa.Calibration`` document, by vector.
        qadapt: version that wrote the file.
        extras: sparse vectors and multivectors by name.
        family: family of the database, whose settings are in ``extras``.
    """

    collection: str
    vectors: Mapping[str, Vector]
    ids: IdKind
    quantization: Mapping[str, Quantization] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    qadapt: str = ""
    extras: Mapping[str, ExtraVector] = field(default_factory=dict)
    family: str = ""


def pyarrow() -> Any:
    """Import pyarrow and its module ``parquet``.

    Raises:
        MissingExtraError
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "files", purpose="Parquet") from None
    return pyarrow


def column(name: str) -> str:
    """Column name of a vector."""
    return f"vector:{name}" if name else "vector"


# -- writing -------------------------------------------------------------------------------------


class Writer:
    """Writer of a Parquet file, one row group per page; a context manager."""

    def __init__(self, path: Path, head: Head, first: Batch | None) -> None:
        self._arrow = pyarrow()
        self._path = path
        self._head = head
        self._entries = _entries(first)
        self._schema = self._make_schema()
        self._file = self._arrow.parquet.ParquetWriter(
            path, self._schema, compression="zstd", write_page_checksum=True
        )

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            seal(self._path)

    def _make_schema(self) -> Any:
        arrow, head = self._arrow, self._head
        kind = arrow.string() if head.ids in ("string", "json") else getattr(arrow, head.ids)()
        fields = [arrow.field("id", kind, nullable=False)]
        for name, vector in head.vectors.items():
            fields.append(arrow.field(column(name), arrow.list_(arrow.float32(), vector.dim)))
        for name, extra in head.extras.items():
            fields.append(
                arrow.field(extra_vectors.column(name, extra), extra_vectors.kind(arrow, extra))
            )
        fields.append(arrow.field("payload", arrow.string()))
        for key, word in self._entries.items():
            fields.append(arrow.field(f"payload.{key}", getattr(arrow, word)()))
        return arrow.schema(fields, metadata={META: head.to_json(indent=None).encode()})

    def write(self, batch: Batch) -> None:
        """Add a page."""
        arrow, head = self._arrow, self._head
        keys: Sequence[Any] = batch.ids
        if head.ids == "json":
            keys = [json.dumps(key, ensure_ascii=False) for key in batch.ids]
        arrays = [arrow.array(keys, type=self._schema.field("id").type)]
        for name, vector in head.vectors.items():
            arrays.append(self._vectors(batch, name, vector.dim))
        for name, extra in head.extras.items():
            arrays.append(extra_vectors.to_arrow(arrow, batch.extras[name], extra))
        payloads = batch.payloads or [{}] * len(batch)
        arrays.append(arrow.array([json.dumps(dict(each), ensure_ascii=False) if each else None
                                   for each in payloads], type=arrow.string()))  # fmt: skip
        for key, word in self._entries.items():
            values = [_fit(each.get(key), word) for each in payloads]
            arrays.append(arrow.array(values, type=getattr(arrow, word)()))
        self._file.write_table(arrow.Table.from_arrays(arrays, schema=self._schema))

    def _vectors(self, batch: Batch, name: str, dim: int) -> Any:
        arrow = self._arrow
        array = np.ascontiguousarray(batch.vectors[name], dtype=np.float32)
        values = arrow.array(array.reshape(-1))
        absent = batch.missing.get(name)
        mask = None if absent is None else arrow.array(absent)
        return arrow.FixedSizeListArray.from_arrays(values, dim, mask=mask)


def _entries(first: Batch | None) -> dict[str, str]:
    """Payload fields with a single plain type in the first page, and their Arrow types."""
    found: dict[str, set[str]] = {}
    for payload in (first.payloads or ()) if first is not None else ():
        for key, value in payload.items():
            if value is not None:
                found.setdefault(key, set()).add(_PLAIN.get(type(value), "none"))
    return {key: next(iter(kinds)) for key, kinds in found.items() if len(kinds) == 1
            and "none" not in kinds}  # fmt: skip


def _fit(value: Any, word: str) -> Any:
    """Value for other readers; null if its type differs from the first page."""
    if _PLAIN.get(type(value)) != word:
        return None
    return value if word != "int64" or -(2**63) <= value < 2**63 else None
