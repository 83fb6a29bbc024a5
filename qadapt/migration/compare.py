"""Comparing rows of a target with the encoded rows of its source."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import unit
from qadapt.migration.partitions import RoutedBatch
from qadapt.migration.plan import Comparison, VectorPlan, vector_label
from qadapt.migration.report import Difference
from qadapt.migration.row_codec import RowCodec, decode
from qadapt.model import Batch, Id, Metric, RaggedArray, vector_norms
from qadapt.model.ragged_arrays import row_of_entry, without_zeros

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Tolerance for a component of a normalized vector: rounding of float32 sums, of the database and of
# qadapt.
NORMALIZED_TOLERANCE = 1e-6
# float16: half a unit in the last place of 11 bits, and the smallest subnormal number.
HALF, HALF_LEAST = 2.0**-11, 2.0**-24
ROUNDED = 2.0**-22  # two units in the last place of float32
BRAIN = 2.0**-8  # bfloat16: half a unit in the last place of 8 bits
# Largest distance of a vector to its codes, as a share of its length: about twice the observed one
# (docs/engines/qdrant.md#datatypes).
LOSSY_ERROR: Mapping[Comparison, float] = {"turbo4": 0.25, "turbo8": 0.03, "turbo16": 0.001}
# Types whose equal values have equal JSON; float is not one, because -0.0 == 0.0.
_SIMPLE = frozenset({str, int, bool, type(None)})


def differences(
    wanted: Batch,
    found: Batch,
    plans: Mapping[str, VectorPlan],
    source_ids: list[Id],
    extras: Mapping[str, Comparison],
) -> list[Difference]:
    """The differences between rows with the same ids in the same order.

    Ids and payloads are compared after decoding.

    Args:
        wanted: the encoded rows of the source.
        found: the rows of the target.
        source_ids: the ids of the rows in the source, for the differences.
        extras: how extra vectors are compared.
    """
    result: list[Difference] = []
    for name, array in wanted.vectors.items():
        result += _vector_differences(wanted, found, name, array, plans[name], source_ids)
    for name, ragged in wanted.extras.items():
        for row, detail in _ragged_differences(ragged, found.extras[name], extras[name]):
            result.append(Difference(source_ids[row], f"vector {name!r}", detail))
    normalized = list(wanted.vectors)  # lengths need not be restored
    ours, theirs = decode(wanted, normalized), decode(found, normalized)
    nothing: list[Mapping[str, Any]] = [{}] * len(found)
    payloads = zip(ours.payloads or nothing, theirs.payloads or nothing, strict=True)
    for row, (one, other) in enumerate(payloads):
        if ours.ids[row] != theirs.ids[row]:
            detail = f"the decoded id is {theirs.ids[row]!r}"
            result.append(Difference(source_ids[row], "id", detail))
        if not same_payload(one, other):
            result.append(Difference(source_ids[row], "payload", _payload_detail(one, other)))
    return result


# -- dense vectors -------------------------------------------------------------------------------


def _vector_differences(
    wanted: Batch,
    found: Batch,
    name: str,
    array: Floats,
    plan: VectorPlan,
    source_ids: list[Id],
) -> Iterator[Difference]:
    theirs = found.vectors[name]
    if not theirs.shape[1]:  # no row has the vector, and the store does not know its dimension
        theirs = np.zeros_like(array)
    cosine = plan.target.metric is Metric.COSINE
    equal = same_vectors(array, theirs, plan.comparison, cosine=cosine)
    absent, absent_there = _absent(wanted, name), _absent(found, name)
    equal = np.where(absent | absent_there, absent == absent_there, equal)
    kind = vector_label(name) if name else "vector"
    for row in np.flatnonzero(~equal).tolist():
        detail = _vector_detail(array[row], theirs[row], absent[row], absent_there[row])
        yield Difference(source_ids[row], kind, detail)


def _absent(batch: Batch, name: str) -> Bools:
    return batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))


def _vector_detail(wanted: Floats, found: Floats, absent: bool, absent_there: bool) -> str:
    if absent != absent_there:
        return "missing in the target" if absent_there else "missing in the source"
    at = int(np.argmax(np.abs(wanted.astype(np.float64) - found)))
    return f"component {at} is {float(found[at])!r}, expected {float(wanted[at])!r}"


def same_vectors(
    wanted: Floats, found: Floats, comparison: Comparison, *, cosine: bool = False
) -> Bools:
    """Which rows are equal, bool ``(n,)``.

    Args:
        comparison: exact, or after the planned conversion. Vectors that a store keeps unchanged
            although it normalizes others (very short ones) are equal too.
        cosine: whether searches compare directions only.
    """
    same: Bools = (wanted.view(np.uint32) == found.view(np.uint32)).all(axis=1)
    if same.all():
        return same
    rest = ~same
    if comparison in ("exact", "normalized"):
        # A store that keeps lengths gets vectors whose norm float32 cannot represent normalized.
        if comparison == "exact":
            rest &= bool(cosine) & ~vector_norms.norm_within(wanted, vector_norms.STORED_AS_GIVEN)
        near = _near_normalized(unit(wanted[rest]), found[rest])
    elif comparison in LOSSY_ERROR:
        near = _near_codes(wanted[rest], found[rest], LOSSY_ERROR[comparison])
        near |= _near_codes(unit(wanted[rest]), found[rest], LOSSY_ERROR[comparison])
    elif comparison == "rounded":
        near = _near_rounded(wanted[rest], found[rest])
        near |= _near_rounded(unit(wanted[rest]), found[rest])
    elif comparison == "bfloat16":
        near = _near_bfloat16(wanted[rest], found[rest])
        near |= _near_bfloat16(unit(wanted[rest]), found[rest])
    elif comparison == "float16":
        near = _near_float16(wanted[rest], found[rest])
        near |= _near_float16(unit(wanted[rest]), found[rest])
    else:
        near = np.zeros(int(rest.sum()), dtype=np.bool_)
    same[rest] = near
    return same


def _near_normalized(units: Floats, found: Floats) -> Bools:
    return np.asarray((np.abs(units - found) <= NORMALIZED_TOLERANCE).all(axis=1))


def _near_rounded(wanted: Floats, found: Floats) -> Bools:
    return np.asarray((np.abs(wanted - found) <= np.abs(wanted) * ROUNDED).all(axis=1))


def _near_codes(wanted: Floats, found: Floats, error: float) -> Bools:
    distance = np.linalg.norm(wanted.astype(np.float64) - found, axis=1)
    return np.asarray(distance <= error * np.linalg.norm(wanted.astype(np.float64), axis=1))


def _near_float16(wanted: Floats, found: Floats) -> Bools:
    with np.errstate(over="ignore"):
        tolerance = np.abs(wanted) * HALF + HALF_LEAST
        return np.asarray((np.abs(wanted - found) <= tolerance).all(axis=1))


def _near_bfloat16(wanted: Floats, found: Floats) -> Bools:
    return np.asarray((np.abs(wanted - found) <= np.abs(wanted) * BRAIN).all(axis=1))


# -- sparse vectors and multivectors -------------------------------------------------------------


def _ragged_differences(
    wanted: RaggedArray, found: RaggedArray, comparison: Comparison
) -> Iterator[tuple[int, str]]:
    """The row and the detail of each difference."""
    if comparison == "nonzero":
        wanted, found = without_zeros(wanted), without_zeros(found)
    for row in np.flatnonzero(~same_ragged(wanted, found, comparison)).tolist():
        yield row, _ragged_detail(wanted.rows(row, row + 1), found.rows(row, row + 1))


def same_ragged(wanted: RaggedArray, found: RaggedArray, comparison: Comparison) -> Bools:
    """Which rows are equal, bool ``(n,)``: indices exactly, values by ``comparison``."""
    absent, absent_there = wanted.absent(), found.absent()
    same_length = np.diff(wanted.offsets) == np.diff(found.offsets)
    same: Bools = (absent == absent_there) & (absent | same_length)
    rows = np.flatnonzero(same & ~absent)
    left, right = wanted.pick(rows), found.pick(rows)
    wrong = ~_same_entries(left.values, right.values, comparison)
    if left.indices is not None and right.indices is not None:
        wrong |= left.indices != right.indices
    same[rows[np.unique(row_of_entry(left)[wrong])]] = False
    return same


def _same_entries(wanted: Floats, found: Floats, comparison: Comparison) -> Bools:
    """Which entries are equal, bool ``(total,)``."""
    equal = np.equal(wanted.view(np.uint32), found.view(np.uint32))
    if wanted.ndim == 1:
        # A store that keeps zeros keeps -0.0 and 0.0 apart.
        return equal
    same: Bools = np.asarray(equal.all(axis=1))
    if not len(wanted):
        return same
    if comparison == "normalized":
        same |= _near_normalized(unit(wanted), found)
    elif comparison == "float16":
        same |= _near_float16(wanted, found) | _near_float16(unit(wanted), found)
    elif comparison == "exact" and not same.all():
        # A store that keeps lengths gets rows whose norm float32 cannot represent normalized.
        scaled = ~same & ~vector_norms.norm_within(wanted, vector_norms.STORED_AS_GIVEN)
        if scaled.any():
            same[scaled] = _near_normalized(unit(wanted[scaled]), found[scaled])
    return same


def _ragged_detail(wanted: RaggedArray, found: RaggedArray) -> str:
    """The difference between one row of each."""
    absent, absent_there = bool(wanted.absent()[0]), bool(found.absent()[0])
    if absent != absent_there:
        return "missing in the target" if absent_there else "missing in the source"
    unit_name = "entries" if wanted.indices is not None else "rows"
    if len(wanted.values) != len(found.values):
        return f"it has {len(found.values)} {unit_name}, expected {len(wanted.values)}"
    apart = np.abs(wanted.values.astype(np.float64) - found.values)
    if wanted.indices is not None and found.indices is not None:
        wrong = np.flatnonzero(wanted.indices != found.indices)
        if len(wrong):
            at = int(wrong[0])
            return f"entry {at} has index {found.indices[at]}, expected {wanted.indices[at]}"
        at = int(np.argmax(apart))
        place = f"the value at index {wanted.indices[at]}"
        return f"{place} is {float(found.values[at])!r}, expected {float(wanted.values[at])!r}"
    row, at = (int(place) for place in np.unravel_index(int(np.argmax(apart)), apart.shape))
    theirs, ours = float(found.values[row, at]), float(wanted.values[row, at])
    return f"component {at} of row {row} is {theirs!r}, expected {ours!r}"


# -- payloads ------------------------------------------------------------------------------------


def same_payload(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether fields and types are equal: ``1`` differs from ``1.0`` and from ``"1"``."""
    return wanted == found and (_simple(wanted, found) or _json(wanted) == _json(found))


