"""A source's quantization in a target's words: the same, else the nearest of its kind."""

from __future__ import annotations

from collections.abc import Iterator

from qadapt.errors import SpecError
from qadapt.model import Kind, Level, Match, Quantization, Vector
from qadapt.stores.base import Store

NATIVE = "native-quantization"
NONE = Quantization.parse("none")
_BITS = (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
_RATIOS = (4, 8, 16, 32, 64)
_DEFAULT_RATIO = 8


def translated(store: Store, wanted: Quantization, vector: Vector) -> tuple[Quantization, Match]:
    """What the target gets, and how near that is; ``none`` where it has nothing of the kind."""
    able = store.capabilities()
    if not able.native(NATIVE):
        return NONE, Match.unsupported(f"{NATIVE}: {able[NATIVE].reason}")
    match = store.map(wanted, vector).match
    if match.level is not Level.UNSUPPORTED:
        return wanted, match
    for near in _nearest(wanted, vector.dim):
        found = store.map(near, vector).match
        if found.level is not Level.UNSUPPORTED:
            said = f"{near} and not {wanted}: {'; '.join(match.differences)}"
            return near, Match(Level.DIFFERS, (said, *found.differences), match.support)
    return NONE, match


def _nearest(wanted: Quantization, dim: int) -> Iterator[Quantization]:
    """Others of the kind, the nearest size first, without knobs that stores seldom share."""
    if wanted.kind is Kind.PRODUCT:
        size = wanted.ratio or _DEFAULT_RATIO
        for ratio in sorted(_RATIOS, key=lambda each: abs(each - size)):
            yield Quantization(Kind.PRODUCT, ratio=ratio)
        return
    bits = wanted.bits or 0
    for each in sorted(_BITS, key=lambda other: (abs(other - bits), -other)):
        try:
            yield Quantization(wanted.kind, bits=each)
        except SpecError:
            continue  # a width that this kind does not have
