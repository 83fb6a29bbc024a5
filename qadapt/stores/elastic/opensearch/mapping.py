"""Mapping between quantizations and fields of the type ``knn_vector``, without I/O.

The native form has the settings of the field besides its dimension and metric::

    {"method": {"name": "hnsw", "engine": "lucene", "parameters": {
        "encoder": {"name": "sq", "parameters": {"bits": 7, "confidence_interval": 1.0}}}}}

The engine is always written: a field without one uses Faiss. So is ``confidence_interval``, whose
default loses recall (docs/engines/opensearch.md#encoders).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import SpecError
from qadapt.model import Kind, Match, Quantization, Vector
from qadapt.stores import codes_only, rescore_tiers
from qadapt.stores.elastic.opensearch import version as since
from qadapt.stores.elastic.opensearch.schema import FAISS, FLAT, HNSW, LUCENE, Field
from qadapt.stores.elastic.opensearch.version import NEWEST, ServerVersion
from qadapt.stores.leading_dims import by_leading_dims
from qadapt.stores.native_keys import check_native
from qadapt.stores.store_types import MappedQuantization

NONE = Quantization(Kind.NONE)
FLOAT16 = Quantization(Kind.FLOAT16)
NATIVE_KEYS = ("engine", "method", "m", "ef_construction", "confidence_interval")
LIMITS = {"m": (2, 100), "ef_construction": (2, 1024)}
LEAST_INTERVAL = 0.9
CLIENT = "client-side codes: --accept client"

ONE_INTERVAL = (
    "7 bits over one interval of values in each segment, for rows and queries; the codes of a "
    "segment are computed again when segments are merged"
)
OPTIMIZED = (
    "{bits} with an interval of values for each vector, after the mean of the segment is subtracted"
)
NO_PLACE = "the page cache of the system decides what is in RAM: {what}={asked} has no effect"
FAISS_READ = "the engine faiss was not run by qadapt: its codes cannot be verified"


@by_leading_dims
def to_native(
    quantization: Quantization, vector: Vector, server_version: ServerVersion = NEWEST
) -> MappedQuantization:
    """Map a quantization to the settings of a field.

    Args:
        quantization: ``native`` may contain ``engine`` (lucene or faiss), ``method`` (hnsw or
            flat), ``m``, ``ef_construction`` and ``confidence_interval``.
        server_version: the version that must support it.

    Raises:
        SpecError: an unknown key or an invalid value in ``native``.
    """
    native = _checked(quantization.native)
    refused = codes_only.refuse(quantization, "OpenSearch", "fewer dimensions: dims=N")
    refused = refused or rescore_tiers.refuse(quantization, "OpenSearch")
    if refused is not None:
        return refused
    engine, method = native.get("engine", LUCENE), native.get("method", HNSW)
    encoder = _faiss(quantization) if engine == FAISS else _lucene(quantization, server_version)
    if isinstance(encoder, Match):
        return MappedQuantization(None, quantization, encoder)
    if method == FLAT:
        problem = _problem_of_flat(quantization, engine, server_version)
        if problem is not None:
            return MappedQuantization(None, quantization, problem)
        parameters: dict[str, Any] = {}
    else:
        parameters = {name: native[name] for name in LIMITS if name in native}
        if encoder:
            parameters["encoder"] = encoder
    made = {"method": {"name": method, "engine": engine, "parameters": parameters}}
    target = Field.of({"dimension": vector.dim, **made}, server_version).quantization
    return MappedQuantization(made, target, Match.of(*_differences(quantization, target, engine)))


def _lucene(asked: Quantization, version: ServerVersion) -> dict[str, Any] | Match:
    """The encoder of the engine lucene; empty for none."""
    kind, bits = asked.kind, float(asked.bits or 0)
    if kind is Kind.NONE:
        return {}
    if kind is Kind.SCALAR and bits == 7:
        return _seven_bits(asked, version)
    if kind is Kind.SCALAR and bits == 4:
        problem = version.lacks("codes of 4 bits need", since.SINCE_MORE_BITS)
        return _unavailable(problem) if problem else _sq(4)
    if kind is Kind.SCALAR:
        return Match.unsupported(
            f"the engine lucene has no codes of {bits:g} bits", "scalar:bits=7", "binary", CLIENT
        )
    if kind is Kind.BINARY:
        return _bits(asked, version)
    if kind is Kind.FLOAT16:
        return Match.unsupported(
            "the engine lucene has no float16 codes",
            "scalar:bits=7",
            'native={"engine": "faiss"}, which qadapt cannot verify',
            CLIENT,
        )
    return Match.unsupported(
        f"the engine lucene has no {kind} codes", "scalar:bits=7", "binary", CLIENT
    )


def _seven_bits(asked: Quantization, version: ServerVersion) -> dict[str, Any] | Match:
    problem = version.lacks("scalar codes need", since.SINCE_LUCENE_SCALAR)
    if problem is not None:
        return _unavailable(problem)
    if asked.per == "dimension":
        return Match.unsupported(
            "the engine lucene has one interval for all dimensions", "scalar:bits=7", CLIENT
        )
    interval = asked.native.get("confidence_interval", asked.quantile or 1.0)
    if asked.quantile is not None and asked.quantile < LEAST_INTERVAL:
        return Match.unsupported(
            f"confidence_interval is at least {LEAST_INTERVAL}; quantile={asked.quantile:g} is "
            "smaller",
            f"quantile={LEAST_INTERVAL}",
            CLIENT,
        )
    return _sq(7, confidence_interval=interval)


def _bits(asked: Quantization, version: ServerVersion) -> dict[str, Any] | Match:
    bits = float(asked.bits or 1)
    if bits == 1.5:
        return Match.unsupported("OpenSearch has no codes of 1.5 bits", "binary", CLIENT)
    needed = since.SINCE_ONE_BIT if bits == 1 else since.SINCE_MORE_BITS
    problem = version.lacks(f"codes of {_bits_text(bits)} need", needed)
    if problem is not None:
        return _unavailable(problem)
    if asked.query_bits not in (None, 4):
        return Match.unsupported("queries have 4 bits", "binary:query_bits=4", CLIENT)
    return _sq(int(bits))


def _faiss(asked: Quantization) -> dict[str, Any] | Match:
    """The encoder of the engine faiss."""
    if asked.kind is Kind.NONE:
        return {}
    if asked.kind is Kind.FLOAT16:
        return _sq(16)
    if asked.kind is Kind.BINARY and asked.bits in (1, 2) and asked.query_bits in (None, 32):
        return {"name": "binary", "parameters": {"bits": int(asked.bits)}}
    if asked.kind is Kind.PRODUCT:
        return Match.unsupported(
            "product codes of the engine faiss need a model that was trained before",
            "scalar:bits=7 with the engine lucene",
            CLIENT,
        )
    return Match.unsupported(
        f"the engine faiss has no codes like {asked.codes_only}", "float16", "binary", CLIENT
    )


def _sq(bits: int, **more: Any) -> dict[str, Any]:
    return {"name": "sq", "parameters": {"bits": bits, **more}}


def _bits_text(bits: float | None) -> str:
    return "1 bit" if bits == 1 else f"{bits:g} bits"


def _unavailable(problem: str) -> Match:
    return Match.unsupported(problem, "a newer server", CLIENT)


def _problem_of_flat(asked: Quantization, engine: str, version: ServerVersion) -> Match | None:
    """Why the method flat cannot have these codes; None if it can."""
    problem = version.lacks("the method flat needs", since.SINCE_ONE_BIT)
    if problem is not None:
        return _unavailable(problem)
    if engine != LUCENE or asked.kind is not Kind.BINARY or asked.bits != 1:
        return Match.unsupported(
            "the method flat always has codes of 1 bit of the engine lucene",
            'binary:native={"method": "flat"}',
            "the method hnsw",
        )
    return None


def _differences(asked: Quantization, target: Quantization, engine: str) -> list[str]:
    found = []
    if engine == FAISS:
        found.append(FAISS_READ)
    elif asked.kind is Kind.SCALAR and asked.bits == 7:
        found.append(ONE_INTERVAL)
    elif asked.kind in (Kind.SCALAR, Kind.BINARY):
        found.append(OPTIMIZED.format(bits=_bits_text(asked.bits)))
        if asked.kind is Kind.BINARY:
            found.append("queries have 4 bits")
        if asked.quantile is not None or asked.per is not None:
            found.append("each vector has its own interval: quantile and per have no effect")
    for what in ("codes", "originals"):
        place = getattr(asked, what)
        if place is not None:
            found.append(NO_PLACE.format(what=what, asked=place))
    return found


def _checked(native: Mapping[str, Any]) -> dict[str, Any]:
    """The native settings.

    Raises:
        SpecError
    """
    words = {"engine": ("engine", (LUCENE, FAISS)), "method": ("method", (HNSW, FLAT))}
    check_native(native, NATIVE_KEYS, "opensearch", words=words, integers=LIMITS)
    interval = native.get("confidence_interval", 1)
    number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
    if not number or not (interval == 0 or LEAST_INTERVAL <= interval <= 1):
        raise SpecError(
            f"confidence_interval must be 0 or a number from {LEAST_INTERVAL} to 1; got "
            f"{interval!r:.40}",
            hint='for example native={"confidence_interval": 1.0}',
        )
    return dict(native)
