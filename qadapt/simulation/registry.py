"""Which model stands for which store's codes, and how far it was seen to be off."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.simulation import milvus, qdrant, weaviate
from qadapt.simulation.base import Exact, Model
from qadapt.simulation.checked import Check, check_of

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


def model_of(store: str, target: Quantization, vector: Vector) -> Modelled:
    """The model of one store's codes.

    Args:
        store: ``qdrant``, ``edge``, ``weaviate`` or ``milvus``.
        target: what the store makes of a setting (``store.map(...).target``).
        vector: dimensions and metric.

    Raises:
        UnsupportedError: no model stands for it.
    """
    family = "qdrant" if store == "edge" else store
    if target.kind in (Kind.NONE, Kind.FLOAT16):
        half = target.kind is Kind.FLOAT16
        name = "16-bit floats" if half else "floats"
        return Modelled(Exact(vector.metric, half=half), name, Check(0.0, "by definition"))
    made = {"qdrant": _qdrant, "weaviate": _weaviate, "milvus": _milvus}.get(family)
    found = made(target, vector) if made is not None else None
    if found is None:
        raise UnsupportedError(
            f"no model stands for {target} of {store}",
            hint="measure it: `qadapt eval` (models are there for qdrant, edge, weaviate, milvus)",
        )
    key, model = found
    return Modelled(model, f"{family.capitalize()} {key}", check_of(family, key))


def default_rescore(store: str, target: Quantization) -> Rescore:
    """What a search of a store gets that says nothing of rescoring, for 10 results.

    Weaviate's graph brings 100 candidates; it scores all of them by the originals for binary and
    product codes and rotational ones of 1 bit, and 20 of them for all others
    (facts/weaviate.md 2).
    """
    if target.kind in (Kind.NONE, Kind.FLOAT16):
        return Rescore(source="off")
    if store == "weaviate":
        coarse = target.kind in (Kind.BINARY, Kind.PRODUCT) or target.bits == 1
        return Rescore(10 if coarse else 2)
    if store in ("qdrant", "edge"):
        from qadapt.stores.qdrant import mapping

        return mapping.default_rescore(target) or Rescore(source="off")
    return Rescore(source="off")


_Found = tuple[str, Model] | None


def _qdrant(q: Quantization, vector: Vector) -> _Found:
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


def _weaviate(q: Quantization, vector: Vector) -> _Found:
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


def _milvus(q: Quantization, vector: Vector) -> _Found:
    metric, dim = vector.metric, vector.dim
    index = str(q.native.get("index_type", ""))
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
