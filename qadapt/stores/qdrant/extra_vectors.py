"""Sparse vectors and multivectors of Qdrant's engine, the same for server and ``edge``.

``Extra.native`` of the family ``qdrant`` is flat, as ``edge_config.json`` has it; a server stores
the fields of a sparse index in ``index``::

    sparse   modifier, full_scan_threshold, on_disk, memory
    multi    multivector_config, hnsw_config, quantization_config, on_disk, memory

The engine (observed on edge 0.9.0) sorts sparse indices and keeps empty vectors and entries of 0.
It silently accepts NaN and duplicate indices, so both are rejected here. It normalizes each row of
a multivector under cosine, and rejects a multivector without rows. The datatype of a sparse vector
is that of its index: values are stored unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qadapt.model import Batch, ExtraVector, Metric, Vector
from qadapt.model.ragged_arrays import multi_rows, sparse_rows
from qadapt.stores.qdrant import version as qdrant_version

_METRICS = {"Cosine": Metric.COSINE, "Dot": Metric.DOT, "Euclid": Metric.EUCLIDEAN}
_WORDS = {metric: word for word, metric in _METRICS.items()}
_MULTI = ("multivector_config", "hnsw_config", "quantization_config", "on_disk", "memory")
_SPARSE = ("modifier", "full_scan_threshold", "on_disk", "memory")
_INDEX = ("full_scan_threshold", "on_disk", "memory")
MAX_SIM = {"comparator": "max_sim"}
SPARSE_SINCE, MULTI_SINCE, MEMORY_SINCE = "1.7", "1.10", "1.19"


# -- out of a configuration ----------------------------------------------------------------------


def read_extra_vectors(
    vectors: Mapping[str, Mapping[str, Any]],
    sparse: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any] | None = None,
) -> dict[str, ExtraVector]:
    """The extra vectors of a collection with a supported metric, from its vector parameters.

    Args:
        common: the quantization of the vectors without their own.
    """
    codes = {"quantization_config": common} if common else {}
    extras = {
        name: ExtraVector(
            "multi",
            int(each["size"]),
            _METRICS[each["distance"]],
            each.get("datatype") or "float32",
            {**codes, **_kept(each, _MULTI)},
        )
        for name, each in sorted(vectors.items())
        if each.get("multivector_config") and each["distance"] in _METRICS
    }
    for name, each in sorted(sparse.items()):
        flat = {**(each.get("index") or {}), **each}
        extras[name] = ExtraVector(
            "sparse", datatype=flat.get("datatype") or "float32", native=_kept(flat, _SPARSE)
        )
    return extras


def _kept(params: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: params[name] for name in names if params.get(name) is not None}


# -- into one ------------------------------------------------------------------------------------


def multi_params(extra: ExtraVector) -> dict[str, Any]:
    """The parameters of a multivector in the format of the server and of the file of ``edge``."""
    vector = vector_of(extra)
    params: dict[str, Any] = {
        "size": vector.dim,
        "distance": _WORDS[vector.metric],
        "multivector_config": MAX_SIM,
        **extra.native,
    }
    if extra.datatype != "float32":
        params["datatype"] = extra.datatype
    return params


def sparse_params(extra: ExtraVector, *, flat: bool) -> dict[str, Any]:
    """The parameters of a sparse vector.

    Args:
        flat: in the format of the file of ``edge`` instead of the server's.
    """
    params: dict[str, Any] = dict(extra.native)
    if extra.datatype != "float32":
        params["datatype"] = extra.datatype
    if flat:
        return params
    index = {name: params.pop(name) for name in (*_INDEX, "datatype") if name in params}
    return {**params, **({"index": index} if index else {})}


def vector_of(extra: ExtraVector) -> Vector:
    """The row format of a multivector."""
    return Vector(extra.dim or 1, extra.metric or Metric.COSINE, extra.datatype)  # type: ignore[arg-type]


def placed(extra: ExtraVector, version: str | None) -> ExtraVector:
    """Remove placement fields that an older server would silently drop."""
    if not qdrant_version.is_older(version, MEMORY_SINCE):
        return extra
    native = {name: value for name, value in extra.native.items() if name != "memory"}
    return extra.replace(native=native)


def unsupported(
    extras: Mapping[str, ExtraVector], version: str | None, *, local: bool
) -> dict[str, str]:
    """The extra vectors that a server cannot create, with reasons: ``{"extras.title": "..."}``."""
    reported = {name: _problem(extra, version, local=local) for name, extra in extras.items()}
    return {f"extras.{name}": why for name, why in reported.items() if why is not None}


def _problem(extra: ExtraVector, version: str | None, *, local: bool) -> str | None:
    multi = extra.kind == "multi"
    if multi and extra.dim is None:
        return "its number of dimensions is unknown: no row has it"
    since = MULTI_SINCE if multi else SPARSE_SINCE
    if qdrant_version.is_older(version, since):
        kind = "multivectors" if multi else "sparse vectors"
        return f"{kind} require Qdrant {since}; the server has {version}"
    if multi and local and extra.datatype != "float32":
        return f"the client's local mode does not support the datatype {extra.datatype}"
    if extra.datatype == "float32":
        return None
    if multi:
        return qdrant_version.datatype(vector_of(extra), version)
    return (
        None
        if extra.datatype in ("float16", "uint8")
        else (f"the datatype {extra.datatype} is not supported")
    )


# -- rows ----------------------------------------------------------------------------------------


def each_row(batch: Batch) -> Iterator[dict[str, Any]]:
    """The extra vectors of each row that has them: an array ``(m, d)``, or (indices, values)."""
    names = list(batch.extras)
    columns = [
        multi_rows(each) if each.indices is None else sparse_rows(each)
        for each in batch.extras.values()
    ]
    if not names:
        yield from ({} for _ in range(len(batch)))
        return
    for row in zip(*columns, strict=True):
        yield {name: value for name, value in zip(names, row, strict=True) if value is not None}
