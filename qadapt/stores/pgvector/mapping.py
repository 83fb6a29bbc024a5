"""Mapping between quantizations and indexes of pgvector.

Codes exist in indexes only: an index on ``embedding::halfvec(n)`` has float16 codes, one on
``binary_quantize(embedding)::bit(n)`` sign bits; the column keeps the original vectors
(docs/engines/pgvector.md#quantization).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Kind, Match, Metric, Quantization, Vector
from qadapt.stores import sign_bits
from qadapt.stores.leading_dims import too_many
from qadapt.stores.native_keys import check_native
from qadapt.stores.pgvector.version import SINCE_QUANTIZATION, ExtensionVersion
from qadapt.stores.store_types import MappedQuantization

HNSW, IVFFLAT = "hnsw", "ivfflat"
METHODS = (HNSW, IVFFLAT)
# The largest dimension of an index, by its codes.
MOST_DIMS = {"vector": 2000, "subvector": 2000, "halfvec": 4000, "bit": 64000}
OPTIONS = {HNSW: ("m", "ef_construction"), IVFFLAT: ("lists",)}
LIMITS = {"m": (2, 100), "ef_construction": (4, 1000), "lists": (1, 32768)}
DEFAULT_LISTS = 100
CODES = {Kind.NONE: "vector", Kind.FLOAT16: "halfvec", Kind.BINARY: "bit"}
NONE = Quantization(Kind.NONE)
KINDS = {
    "halfvec": Quantization(Kind.FLOAT16), "bit": Quantization(Kind.BINARY), "subvector": NONE
}  # fmt: skip
NATIVE_KEYS = ("using", "m", "ef_construction", "lists", "replace")

_PLACES = "PostgreSQL's buffer cache decides what is in RAM: {what}={asked} has no effect"
_LENGTH = "sign bits ignore the lengths of vectors, which the metric {metric} uses"
_CLIENT = "client-side codes: --accept client"


def to_native(
    quantization: Quantization, vector: Vector, version: ExtensionVersion | None = None
) -> MappedQuantization:
    """Map a quantization to an index: ``{"using": "hnsw", "codes": "bit", "options": {...}}``.

    ``none`` without ``native`` maps to no index, which is an exact search. ``dims`` adds the key
    ``dims``: the index keeps the first dimensions, the column all of them. ``originals="none"``
    maps to the datatype of the column.

    Raises:
        SpecError: an unknown key or an invalid value in ``native``.
    """
    version = version or ExtensionVersion()
    asked = quantization.codes_only
    if asked.dims is not None and asked.dims >= vector.dim:
        if asked.dims > vector.dim:
            return MappedQuantization(None, quantization, too_many(asked.dims, vector.dim))
        asked = asked.replace(dims=None)
    if quantization.originals == "none":
        return _as_datatype(quantization, asked, version)
    options = _native_options(quantization.native)
    problem = _problem(asked, vector, version)
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    differences = [
        _PLACES.format(what=what, asked=place)
        for what in ("codes", "originals")
        if (place := getattr(quantization, what)) is not None
    ]
    kind = quantization.kind
    if kind is Kind.BINARY and vector.metric is not Metric.COSINE:
        differences.append(_LENGTH.format(metric=vector.metric))
    match = Match.of(*differences)
    codes, dims = codes_of(asked), asked.dims
    if codes == "vector" and not quantization.native:
        return MappedQuantization({}, NONE, match)
    native = {"codes": codes, **({} if dims is None else {"dims": dims}), **options}
    target = NONE if codes == "vector" else KINDS[codes].replace(dims=dims)
    return MappedQuantization(native, target, match)


def codes_of(asked: Quantization) -> str:
    """The codes of a kind that pgvector has."""
    if asked.kind is Kind.NONE and asked.dims is not None:
        return "subvector"
    return CODES[asked.kind]


def _as_datatype(
    quantization: Quantization, asked: Quantization, version: ExtensionVersion
) -> MappedQuantization:
    """Codes in place of the original vectors: the column becomes ``halfvec``."""
    if asked.kind is not Kind.FLOAT16 or asked.dims is not None:
        match = Match.unsupported(
            "an index of codes needs the column with the original vectors",
            "float16:originals=none, which changes the type of the column",
            "originals=disk",
        )
        return MappedQuantization(None, quantization, match)
    if not version.has(SINCE_QUANTIZATION):
        return MappedQuantization(None, quantization, _too_old(version))
    return MappedQuantization(None, NONE, Match.of(), "float16")


def _problem(asked: Quantization, vector: Vector, version: ExtensionVersion) -> Match | None:
    """Why pgvector cannot index these codes; None if it can."""
    kind = asked.kind
    if kind not in CODES:
        return Match.unsupported(f"pgvector has no {kind} codes", "float16", "binary", _CLIENT)
    refused = sign_bits.refuse(asked, "pgvector")
    if refused is not None:
        return refused
    if codes_of(asked) != "vector" and not version.has(SINCE_QUANTIZATION):
        return _too_old(version)
    if kind is Kind.FLOAT16 and vector.datatype == "float16":
        return Match.unsupported("the column has the type halfvec already", "none", "binary")
    return _problem_of_width(asked, vector)


def _problem_of_width(asked: Quantization, vector: Vector) -> Match | None:
    codes, dim = codes_of(asked), asked.kept_dims(vector.dim)
    most = MOST_DIMS["halfvec" if _is_half(codes, vector) else codes]
    if dim <= most or (codes == "vector" and not asked.native):
        return None
    tail = "" if asked.dims is None else f":dims={asked.dims}"
    others = {"float16": "halfvec", "binary": "bit"}
    return Match.unsupported(
        f"an index on {codes} has at most {most} dimensions; the vector has {dim}",
        *(f"{kind}{tail}" for kind, each in others.items() if dim <= MOST_DIMS[each]),
        f"dims of at most {most}",
        _CLIENT,
    )


def _is_half(codes: str, vector: Vector) -> bool:
    return codes in ("vector", "subvector") and vector.datatype == "float16"


def _too_old(version: ExtensionVersion) -> Match:
    return Match.unsupported(
        f"requires pgvector {SINCE_QUANTIZATION} or newer; this is {version.number}",
        "ALTER EXTENSION vector UPDATE",
        _CLIENT,
    )


def _native_options(native: Mapping[str, Any]) -> dict[str, Any]:
    """The access method and its storage parameters, from ``native``.

    Raises:
        SpecError
    """
    using = native.get("using", HNSW)
    integers = {name: LIMITS[name] for name in OPTIONS.get(using, ())}
    words = {"using": ("access method", METHODS)}
    check_native(native, NATIVE_KEYS, "pgvector", words=words, integers=integers)
    found = {name: native[name] for name in LIMITS if name in native}
    for name in found:
        if name not in OPTIONS[using]:
            raise SpecError(
                f"{name} is not a parameter of {using}",
                hint=f"parameters of {using}: {', '.join(OPTIONS[using])}",
            )
    return {"using": using, "options": found}


def opclass(codes: str, metric: Metric, datatype: str = "float32") -> str:
    """The operator class of an index."""
    if codes == "bit":
        return "bit_hamming_ops"
    kind = "halfvec" if codes == "halfvec" or datatype == "float16" else "vector"
    word = {Metric.COSINE: "cosine", Metric.DOT: "ip", Metric.EUCLIDEAN: "l2"}[metric]
    return f"{kind}_{word}_ops"


OPERATORS = {Metric.COSINE: "<=>", Metric.DOT: "<#>", Metric.EUCLIDEAN: "<->"}
HAMMING = "<~>"


def index_bytes(
    codes: str, dim: int, count: int, using: str = HNSW, m: int = 16, lists: int = DEFAULT_LISTS
) -> int:
    """Bytes of an index without its header, from the layout of its pages.

    An hnsw element has the value (8 bytes and its data) and 72 bytes; its neighbors have 4 bytes
    and 6 for each of ``2 m`` links. A page of 8192 bytes has 8144 usable ones and holds whole
    tuples (docs/engines/pgvector.md#sizes).
    """
    value = value_bytes(codes, dim)
    if using == IVFFLAT:
        # A list has its own pages, the last of which is half full on average, and a center.
        full = -(-count // max(1, _USABLE // _tuple(value + 8))) * _PAGE
        return round(full + lists * (_PAGE / 2 + _tuple(value + 8)))
    element, neighbors = _tuple(value + 72), _tuple(4 + 6 * 2 * m)
    upper_levels = 6 * count  # one element in m has neighbors on another level
    if element + neighbors > _USABLE:
        return 2 * _PAGE * count
    return -(-count // (_USABLE // (element + neighbors))) * _PAGE + upper_levels


_PAGE, _USABLE = 8192, 8144


def value_bytes(codes: str, dim: int) -> int:
    """Bytes of one value in an index, with its header."""
    width = {"vector": 4 * dim, "subvector": 4 * dim, "halfvec": 2 * dim, "bit": -(-dim // 8)}
    return width[codes] + 8


def _tuple(size: int) -> int:
    """Bytes of a tuple in a page: aligned to 8, and 4 for its line pointer."""
    return -(-size // 8) * 8 + 4
