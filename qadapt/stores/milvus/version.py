"""The server version, and the version that each feature needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qadapt.model import Match, Vector
from qadapt.model.capabilities import older
from qadapt.stores.engine_version import EngineVersion
from qadapt.stores.milvus.connection import LITE, LITE_PYTHON, SERVER

SINCE_HNSW_CODES = "2.5"
SINCE_RABITQ = "2.6"
SINCE_IVF_REFINE = "2.6.6"
SINCE_SQ4U = "2.6.8"
SINCE_AUTO_SQ4U = "2.6.10"
SINCE_RABITQ_BITS = "3.0"
SINCE_NAMED = "2.4"
SINCE_REST_2 = "2.4"  # /v2/vectordb
# Datatypes other than float32. 2.3.5 creates the fields and fails when the first row is written.
SINCE_DATATYPE = {"float16": "2.4", "bfloat16": "2.4", "int8": "2.6", "bit": "2.3"}
SINCE_MMAP = "2.4"

HNSW_CODES = ("HNSW_SQ", "HNSW_PQ", "HNSW_PRQ")
# The index of sign bits; see ``binary_sidecar``.
BITS = "BIN_FLAT"

_REFINES = ("sq4u", "sq6", "sq8", "fp16", "bf16", "fp32", "flat")
# The types that knowhere registers for INT8_VECTOR; the documentation lists all types.
_INT8_TYPES = ("HNSW", *HNSW_CODES)
# Refinement types that 16-bit vectors do not support (knowhere, refine_utils.cc).
_NO_REFINE = {"float16": ("bf16", "fp32", "flat"), "bfloat16": ("fp16", "fp32", "flat")}
_OLD_LITE_TYPES = ("FLAT", "IVF_FLAT", "AUTOINDEX", "BIN_FLAT")
_LITE_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX")


@dataclass(frozen=True)
class ServerVersion(EngineVersion):
    """A Milvus server, or Milvus Lite."""

    product = "Milvus"

    deployment: str = SERVER

    @property
    def lite(self) -> bool:
        return self.deployment == LITE

    def has(self, since: str | None) -> bool:
        """Whether this is a server of at least this version; False for Lite."""
        return not self.lite and super().has(since)

    @property
    def old_lite(self) -> bool:
        """Whether this is Milvus Lite 2 (C++), which supports only FLAT and IVF_FLAT."""
        return self.lite and self.version is not None and older(self.version, LITE_PYTHON)

    @property
    def named(self) -> bool:
        """Whether a collection can have several vectors."""
        return self.lite or self.has(SINCE_NAMED)

    @property
    def several(self) -> bool:
        """Whether a collection can have a float vector and a binary vector."""
        return self.old_lite or self.has(SINCE_NAMED)

    @property
    def words(self) -> str:
        name = "Milvus Lite" if self.lite else "Milvus"
        return f"{name} {self.version}" if self.version else name


NEWEST = ServerVersion()


def unsupported_index(
    kind: str, params: Mapping[str, str], vector: Vector, server_version: ServerVersion
) -> Match | None:
    """Why this server would refuse or ignore an index; None if it builds it."""
    if server_version.lite:
        extra = sorted(set(params) & {"refine", "refine_type", "refine_k"})
        if server_version.old_lite and kind not in _OLD_LITE_TYPES:
            return Match.unsupported(
                f"{server_version.words} does not support {kind}", "Milvus Lite 3"
            )
        if kind not in (*_LITE_TYPES, BITS):
            return Match.unsupported(
                f"{server_version.words} does not support {kind}", "a Milvus server"
            )
        if extra or params.get("sq_type", "SQ8") != "SQ8":
            what = ", ".join(extra) or f"sq_type {params['sq_type']}"
            return Match.unsupported(f"{server_version.words} ignores {what}", "a Milvus server")
        return None
    if vector.datatype == "int8" and kind not in (*_INT8_TYPES, BITS):
        return Match.unsupported(
            f"{kind} does not support int8 vectors", f"an index type: {', '.join(_INT8_TYPES)}"
        )
    if params.get("refine_type", "").lower() in _NO_REFINE.get(vector.datatype, ()):
        return Match.unsupported(
            f"{vector.datatype} vectors do not support refine_type {params['refine_type']}",
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
            "refine has no effect without refine_type", f"refine_type: {', '.join(_REFINES)}"
        )
    if "m" in params and (not params["m"].isdecimal() or vector.dim % int(params["m"] or 1)):
        return Match.unsupported(f"m={params['m']} does not divide {vector.dim} dimensions")
    return None


def _since(kind: str, params: Mapping[str, str]) -> str | None:
    """The first version that builds the index with these parameters."""
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
