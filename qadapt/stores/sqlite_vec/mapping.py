"""Mapping between quantizations and columns of codes.

Codes are in a separate vec0 table: ``bit[n]`` for sign bits, ``int8[n]`` for scalar codes; the
table of the original vectors is not changed (docs/engines/sqlite-vec.md#quantization).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.errors import SpecError
from qadapt.model import Kind, Match, Metric, Quantization, Vector
from qadapt.stores import codes_only, distances, rescore_tiers, sign_bits
from qadapt.stores.store_types import MappedQuantization

NONE = Quantization(Kind.NONE)
KINDS = {"bit": Quantization(Kind.BINARY), "int8": Quantization(Kind.SCALAR, bits=8)}
WORDS = {Kind.BINARY: "bit", Kind.SCALAR: "int8"}
MAX_DIM = 8192
STEPS = 127
NATIVE_KEYS = ("chunk_size",)

_CLIENT = "client-side codes: --accept client"
_PLACES = "SQLite's page cache decides what is in RAM: {what}={asked} has no effect"
_LENGTH = "sign bits ignore the lengths of vectors, which the metric {metric} uses"
_PER_ROW = "signed 8 bits: each vector is scaled by its own largest absolute value"
_ONE_RANGE = (
    "signed 8 bits: one range for all dimensions, the largest absolute value of the first 10,000 "
    "rows, or of all rows if the codes are built later"
)

Floats = npt.NDArray[np.float32]


def to_native(quantization: Quantization, vector: Vector) -> MappedQuantization:
    """Map a quantization to a column of codes: ``{"codes": "bit"}``; ``{}`` for none.

    Raises:
        SpecError: a key in ``native``.
    """
    for key in quantization.native:
        raise SpecError(
            f"sqlite-vec has no native setting {key!r}", hint="omit native: codes have no settings"
        )
    refused = codes_only.refuse(quantization, "sqlite-vec", "originals=disk")
    refused = refused or rescore_tiers.refuse(quantization, "sqlite-vec")
    if refused is not None:
        return refused
    asked = quantization.codes_only
    problem = _problem(asked, vector)
    if problem is not None:
        return MappedQuantization(None, quantization, problem)
    differences = [
        _PLACES.format(what=what, asked=place)
        for what in ("codes", "originals")
        if (place := getattr(quantization, what)) is not None
    ]
    if asked.kind is Kind.NONE:
        return MappedQuantization({}, NONE, Match.of(*differences))
    if asked.kind is Kind.SCALAR:
        differences.append(_PER_ROW if vector.metric is Metric.COSINE else _ONE_RANGE)
    elif vector.metric is not Metric.COSINE:
        differences.append(_LENGTH.format(metric=vector.metric))
    word = WORDS[asked.kind]
    return MappedQuantization({"codes": word}, KINDS[word], Match.of(*differences))


def _problem(asked: Quantization, vector: Vector) -> Match | None:
    """Why sqlite-vec cannot store these codes; None if it can."""
    kind = asked.kind
    if asked.dims is not None:
        return Match.unsupported(
            "qadapt does not build codes of the first dimensions of a column",
            "write the first dimensions to another vector column",
            _CLIENT,
        )
    if kind is not Kind.NONE and kind not in WORDS:
        return Match.unsupported(f"sqlite-vec has no {kind} codes", "scalar", "binary", _CLIENT)
    if kind is Kind.SCALAR and asked.bits not in (None, 8):
        return Match.unsupported(f"sqlite-vec has no codes of {asked.bits:g} bits", "scalar")
    if kind is Kind.SCALAR and asked.per == "dimension":
        return Match.unsupported("int8 codes have one range for all dimensions", "scalar", _CLIENT)
    if kind is Kind.SCALAR and asked.quantile is not None:
        return Match.unsupported("int8 codes cover all values", "scalar without quantile", _CLIENT)
    refused = sign_bits.refuse(asked, "sqlite-vec")
    if refused is not None:
        return refused
    if kind is Kind.BINARY and vector.dim % 8:
        return Match.unsupported(
            f"sign bits need a multiple of 8 dimensions; the vector has {vector.dim}",
            "scalar",
            _CLIENT,
        )
    return None


# -- codes ---------------------------------------------------------------------------------------


def row_bytes(kind: str, dim: int) -> int:
    """Bytes of the codes of one row."""
    return -(-dim // 8) if kind == "bit" else dim


def scale_of(rows: Floats, previous: float = 0.0) -> float:
    """One step of int8 codes under ``l2``: the largest absolute value divided by 127.

    Args:
        previous: the step of earlier rows.
    """
    finite = np.abs(rows[np.isfinite(rows)])
    most = float(finite.max()) if finite.size else 0.0
    return max(previous, most / STEPS)


def signs(rows: Floats) -> npt.NDArray[np.uint8]:
    """Sign bits ``(n, d / 8)``, as ``vec_quantize_binary`` computes them: set for values above 0,
    the first dimension in the lowest bit."""
    return np.packbits(rows > 0, axis=1, bitorder="little")


def int8(rows: Floats, scale: float | None) -> npt.NDArray[np.int8]:
    """int8 codes ``(n, d)``, clipped to -127..127.

    Args:
        scale: one step; None scales each row by its largest absolute value, which leaves cosine
            distances unchanged.
    """
    finite = np.nan_to_num(rows.astype(np.float32), nan=0.0, posinf=3e38, neginf=-3e38)
    steps: npt.NDArray[Any]
    if scale is None:
        most = np.abs(finite).max(axis=1, keepdims=True) / np.float32(STEPS)
        steps = finite / np.where(most > 0, most, np.float32(1))
    else:
        steps = finite / np.float32(scale or 1.0)
    found: npt.NDArray[np.int8] = np.clip(np.rint(steps), -STEPS, STEPS).astype(np.int8)
    return found


def encoded(rows: Floats, kind: str, scale: float | None) -> npt.NDArray[np.uint8]:
    """The bytes of the codes, ``(n, row_bytes)``."""
    if kind == "bit":
        return signs(rows)
    return int8(rows, scale).view(np.uint8)


def decoded(rows: Floats, metric: Metric, scale: float) -> Floats:
    """The vectors that int8 codes stand for, in the units of the metric."""
    if metric is Metric.COSINE:
        return unit(int8(rows, None).astype(np.float32))
    return int8(rows, scale).astype(np.float32) * np.float32(scale)


def step_scores(metric: Metric, scale: float, found: Iterable[float]) -> list[float]:
    """The scores of ``l2`` distances of int8 codes, which count steps of ``scale``."""
    return distances.SCORES[metric](scale * each for each in found)


def bit_scores(dim: int, found: Iterable[float]) -> list[float]:
    """The scores of Hamming distances, from -1 to 1."""
    return distances.float32(1.0 - 2.0 * each / dim for each in found)
