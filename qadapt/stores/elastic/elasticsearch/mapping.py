"""Mapping between quantizations and ``index_options`` of a dense_vector field.

The type of ``index_options`` names the codes and the index: ``int8_hnsw`` has codes of 8 bits in a
graph, ``bbq_flat`` sign bits without one, ``hnsw`` and ``flat`` no codes. Original vectors are kept
(docs/engines/elasticsearch.md#index-types).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Kind, Match, Metric, Quantization, Rescore, Vector
from qadapt.stores.elastic.elasticsearch.version import (
    SINCE_BBQ,
    SINCE_BFLOAT16,
    SINCE_FLAT,
    SINCE_INT4,
    SINCE_INTERVAL_PER_VECTOR,
    SINCE_ON_DISK_RESCORE,
    SINCE_OVERSAMPLED_K,
    ServerVersion,
)
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.native_keys import check_native
from qadapt.stores.store_types import MappedQuantization

HNSW, FLAT = "hnsw", "flat"
BBQ_DISK = "bbq_disk"
NO_CODES = ""
CODES = ("int8", "int4", "bbq")
NONE = Quantization(Kind.NONE)
KINDS = {
    NO_CODES: NONE,
    "int8": Quantization(Kind.SCALAR, bits=8),
    "int4": Quantization(Kind.SCALAR, bits=4),
    "bbq": Quantization(Kind.BINARY, query_bits=4),
}
# The oversampling of a type that neither a search nor the mapping sets.
DEFAULT_OVERSAMPLING = {"bbq": 3.0}
BBQ_DISK_OVERSAMPLING = {1: 3.0, 2: 1.5}
BBQ_LEAST_DIM = 64
# The largest oversampling of a mapping; a search has no limit.
MAX_MAPPED_OVERSAMPLING = 10.0
DEFAULT_M, DEFAULT_EF = 16, 100
# Keys of ``native``, and those of index_options that keep their name.
NATIVE_KEYS = ("index", "m", "ef_construction", "confidence_interval")
_LIMITS = {"m": (2, 512), "ef_construction": (2, 3200)}

_CLIENT = "client-side codes: --accept client"
_STEPS = (
    "the steps of a code are chosen for each vector, from its own values; quantile and per have "
    "no counterpart"
)
_CENTERED = (
    "sign bits of the difference to the mean of a segment, with corrections, compared with 4 bits "
    "per dimension of the query"
)
_PLACES = "the page cache decides what is in RAM: {what}={asked} has no effect"
_OLD_STEPS = (
    "7 or 4 bits over one interval of a segment, which qadapt leaves to the server; per has no "
    "counterpart"
)
_CONFIDENCE = "confidence_interval has no effect: the server keeps it and computes the same codes"


@by_leading_dims
def to_native(
    quantization: Quantization, vector: Vector, version: ServerVersion | None = None
) -> MappedQuantization:
    """Map a quantization to ``{"codes": "int8", "index": "hnsw", "options": {...}}``.

    The index is left out unless ``native`` names it: a field keeps the one that it has.

    Raises:
        SpecError: an unknown key or an invalid value in ``native``.
    """
    version = version or ServerVersion()
    asked = quantization.codes_only
    if quantization.originals == "none":
        return _as_datatype(quantization, version)
    options = _native_options(quantization.native)
    codes = codes_of(asked)
    problem = (
        _problem(asked, codes, vector, version)
        or _originals_problem(quantization, version)
        or _native_problem(quantization, version)
    )
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    assert codes is not None
    native: dict[str, Any] = {"codes": codes, **options}
    target = KINDS[codes]
    differences = []
    if codes in ("int8", "int4"):
        per_vector = version.has(SINCE_INTERVAL_PER_VECTOR)
        differences.append(_STEPS if per_vector else _OLD_STEPS)
        native |= {} if per_vector else {"interval": "segment"}
    elif codes == "bbq":
        differences.append(_CENTERED)
    if codes and not version.has(SINCE_OVERSAMPLED_K):
        native["rescored"] = "num_candidates"
    if "confidence_interval" in quantization.native:
        differences.append(_CONFIDENCE)
    if quantization.codes is not None:
        differences.append(_PLACES.format(what="codes", asked=quantization.codes))
    if quantization.originals == "disk" and codes:
        native["options"] = {**native.get("options", {}), "on_disk_rescore": True}
        target = target.replace(originals="disk")
    elif quantization.originals is not None:
        differences.append(_PLACES.format(what="originals", asked=quantization.originals))
    return MappedQuantization(native, target, Match.of(*differences))


def codes_of(asked: Quantization) -> str | None:
    """The codes of a kind; None if the server has none."""
    if asked.kind is Kind.NONE:
        return NO_CODES
    if asked.kind is Kind.SCALAR:
        return {8: "int8", 4: "int4"}.get(int(asked.bits or 8))
    if asked.kind is Kind.BINARY and (asked.bits or 1) == 1:
        return "bbq"
    return None


def _as_datatype(quantization: Quantization, version: ServerVersion) -> MappedQuantization:
    """Codes in place of the original vectors: the element type bfloat16."""
    if quantization.kind is not Kind.FLOAT16:
        match = Match.unsupported(
            "the server keeps the original vectors beside the codes", "originals=disk", _CLIENT
        )
        return MappedQuantization(None, quantization, match)
    lacking = version.lacks("the element type bfloat16 needs", SINCE_BFLOAT16)
    if lacking:
        return MappedQuantization(None, quantization, Match.unsupported(lacking, "scalar"))
    match = Match.of("bfloat16 has 8 bits of mantissa, float16 has 11")
    return MappedQuantization(None, NONE, match, "bfloat16")


def _problem(
    asked: Quantization, codes: str | None, vector: Vector, version: ServerVersion
) -> Match | None:
    """Why a field cannot have these codes; None if it can."""
    if codes is None:
        return _unknown(asked)
    if codes == NO_CODES:
        return None
    if vector.datatype not in ("float32", "bfloat16"):
        return Match.unsupported(f"a field of {vector.datatype} has no codes", "none")
    if codes == "bbq" and asked.query_bits not in (None, 4):
        return Match.unsupported(
            "the server compares sign bits with 4 bits per dimension of the query",
            "binary:query_bits=4",
            _CLIENT,
        )
    if codes == "bbq" and vector.dim < BBQ_LEAST_DIM:
        return Match.unsupported(
            f"sign bits (bbq) need at least {BBQ_LEAST_DIM} dimensions; the vector has "
            f"{vector.dim}",
            "scalar",
            _CLIENT,
        )
    if codes == "int4" and vector.dim % 2:
        return Match.unsupported(
            f"codes of 4 bits need an even number of dimensions; the vector has {vector.dim}",
            "scalar",
            _CLIENT,
        )
    since = {"int4": SINCE_INT4, "bbq": SINCE_BBQ}.get(codes)
    lacking = version.lacks(f"{codes} codes need", since)
    if lacking:
        return Match.unsupported(lacking, "scalar", _CLIENT)
    return None


def _originals_problem(asked: Quantization, version: ServerVersion) -> Match | None:
    """Why original vectors cannot be read from disk directly."""
    if asked.originals != "disk":
        return None
    lacking = version.lacks("originals=disk (on_disk_rescore) needs", SINCE_ON_DISK_RESCORE)
    return Match.unsupported(lacking, str(asked.replace(originals=None))) if lacking else None


def _native_problem(asked: Quantization, version: ServerVersion) -> Match | None:
    """Why a version does not have an index, or qadapt does not set an option."""
    lacking = version.lacks("a flat index needs", SINCE_FLAT)
    if asked.native.get("index") == FLAT and lacking:
        return Match.unsupported(lacking, "the index hnsw")
    if "confidence_interval" in asked.native and not version.has(SINCE_INTERVAL_PER_VECTOR):
        reason = (
            f"before Elasticsearch {SINCE_INTERVAL_PER_VECTOR}, confidence_interval changes codes, "
            "and qadapt leaves it to the server"
        )
        return Match.unsupported(reason, str(asked.replace(native={})))
    return None


def _unknown(asked: Quantization) -> Match:
    if asked.kind is Kind.SCALAR:
        return Match.unsupported(
            f"the server has codes of 8 and 4 bits, not {asked.bits:g}", "scalar", "scalar:bits=4"
        )
    if asked.kind is Kind.BINARY:
        return Match.unsupported(
            f"the server has 1 bit per dimension here, not {asked.bits:g}; 2 bits (bbq_disk) need "
            "an Enterprise licence",
            "binary",
            _CLIENT,
        )
    if asked.kind is Kind.FLOAT16:
        return Match.unsupported(
            "the server has no float16 codes; bfloat16 replaces the original vectors",
            "float16:originals=none",
            "scalar",
        )
    return Match.unsupported(f"the server has no {asked.kind} codes", "scalar", "binary", _CLIENT)


def _native_options(native: Mapping[str, Any]) -> dict[str, Any]:
    """Index and parameters from ``native``.

    Raises:
        SpecError
    """
    words = {"index": ("index", (HNSW, FLAT))}
    integers = {} if native.get("index") == FLAT else _LIMITS
    check_native(native, NATIVE_KEYS, "elasticsearch", words=words, integers=integers)
    found = {"index": native["index"]} if "index" in native else {}
    options = {key: native[key] for key in native if key in _LIMITS}
    if options and found.get("index") == FLAT:
        raise SpecError(
            f"{', '.join(options)}: a flat index has no graph", hint="omit them, or use index hnsw"
        )
    return {**found, **({"options": options} if options else {})}


# -- index_options -------------------------------------------------------------------------------


def type_of(codes: str, index: str) -> str:
    """The type of index_options, such as ``int8_hnsw``."""
    return f"{codes}_{index}" if codes else index


def split_type(kind: str) -> tuple[str, str]:
    """Codes and index of a type; ``bbq_disk`` has the codes ``bbq_disk``."""
    if kind == BBQ_DISK:
        return BBQ_DISK, "disk"
    codes, _, index = kind.rpartition("_")
    return codes, index


def index_options(
    native: Mapping[str, Any], current: Mapping[str, Any], rescore: Rescore | None
) -> dict[str, Any]:
    """Complete index_options: parameters of the current ones are kept where they still apply.

    A request replaces all options, and those that it leaves out get their defaults
    (docs/engines/elasticsearch.md#mapping-updates).

    Args:
        native: from ``to_native``; ``{}`` for no codes.
        current: as read from the mapping; ``{}`` for a new field.
        rescore: the default of searches; None leaves it to the server.
    """
    codes = str(native.get("codes") or NO_CODES)
    current_index = split_type(str(current.get("type", HNSW)))[1]
    index = native.get("index") or (current_index if current_index in (HNSW, FLAT) else HNSW)
    found: dict[str, Any] = {"type": type_of(codes, index)}
    if index == HNSW:
        for key, default in (("m", DEFAULT_M), ("ef_construction", DEFAULT_EF)):
            found[key] = current.get(key, default)
    found |= native.get("options") or {}
    oversample = mapped_oversampling(rescore)
    if codes and oversample is not None:
        found["rescore_vector"] = {"oversample": oversample}
    return found


def mapped_oversampling(rescore: Rescore | None) -> float | None:
    """The oversampling that a mapping can hold; None if it cannot."""
    if rescore is None or rescore.by_codes or rescore.candidates is not None:
        return None
    if not rescore.on:
        return 0.0
    return rescore.oversampling if rescore.oversampling <= MAX_MAPPED_OVERSAMPLING else None


def default_rescore(
    options: Mapping[str, Any], version: ServerVersion | None = None
) -> Rescore | None:
    """The rescoring of a search that requests none; None for a field without codes."""
    codes = split_type(str(options.get("type", HNSW)))[0]
    if not codes:
        return None
    if version is not None and not version.maps_rescoring:
        return Rescore(source="off")
    factor = (options.get("rescore_vector") or {}).get("oversample")
    if factor is None:
        bits = int(options.get("bits", 1))
        default = BBQ_DISK_OVERSAMPLING if codes == BBQ_DISK else None
        factor = default.get(bits, 0.0) if default else DEFAULT_OVERSAMPLING.get(codes, 0.0)
    return Rescore(source="off") if not factor else Rescore(float(factor))


def quantization_of(options: Mapping[str, Any]) -> Quantization:
    """The quantization of index_options."""
    codes = split_type(str(options.get("type", HNSW)))[0]
    if codes == BBQ_DISK:
        bits = int(options.get("bits", 1))
        return Quantization(Kind.BINARY, bits=bits if bits in (1, 2) else 1)
    found = KINDS.get(codes, NONE)
    return found.replace(originals="disk") if options.get("on_disk_rescore") else found


def default_type(vector: Vector, version: ServerVersion) -> str:
    """The type of a field that was created without index_options, and does not show any."""
    if vector.datatype in ("int8", "uint8"):
        return HNSW
    return type_of("int8", HNSW) if version.has("8.14.0") else HNSW


def code_bytes(codes: str, dim: int, correction: int = 16) -> int:
    """Bytes of the codes of one vector, with the corrections of int8 and int4 codes in 9.5.

    (docs/engines/elasticsearch.md#index-types)
    """
    widths = {
        "int8": dim + correction,
        "int4": -(-dim // 2) + correction,
        "bbq": -(-dim // 64) * 8 + 14,
    }
    return widths.get(codes, 0)


SIMILARITIES = {
    Metric.COSINE: "cosine", Metric.DOT: "max_inner_product", Metric.EUCLIDEAN: "l2_norm"
}  # fmt: skip
METRICS = {
    "cosine": Metric.COSINE, "dot_product": Metric.DOT, "max_inner_product": Metric.DOT,
    "l2_norm": Metric.EUCLIDEAN,
}  # fmt: skip
