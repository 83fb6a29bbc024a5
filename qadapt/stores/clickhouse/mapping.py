"""Common quantizations as vector indexes and codecs of ClickHouse, and back.

An index can be added to a table; a codec is fixed when a table is created, so that qadapt copies
the table (docs/engines/clickhouse.md#quantization).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.model import Kind, Match, Metric, Quantization, Vector
from qadapt.model.quantization_options import BITS
from qadapt.stores import codes_only, rescore_tiers
from qadapt.stores.clickhouse.schema import EF, FUNCTIONS, Codec, Index, M
from qadapt.stores.clickhouse.version import (
    SINCE_BIT_PLANES,
    SINCE_CODEC,
    has_bit_planes,
    has_codec,
)
from qadapt.stores.leading_dims import too_many
from qadapt.stores.native_keys import check_native
from qadapt.stores.store_types import MappedQuantization

NONE = Quantization(Kind.NONE)
FORMS = INDEX, CODEC, QBIT = "index", "codec", "qbit"
# Quantizations of an index that lose nothing, and the codes of the others.
FULL = ("f32", "f64")
KINDS = {
    "f16": Quantization(Kind.FLOAT16), "bf16": Quantization(Kind.FLOAT16),
    "i8": Quantization(Kind.SCALAR, bits=8), "b1": Quantization(Kind.BINARY),
}  # fmt: skip
NATIVE_KEYS = ("using", "quantization", "m", "ef_construction")
LIMITS = {"m": (2, 512), "ef_construction": (4, 4096)}
METHODS = {
    "rabitq": Quantization(Kind.ROTATIONAL, bits=1),
    "turboquant": Quantization(Kind.ROTATIONAL, bits=2),
    "int8": Quantization(Kind.SCALAR, bits=8),
}
# Codes of the first dimensions.
PREFIXES = {
    "prefix_int8": Quantization(Kind.SCALAR, bits=8), "prefix_bf16": Quantization(Kind.FLOAT16)
}  # fmt: skip

_CLIENT = "client-side codes: --accept client"
_PLACES = "the caches of the server decide what is in RAM: {what}={asked} has no effect"
_UNIT = "signed 8 bits of each vector at length 1"
_PREFIX = "the codec prefix_int8: each vector is scaled by its own largest absolute value"
_PER_ROW = "signed 8 bits: each vector is scaled by its own largest absolute value"
_BF16_PREFIX = "the codec prefix_bf16: 8 bits of exponent and 7 of fraction"
_BF16 = "an index of bf16: 8 bits of exponent and 7 of fraction"
# docs/engines/clickhouse.md#bit-planes
_PLANES = (
    "a column of the type QBit beside the vectors: codes for values of a normal distribution, of "
    "which a search reads the highest bits; vectors are not rotated, so that values of unequal "
    "scale lose more"
)
# docs/engines/clickhouse.md#codes: the first granule has at most 8,192 rows and 10 MB.
_TRAINED = (
    "the codec trains the centroids of a part with its first granule: at most 8,192 rows or 10 MB, "
    "in the order of the ids"
)


def to_native(
    quantization: Quantization, vector: Vector, version: str | None = None
) -> MappedQuantization:
    """Map a quantization: ``{"using": "index", "quantization": "b1", "m": 32, ...}``,
    ``{"using": "codec", "method": "rabitq", "numbers": []}``, or ``{}`` for neither.

    Raises:
        SpecError: an unknown key or an invalid value in ``native``.
    """
    native = _checked(quantization.native)
    refused = codes_only.refuse(quantization, "ClickHouse", "originals=disk")
    refused = refused or rescore_tiers.refuse(quantization, "ClickHouse")
    if refused is not None:
        return refused
    asked = quantization.codes_only
    found, differences = _choose(asked, vector, native)
    if isinstance(found, Match):
        return MappedQuantization(None, quantization, found)
    if found.get("using") == CODEC and not has_codec(version):
        match = Match.unsupported(
            f"the codec Quantized requires ClickHouse {SINCE_CODEC} or newer; this is {version}",
            "binary", _CLIENT,
        )  # fmt: skip
        return MappedQuantization(None, quantization, match)
    if found.get("using") == QBIT and not has_bit_planes(version):
        match = Match.unsupported(
            f"codes in a column of the type QBit require ClickHouse {SINCE_BIT_PLANES} or newer; "
            f"this is {version}",
            "scalar", _CLIENT,
        )  # fmt: skip
        return MappedQuantization(None, quantization, match)
    differences += [
        _PLACES.format(what=what, asked=place)
        for what in ("codes", "originals")
        if (place := getattr(quantization, what)) is not None
    ]
    return MappedQuantization(found, quantization_of(found, vector.dim), Match.of(*differences))


def _choose(
    asked: Quantization, vector: Vector, native: Mapping[str, Any]
) -> tuple[dict[str, Any] | Match, list[str]]:
    """The native form and its differences, or why there is none."""
    kind, using = asked.kind, native.get("using")
    if asked.dims is not None:
        return _prefix(asked, vector)
    if using == QBIT and kind is not Kind.SCALAR:
        return _no(f"bit planes have scalar codes, not {kind}", "scalar:bits=4"), []
    if kind is Kind.NONE:
        if not native or using == "flat":
            return {}, []
        return _index(native.get("quantization", "f32"), native), []
    if kind is Kind.FLOAT16:
        word = native.get("quantization", "f16")
        return _index(word, native), [_BF16] if word == "bf16" else []
    if kind is Kind.SCALAR:
        return _scalar(asked, vector, native)
    if kind is Kind.BINARY:
        return _binary(asked, vector, native)
    if using == INDEX:
        return _no(f"an index has no {kind} codes", "scalar", "binary", _CLIENT), []
    if kind is Kind.ROTATIONAL:
        return _rotational(asked, vector)
    return _product(asked, vector)


def _prefix(asked: Quantization, vector: Vector) -> tuple[dict[str, Any] | Match, list[str]]:
    """Codes of the first dimensions, beside vectors that keep all."""
    dims = int(asked.dims or vector.dim)
    if dims > vector.dim:
        return too_many(dims, vector.dim), []
    if vector.metric is Metric.DOT:
        return _no("a codec serves cosine and Euclidean distances only", _CLIENT), []
    if asked.kind is Kind.FLOAT16:
        return {"using": CODEC, "method": "prefix_bf16", "numbers": [dims]}, [_BF16_PREFIX]
    if asked.kind is Kind.SCALAR and asked.bits in (None, 8) and not (asked.per or asked.quantile):
        return {"using": CODEC, "method": "prefix_int8", "numbers": [dims]}, [_PREFIX]
    reason = f"codes of the first dimensions are scalar or float16, not {asked.without_dims}"
    return _no(reason, f"scalar:dims={dims}", f"float16:dims={dims}", _CLIENT), []


def _planes(
    asked: Quantization, vector: Vector, native: Mapping[str, Any]
) -> tuple[dict[str, Any] | Match, list[str]]:
    """Bit planes of codes of 8 bits."""
    bits = asked.bits or 8
    if native.get("using", QBIT) != QBIT:
        reason = f"an index or a codec has no codes of {bits:g} bits per value"
        return _no(reason, "scalar", f"scalar:bits={bits:g} without native"), []
    if vector.metric is not Metric.COSINE:
        # Codes are those of vectors at one length.
        reason = f"bit planes serve the cosine distance; the metric is {vector.metric}"
        return _no(reason, "scalar", _CLIENT), []
    return {"using": QBIT, "bits": int(bits), "dim": vector.dim}, [_PLANES]


def _scalar(
    asked: Quantization, vector: Vector, native: Mapping[str, Any]
) -> tuple[dict[str, Any] | Match, list[str]]:
    if asked.per == "dimension":
        return _no("codes have one range for all dimensions", "scalar", _CLIENT), []
    if asked.quantile is not None:
        return _no("codes cover all values", "scalar without quantile", _CLIENT), []
    if asked.bits not in (None, 8) or native.get("using") == QBIT:
        return _planes(asked, vector, native)
    cosine = vector.metric is Metric.COSINE
    using = native.get("using", INDEX if cosine else CODEC)
    if using == CODEC:
        if vector.metric is Metric.DOT:
            return _no("a codec serves cosine and Euclidean distances only", "float16", _CLIENT), []
        return {"using": CODEC, "method": "int8", "numbers": []}, [_PER_ROW]
    if not cosine:
        # docs/engines/clickhouse.md#i8: recall .20 for vectors of different lengths.
        reason = f"an index of i8 ignores the lengths of vectors, which {vector.metric} uses"
        return _no(reason, "float16", _CLIENT), []
    return _index("i8", native), [_UNIT]


def _binary(
    asked: Quantization, vector: Vector, native: Mapping[str, Any]
) -> tuple[dict[str, Any] | Match, list[str]]:
    if (asked.bits or 1) != 1:
        return _no(f"ClickHouse has sign bits only, not {asked.bits:g} bits", "binary", _CLIENT), []
    if asked.query_bits not in (None, 1):
        reason = "ClickHouse compares sign bits with sign bits of the query only"
        return _no(reason, "binary", "rotational:bits=1", _CLIENT), []
    if native.get("using") == CODEC:
        return _no("a codec has no sign bits", "rotational:bits=1", "binary"), []
    if vector.metric is not Metric.COSINE:
        reason = f"an index of b1 requires the cosine distance; the metric is {vector.metric}"
        return _no(reason, "float16", _CLIENT), []
    if vector.dim % 8:
        reason = f"an index of b1 requires a multiple of 8 dimensions; the vector has {vector.dim}"
        return _no(reason, "scalar", _CLIENT), []
    return _index("b1", native), []


def _rotational(asked: Quantization, vector: Vector) -> tuple[dict[str, Any] | Match, list[str]]:
    if vector.metric is not Metric.COSINE:
        # docs/engines/clickhouse.md#euclidean-distance: the engine compares all rows.
        reason = f"rabitq and turboquant serve the cosine distance; the metric is {vector.metric}"
        instead = ("scalar",) if vector.metric is Metric.EUCLIDEAN else ()
        return _no(reason, *instead, "float16", _CLIENT), []
    if vector.dim % 8:
        reason = "the codecs rabitq and turboquant require a multiple of 8 dimensions; the vector "
        return _no(f"{reason}has {vector.dim}", "scalar", "scalar:bits=4", _CLIENT), []
    for method, each in METHODS.items():
        if each.kind is Kind.ROTATIONAL and each.bits == (asked.bits or 4):
            return {"using": CODEC, "method": method, "numbers": []}, []
    # docs/engines/clickhouse.md#bits: the codec accepts other numbers of bits and ignores them.
    reason = f"the codecs have 1 bit (rabitq) and 2 bits (turboquant), not {asked.bits or 4:g}"
    return _no(reason, "rotational:bits=1", "rotational:bits=2", "scalar", _CLIENT), []


def _product(asked: Quantization, vector: Vector) -> tuple[dict[str, Any] | Match, list[str]]:
    if vector.metric is Metric.DOT:
        return _no("a codec serves cosine and Euclidean distances only", "float16", _CLIENT), []
    # A segment takes a byte with fewer bits, too (docs/engines/clickhouse.md#bits).
    ratio = float(asked.ratio or 16)
    segments = 4 * vector.dim / ratio
    if segments >= 1 and segments.is_integer() and vector.dim % int(segments) == 0:
        return {"using": CODEC, "method": "product", "numbers": [8, int(segments)]}, [_TRAINED]
    reason = f"no number of segments that divides {vector.dim} dimensions has a ratio of {ratio:g}"
    return _no(reason, "rotational:bits=1", "rotational:bits=2", _CLIENT), []


def _no(reason: str, *instead: str) -> Match:
    return Match.unsupported(reason, *instead)


def _index(word: str, native: Mapping[str, Any]) -> dict[str, Any]:
    ef = native.get("ef_construction", EF)
    return {"using": INDEX, "quantization": word, "m": native.get("m", M), "ef_construction": ef}


def _checked(native: Mapping[str, Any]) -> Mapping[str, Any]:
    words = {
        "using": ("form", (*FORMS, "flat")), "quantization": ("quantization", (*FULL, *KINDS))
    }  # fmt: skip
    check_native(native, NATIVE_KEYS, "clickhouse", words=words, integers=LIMITS)
    return native


# -- back ----------------------------------------------------------------------------------------


def quantization_of(native: Mapping[str, Any], dim: int) -> Quantization:
    """The quantization of a native form."""
    if native.get("using") == INDEX:
        return KINDS.get(native["quantization"], NONE)
    if native.get("using") == CODEC:
        return _of_method(native["method"], tuple(native["numbers"]), dim)
    return of_planes(native["bits"]) if native.get("using") == QBIT else NONE


def of_planes(bits: int) -> Quantization:
    """The quantization of a search of bit planes; the nearest number of bits that qadapt names."""
    return Quantization(Kind.SCALAR, bits=bits if bits in BITS[Kind.SCALAR] else 8)


def of_codec(codec: Codec) -> Quantization:
    """The quantization of a codec."""
    return _of_method(codec.method, codec.numbers, codec.dim)


def _of_method(method: str, numbers: tuple[int, ...], dim: int) -> Quantization:
    if method == "product":
        return Quantization(Kind.PRODUCT, ratio=4 * dim / code_bytes(method, numbers, dim))
    if method in PREFIXES:
        return PREFIXES[method].replace(dims=numbers[0])
    return METHODS.get(method, NONE)


def of_index(index: Index) -> Quantization:
    """The quantization of an index; none for f32 and f64."""
    return KINDS.get(index.quantization, NONE)


def codec_of(native: Mapping[str, Any], dim: int) -> Codec:
    """The codec of a native form."""
    return Codec(native["method"], dim, tuple(native["numbers"]))


def index_for(native: Mapping[str, Any], column: str, vector: Vector, name: str) -> Index:
    """The index of a native form."""
    return Index(
        name, column, FUNCTIONS[vector.metric], vector.dim, native["quantization"],
        native["m"], native["ef_construction"],
    )  # fmt: skip


def code_bytes(method: str, numbers: tuple[int, ...], dim: int) -> int:
    """Bytes of the codes of one row: method and dimensions decide, and 4 bytes for a factor; whole
    bytes for each segment of product codes. Bit planes are those that a search reads."""
    if method == QBIT:
        return numbers[0] * -(-dim // 8)
    if method == "product":
        return numbers[1] * (1 if numbers[0] <= 8 else 2)
    if method in PREFIXES:
        return 2 * numbers[0] if method == "prefix_bf16" else numbers[0] + 4
    bits = {"rabitq": 1, "turboquant": 2, "int8": 8, "b1": 1, "i8": 8, "f16": 16, "bf16": 16}
    bits |= {"f32": 32, "f64": 64}
    extra = 4 if method in METHODS else 0
    return -(-dim * bits[method] // 8) + extra
