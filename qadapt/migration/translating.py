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


def translated(
    store: Store, wanted: Quantization, vector: Vector
) -> tuple[Quantization, Quantization, Match]:
    """What to ask of the target, what that becomes there, and how near it is to ``wanted``;
    ``none`` where it has nothing of the kind."""
    able = store.capabilities()
    if not able.native(NATIVE):
        return NONE, NONE, Match.unsupported(f"{NATIVE}: {able[NATIVE].reason}")
    mapped = store.map(wanted, vector)
    match = mapped.match
    if match.level is not Level.UNSUPPORTED:
        return wanted, mapped.target, match
    for near in _nearest(wanted, vector.dim):
        found = store.map(near, vector)
        if found.match.level is not Level.UNSUPPORTED:
            said = f"{near} and not {wanted}: {'; '.join(match.differences)}"
            told = (said, *found.match.differences)
            return near, found.target, Match(Level.DIFFERS, told, match.support)
    return NONE, NONE, match


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
