"""The nearest quantization that a store supports, where it lacks the requested one.

Candidates come from the capabilities that the store's profile declares. Each is mapped by the
store, and the one whose codes come nearest is chosen: the difference of the bits per dimension, in
octaves, plus the step between the two kinds (``_STEPS``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from qadapt.errors import SpecError
from qadapt.model import Capabilities, Kind, Match, MatchLevel, Quantization, Vector
from qadapt.stores.base import Store

NATIVE = "native-quantization"
NONE = Quantization.parse("none")
_RATIOS = (4, 8, 16, 32, 64)
_DEFAULT_RATIO = 16

# Octaves that a change of the kind counts for. Scalar, rotational and binary codes keep a few bits
# of each dimension; product codes are centroids that are trained on the rows.
_STEPS: dict[Kind, dict[Kind, float]] = {
    Kind.SCALAR: {Kind.ROTATIONAL: 0.25, Kind.FLOAT16: 0.5, Kind.BINARY: 0.5, Kind.PRODUCT: 2},
    Kind.ROTATIONAL: {Kind.BINARY: 0.25, Kind.SCALAR: 0.25, Kind.FLOAT16: 0.5, Kind.PRODUCT: 2},
    Kind.BINARY: {Kind.ROTATIONAL: 0.25, Kind.SCALAR: 0.5, Kind.FLOAT16: 0.5, Kind.PRODUCT: 2},
    Kind.FLOAT16: {Kind.SCALAR: 0.25, Kind.ROTATIONAL: 0.25, Kind.BINARY: 0.5, Kind.PRODUCT: 2},
    Kind.PRODUCT: {Kind.SCALAR: 8, Kind.ROTATIONAL: 8.25, Kind.BINARY: 8.5, Kind.FLOAT16: 8.5},
}


def map_quantization(
    store: Store, wanted: Quantization, vector: Vector, *, requested: bool = False
) -> tuple[Quantization, Quantization, Match]:
    """The quantization of a store that is equal to ``wanted``, or the nearest one.

    Args:
        requested: ``wanted`` was requested for this store, so its kind is kept.

    Returns:
        The request to the store, the quantization that the store builds for it, and how closely
        that matches ``wanted``; ``none`` twice where the store has no equivalent. The ``support``
        of an unsupported match begins with the option that works.
    """
    capabilities = store.capabilities()
    if not capabilities.native(NATIVE):
        reason = f"{store.name} has no quantization ({capabilities[NATIVE].reason})"
        return NONE, NONE, Match.unsupported(reason, _option(NONE))
    mapped = store.map(wanted, vector)
    match = mapped.match
    if match.level is not MatchLevel.UNSUPPORTED:
        return wanted, mapped.target, match
    found = _nearest(store, wanted, vector)
    if found is None:
        return NONE, NONE, match.replace(support=(_option(NONE), *match.support))
    near, target, its = found
    if requested and near.kind is not wanted.kind:
        return NONE, NONE, match.replace(support=(_option(near), *match.support))
    reason = f"{near} instead of {wanted}: {'; '.join(match.differences)}"
    return near, target, Match(MatchLevel.DIFFERS, (reason, *its.differences), match.support)


def _option(quantization: Quantization) -> str:
    return f"quantization='{quantization}' (--quantize {quantization})"


def bits_per_dimension(quantization: Quantization, vector: Vector) -> float:
    """Size of a code in bits per dimension; 32 without quantization."""
    if quantization.kind is Kind.NONE:
        return 32.0
    return 8 * quantization.code_bytes(vector.dim) / vector.dim


def candidates(capabilities: Capabilities, wanted: Quantization) -> Iterator[Quantization]:
    """The quantizations that a store declares, with the placements of ``wanted``.

    A width follows the kind in the name of a feature (``native-rotational:8``).
    """
    places = {"codes": wanted.codes, "originals": wanted.originals}
    ratio = wanted.ratio or _DEFAULT_RATIO
    for feature in capabilities.features:
        kind, _, width = feature.removeprefix("native-").partition(":")
        if kind not in Kind._value2member_map_ or not capabilities.native(feature):
            continue
        if Kind(kind) is Kind.PRODUCT:
            sizes = [float(width)] if width else sorted(_RATIOS, key=lambda n: abs(n - ratio))
            found: list[dict[str, float]] = [{"ratio": each} for each in sizes]
        else:
            found = [{"bits": float(width)} if width else {}]
        for options in found:
            try:
                yield Quantization.from_dict({"kind": kind, **places, **options})
            except SpecError:
                continue  # such as a width of the default


def _nearest(
    store: Store, wanted: Quantization, vector: Vector
) -> tuple[Quantization, Quantization, Match] | None:
    """The nearest candidate, what the store builds for it, and its match; None for none.

    Of two at the same distance, the one with more bits is chosen, then an exact match.
    """
    size = math.log2(bits_per_dimension(wanted, vector))
    steps = _STEPS.get(wanted.kind, {})
    best, least = None, (math.inf, math.inf, False)
    for near in candidates(store.capabilities(), wanted):
        found = store.map(near, vector)
        if found.match.level is MatchLevel.UNSUPPORTED:
            continue
        bits = bits_per_dimension(found.target, vector)
        step = 0.0 if near.kind is wanted.kind else steps.get(near.kind, math.inf)
        differs = found.match.level is MatchLevel.DIFFERS
        distance = round(abs(math.log2(bits) - size) + step, 6), -bits, differs
        if distance < least:
            best, least = (near, found.target, found.match), distance
    return best
