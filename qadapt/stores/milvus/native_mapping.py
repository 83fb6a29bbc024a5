"""The quantization of an existing Milvus index, without I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qadapt.model import Kind, Quantization, Rescore, Vector
from qadapt.stores.milvus.version import NEWEST, SINCE_AUTO_SQ4U, ServerVersion

_SQ_BITS: Mapping[str, int] = {"SQ8": 8, "SQ6": 6, "SQ4": 4, "SQ4U": 4}
HALVES = ("float16", "bfloat16")
MMAP = "mmap.enabled"


def text_of(value: Any) -> str:
    """A parameter as a string; booleans in lower case, which every version reads."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def from_native(
    index: Mapping[str, Any] | None, vector: Vector, server_version: ServerVersion = NEWEST
) -> Quantization:
    """The quantization of an index that was read from the server.

    ``native`` of the result has the refinement, and the index type if qadapt would choose another
    one for the same quantization.
    """
    params = (index or {}).get("params") or {}
    found = _kind_of(index, vector, server_version)
    if found.kind is not Kind.NONE and text_of(params.get(MMAP, "")).lower() == "true":
        return found.replace(codes="disk")
    return found


def _kind_of(
    index: Mapping[str, Any] | None, vector: Vector, server_version: ServerVersion
) -> Quantization:
    kind = str((index or {}).get("index_type", ""))
    params = {k: text_of(v) for k, v in ((index or {}).get("params") or {}).items()}
    if (
        kind == "AUTOINDEX"
        and server_version.has(SINCE_AUTO_SQ4U)
        and server_version.version is not None
    ):
        native = {"index_type": "AUTOINDEX"}
        return Quantization(Kind.SCALAR, bits=4, per="collection", native=native)
    native = {key: params[key] for key in ("refine_type",) if params.get("refine") == "true"}
    if native:
        native["refine"] = "true"
    if kind in ("HNSW_SQ", "IVF_SQ8"):
        return _from_sq(params.get("sq_type", "SQ8").upper(), kind, native)
    if kind in ("HNSW_PQ", "IVF_PQ", "HNSW_PRQ"):
        return _from_pq(kind, params, vector, native)
    if kind == "SCANN":
        return Quantization(Kind.PRODUCT, ratio=16, native={"index_type": kind})
    if kind in ("DISKANN", "AISAQ"):
        return Quantization(Kind.PRODUCT, ratio=8, native={"index_type": kind})
    if kind.startswith("IVF_RABITQ"):
        if kind != "IVF_RABITQ":
            native["index_type"] = kind
        bits = float(params.get("rbq_bits", "1"))
        return Quantization(Kind.ROTATIONAL, bits=bits, native=native)
    return Quantization(Kind.FLOAT16 if vector.datatype in HALVES else Kind.NONE)


def _from_sq(name: str, kind: str, native: dict[str, Any]) -> Quantization:
    if name in ("FP16", "BF16"):
        if name == "BF16":
            native["sq_type"] = name
        return Quantization(Kind.FLOAT16, native=native)
    if name == "SQ4":
        native["sq_type"] = name
    per: Any = "collection" if name == "SQ4U" else "dimension"
    return Quantization(Kind.SCALAR, bits=_SQ_BITS.get(name, 8), per=per, native=native)


def _from_pq(
    kind: str, params: Mapping[str, str], vector: Vector, native: dict[str, Any]
) -> Quantization:
    segments, rounds = int(params.get("m", "32")), 1
    if kind == "HNSW_PRQ":
        rounds = int(params.get("nrq", "2"))
        native["index_type"] = kind
    size = segments * rounds * int(params.get("nbits", "8")) / 8
    ratio = 4 * vector.dim / size
    if not 2 <= ratio <= 256:
        return Quantization(Kind.PRODUCT, segments=segments, native=native)
    return Quantization(Kind.PRODUCT, ratio=ratio, native=native)


def satisfies(index: Mapping[str, Any] | None, wanted: Mapping[str, Any], explicit: Any) -> bool:
    """Whether an existing index already is the wanted one.

    Args:
        explicit: the native fields that the user set.
    """
    if index is None or index["index_type"] != wanted["index_type"]:
        return False
    there = {key: text_of(value) for key, value in index["params"].items()}
    defaults = {"sq_type": "SQ8", "rbq_bits": "1", "nbits": "8"}
    keys = {"sq_type", "m", "nbits", "nrq", "rbq_bits", "refine", "refine_type", *explicit}
    if MMAP in wanted["params"]:
        keys.add(MMAP)
    for key in keys - {"index_type"}:
        default = defaults.get(key, "false" if key in ("refine", MMAP) else None)
        left = there.get(key, default) or ""
        if left.lower() != (wanted["params"].get(key, default) or "").lower():
            return False
    return True


def default_rescore(quantization: Quantization) -> Rescore | None:
    """The default rescoring of searches: none, because Milvus refines only if refine_k is sent."""
    if quantization.kind is Kind.NONE:
        return None
    return Rescore(source="off")


def code_bytes(index: Mapping[str, Any] | None, vector: Vector, count: int) -> int:
    """The size of the codes in bytes, without the graph, lists and ids.

    Computed from the parameters, because the server reports no sizes (``mem_size`` of a loaded
    segment is 0 on 2.3.5).
    """
    quantization = from_native(index, vector)
    if quantization.kind is Kind.NONE:
        return 0
    return math.ceil(quantization.code_bytes(vector.dim)) * count
