"""Multivectors of Weaviate: create, read and write named vectors with several rows each.

Run on 1.39.0: only hnsw supports them (flat drops the setting without an error), only named
vectors can be multivectors, values are returned bit for bit, with cosine too, and rows may lack
one. A gRPC message contains the dimension in two bytes, followed by the values.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import InputError, SpecError
from qadapt.model import ExtraVector, Metric, Quantization, RaggedArray, Vector
from qadapt.stores.weaviate import mapping, schema
from qadapt.stores.weaviate.schema import HNSW, Field, Layout
from qadapt.stores.weaviate.version import SINCE_MULTI, ServerVersion


def multivectors_of(layout: Layout) -> dict[str, ExtraVector]:
    """The multivectors of a collection; the dimension is None if it is unknown."""
    return {
        name: ExtraVector(
            "multi", field.dim, field.metric, native={"vectorIndexConfig": _on(field)}
        )
        for name, field in layout.multis.items()
    }


def _on(field: Field) -> dict[str, Any]:
    """The settings of the index without disabled blocks."""
    config = dict(field.config)
    many = dict(config.pop("multivector"))
    if not (many.get("muvera") or {}).get("enabled"):
        many.pop("muvera", None)
    off = [key for key, each in config.items() if isinstance(each, Mapping)
           and not each.get("enabled")]  # fmt: skip
    return {**{key: each for key, each in config.items() if key not in off}, "multivector": many}


def unsupported(extras: Mapping[str, ExtraVector], server_version: ServerVersion) -> dict[str, str]:
    """Vectors that the server cannot create, and why."""
    reported = {name: _problem(name, extra, server_version) for name, extra in extras.items()}
    return {f"extras.{name}": why for name, why in reported.items() if why is not None}


def _problem(name: str, extra: ExtraVector, server_version: ServerVersion) -> str | None:
    if extra.kind == "sparse":
        return "Weaviate does not support sparse vectors"
    if not server_version.has(SINCE_MULTI):
        return f"multivectors need Weaviate {SINCE_MULTI}; this is {server_version.words}"
    if name == "":
        return "a multivector of Weaviate needs a name"
    if extra.datatype != "float32":
        return f"Weaviate stores float32 only, not {extra.datatype}"
    if extra.dim is None:
        return "its dimension is unknown, because no row has it"
    try:
        schema.check_vector_name(name)
    except InputError as error:
        return error.message
    return None


def vectors_of(extras: Mapping[str, ExtraVector]) -> dict[str, Vector]:
    """One row of each multivector."""
    return {
        name: Vector(each.dim or 1, each.metric or Metric.COSINE) for name, each in extras.items()
    }


def body(extra: ExtraVector, server_version: ServerVersion) -> dict[str, Any]:
    """The entries of ``vectorConfig``."""
    (vector,) = vectors_of({"": extra}).values()
    none = mapping.to_native(Quantization.parse("none"), vector, server_version).native or {}
    config = {**none["vectorIndexConfig"], "distance": schema.METRICS[vector.metric]}
    own = extra.native.get("vectorIndexConfig")
    if own is not None:
        config = json.loads(json.dumps(own))
    config["multivector"] = {
        **(config.get("multivector") or {}),
        "enabled": True,
        "aggregation": "maxSim",
    }
    return {"vectorIndexType": HNSW, "vectorIndexConfig": config, "vectorizer": {"none": {}}}


# -- rows ----------------------------------------------------------------------------------------


def packed(rows: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """Encode one row, float32 ``(m, d)``."""
    return struct.pack("<H", rows.shape[1]) + np.ascontiguousarray(rows, dtype="<f4").tobytes()


def unpacked(rows: Sequence[bytes], field: Field, collection: str) -> RaggedArray:
    """Decode the bytes of rows; empty if there are none.

    Raises:
        SpecError: the rows have different dimensions.
    """
    dims = {dim_of(each) for each in rows if each}
    dim = field.dim or max(dims, default=1)
    if dims - {dim}:
        raise SpecError(
            f"not all vectors {field.name!r} of {collection!r} have {dim} dimensions",
            hint="the collection may have been recreated: open it again",
        )
    missing = np.fromiter((not each for each in rows), np.bool_, len(rows))
    lengths = [max(0, len(each) - 2) // (4 * dim) for each in rows]
    values = np.frombuffer(b"".join(each[2:] for each in rows), dtype="<f4")
    return RaggedArray(
        np.cumsum([0, *lengths], dtype=np.int64),
        values.reshape(-1, dim).astype(np.float32),
        None,
        missing if missing.any() else None,
    )


def dim_of(raw: bytes) -> int:
    """The dimension at the start of a multivector's bytes."""
    return int.from_bytes(raw[:2], "little")
