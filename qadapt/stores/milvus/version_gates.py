"""Which index a server, or Lite, builds as it is said; what it would refuse, or take and ignore."""

from __future__ import annotations

from collections.abc import Mapping

from qadapt.model import Match, Vector
from qadapt.stores.milvus.version import (
    SINCE_HNSW_CODES,
    SINCE_IVF_REFINE,
    SINCE_RABITQ,
    SINCE_RABITQ_BITS,
    SINCE_SQ4U,
    ServerVersion,
)

HNSW_CODES = ("HNSW_SQ", "HNSW_PQ", "HNSW_PRQ")
# The index of sign bits beside; see ``bits``.
BITS = "BIN_FLAT"

_REFINES = ("sq4u", "sq6", "sq8", "fp16", "bf16", "fp32", "flat")
# What knowhere registers for INT8_VECTOR, although the documentation lists all types.
_INT8_TYPES = ("HNSW", *HNSW_CODES)
# Floats that a vector of 16 bits cannot be refined by (knowhere, refine_utils.cc).
_NO_REFINE = {"float16": ("bf16", "fp32", "flat"), "bfloat16": ("fp16", "fp32", "flat")}
_OLD_LITE_TYPES = ("FLAT", "IVF_FLAT", "AUTOINDEX", "BIN_FLAT")
_LITE_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX")


def problem(
    kind: str, params: Mapping[str, str], vector: Vector, server_version: ServerVersion
) -> Match | None:
    """What this engine would refuse, or take and ignore."""
    if server_version.lite:
        extra = sorted(set(params) & {"refine", "refine_type", "refine_k"})
        if server_version.old_lite and kind not in _OLD_LITE_TYPES:
            return Match.unsupported(
                f"{server_version.words} does not build {kind}", "Milvus Lite 3"
            )
        if kind not in (*_LITE_TYPES, BITS):
            return Match.unsupported(
                f"{server_version.words} does not build {kind}", "a Milvus server"
            )
        if extra or params.get("sq_type", "SQ8") != "SQ8":
            what = ", ".join(extra) or f"sq_type {params['sq_type']}"
            return Match.unsupported(f"{server_version.words} ignores {what}", "a Milvus server")
        return None
    if vector.datatype == "int8" and kind not in (*_INT8_TYPES, BITS):
        return Match.unsupported(
            f"{kind} does not take int8 vectors", f"an index type: {', '.join(_INT8_TYPES)}"
        )
    if params.get("refine_type", "").lower() in _NO_REFINE.get(vector.datatype, ()):
        return Match.unsupported(
            f"{vector.datatype} vectors are not refined by {params['refine_type']}",
            "another refine_type",
        )
    since = _since(kind, params)
    if since is not None and not server_version.has(since):
        what = f"{kind} with {', '.join(f'{k}={v}' for k, v in params.items())}"
        return Match.unsupported(
            f"{what} needs Milvus {since}; this is {server_version.words}", since
        )
    if params.get("refine") == "true" and params.get("refine_type", "").lower() not in _REFINES:
        return Match.unsupported(
            "refine without a refine_type does nothing", f"refine_type: {', '.join(_REFINES)}"
        )
    if "m" in params and (not params["m"].isdecimal() or vector.dim % int(params["m"] or 1)):
        return Match.unsupported(f"m={params['m']} does not divide {vector.dim} dimensions")
    return None


def _since(kind: str, params: Mapping[str, str]) -> str | None:
    """The first server that builds it as it is said."""
    needs = []
    if kind in HNSW_CODES:
        needs.append(SINCE_HNSW_CODES)
    if kind.startswith("IVF_RABITQ"):
        needs.append(SINCE_RABITQ)
    if kind == "IVF_RABITQ_FASTSCAN" or params.get("rbq_bits", "1") != "1":
        needs.append(SINCE_RABITQ_BITS)
    if kind in ("IVF_SQ8", "IVF_PQ") and set(params) & {"refine", "refine_type", "sq_type"}:
        needs.append(SINCE_IVF_REFINE)
    if params.get("sq_type") == "SQ4U":
        needs.append(SINCE_SQ4U)
    return max(needs, key=lambda text: tuple(map(int, text.split("."))), default=None)
