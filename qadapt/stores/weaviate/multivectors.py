"""Multivectors of Weaviate: named vectors whose rows are many, read, written and created.

Run on 1.39.0: only the index hnsw keeps the word (flat drops it without an error), only a named
vector may have it, values come back bit for bit under cosine too, and rows without one stay
without one. A message of gRPC holds the dimension in two bytes and then the floats.
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
    """Those of a collection; of one whose dimension nothing says, None for it."""
    return {
        name: ExtraVector(
            "multi", field.dim, field.metric, native={"vectorIndexConfig": _on(field)}
        )
        for name, field in layout.multis.items()
    }


def _on(field: Field) -> dict[str, Any]:
    """The settings of the index without the blocks that are switched off."""
    config = dict(field.config)
    many = dict(config.pop("multivector"))
    if not (many.get("muvera") or {}).get("enabled"):
        many.pop("muvera", None)
    off = [key for key, each in config.items() if isinstance(each, Mapping)
           and not each.get("enabled")]  # fmt: skip
    return {**{key: each for key, each in config.items() if key not in off}, "multivector": many}


def unsupported(extras: Mapping[str, ExtraVector], server_version: ServerVersion) -> dict[str, str]:
    """What a server would not make, and why."""
    reported = {name: _problem(name, extra, server_version) for name, extra in extras.items()}
    return {f"extras.{name}": why for name, why in reported.items() if why is not None}


def _problem(name: str, extra: ExtraVector, server_version: ServerVersion) -> str | None:
    if extra.kind == "sparse":
        return "Weaviate has no sparse vectors"
    if not server_version.has(SINCE_MULTI):
        return f"multivectors need Weaviate {SINCE_MULTI}; this is {server_version.words}"
    if name == "":
        return "a multivector of Weaviate has a name"
    if extra.datatype != "float32":
        return f"Weaviate stores float32 alone, not {extra.datatype}"
    if extra.dim is None:
        return "nothing says how many dimensions it has: there are no rows with it"
    try:
        schema.check_vector_name(name)
    except InputError as error:
        return error.message
    return None


def vectors_of(extras: Mapping[str, ExtraVector]) -> dict[str, Vector]:
    """A row of each."""
    return {
        name: Vector(each.dim or 1, each.metric or Metric.COSINE) for name, each in extras.items()
    }


def body(extra: ExtraVector, server_version: ServerVersion) -> dict[str, Any]:
    """The part of ``vectorConfig``."""
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
    """The bytes of a row's float32 ``(m, d)``."""
    return struct.pack("<H", rows.shape[1]) + np.ascontiguousarray(rows, dtype="<f4").tobytes()


def unpacked(rows: Sequence[bytes], field: Field, collection: str) -> RaggedArray:
    """Those of the bytes of rows; empty for none.

    Raises:
        SpecError: not all of the same dimensions.
    """
    dims = {dim_of(each) for each in rows if each}
    dim = field.dim or max(dims, default=1)
    if dims - {dim}:
        raise SpecError(
            f"the vectors {field.name!r} of {collection!r} are not all of {dim} dimensions",
            hint="was the collection made again meanwhile? open it again",
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
    """The dimensions that a multivector's bytes begin with."""
    return int.from_bytes(raw[:2], "little")
