"""Rows against rows: what was carried, and what the target gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.migration.carrier import home
from qadapt.migration.extras import differing
from qadapt.migration.plan import Comparison, VectorPlan
from qadapt.model import Batch, Id, Metric, Plain, direction

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
_SIMPLE = frozenset({str, int, bool, type(None)})  # not float: -0.0 equals 0.0

# Of one component of a vector of length 1: float32 sums of the engine, and ours.
UNIT = 1e-6
# Half a unit in the last place of 11 bits, and the least normal number.
HALF, HALF_LEAST = 2.0**-11, 2.0**-24


@dataclass(frozen=True)
class Difference(Plain):
    """One thing that is not the same.

    Attributes:
        id: the source's.
        what: ``missing``, ``not in the source``, ``payload``, or the vector's name.
        detail: in words.
    """

    id: Id
    what: str
    detail: str


def differences(
    wanted: Batch,
    found: Batch,
    plans: Mapping[str, VectorPlan],
    sources: list[Id],
    extras: Mapping[str, Comparison],
) -> list[Difference]:
    """What differs between rows of the same ids in the same order.

    Payloads are compared as they really are, without notes of ours.

    Args:
        wanted: as the target should have them.
        found: as it has them.
        sources: their ids in the source, to tell them by.
        extras: how extra vectors are compared.
    """
    result = []
    wanted_home, found_home = home(wanted, list(wanted.vectors)), home(found, list(wanted.vectors))
    for name, array in wanted.vectors.items():
        theirs = found.vectors[name]
        if not theirs.shape[1]:  # no row has one, and the store keeps no dimension without
            theirs = np.zeros_like(array)
        plan = plans[name]
        cosine = plan.target.metric is Metric.COSINE
        right = same_vectors(array, theirs, plan.comparison, cosine=cosine)
        gap, hole = _mask(wanted, name), _mask(found, name)
        right = np.where(gap | hole, gap == hole, right)
        for row in np.flatnonzero(~right).tolist():
            detail = _told(array[row], theirs[row], gap[row], hole[row])
            label = f"vector {name!r}" if name else "vector"
            result.append(Difference(sources[row], label, detail))
    for row, name, detail in differing(wanted, found, extras):
        result.append(Difference(sources[row], f"vector {name!r}", detail))
    nothing: list[Mapping[str, Any]] = [{}] * len(found)
    ours, others = (each.payloads or nothing for each in (wanted_home, found_home))
    for row, (one, other) in enumerate(zip(ours, others, strict=True)):
        if wanted_home.ids[row] != found_home.ids[row]:
            detail = f"it is {found_home.ids[row]!r} at home"
            result.append(Difference(sources[row], "id", detail))
        if not same_payload(one, other):
            result.append(Difference(sources[row], "payload", payload_words(one, other)))
    return result


def _mask(batch: Batch, name: str) -> Bools:
    return batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))


def _told(mine: Floats, other: Floats, gap: bool, hole: bool) -> str:
    if gap != hole:
        return "it is missing in the target" if hole else "the source has none"
    at = int(np.argmax(np.abs(mine.astype(np.float64) - other)))
    return f"component {at} is {float(other[at])!r} and not {float(mine[at])!r}"


def same_vectors(wanted: Floats, found: Floats, how: Comparison, *, cosine: bool = False) -> Bools:
    """Which rows are the same, bool ``(n,)``.

    Args:
        how: bit for bit; or after the change that was planned. Vectors that a store leaves as
            they are although it normalises others (very short ones) are the same too.
        cosine: whether only directions are compared in a search.
    """
    same: Bools = (wanted.view(np.uint32) == found.view(np.uint32)).all(axis=1)
    if same.all():
        return same
    rest = ~same
    if how in ("bit for bit", "length 1"):
        # A store that keeps lengths is given the others, of which float32 has none, at length 1.
        if how == "bit for bit":
            rest &= bool(cosine) & ~direction.within(wanted, direction.KEPT)
        near = (np.abs(unit(wanted[rest]) - found[rest]) <= UNIT).all(axis=1)
    elif how == "float16":
        with np.errstate(over="ignore"):
            room = np.abs(wanted[rest]) * HALF + HALF_LEAST
        near = (np.abs(wanted[rest] - found[rest]) <= room).all(axis=1)
        units = unit(wanted[rest])
        near |= (np.abs(units - found[rest]) <= np.abs(units) * HALF + HALF_LEAST).all(axis=1)
    else:
        near = np.zeros(int(rest.sum()), dtype=np.bool_)
    same[rest] = near
    return same


def same_payload(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """The same entries of the same types: ``1`` is not ``1.0``, nor ``"1"``."""
    return mine == other and (_simple(mine, other) or _text(mine) == _text(other))


def _simple(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether equal payloads hold nothing but entries whose type is all that could differ."""
    return all(
        type(value) in _SIMPLE and type(value) is type(other[key]) for key, value in mine.items()
    )


def _text(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True, ensure_ascii=False)


def payload_words(mine: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first entry that differs, in words."""
    for key in [*mine, *(key for key in other if key not in mine)]:
        if key not in other:
            return f"{key!r} is missing"
        if key not in mine:
            return f"{key!r} is not in the source: {other[key]!r:.80}"
        if not same_payload({key: mine[key]}, {key: other[key]}):
            return f"{key!r} is {other[key]!r:.80} and not {mine[key]!r:.80}"
    return "it differs"
