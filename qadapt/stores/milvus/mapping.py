"""Map a quantization to a Milvus index and back, without I/O.

The native form is one index definition with its parameters as strings, which every version reads::

    {"index_type": "HNSW_SQ", "params": {"M": "16", "efConstruction": "200", "sq_type": "SQ8"}}

Milvus accepts unknown parameters silently, so parameters that a version ignores are refused here;
``refine`` has no effect without ``refine_type``; booleans must be lower case; and defaults differ
by version, so all parameters are sent (docs/engines/milvus.md#parameters).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qadapt.model import Kind, Match, Quantization, Vector
from qadapt.stores import codes_only, product_segments
from qadapt.stores.base import MappedQuantization, require_supported
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.milvus.connection import CLOUD
from qadapt.stores.milvus.native_mapping import HALVES, MMAP, from_native, text_of
from qadapt.stores.milvus.version import (
    BITS,
    NEWEST,
    SINCE_HNSW_CODES,
    SINCE_MMAP,
    SINCE_RABITQ,
    SINCE_RABITQ_BITS,
    SINCE_SQ4U,
    ServerVersion,
    unsupported_index,
)

# Defaults of index parameters.
GRAPH = {"M": "16", "efConstruction": "200"}
LISTS = {"nlist": "128"}
# The refine_type of each tier of finer codes.
REFINE_TYPES: Mapping[str, str] = {"int8": "SQ8", "float16": "FP16", "bfloat16": "BF16"}

IVF = ("IVF_FLAT", "IVF_SQ8", "IVF_PQ", "IVF_RABITQ", "IVF_RABITQ_FASTSCAN", "SCANN")
FLOATS = ("FLAT", "BRUTE_FORCE", "IVF_FLAT", "HNSW")
_OWN: Mapping[str, tuple[str, ...]] = {
    "HNSW_SQ": ("sq_type",),
    "HNSW_PQ": ("m", "nbits"),
    "HNSW_PRQ": ("m", "nbits"),
    "IVF_PQ": ("m", "nbits"),
    "IVF_RABITQ": ("rbq_bits",),
}

PER_DIMENSION = "one value range per dimension instead of one for the collection"
ONE_RANGE = "one value range for all dimensions instead of one per dimension (SQ4U)"
NO_QUANTILE = "value ranges cover all values: quantile is ignored"
QUERY_BITS = "query_bits is a search parameter: options={'rbq_bits_query': 8}"
NEAREST = (
    "RaBitQ, the nearest equivalent: it takes the signs of rotated vectors and stores correction "
    "factors with the bits"
)
SIDECAR = (
    "sign bits written by qadapt and searched with HAMMING: a change in place stores them "
    "in a second "
    "collection with the same keys; new collections (2.4 and newer) and the strategy 'alias' store "
    "them in another field of the collection, and before 2.4 the original vectors in an ARRAY"
)
STAY_32 = "only the index uses 16 bits; the stored original vectors keep 32 bits"
NO_PLACE = (
    "the storage of the original vectors is not changed: in Milvus it is the mmap property of the "
    "field"
)
CACHED = (
    "codes=cached is mmap, as codes=disk is: the system keeps the pages that searches read in RAM, "
    "and nothing is loaded in advance"
)
NO_CODES_PLACE = (
    f"codes stay in RAM: mmap of an index needs a Milvus server from {SINCE_MMAP}, and sign "
    "bits do "
    "not support it"
)


_Made = tuple[str, dict[str, str], list[str]]


@by_leading_dims
def to_native(
    quantization: Quantization,
    vector: Vector,
    server_version: ServerVersion = NEWEST,
    current: Mapping[str, Any] | None = None,
) -> MappedQuantization:
    """The Milvus index for a quantization.

    Args:
        quantization: ``rescore`` is a search parameter; only its source, such as ``int8``, is
            stored by the index.
        vector: the vector to index.
        server_version: the server that builds the index.
        current: the current index, whose graph or list parameters are kept if possible.
    """
    if server_version.deployment == CLOUD and quantization.kind is not Kind.NONE:
        return _no(quantization, "the cloud service chooses the index (AUTOINDEX)", _ELSEWHERE)
    if vector.datatype == "bit":
        return _of_bits(quantization, current)
    if vector.datatype in HALVES and quantization.kind is Kind.FLOAT16:
        return MappedQuantization(None, quantization, Match.of())
    refused = codes_only.refuse(
        quantization,
        "Milvus",
        "half the size: datatype='float16' or 'bfloat16' (--datatype), from 2.4",
        "codes in RAM and mmap for the field of the original vectors",
    )
    if refused is not None:
        return refused
    made = _MAKERS[quantization.kind](quantization, vector, server_version, current)
    if isinstance(made, Match):
        return MappedQuantization(None, quantization, made)
    kind, params, differences = made
    wanted = {str(key): text_of(value) for key, value in quantization.native.items()}
    chosen = wanted.pop("index_type", kind)
    if chosen != kind:
        # Drop the parameters of the index type that qadapt would have chosen.
        params = {key: value for key, value in params.items() if key in _OWN.get(chosen, ())}
        params.update({"with_raw_data": "true"} if chosen == "SCANN" else {})
    kind = chosen
    params = {**_inherited(kind, current), **params, **_refinement(quantization), **wanted}
    problem = unsupported_index(kind, params, vector, server_version)
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    if quantization.codes is not None and kind != BITS and server_version.has(SINCE_MMAP):
        params = {**params, MMAP: text_of(quantization.codes != "ram")}
        if quantization.codes == "cached":
            differences.append(CACHED)
    elif quantization.codes is not None:
        differences.append(NO_CODES_PLACE)
    if quantization.originals is not None:
        differences.append(NO_PLACE)
    native = {"index_type": kind, "params": dict(sorted(params.items()))}
    if kind == BITS:
        return MappedQuantization(native, Quantization(Kind.BINARY), Match.of(*differences))
    target = from_native(native, vector, server_version)
    if target.kind is not quantization.kind and not differences:
        differences.append(f"the index {kind} stores {target} codes")
    return MappedQuantization(native, target, Match.of(*differences))


def _of_bits(quantization: Quantization, current: Mapping[str, Any] | None) -> MappedQuantization:
    """The index of a BINARY_VECTOR: the current one, or BIN_FLAT, which compares all bits."""
    if quantization.kind is not Kind.NONE or quantization.native:
        what = "a BINARY_VECTOR holds bits, and no index of Milvus stores codes of them"
        return _no(quantization, what, "none", "a vector of the datatype float32")
    native = dict(current) if current else {"index_type": BITS, "params": {}}
    return MappedQuantization(native, Quantization(Kind.NONE), Match.of())


def _refinement(quantization: Quantization) -> dict[str, str]:
    """The parameters of an index that stores finer codes for rescoring."""
    rescore = quantization.rescore
    if rescore is None or rescore.source not in REFINE_TYPES:
        return {}
    return {"refine": "true", "refine_type": REFINE_TYPES[rescore.source]}


def require_native(
    quantization: Quantization,
    vector: Vector,
    server_version: ServerVersion,
    current: Mapping[str, Any] | None = None,
) -> MappedQuantization:
    """The Milvus index for a quantization; see ``to_native`` for the arguments.

    Raises:
        UnsupportedError: this server has no index for the quantization.
    """
    mapped = to_native(quantization, vector, server_version, current)
    return require_supported(mapped, quantization, "milvus")


_ELSEWHERE = "accept='client': client-side codes"


def _no(quantization: Quantization, reason: str, *support: str) -> MappedQuantization:
    return MappedQuantization(None, quantization, Match.unsupported(reason, *support))


def _family(current: Mapping[str, Any] | None) -> str | None:
    kind = (current or {}).get("index_type", "")
    if kind.startswith("HNSW"):
        return "HNSW"
    return "IVF" if kind in IVF else None


def _inherited(kind: str, current: Mapping[str, Any] | None) -> dict[str, str]:
    """Graph or list parameters: of the current index if it has them, otherwise the defaults."""
    base = GRAPH if kind.startswith("HNSW") else LISTS if kind in IVF else {}
    there = {key: text_of(value) for key, value in ((current or {}).get("params") or {}).items()}
    return {key: there.get(key, value) for key, value in base.items()}


# -- to native -----------------------------------------------------------------------------------


def _none(
    _: Quantization,
    vector: Vector,
    server_version: ServerVersion,
    current: Mapping[str, Any] | None,
) -> _Made:
    if vector.datatype == "int8":
        return "HNSW", {}, []
    if (current or {}).get("index_type") in ("FLAT", "BRUTE_FORCE"):
        return "FLAT", {}, []
    if server_version.old_lite:
        return ("IVF_FLAT" if _family(current) == "IVF" else "FLAT"), {}, []
    return "IVF_FLAT" if _family(current) == "IVF" else "HNSW", {}, []


def _float16(
    _: Quantization, __: Vector, server_version: ServerVersion, ___: Mapping[str, Any] | None
) -> _Made | Match:
    if not server_version.has(SINCE_HNSW_CODES):
        return Match.unsupported(
            f"a float16 index needs Milvus {SINCE_HNSW_CODES}; this is {server_version.words}",
            f"Milvus {SINCE_HNSW_CODES}",
            "scalar",
        )
    return "HNSW_SQ", {"sq_type": "FP16"}, [STAY_32]


def _scalar(
    quantization: Quantization,
    _: Vector,
    server_version: ServerVersion,
    current: Mapping[str, Any] | None,
) -> _Made | Match:
    bits = quantization.bits
    names = {8: "SQ8", 6: "SQ6", 4: "SQ4U"}
    if bits not in names:
        return Match.unsupported(
            f"scalar codes in Milvus have 4, 6 or 8 bits, not {bits:g}", "scalar"
        )
    if bits != 8 and server_version.lite:
        return Match.unsupported(
            f"{server_version.words} supports only 8 bits and ignores other values", "scalar"
        )
    since = {8: "2.0", 6: SINCE_HNSW_CODES, 4: SINCE_SQ4U}[int(bits)]
    if bits != 8 and not server_version.has(since):
        return Match.unsupported(
            f"scalar codes of {bits:g} bits need Milvus {since}; this is {server_version.words}",
            f"Milvus {since}",
            "scalar",
        )
    differences = []
    if bits == 4 and quantization.per == "dimension":
        differences.append(ONE_RANGE)
    if bits != 4 and quantization.per == "collection":
        differences.append(PER_DIMENSION)
    if quantization.quantile is not None:
        differences.append(NO_QUANTILE)
    graph = server_version.lite or server_version.has(SINCE_HNSW_CODES)
    if graph and not (_family(current) == "IVF" and bits == 8):
        return "HNSW_SQ", {"sq_type": names[int(bits)]}, differences
    return "IVF_SQ8", {}, differences


def _product(
    quantization: Quantization,
    vector: Vector,
    server_version: ServerVersion,
    current: Mapping[str, Any] | None,
) -> _Made | Match:
    if server_version.lite:
        return Match.unsupported(
            f"{server_version.words} does not support product codes", "scalar", _ELSEWHERE
        )
    if quantization.centroids not in (None, 256):
        return Match.unsupported("product codes in Milvus have 256 centroids", "omit centroids")
    segments = product_segments.segments(quantization, vector)
    if isinstance(segments, Match):
        return segments
    params = {"m": str(segments), "nbits": "8"}
    if server_version.has(SINCE_HNSW_CODES) and _family(current) != "IVF":
        return "HNSW_PQ", params, []
    return "IVF_PQ", params, []


def _rotational(
    quantization: Quantization,
    _: Vector,
    server_version: ServerVersion,
    __: Mapping[str, Any] | None,
) -> _Made | Match:
    bits = quantization.bits or 4
    if bits != int(bits):
        return Match.unsupported(
            f"rotational codes in Milvus have 1 to 9 bits (an integer), not {bits:g}",
            "rotational:bits=1",
        )
    since = SINCE_RABITQ if bits == 1 else SINCE_RABITQ_BITS
    if not server_version.has(since):
        return Match.unsupported(
            f"rotational codes of {bits:g} bits (RaBitQ) need Milvus {since}; this is "
            f"{server_version.words}",
            f"Milvus {since}",
            "scalar",
        )
    differences = [] if quantization.query_bits is None else [QUERY_BITS]
    params = {} if bits == 1 else {"rbq_bits": str(int(bits))}
    return "IVF_RABITQ", params, differences


def _binary(
    quantization: Quantization,
    vector: Vector,
    server_version: ServerVersion,
    current: Mapping[str, Any] | None,
) -> _Made | Match:
    named = quantization.native.get("index_type") == BITS
    wants_bits = not server_version.has(SINCE_RABITQ) or named
    fits = quantization.bits == 1 and quantization.query_bits in (None, 1)
    # Lite 2 supports them only in new collections, and only if BIN_FLAT is requested.
    if wants_bits and fits and (not server_version.lite or (server_version.old_lite and named)):
        return BITS, {}, [SIDECAR]
    if quantization.bits != 1 or not server_version.has(SINCE_RABITQ):
        return Match.unsupported(
            f"{server_version.words} does not support these binary codes: a server compares 1-bit "
            "codes with 1-bit queries, and IVF_RABITQ, the nearest equivalent, needs Milvus "
            f"{SINCE_RABITQ}",
            f"Milvus {SINCE_RABITQ}",
            _ELSEWHERE,
        )
    differences = [NEAREST]
    if quantization.query_bits is not None:
        differences.append(QUERY_BITS)
    return "IVF_RABITQ", {}, differences


_MAKERS: dict[Kind, Callable[..., _Made | Match]] = {
    Kind.NONE: _none,
    Kind.FLOAT16: _float16,
    Kind.SCALAR: _scalar,
    Kind.PRODUCT: _product,
    Kind.ROTATIONAL: _rotational,
    Kind.BINARY: _binary,
}
