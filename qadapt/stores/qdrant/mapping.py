"""Conversion between the common quantization format and Qdrant's JSON, without I/O.

The native format is the part of a vector's configuration that quantization affects, as in the
engine's ``edge_config.json`` and in the body of the server's PATCH, under ``vectors.NAME``::

    {"quantization_config": {"scalar": {"type": "int8", "memory": "pinned"}}, "memory": "cold"}

Kinds, widths and their first versions were observed on server 1.16.3 and on engine 1.20
(qdrant-edge-py 0.9.0). Versions in this module are those of the server; None is the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Match, Quantization, Rescore, Vector
from qadapt.model.capabilities import older
from qadapt.stores import checks, rescore_tiers
from qadapt.stores.base import MappedQuantization
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.qdrant import placement

Native = Mapping[str, Any]
Knobs = dict[str, Any]

# The engine's names by bits per dimension.
BINARY_ENCODINGS: Mapping[float, str] = {1: "one_bit", 1.5: "one_and_half_bits", 2: "two_bits"}
QUERY_ENCODINGS: Mapping[int, str] = {1: "binary", 4: "scalar4bits", 8: "scalar8bits"}
TURBO_BITS: Mapping[float, str] = {1: "bits1", 1.5: "bits1_5", 2: "bits2", 4: "bits4", 8: "bits8"}
RATIOS: Mapping[int, str] = {4: "x4", 8: "x8", 16: "x16", 32: "x32", 64: "x64"}

# The first server version of each; earlier ones reject it or silently drop it.
SINCE_ENCODINGS = "1.15"
SINCE_TURBO = "1.18"
SINCE_TURBO_8 = "1.20"

SEVEN_BITS = "7 bits, not 8: the engine clamps codes to 0..127"
ONE_RANGE = "one range for the whole collection, not one for each dimension"
QUANTILE = (
    "the engine trims (1 - quantile) / dim of the values, far fewer than requested "
    "(https://github.com/qdrant/qdrant/issues/9902)"
)


@by_leading_dims
def to_native(
    quantization: Quantization, vector: Vector, version: str | None = None
) -> MappedQuantization:
    """Convert a quantization to Qdrant's JSON.

    Args:
        quantization: in the common format; ``rescore`` is ignored, because Qdrant takes it per
            search.
        vector: for the dimensions of ``segments`` and the datatype.
        version: of the server; None for the newest.

    Returns:
        MappedQuantization: ``native`` is the vector's part of the configuration, None if it has no
        settings; ``target`` equals ``from_native(native)``.
    """
    refused = rescore_tiers.refuse(quantization, "Qdrant")
    if refused is not None:
        return refused
    old = placement.too_old(quantization, version)
    if old is not None:
        return MappedQuantization(None, quantization, old)
    if quantization.originals == "none":
        return placement.codes_only(quantization, vector, version)
    convert = _TO_NATIVE[quantization.kind]
    found = convert(quantization, vector, version)
    if isinstance(found, Match):
        return MappedQuantization(None, quantization, found)
    config, differences = found
    native: dict[str, Any] = {}
    if config is not None:
        name, fields = config
        place = placement.codes(quantization, version)
        if place == {"always_ram": False}:
            differences.append(placement.FOLLOWS_ORIGINALS)
        native["quantization_config"] = {name: {**fields, **place, **quantization.native}}
    elif quantization.native or quantization.codes:
        return MappedQuantization(None, quantization, _NO_CODES)
    elif vector.datatype == "float16":
        native["datatype"] = "float16"
    native.update(placement.originals(quantization, version))
    return MappedQuantization(native or None, from_native(native), Match.of(*differences))


def from_native(native: Native | None) -> Quantization:
    """Convert a vector's part of a configuration to the common format.

    Settings without a common equivalent stay in ``native`` of the result, so nothing is lost.

    Raises:
        UnsupportedError: an unknown kind of quantization.
    """
    native = native or {}
    place = placement.of_originals(native)
    config = native.get("quantization_config")
    if not config:
        kind = Kind.FLOAT16 if native.get("datatype") == "float16" else Kind.NONE
        return Quantization(kind, originals=place)
    # The engine uses the first known kind if several are given.
    name = next((name for name in _FROM_NATIVE if name in config), None)
    if name is None:
        raise UnsupportedError(
            f"the collection has the quantization {config!r}, which this version of qadapt does "
            "not know",
            hint="upgrade qadapt: `pip install -U qadapt-vectors`",
        )
    rest = {key: value for key, value in (config[name] or {}).items() if value is not None}
    kind, knobs = _FROM_NATIVE[name](rest)
    return Quantization(
        kind, **knobs, codes=placement.take_codes(rest), originals=place, native=rest
    )


def same_config(left: Native | None, right: Native | None) -> bool:
    """Whether two ``quantization_config`` are equivalent; null equals an omitted field."""
    return _without_nulls(left) == _without_nulls(right)


def single(value: float) -> float:
    """A number as the engine stores it: 32 bits, in the shortest decimal form. 0.987654321 is
    stored as 0.9876543 (observed on 1.19.0).
    """
    return float(str(np.float32(value)))


def same_value(wanted: Any, kept: Any) -> bool:
    """Whether a field was stored as it was sent; fractions are stored with 32 bits."""
    if isinstance(wanted, float) and isinstance(kept, float) and wanted != kept:
        return single(wanted) == single(kept)
    return bool(wanted == kept)


def satisfies(current: Quantization, target: Quantization) -> bool:
    """Whether ``current`` fulfills ``target``.

    A target without a placement of codes or original vectors keeps their placement, because a
    change of placement alone makes the engine rebuild everything.
    """
    wanted = _as_kept(target.replace(rescore=None))
    found = _as_kept(current.replace(rescore=None))
    if wanted.codes is None:
        found = found.replace(codes=None)
    if wanted.originals is None:
        found = found.replace(originals=None)
    return found == wanted


def _as_kept(quantization: Quantization) -> Quantization:
    if quantization.quantile is None:
        return quantization
    return quantization.replace(quantile=single(float(quantization.quantile)))


def default_rescore(quantization: Quantization) -> Rescore | None:
    """The engine's default rescoring; None without quantization.

    Observed on engine 1.20 and in the code of 1.19: on, without oversampling, for binary codes and
    for rotational codes of up to 2 bits; off for all others.
    """
    if quantization.kind in (Kind.NONE, Kind.FLOAT16):
        return None
    coarse = quantization.kind is Kind.BINARY or (
        quantization.kind is Kind.ROTATIONAL and float(quantization.bits or 4) <= 2
    )
    return Rescore(1.0) if coarse else Rescore(source="off")


# -- to native -----------------------------------------------------------------------------------

_Config = tuple[tuple[str, dict[str, Any]] | None, list[str]]
_NO_CODES = Match.unsupported(
    "without codes, their placement and native fields cannot be set",
    "omit `codes` and `native`, or choose a quantization such as binary",
)


def _none(_: Quantization, vector: Vector, __: str | None) -> _Config:
    if vector.datatype == "float32":
        return None, []
    return None, [
        f"the original vectors remain {vector.datatype}: the datatype is fixed at creation"
    ]


def _float16(_: Quantization, vector: Vector, __: str | None) -> _Config | Match:
    if vector.datatype == "float16":
        return None, []
    return Match.unsupported(
        "in Qdrant, float16 is a datatype, which is fixed at creation; this vector has "
        f"{vector.datatype}",
        'create the collection with Vector(dim, datatype="float16")',
        "recreate the collection with datatype float16 and copy its rows",
    )


def _scalar(quantization: Quantization, _: Vector, __: str | None) -> _Config | Match:
    if quantization.bits not in (7, 8):
        wider = "rotational:bits=4" if quantization.bits == 4 else "rotational:bits=8"
        return Match.unsupported(
            f"scalar codes have 7 bits in Qdrant, not {quantization.bits:g}", "scalar", wider
        )
    fields: dict[str, Any] = {"type": "int8"}
    differences = []
    if quantization.bits == 8:
        differences.append(SEVEN_BITS)
    if quantization.per == "dimension":
        differences.append(ONE_RANGE)
    if quantization.quantile is not None:
        fields["quantile"] = float(quantization.quantile)
        if quantization.quantile < 1:
            differences.append(QUANTILE)
    return ("scalar", fields), differences


def _product(quantization: Quantization, vector: Vector, _: str | None) -> _Config | Match:
    if quantization.centroids not in (None, 256):
        return Match.unsupported(
            f"product codes have 256 centroids in Qdrant, not {quantization.centroids}",
            "omit centroids",
        )
    ratio = quantization.ratio
    if quantization.segments is not None:
        # One byte per segment: as many segments as bytes.
        ratio = 4 * vector.dim / quantization.segments
    if ratio not in RATIOS:
        nearest = min(RATIOS, key=lambda known: (abs(known - float(ratio or 16)), -known))
        asked = (
            f"{quantization.segments} segments of {vector.dim} dimensions"
            if quantization.segments is not None
            else f"the ratio {ratio:g}"
        )
        return Match.unsupported(
            f"product codes in Qdrant have a ratio of 4, 8, 16, 32 or 64; {asked} is not available",
            f"product:ratio={nearest}",
        )
    return ("product", {"compression": RATIOS[int(ratio or 16)]}), []


def _binary(quantization: Quantization, _: Vector, version: str | None) -> _Config | Match:
    fields: dict[str, Any] = {}
    if quantization.bits != 1:
        fields["encoding"] = BINARY_ENCODINGS[float(quantization.bits or 1)]
    if quantization.query_bits is not None:
        if quantization.query_bits not in QUERY_ENCODINGS:
            return Match.unsupported(
                "query_bits must be 1, 4 or 8 for binary codes in Qdrant, not "
                f"{quantization.query_bits}",
                "query_bits=8",
            )
        fields["query_encoding"] = QUERY_ENCODINGS[quantization.query_bits]
    if fields and _lacks(version, SINCE_ENCODINGS):
        return _too_old("wider bits and query_bits of binary codes", SINCE_ENCODINGS, version)
    return ("binary", fields), []


def _rotational(quantization: Quantization, _: Vector, version: str | None) -> _Config | Match:
    bits = float(quantization.bits or 4)
    if bits not in TURBO_BITS:
        wider = next((known for known in TURBO_BITS if known > bits), 8)
        return Match.unsupported(
            f"rotational codes have 1, 1.5, 2, 4 or 8 bits in Qdrant, not {bits:g}",
            f"rotational:bits={wider:g}",
        )
    since = SINCE_TURBO_8 if bits == 8 else SINCE_TURBO
    if _lacks(version, since):
        return _too_old(f"rotational codes of {bits:g} bits", since, version)
    differences = [] if quantization.query_bits is None else [placement.TURBO_QUERY]
    return ("turbo", {"bits": TURBO_BITS[bits]}), differences


_TO_NATIVE: dict[Kind, Callable[[Quantization, Vector, str | None], _Config | Match]] = {
    Kind.NONE: _none,
    Kind.FLOAT16: _float16,
    Kind.SCALAR: _scalar,
    Kind.PRODUCT: _product,
    Kind.BINARY: _binary,
    Kind.ROTATIONAL: _rotational,
}


def _lacks(version: str | None, since: str) -> bool:
    return version is not None and older(version, since)


def _too_old(what: str, since: str, version: str | None) -> Match:
    return Match.unsupported(
        f"{what} require Qdrant {since}; the server has {version}", f"Qdrant {since}"
    )


# -- from native ---------------------------------------------------------------------------------


def _take(rest: Knobs, key: str, words: Mapping[Any, str], default: Any) -> Any:
    """The common value of a field; an unknown value stays in ``rest``."""
    for value, word in words.items():
        if rest.get(key) == word:
            del rest[key]
            return value
    return default


def _from_scalar(rest: Knobs) -> tuple[Kind, Knobs]:
    _take(rest, "type", {7: "int8"}, 7)
    knobs: Knobs = {"bits": 7, "per": "collection"}
    quantile = rest.get("quantile")
    if type(quantile) in (int, float) and 0.5 <= float(quantile or 0) <= 1:
        knobs["quantile"] = float(rest.pop("quantile"))
    return Kind.SCALAR, knobs


def _from_product(rest: Knobs) -> tuple[Kind, Knobs]:
    return Kind.PRODUCT, {"ratio": _take(rest, "compression", RATIOS, 16)}


def _from_binary(rest: Knobs) -> tuple[Kind, Knobs]:
    bits = _take(rest, "encoding", BINARY_ENCODINGS, 1)
    query_bits = _take(rest, "query_encoding", {**QUERY_ENCODINGS, None: "default"}, None)
    return Kind.BINARY, {"bits": bits, "query_bits": query_bits}


def _from_turbo(rest: Knobs) -> tuple[Kind, Knobs]:
    return Kind.ROTATIONAL, {"bits": _take(rest, "bits", TURBO_BITS, 4)}


# In the order of the engine's lookup.
_FROM_NATIVE: dict[str, Callable[[Knobs], tuple[Kind, Knobs]]] = {
    "scalar": _from_scalar,
    "product": _from_product,
    "binary": _from_binary,
    "turbo": _from_turbo,
}


def _without_nulls(config: Native | None) -> dict[str, Any]:
    return {
        name: {
            key: single(value) if isinstance(value, float) else value
            for key, value in (fields or {}).items()
            if value is not None
        }
        for name, fields in (config or {}).items()
    }


def made(
    quantization: Mapping[str, Quantization],
    vectors: Mapping[str, Vector],
    map: Callable[[Quantization, Vector], MappedQuantization],
) -> tuple[dict[str, Vector], dict[str, Mapping[str, Any]]]:
    """The vectors of a new collection, and the configuration of each quantized vector.

    Args:
        map: maps a quantization to the native format; raises if it is unsupported.

    Raises:
        NotFoundError: a quantization for an unknown vector.
    """
    kept, natives = dict(vectors), {}
    for name, each in checks.quantizations(quantization, vectors).items():
        if name not in quantization:
            continue
        if each.kind is Kind.FLOAT16:
            # In Qdrant, 16-bit floats are a datatype, which can be set only at creation.
            kept[name] = vectors[name].replace(datatype="float16")
        natives[name] = map(each, kept[name]).native or {}
    return kept, natives


def without_nulls(value: Any) -> Any:
    """A configuration without the keys that have no value, on all levels."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value
