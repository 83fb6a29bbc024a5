"""Sparse vectors and multivectors of a shard (see ``qdrant.extra_vectors``)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from qadapt.errors import StoreError
from qadapt.model import ExtraVector, Vector
from qadapt.stores.qdrant import extra_vectors as shared
from qadapt.stores.qdrant.edge.schema import Config

# Defaults of an index configuration that the engine's file requires and a server does not.
_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}


def read_extra_vectors(settings: Mapping[str, Any]) -> dict[str, ExtraVector]:
    """The extra vectors of a shard."""
    vectors, sparse = (settings.get(key) or {} for key in ("vectors", "sparse_vectors"))
    return shared.read_extra_vectors(vectors, sparse, settings.get("quantization_config"))


def unsupported_vectors(settings: Mapping[str, Any]) -> dict[str, str]:
    """Vectors that are neither dense vectors nor supported extra vectors."""
    known = read_extra_vectors(settings)
    other = [
        name
        for name, each in (settings.get("vectors") or {}).items()
        if name not in known and each["distance"] not in ("Cosine", "Dot", "Euclid")
    ]
    return {"other-metrics": ", ".join(other)} if other else {}


def multi(extras: Mapping[str, ExtraVector]) -> dict[str, Vector]:
    """The row format of each multivector."""
    return {name: shared.vector_of(each) for name, each in extras.items() if each.kind == "multi"}


def many(edge: Any) -> Any:
    """The engine's parameters of a multivector."""
    return edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)


def sparse(edge: Any, extras: Mapping[str, ExtraVector]) -> dict[str, Any]:
    """The engine's parameters of sparse vectors fixed at creation; the rest is in its file."""
    return {
        name: edge.EdgeSparseVectorParams(
            modifier=edge.Modifier.Idf if each.native.get("modifier") == "idf" else None,
            datatype=None
            if each.datatype == "float32"
            else getattr(edge.VectorStorageDatatype, each.datatype.capitalize()),
        )
        for name, each in extras.items()
        if each.kind == "sparse"
    }


def configured(settings: Config, extras: Mapping[str, ExtraVector]) -> Config:
    """The configuration with the settings of extra vectors."""
    result: Config = copy.deepcopy(settings)
    for name, each in extras.items():
        place = "vectors" if each.kind == "multi" else "sparse_vectors"
        native = copy.deepcopy(dict(each.native))
        if "hnsw_config" in native:
            native["hnsw_config"] = {**_HNSW, **native["hnsw_config"]}
        result[place][name].update(native)
    return result


def check_kept(settings: Config, extras: Mapping[str, ExtraVector]) -> None:
    """Reject settings that the engine stored differently.

    Raises:
        StoreError
    """
    kept = read_extra_vectors(settings)
    for name, each in extras.items():
        for key, value in each.native.items():
            now = kept[name].native.get(key)
            same = now == value
            if isinstance(value, Mapping) and isinstance(now, Mapping):
                same = all(now.get(field) == item for field, item in value.items())
            if not same and key != "quantization_config":
                raise StoreError(
                    f"Qdrant's engine did not store {key} of {name!r} as it was sent: sent "
                    f"{value!r}, stored {now!r}",
                    hint="remove the fields that the engine does not know",
                )
