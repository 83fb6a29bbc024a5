"""Milvus: the index in RAM, the raw vectors in storage.

An index of full vectors (HNSW, IVF_FLAT) replaces the raw column in RAM. With an index of codes,
the raw vectors stay on disk and are read on request
(https://github.com/milvus-io/milvus/pull/30182, /pull/51541).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.footprint import Component, CostModel, Footprint, original_bytes, supported
from qadapt.model import Kind, Quantization, Vector, VectorInfo
from qadapt.stores.milvus import mapping, native_mapping

FAISS = "layout of faiss' HNSW and IVF indexes, which Milvus builds (knowhere)"
RAW = "https://github.com/milvus-io/milvus/pull/51541"
PARAMS = "https://milvus.io/docs/index.md"
_REFINED: Mapping[str, float] = {"sq4u": 0.5, "sq6": 0.75, "sq8": 1, "fp16": 2, "bf16": 2}


class MilvusCostModel(CostModel):
    """Footprint of a loaded collection, on a server or in Milvus Lite."""

    store = "milvus"

    def footprint(
        self, count: int, vector: Vector, quantization: Quantization, index: Mapping[str, Any]
    ) -> Footprint:
        """The footprint of one vector and its index.

        Args:
            index: the current index, whose graph or lists are kept; empty for none.

        Raises:
            UnsupportedError: Milvus does not support this quantization.
        """
        current = index if index.get("index_type") else None
        wanted = quantization.replace(rescore=None, codes=None, originals=None)
        mapped = supported(mapping.to_native(wanted, vector, current=current))
        native = mapped.native or {"index_type": "HNSW", "params": dict(mapping.GRAPH)}
        return of_index(count, vector, native, mapped.target, mapped.match.differences)

    def as_configured(self, vector: VectorInfo) -> Footprint:
        """The footprint of a live vector with its current index, of any type."""
        index = vector.index if vector.index.get("index_type") else None
        native = index or {"index_type": "FLAT", "params": {}}
        found = of_index(vector.count, vector.vector, native, vector.quantization)
        collection_schema = (
            vector.quantization.kind is Kind.BINARY and native["index_type"] in mapping.FLOATS
        )
        if not collection_schema or not vector.code_bytes:
            return found
        size = vector.code_bytes
        bits = Component("codes", size, size, "sign bits in a second collection", PARAMS)
        return Footprint.of("milvus", vector.quantization, (bits, *found.components), native=native)


def of_index(
    count: int,
    vector: Vector,
    native: Mapping[str, Any],
    target: Quantization,
    differences: tuple[str, ...] = (),
) -> Footprint:
    """The footprint of one vector with an index of this type and these parameters."""
    kind, params = str(native["index_type"]), dict(native.get("params") or {})
    raw = original_bytes(count, vector)
    # The bits of a BINARY_VECTOR are its original vectors.
    floats = kind in mapping.FLOATS or vector.datatype == "bit"
    codes = 0 if floats else _codes(kind, params, vector, count, target)
    refine = _refine(params, vector, count)
    graph, words = _structure(kind, params, vector, count)
    parts = (
        Component("codes", codes, codes, f"{kind}: {_words(target)}", PARAMS),
        Component("refinement", refine, refine, f"a copy as {params.get('refine_type')}", PARAMS),
        Component(
            "originals",
            raw if floats else 0,
            # The raw column, and its copy in an index of full vectors.
            2 * raw if floats else raw,
            "in the index (RAM) and in storage" if floats else "in storage",
            RAW,
        ),
        Component("graph" if kind.startswith("HNSW") else "lists", graph, graph, words, FAISS),
    )
    return Footprint.of("milvus", target, parts, native=native, differences=differences)


def _codes(
    kind: str, params: Mapping[str, str], vector: Vector, count: int, target: Quantization
) -> int:
    if kind == "BIN_FLAT":
        return count * -(-vector.dim // 8)
    size = native_mapping.code_bytes({"index_type": kind, "params": params}, vector, count)
    if target.kind is Kind.ROTATIONAL:
        size += 8 * count  # two RaBitQ correction factors per row
    if target.kind is Kind.SCALAR:
        size += 8 * vector.dim  # the value ranges
    if target.kind is Kind.PRODUCT:
        size += 1024 * vector.dim  # the centroids
    return size


def _refine(params: Mapping[str, str], vector: Vector, count: int) -> int:
    if str(params.get("refine", "")).lower() != "true" or not params.get("refine_type"):
        return 0
    return round(count * vector.dim * _REFINED.get(str(params["refine_type"]).lower(), 4))


def _structure(kind: str, params: Mapping[str, str], vector: Vector, count: int) -> tuple[int, str]:
    """Bytes of the graph or the lists, and the formula."""
    if kind.startswith("HNSW"):
        m = int(params.get("M", mapping.GRAPH["M"]))
        each = 4 * (2 * m + m / (m - 1)) + 12
        return round(count * each), f"4 B per link, 2M + M / (M - 1) links per row, + 12 B, M = {m}"
    if kind in mapping.IVF:
        # The engine caps nlist at rows / 39.
        lists = max(1, min(int(params.get("nlist", mapping.LISTS["nlist"])), count // 39))
        return 8 * count + lists * vector.dim * 4, f"8 B per id, {lists} float32 centroids"
    return 0, "none"


def _words(target: Quantization) -> str:
    return f"{target.codes_only.replace(native={})}"
