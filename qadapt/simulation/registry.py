"""Which model stands for which store's codes, and how far it was seen to be off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.simulation import milvus, qdrant, weaviate
from qadapt.simulation.base import Exact, Model
from qadapt.simulation.checked import Check, check_of
from qadapt.stores.base import Mapped

STORES = ("qdrant", "edge", "weaviate", "milvus")
LISTS = 128  # of Milvus' inverted files, where nobody says


@dataclass(frozen=True)
class Modelled:
    """A model, and what is known of it.

    Attributes:
        model: to be fitted.
        name: such as ``"Qdrant rotational of 4 bits"``.
        check: how it did against the engine; None where no engine was asked.
    """

    model: Model
    name: str
    check: Check | None


def model_of(store: str, mapped: Mapped, vector: Vector) -> Modelled:
    """The model of one store's codes.

    Args:
        store: ``qdrant``, ``edge``, ``weaviate`` or ``milvus``.
        mapped: what the store makes of a setting.
        vector: dimensions and metric.

    Raises:
        UnsupportedError: no model stands for it.
    """
    target = mapped.target
    family = "qdrant" if store == "edge" else store
    if target.kind in (Kind.NONE, Kind.FLOAT16):
        half = target.kind is Kind.FLOAT16
        name = "16-bit floats" if half else "floats"
        return Modelled(Exact(vector.metric, half=half), name, Check(0.0, "by definition"))
    made = {"qdrant": _qdrant, "weaviate": _weaviate, "milvus": _milvus}.get(family)
    found = made(target, vector, mapped.native or {}) if made is not None else None
    if found is None:
        raise UnsupportedError(
            f"no model stands for {target} of {store}",
            hint="measure it: `qadapt eval` (models are there for qdrant, edge, weaviate, milvus)",
        )
    key, model = found
    return Modelled(model, f"{family.capitalize()} {key}", check_of(family, key))


def mapped_to(store: str, quantization: Quantization, vector: Vector) -> Mapped:
    """A setting in the words of a store that is not there, at its newest version.

    Raises:
        SpecError: an unknown store.
    """
    if store in ("qdrant", "edge"):
        from qadapt.stores.qdrant import mapping as of_qdrant

        return of_qdrant.to_native(quantization, vector)
    if store == "weaviate":
        from qadapt.stores.weaviate import mapping as of_weaviate

        return of_weaviate.to_native(quantization, vector)
    if store == "milvus":
        from qadapt.stores.milvus import mapping as of_milvus

        return of_milvus.to_native(quantization, vector)
    raise SpecError.unknown("store", store, STORES)


def candidates(
    store: str, mapped: Mapped, k: int, rescore: Rescore | None
) -> tuple[int, Rescore | None]:
    """How many candidates are scored by the originals, at least ``k``, and the rescoring that
    is meant.

    Args:
        mapped: the setting in the store's words.
        rescore: None for the store's default.
    """
    if mapped.target.kind in (Kind.NONE, Kind.FLOAT16):
        return k, None
    if store == "weaviate":
        return _weaviate_candidates(mapped, k, rescore)
    if rescore is None and store in ("qdrant", "edge"):
        from qadapt.stores.qdrant import mapping

        rescore = mapping.default_rescore(mapped.target)
    rescore = rescore or Rescore(source="off")
    return (rescore.candidates(k) if rescore.on else k), rescore


def _weaviate_candidates(
    mapped: Mapped, k: int, rescore: Rescore | None
) -> tuple[int, Rescore | None]:
    """Its own rule decides, from the number of results that it is asked for."""
    from qadapt.stores.weaviate import rescoring

    native = mapped.native or {}
    index = str(native.get("vectorIndexType", "hnsw"))
    config = native.get("vectorIndexConfig") or {}
    rule = rescoring.of({"vectorIndexType": index, "vectorIndexConfig": config})
    if rule.off:  # then qadapt scores again what was asked for
        rescore = rescore or Rescore(source="off")
        return (rescore.candidates(k) if rescore.on else k), rescore
    count = rescore.candidates(k) if rescore is not None and rescore.on else k
    ef = int(config.get("ef", -1))
    scored = max(count, rule.candidates(index, count, ef))
    return scored, rescore if rescore is not None and rescore.on else Rescore(scored / k)


_Found = tuple[str, Model] | None


def _qdrant(q: Quantization, vector: Vector, _: Mapping[str, Any]) -> _Found:
    metric, dim = vector.metric, vector.dim
    if q.kind is Kind.SCALAR:
        tail = "" if q.quantile in (None, 1) else " with a quantile"
        return f"scalar{tail}", qdrant.Scalar(metric, q.quantile)
    if q.kind is Kind.BINARY:
        bits = float(q.bits or 1)
        tail = f" against queries of {q.query_bits}" if q.query_bits not in (None, 1) else ""
        return f"binary of {bits:g} bits{tail}", qdrant.Binary(metric, bits, q.query_bits)
    if q.kind is Kind.ROTATIONAL:
        bits = float(q.bits or 4)
        return f"rotational of {bits:g} bits", qdrant.Turbo(metric, dim, bits)
    ratio = int(q.ratio or 16)
    return f"product of 1/{ratio}", qdrant.Product(metric, dim, ratio)


def _weaviate(q: Quantization, vector: Vector, _: Mapping[str, Any]) -> _Found:
    metric, dim = vector.metric, vector.dim
    if q.kind is Kind.SCALAR:
        return "scalar", weaviate.Scalar(metric)
    if q.kind is Kind.BINARY:
        return "binary", weaviate.Signs(metric)
    if q.kind is Kind.PRODUCT:
        segments = q.segments or _segments(q, dim)
        found = weaviate.Product(metric, dim, segments, q.centroids or 256)
        return f"product of 1/{4 * dim / segments:g}", found
    rotational = {8: weaviate.Rotational8, 4: weaviate.Rotational4, 1: weaviate.Rotational1}
    made = rotational.get(int(q.bits or 4))
    return None if made is None else (f"rotational of {q.bits:g} bits", made(metric, dim))


def _milvus(q: Quantization, vector: Vector, native: Mapping[str, Any]) -> _Found:
    metric, dim = vector.metric, vector.dim
    index = str(native.get("index_type", ""))
    if q.kind is Kind.SCALAR:
        bits = int(q.bits or 8)
        return f"scalar of {bits} bits", milvus.Scalar(metric, bits)
    if q.kind is Kind.PRODUCT:
        segments = q.segments or _segments(q, dim)
        if index in ("SCANN", "DISKANN", "AISAQ", "HNSW_PRQ"):
            return None
        lists = LISTS if index == "IVF_PQ" else 0
        tail = " in lists" if lists else ""
        found = milvus.Product(metric, dim, segments, lists)
        return f"product of 1/{4 * dim / segments:g}{tail}", found
    if q.kind is Kind.BINARY:
        return "binary", milvus.Signs(metric)
    bits = int(q.bits or 1)
    return f"rotational of {bits} bits", milvus.RaBitQ(metric, dim, bits, LISTS)


def _segments(q: Quantization, dim: int) -> int:
    return max(1, math.floor(4 * dim / float(q.ratio or 16)))
