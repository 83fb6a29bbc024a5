"""Extra vectors on their way: which rows no target takes, and comparing those of two rows."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import Comparison
from qadapt.model import Batch, Beside, Extra, Metric, Ragged, Vector, direction
from qadapt.model.ragged import faults, owners, without_zeros
from qadapt.stores.base import Store

Bools = npt.NDArray[np.bool_]
# Of one component of a row of length 1, and half a unit in the last place of 11 bits.
UNIT, HALF, HALF_LEAST = 1e-6, 2.0**-11, 2.0**-24
# Settings that each store has by itself.
_SAME = ("multivector_config", "index_type")


def comparison(store: Store, made: Extra) -> Comparison:
    """How the target's is compared with the source's."""
    if made.kind == "sparse":
        return "bit for bit" if store.traits.keeps_zeros else "without zeros"
    return of_floats(store, made)


def of_floats(store: Store, made: Vector | Extra) -> Comparison:
    """How rows of floats are compared, whether there is one of them in a row or many."""
    if made.datatype == "float16":
        return "float16"
    if made.datatype == "uint8":
        return "uint8"
    if store.traits.normalizes_cosine and made.metric is Metric.COSINE:
        return "length 1"
    return "bit for bit"


# -- what no target takes ------------------------------------------------------------------------


def unfit(
    batch: Batch, extras: Mapping[str, Extra], *, gaps: bool
) -> Iterator[tuple[Bools, str, str]]:
    """Rows that no store, or this target, can hold: which, why, and the name that allows it."""
    for name, ragged in batch.extras.items():
        label = f"vector {name!r}"
        if not gaps:
            yield ragged.absent(), f"lacks {label}", "missing-vectors"
        for why, rows in faults(ragged, extras[name]).items():
            yield rows, f"{label} {why}", "impossible-rows"


def good(batch: Batch, extras: Mapping[str, Extra]) -> Bools:
    """Rows whose extra vectors a store may take, bool ``(n,)``."""
    kept = np.ones(len(batch), dtype=np.bool_)
    for rows, _, _ in unfit(batch, extras, gaps=False):
        kept &= ~rows
    return kept


def gaps(source: Endpoint, extras: Mapping[str, Extra]) -> list[str]:
    """Which of some extra vectors rows lack; all are read for it, without payloads."""
    found = dict.fromkeys(extras, 0)
    if extras:
        for batch in source.store.read(source.name, vectors=list(extras), payload=False):
            for name in extras:
                found[name] += int(batch.extras[name].absent().sum())
    return [f"{count:,} rows lack vector {name!r}" for name, count in found.items() if count]


# -- what the target is created with -------------------------------------------------------------


def absent(extras: Mapping[str, Extra], target: Endpoint) -> dict[str, str]:
    """Those that a collection which is there already has not, or has otherwise."""
    there = target.store.beside(target.name).extras
    found = {}
    for name, extra in extras.items():
        other = there.get(name)
        if other is None:
            found[f"extras.{name}"] = f"{target.name!r} has none of that name"
        elif not alike(extra, other):
            found[f"extras.{name}"] = f"in {target.name!r} it is {words(other)}"
    return found


def alike(one: Extra, other: Extra) -> bool:
    """Whether rows of one are rows of the other."""
    return (one.kind, one.dim, one.metric) == (other.kind, other.dim, other.metric)


def fitting(extras: Mapping[str, Extra], store: Store) -> dict[str, Extra]:
    """With float32, which holds all numbers, where the store does not have the datatype."""
    found = {}
    for name, extra in extras.items():
        wide = extra.replace(datatype="float32")
        alone, instead = ({name: each} for each in (extra, wide))
        better = store.refuses_beside(Beside(alone)) and not store.refuses_beside(Beside(instead))
        found[name] = wide if better else extra
    return found


def beside_dense(
    extras: Mapping[str, Extra], target: Endpoint, vectors: Mapping[str, Vector]
) -> dict[str, str]:
    """Multivectors that the target does not have together with the dense vectors."""
    if target.store.refuses(vectors) is not None:
        return {}
    found = {}
    for name, extra in extras.items():
        if extra.kind == "multi":
            row = Vector(extra.dim or 1, extra.metric or Metric.COSINE)
            why = target.store.refuses({**vectors, name: row})
            if why is not None:
                found[f"extras.{name}"] = why
    return found


def notes(
    there: Mapping[str, Extra], made: Mapping[str, Extra], source: Endpoint, target: Endpoint
) -> tuple[str, ...]:
    """What a reader of the plan must know of them."""
    told = []
    for name, extra in made.items():
        label, was = f"vector {name!r}", there[name]
        how = comparison(target.store, extra)
        if how == "length 1" and comparison(source.store, was) != how:
            told.append(
                f"{target.store.name} keeps the rows of {label} at length 1: their lengths are "
                "lost, and --keep-norms does not keep them; angles and ranks are not"
            )
        if how == "without zeros":
            told.append(f"{target.store.name} does not keep entries of {label} that are 0")
        if was.datatype != extra.datatype:
            told.append(
                f"{label} is {was.datatype} in the source and {extra.datatype} in the target"
            )
        if extra.native.get("quantization_config"):
            told.append(f"codes of {label} are set as in the source, and not looked at")
        own = {
            key: value
            for key, value in was.native.items()
            if key not in extra.native and key not in _SAME and value
        }
        if own:
            told.append(
                f"settings of {label} in {source.store.name}'s own words stay behind: "
                f"{textwrap.shorten(json.dumps(own), 200)}"
            )
            if own.get("modifier") == "idf":
                told.append(
                    f"{source.store.name} weighs {label} by how rare each index is (idf) as it "
                    f"searches; {target.store.name} does not, and its scores will differ"
                )
    return tuple(told)


# -- comparing -----------------------------------------------------------------------------------


def differing(
    wanted: Batch, found: Batch, how: Mapping[str, Comparison]
) -> Iterator[tuple[int, str, str]]:
    """The row, the name and in words what is not the same in rows of the same order."""
    for name, mine in wanted.extras.items():
        other = found.extras[name]
        if how[name] == "without zeros":
            mine, other = without_zeros(mine), without_zeros(other)
        for row in np.flatnonzero(~same(mine, other, how[name])).tolist():
            yield row, name, _told(mine.rows(row, row + 1), other.rows(row, row + 1))


def same(mine: Ragged, other: Ragged, how: Comparison) -> Bools:
    """Which rows are the same, bool ``(n,)``: entries by index, values as ``how`` says."""
    gap, hole = mine.absent(), other.absent()
    alike: Bools = (gap == hole) & (gap | (np.diff(mine.offsets) == np.diff(other.offsets)))
    rows = np.flatnonzero(alike & ~gap)
    left, right = mine.pick(rows), other.pick(rows)
    wrong = ~_near(left.values, right.values, how)
    if left.indices is not None and right.indices is not None:
        wrong |= left.indices != right.indices
    alike[rows[np.unique(owners(left)[wrong])]] = False
    return alike


def _near(mine: npt.NDArray[np.float32], other: npt.NDArray[np.float32], how: Comparison) -> Bools:
    """Which entries are the same, bool ``(total,)``."""
    bits = np.equal(mine.view(np.uint32), other.view(np.uint32))
    if mine.ndim == 1:
        # A sparse -0.0 and 0.0 are not told apart by a store that drops neither.
        return bits
    exact: Bools = np.asarray(bits.all(axis=1))
    if how in ("length 1", "float16"):
        exact |= _rounded(mine, other, how)
    elif how == "bit for bit" and not exact.all():
        # A store that keeps lengths is given those that float32 has not at length 1.
        scaled = ~exact & ~direction.within(mine, direction.KEPT)
        exact[scaled] = _rounded(mine[scaled], other[scaled], "length 1")
    return exact


def _rounded(
    mine: npt.NDArray[np.float32], other: npt.NDArray[np.float32], how: Comparison
) -> Bools:
    if not len(mine):
        return np.zeros(0, dtype=np.bool_)
    units = unit(mine)
    if how == "length 1":
        return np.asarray((np.abs(units - other) <= UNIT).all(axis=1))
    with np.errstate(over="ignore"):
        plain = (np.abs(mine - other) <= np.abs(mine) * HALF + HALF_LEAST).all(axis=1)
    short = (np.abs(units - other) <= np.abs(units) * HALF + HALF_LEAST).all(axis=1)
    return np.asarray(plain | short)


def _told(mine: Ragged, other: Ragged) -> str:
    """One row of each, in words."""
    gap, hole = bool(mine.absent()[0]), bool(other.absent()[0])
    if gap != hole:
        return "it is missing in the target" if hole else "the source has none"
    count = "entries" if mine.indices is not None else "rows"
    if len(mine.values) != len(other.values):
        return f"it has {len(other.values)} {count} and not {len(mine.values)}"
    if mine.indices is not None and other.indices is not None:
        wrong = np.flatnonzero(mine.indices != other.indices)
        if len(wrong):
            at = int(wrong[0])
            return f"entry {at} has the index {other.indices[at]} and not {mine.indices[at]}"
        at = int(np.argmax(np.abs(mine.values.astype(np.float64) - other.values)))
        place = f"the value at index {mine.indices[at]}"
        return f"{place} is {float(other.values[at])!r} and not {float(mine.values[at])!r}"
    apart = np.abs(mine.values.astype(np.float64) - other.values)
    row, at = (int(place) for place in np.unravel_index(int(np.argmax(apart)), apart.shape))
    theirs, ours = float(other.values[row, at]), float(mine.values[row, at])
    return f"component {at} of row {row} is {theirs!r} and not {ours!r}"


# -- in words ------------------------------------------------------------------------------------


def words(extra: Extra) -> str:
    """One extra vector in a line of a plan."""
    told = "sparse" if extra.kind == "sparse" else f"many rows of {extra.dim}, {extra.metric}"
    native: Mapping[str, Any] = {k: v for k, v in extra.native.items() if k != "multivector_config"}
    own = f", {textwrap.shorten(json.dumps(native), 200)}" if native else ""
    return f"{told}, {extra.datatype}{own}"
