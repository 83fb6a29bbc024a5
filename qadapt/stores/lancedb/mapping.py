"""Mapping between quantizations and vector indexes of LanceDB.

Codes exist in indexes only, and the column keeps the original vectors
(docs/engines/lancedb.md#indexes). A configuration is ``{"type": "IVF_RQ", "num_bits": 4, ...}``
with the words of ``lancedb.index``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Kind, Match, Metric, Quantization, Vector
from qadapt.stores import codes_only, rescore_tiers
from qadapt.stores.native_keys import check_native
from qadapt.stores.product_segments import segments
from qadapt.stores.store_types import MappedQuantization

NONE = Quantization(Kind.NONE)
METRICS = {"cosine": Metric.COSINE, "dot": Metric.DOT, "l2": Metric.EUCLIDEAN}
WORDS = {metric: word for word, metric in METRICS.items()}
# Types of indexes by family and kind of codes.
TYPES = {
    ("ivf", Kind.NONE): "IVF_FLAT",
    ("ivf", Kind.SCALAR): "IVF_SQ",
    ("ivf", Kind.PRODUCT): "IVF_PQ",
    ("ivf", Kind.ROTATIONAL): "IVF_RQ",
    ("hnsw", Kind.NONE): "IVF_HNSW_FLAT",
    ("hnsw", Kind.SCALAR): "IVF_HNSW_SQ",
    ("hnsw", Kind.PRODUCT): "IVF_HNSW_PQ",
}
KINDS = {word: kind for (_, kind), word in TYPES.items()}
FAMILIES = ("ivf", "hnsw")
# Native settings with their limits.
IVF_KEYS = {
    "num_partitions": (1, 1_000_000),
    "target_partition_size": (1, 100_000_000),
    "sample_rate": (2, 1_000_000),
    "max_iterations": (1, 10_000),
}
HNSW_KEYS = {"m": (2, 1000), "ef_construction": (2, 100_000)}
NATIVE_KEYS = ("index", *IVF_KEYS, *HNSW_KEYS)
# An index of fewer rows is created and holds none of them (docs/engines/lancedb.md#indexes).
LEAST_PQ_ROWS = 256

_CLIENT = "client-side codes: --accept client"
_PLACES = "LanceDB maps files and caches what searches read: {what}={asked} has no effect"
_ONE_RANGE = "8 bits with one range for all dimensions and rows: the smallest to the largest value"


def to_native(quantization: Quantization, vector: Vector) -> MappedQuantization:
    """Map a quantization to an index; ``{}`` for ``none`` without ``native``: no index is needed.

    Raises:
        SpecError: an unknown key or an invalid value in ``native``.
    """
    native = checked_native(quantization.native)
    refused = codes_only.refuse(quantization, "lancedb", "originals=disk")
    refused = refused or rescore_tiers.refuse(quantization, "lancedb")
    if refused is not None:
        return refused
    asked = quantization.codes_only
    problem = _problem(asked, vector, str(native.get("index", "ivf")))
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    differences = [
        _PLACES.format(what=what, asked=place)
        for what in ("codes", "originals")
        if (place := getattr(quantization, what)) is not None
    ]
    if asked.kind is Kind.NONE and not native:
        return MappedQuantization({}, NONE, Match.of(*differences))
    family = str(native.pop("index", "ivf"))
    config: dict[str, Any] = {"type": TYPES[family, asked.kind]}
    target = NONE
    if asked.kind is Kind.SCALAR:
        target = Quantization(Kind.SCALAR, bits=8)
        differences.append(_ONE_RANGE)
    elif asked.kind is Kind.ROTATIONAL:
        config["num_bits"] = int(asked.bits or 4)
        target = Quantization(Kind.ROTATIONAL, bits=asked.bits)
    elif asked.kind is Kind.PRODUCT:
        found = segments(asked, vector)
        if isinstance(found, Match):
            return MappedQuantization(None, quantization, found)
        bits = 4 if asked.centroids == 16 else 8
        if bits == 4 and found % 2:
            odd = Match.unsupported(
                f"16 centroids need an even number of segments; got {found}",
                f"product:segments={found},centroids=256",
            )
            return MappedQuantization(None, quantization, odd)
        config.update(num_sub_vectors=found, num_bits=bits)
        target = product(found, bits, vector.dim)
    return MappedQuantization({**config, **native}, target, Match.of(*differences))


def product(segments: int, bits: int, dim: int) -> Quantization:
    """The quantization of product codes; a ratio if it says the same."""
    if bits == 4:
        return Quantization(Kind.PRODUCT, segments=segments, centroids=16)
    ratio = 4 * dim / segments
    if 2 <= ratio <= 256:
        return Quantization(Kind.PRODUCT, ratio=ratio)
    return Quantization(Kind.PRODUCT, segments=segments)


def to_quantization(config: Mapping[str, Any] | None, dim: int) -> Quantization:
    """The quantization of an index; ``none`` without an index."""
    kind = KINDS.get(str(config["type"])) if config else Kind.NONE
    if not config or kind in (None, Kind.NONE):
        return NONE
    if kind is Kind.SCALAR:
        return Quantization(Kind.SCALAR, bits=8)
    if kind is Kind.ROTATIONAL:
        return Quantization(Kind.ROTATIONAL, bits=int(config.get("num_bits", 1)))
    return product(int(config["num_sub_vectors"]), int(config.get("num_bits", 8)), dim)


def has_codes(config: Mapping[str, Any]) -> bool:
    """Whether an index has codes, not the original vectors."""
    return KINDS.get(str(config.get("type")), Kind.NONE) is not Kind.NONE


def with_family(native: Mapping[str, Any], current: str) -> dict[str, Any]:
    """A configuration in the family of the current index, where that has these codes.

    Args:
        native: a configuration that the user did not give a family.
        current: the type of the current index.
    """
    found = dict(native)
    kind = KINDS.get(str(native.get("type")))
    if current.startswith("IVF_HNSW") and kind is not None and ("hnsw", kind) in TYPES:
        found["type"] = TYPES["hnsw", kind]
    return found


def same_codes(one: Mapping[str, Any], other: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether an index has the codes of a configuration, and the native settings that were given.

    Args:
        one: the configuration of the index.
        other: the wanted configuration.
        given: ``native`` of the request.
    """
    compared = {"type", "num_bits", "num_sub_vectors", *given} - {"index"}
    return all(one.get(key) == other.get(key) for key in compared)