def _simple(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether payloads that Python calls equal consist of fields of equal, simple types."""
    return all(
        type(value) in _SIMPLE and type(value) is type(found[key]) for key, value in wanted.items()
    )


def _json(payload: Mapping[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True, ensure_ascii=False)


def _payload_detail(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The first field that differs."""
    for key in [*wanted, *(key for key in found if key not in wanted)]:
        if key not in found:
            return f"{key!r} is missing"
        if key not in wanted:
            return f"{key!r} is not in the source: {found[key]!r:.80}"
        if not same_payload({key: wanted[key]}, {key: found[key]}):
            return f"{key!r} is {found[key]!r:.80}, expected {wanted[key]!r:.80}"
    return "it differs"


# -- pages ---------------------------------------------------------------------------------------

SHOWN = 20
THREADS = 2  # pages that are compared at the same time


@dataclass
class RowDiff:
    """The result of comparing rows.

    Attributes:
        compared, different: number of rows.
        differences: the first differences.
    """

    compared: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)


class RowComparer:
    """Compares pages with the target in threads; a context manager.

    Memory holds as many pages as there are threads. Differences are listed in page order.

    Args:
        plans: the dense vectors.
        extras: how extra vectors are compared.
    """

    def __init__(
        self,
        codec: RowCodec,
        plans: Mapping[str, VectorPlan],
        extras: Mapping[str, Comparison],
    ) -> None:
        self._codec = codec
        self._plans = plans
        self._extras = extras
        self._pool = ThreadPoolExecutor(THREADS, "qadapt-compare")
        self._running: deque[Future[RowDiff]] = deque()
        self._result = RowDiff()

    def __enter__(self) -> RowComparer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, routed: RoutedBatch) -> None:
        """Compare a page; waits for the oldest page while all threads are busy."""
        if not len(routed.rows):
            return
        if len(self._running) == THREADS:
            self._collect()
        self._running.append(self._pool.submit(self._compare, routed))

    def result(self) -> RowDiff:
        """Wait for all pages, and return the result."""
        while self._running:
            self._collect()
        return self._result

    def _collect(self) -> None:
        page, whole = self._running.popleft().result(), self._result
        whole.compared += page.compared
        whole.different += page.different
        whole.differences += page.differences[: SHOWN - len(whole.differences)]

    def _compare(self, routed: RoutedBatch) -> RowDiff:
        compared, found = compare_with_target(self._codec, routed, self._plans, self._extras)
        return RowDiff(compared, len({each.id for each in found}), found[:SHOWN])


def compare_with_target(
    codec: RowCodec,
    routed: RoutedBatch,
    plans: Mapping[str, VectorPlan],
    extras: Mapping[str, Comparison],
) -> tuple[int, list[Difference]]:
    """Fetch the rows of a batch from the target: how many exist, and their differences."""
    rows, end = routed.rows, routed.target
    wanted = codec.encode(rows, partition=routed.note)
    found = end.store.fetch(end.name, wanted.ids, vectors=codec.names)
    if len(found) < len(wanted):  # the comparison of ids reports the missing rows
        present = set(found.ids)
        kept = [row for row, key in enumerate(wanted.ids) if key in present]
        rows, wanted = rows.take(kept), wanted.take(kept)
    return len(wanted), differences(wanted, found, plans, list(rows.ids), extras)