def _problem(asked: Quantization, vector: Vector, family: str) -> Match | None:
    """Why LanceDB cannot build these codes; None if it can."""
    kind = asked.kind
    if asked.dims is not None:
        return Match.unsupported(
            "LanceDB indexes all dimensions of a column",
            "write the first dimensions to another vector column",
            _CLIENT,
        )
    if kind is Kind.BINARY:
        return Match.unsupported(
            "LanceDB has no sign bits of float vectors",
            "rotational:bits=1 (RaBitQ: as small, with higher recall)",
            _CLIENT,
        )
    if kind is Kind.FLOAT16:
        return Match.unsupported(
            "float16 is the type of a column in LanceDB, not that of an index",
            "create a collection with the datatype float16 and copy the rows: `qadapt migrate`",
            "scalar",
        )
    if (family, kind) not in TYPES:
        return Match.unsupported(
            f"LanceDB has no hnsw index with {kind} codes", 'native={"index": "ivf"}', "scalar"
        )
    if kind is Kind.ROTATIONAL and vector.dim % 8:
        return Match.unsupported(
            f"IVF_RQ needs a multiple of 8 dimensions; the vector has {vector.dim}",
            "scalar",
            _CLIENT,
        )
    return _problem_of_width(asked)


def _problem_of_width(asked: Quantization) -> Match | None:
    kind, bits = asked.kind, asked.bits
    if kind is Kind.SCALAR and bits not in (None, 8):
        return Match.unsupported(
            f"LanceDB has scalar codes of 8 bits only, not {bits:g}",
            "scalar",
            f"rotational:bits={bits:g}",
        )
    if kind is Kind.SCALAR and (asked.per == "dimension" or asked.quantile is not None):
        return Match.unsupported(
            "scalar codes of LanceDB have one range, which covers all values", "scalar", _CLIENT
        )
    if kind is Kind.ROTATIONAL and bits is not None and bits != int(bits):
        return Match.unsupported(
            f"LanceDB has rotational codes of 1 to 9 whole bits, not {bits:g}",
            "rotational:bits=1",
            "rotational:bits=2",
        )
    if kind is Kind.ROTATIONAL and asked.query_bits not in (None, 32):
        return Match.unsupported(
            "LanceDB does not quantize queries: omit query_bits", f"rotational:bits={bits:g}"
        )
    if kind is Kind.PRODUCT and asked.centroids not in (None, 16, 256):
        return Match.unsupported(
            f"LanceDB has 16 or 256 centroids for each segment, not {asked.centroids}",
            "product:centroids=256",
        )
    return None


def checked_native(native: Mapping[str, Any]) -> dict[str, Any]:
    """The native settings of a request.

    Raises:
        SpecError
    """
    integers = {**IVF_KEYS, **(HNSW_KEYS if native.get("index") == "hnsw" else {})}
    check_native(
        native, NATIVE_KEYS, "lancedb", words={"index": ("index", FAMILIES)}, integers=integers
    )
    for key in HNSW_KEYS:
        if key in native and native.get("index") != "hnsw":
            raise SpecError(
                f"{key} is a parameter of hnsw indexes",
                hint=f'native={{"index": "hnsw", "{key}": {native[key]}}}',
            )
    return dict(native)


def score(metric: Metric, distance: Any) -> Any:
    """Scores of exact distances: similarity, or the negative squared distance."""
    return -distance if metric is Metric.EUCLIDEAN else 1.0 - distance
