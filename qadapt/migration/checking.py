"""Comparing a target with its source: counts, ids both ways, rows, recall.

Ids are compared all, on disk (``idset``). Rows are compared all or a sample of them, each with
the change that was planned for it (length 1, float16). Recall is of the target's own search
against the exact truth of the source, which is computed in the same pass over its rows. Memory
holds pages and the queries' best rows, however many rows there are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import RunningTop, exact_scores
from qadapt.errors import InputError
from qadapt.evaluation.recall import interval
from qadapt.local.settings import read_settings
from qadapt.migration.carrier import Carrier, home
from qadapt.migration.compare import Difference, differences
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.idset import IdSet, among
from qadapt.migration.picking import pick
from qadapt.migration.plan import VectorPlan
from qadapt.migration.report import Check, RecallCheck
from qadapt.migration.scan import carries_notes, pages
from qadapt.model import Batch, Guard, Id, Vector
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, Search, silent

Floats = npt.NDArray[np.float32]
PAGE = 1_000
SHOWN = 20
SAMPLE = 10_000  # rows of a sample
WHOLE = 200_000  # rows up to which all are compared where nobody says
QUERIES, K = 100, 10
BLOCK = 50
SLACK = 0.02  # recall that the target may have less than the source, where no gate is given
Z = 1.959964


def check(
    source: Endpoint,
    target: Endpoint,
    plans: Mapping[str, VectorPlan],
    carrier: Carrier,
    *,
    how: str | None = None,
    gate: Guard | None = None,
    left_out: Mapping[Id, str] | None = None,
    progress: OnProgress = silent,
) -> Check:
    """Compare a target with its source.

    Args:
        how: ``all`` or ``sample``; None leaves it to the size.
        gate: least recall; None for not much less than the source's own.
        left_out: rows that are not in the target on purpose.
    """
    begun = time.monotonic()
    source.must_be_there()
    target.must_be_there()
    out = dict(left_out or {})
    total = source.store.count(source.name)
    sampled = how == "sample" or (how is None and total > WHOLE)
    share = min(1.0, SAMPLE / total) if sampled and total else 1.0
    k, queries, seed = (gate.k, gate.queries, gate.seed) if gate else (K, QUERIES, 0)
    lost, extra = _ids(source, target, carrier, out, progress)
    drawn = _drawn(source, plans, queries, seed, k, total)
    found = _rows(source, target, plans, carrier, out, share, drawn, total, progress)
    recalls = tuple(
        _recall(source, target, plans[name], carrier, name, each, k, gate, progress)
        for name, each in drawn.items()
    )
    told = [
        *(Difference(key, "missing", "the target does not have it") for key in lost[:SHOWN]),
        *(Difference(key, "not in the source", "the target alone has it") for key in extra[:SHOWN]),
        *found.differences,
    ]
    passed = not lost and not extra and not found.different and all(each.passed for each in recalls)
    return Check(
        source=str(source),
        target=str(target),
        source_count=total,
        target_count=target.store.count(target.name),
        missing=len(lost),
        extra=len(extra),
        left_out=len(out),
        compared=found.compared,
        how="sample" if share < 1 else "all",
        different=found.different,
        bound=0.0 if share == 1 else upper_bound(found.different, found.compared),
        differences=tuple(told[:SHOWN]),
        recalls=recalls,
        seconds=time.monotonic() - begun,
        passed=passed,
    )


def upper_bound(different: int, compared: int) -> float:
    """The share of all rows that differs at most, at 95 %: Wilson's, or the rule of three."""
    if not compared:
        return 1.0
    if not different:
        return min(1.0, 3 / compared)
    p, n = different / compared, compared
    middle = p + Z * Z / (2 * n)
    spread = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return min(1.0, (middle + spread) / (1 + Z * Z / n))


# -- ids -----------------------------------------------------------------------------------------


def _ids(
    source: Endpoint,
    target: Endpoint,
    carrier: Carrier,
    out: Mapping[Id, str],
    progress: OnProgress,
) -> tuple[list[Id], list[Id]]:
    """Source ids that the target lacks, and target ids that the source lacks."""
    with IdSet() as mine, IdSet() as theirs:
        for keys in target_ids(source, carrier, out):
            mine.add([there for _, there in keys])
            progress(Progress("comparing ids", mine.count))
        for batch in pages(target, payload=False):
            theirs.add(batch.ids)
            progress(Progress("comparing ids", mine.count + theirs.count))
        lost, extra = mine.without(theirs), theirs.without(mine)
    missing: list[Id] = []
    if len(lost):
        for keys in target_ids(source, carrier, out):
            wanted = set(among([there for _, there in keys], lost))
            missing += [key for key, there in keys if there in wanted]
    strange: list[Id] = []
    if len(extra):
        for batch in pages(target, payload=False):
            strange += among(list(batch.ids), extra)
    return missing, strange


def target_ids(
    source: Endpoint, carrier: Carrier, out: Mapping[Id, str]
) -> Iterator[list[tuple[Id, Id]]]:
    """Pages of (source id, target id), without the rows that are left out."""
    for native in pages(source, payload=carries_notes(source)):
        keys = [key for key in carrier.home(native).ids if key not in out]
        yield [(key, carrier.target_id(key)) for key in keys]


# -- rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A row's id as the source has it, and as it really is (see ``carrier``)."""

    native: Id
    own: Id


@dataclass
class Drawn:
    """Queries of one vector, and the best rows that were found for them so far.

    Attributes:
        vectors: float32 ``(nq, d)``.
        own: the rows that they are.
        vector: dimensions and metric.
        tops: of blocks of queries.
        keys: of rows by their numbers, those that are among the best.
    """

    vectors: Floats
    own: list[Key]
    vector: Vector
    tops: list[RunningTop]
    keys: dict[int, Key] = field(default_factory=dict)

    def add(self, rows: Floats, present: npt.NDArray[np.bool_], keys: list[Key]) -> None:
        """Take in a page of the source."""
        before = self.tops[0].seen
        for at, top in enumerate(self.tops):
            block = self.vectors[at * BLOCK : (at + 1) * BLOCK]
            scores = exact_scores(block, rows, self.vector.metric)
            scores[:, ~present] = -np.inf
            top.add(scores)
        kept = {int(row) for top in self.tops for row in np.unique(top.rows)}
        self.keys = {row: self.keys[row] if row < before else keys[row - before] for row in kept}

    def truth(self, k: int) -> list[list[Key]]:
        """The best ``k`` rows of each query, its own left out."""
        found = []
        for at, own in enumerate(self.own):
            top, row = self.tops[at // BLOCK], at % BLOCK
            there = top.rows[row][top.scores[row] > -np.inf].tolist()
            found.append([self.keys[no] for no in there if self.keys[no] != own][:k])
        return found


@dataclass
class _Found:
    compared: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)


def _drawn(
    source: Endpoint,
    plans: Mapping[str, VectorPlan],
    queries: object,
    seed: int,
    k: int,
    total: int,
) -> dict[str, Drawn]:
    """Vectors of the source as queries, and room for their best rows."""
    if not isinstance(queries, int):
        raise InputError("the gate of a check uses vectors of the source as queries: a number")
    if not total:
        return {}
    batch = _sample(source, list(plans), min(queries, total), seed, total)
    keys = _keys(batch)
    result = {}
    for name, plan in plans.items():
        there = present(batch, name)
        there &= np.isfinite(batch.vectors[name]).all(axis=1) & batch.vectors[name].any(axis=1)
        rows = np.flatnonzero(there).tolist()
        if rows:
            own = [keys[row] for row in rows]
            tops = [RunningTop(k + 1) for _ in range(0, len(own), BLOCK)]
            result[name] = Drawn(batch.vectors[name][rows], own, plan.source, tops)
    return result


def _sample(source: Endpoint, vectors: list[str], n: int, seed: int, total: int) -> Batch:
    """``n`` rows drawn evenly, without a list of all ids."""
    places = np.sort(np.random.default_rng(seed).choice(total, n, replace=False))
    keys: list[Id] = []
    start = 0
    for batch in pages(source, payload=False):
        low, high = np.searchsorted(places, [start, start + len(batch)])
        keys += [batch.ids[place - start] for place in places[low:high].tolist()]
        start += len(batch)
    return source.store.fetch(source.name, keys, vectors=vectors)


def _keys(native: Batch) -> list[Key]:
    real = home(Batch(native.ids, {}, native.payloads))
    return [Key(a, b) for a, b in zip(native.ids, real.ids, strict=True)]


def present(batch: Batch, name: str) -> npt.NDArray[np.bool_]:
    """Which rows have a vector, bool ``(n,)``."""
    if name in batch.missing:
        return ~batch.missing[name]
    return np.ones(len(batch), dtype=np.bool_)


def _rows(
    source: Endpoint,
    target: Endpoint,
    plans: Mapping[str, VectorPlan],
    carrier: Carrier,
    out: Mapping[Id, str],
    share: float,
    drawn: Mapping[str, Drawn],
    total: int,
    progress: OnProgress,
) -> _Found:
    """Compare rows page by page; the same pass finds the truth of the queries."""
    result, seen = _Found(), 0
    draw = np.random.default_rng(0)
    for native in source.store.read(source.name, vectors=carrier.names, page=PAGE):
        batch = carrier.home(native)
        keys = [Key(a, b) for a, b in zip(native.ids, batch.ids, strict=True)]
        for name, each in drawn.items():
            rows = native.vectors[name]
            there = present(native, name) & np.isfinite(rows).all(axis=1)
            if out:
                there &= np.asarray([key not in out for key in batch.ids])
            each.add(rows, there, keys)
        chosen = draw.random(len(batch)) < share
        here = [row for row, key in enumerate(batch.ids) if chosen[row] and key not in out]
        if here:
            _compare(target, plans, carrier, pick(batch, here), result)
        seen += len(native)
        progress(Progress("comparing rows", seen, total))
    return result


def _compare(
    target: Endpoint,
    plans: Mapping[str, VectorPlan],
    carrier: Carrier,
    batch: Batch,
    result: _Found,
) -> None:
    wanted = carrier.carry(batch)
    found = target.store.fetch(target.name, wanted.ids, vectors=carrier.names)
    if len(found) < len(wanted):  # the lacking ones are told of as missing ids
        there = set(found.ids)
        rows = [row for row, key in enumerate(wanted.ids) if key in there]
        batch, wanted = pick(batch, rows), pick(wanted, rows)
    told = differences(wanted, found, plans, list(batch.ids), carrier.compared)
    result.compared += len(wanted)
    result.different += len({each.id for each in told})
    result.differences += told[: SHOWN - len(result.differences)]


# -- recall --------------------------------------------------------------------------------------


def _recall(
    source: Endpoint,
    target: Endpoint,
    plan: VectorPlan,
    carrier: Carrier,
    name: str,
    drawn: Drawn,
    k: int,
    gate: Guard | None,
    progress: OnProgress,
) -> RecallCheck:
    truth = drawn.truth(k)
    there = [[carrier.target_id(key.own) for key in row] for row in truth]
    own = [carrier.target_id(key.own) for key in drawn.own]
    values = _found(target, name, plan.target, drawn.vectors, there, own, k)
    here = [[key.native for key in row] for row in truth]
    native = [key.native for key in drawn.own]
    before = float(_found(source, name, plan.source, drawn.vectors, here, native, k).mean())
    progress(Progress("measuring recall", len(own), len(own), "queries"))
    low, high = interval(values)
    recall = float(values.mean())
    least = gate.recall if gate else before - SLACK
    words = f"recall@{k} >= {least:.3f}"
    if gate is None:
        words += f" within its interval; that of the source ({before:.3f}) less {SLACK:g}"
    return RecallCheck(
        vector=name,
        recall=recall,
        low=low,
        high=high,
        source_recall=before,
        gate=words,
        k=k,
        queries=len(own),
        passed=(recall if gate else high) >= least,
    )


def _found(
    end: Endpoint,
    name: str,
    vector: Vector,
    queries: Floats,
    truth: list[list[Id]],
    own: list[Id],
    k: int,
) -> npt.NDArray[np.float64]:
    """Recall@k of each query in the search of one end, float64 ``(nq,)``."""
    settings = read_settings(end.store, end.name).of(name)
    wanted = Search(k=k + 1, vector=name)
    hits = [
        row
        for start in range(0, len(queries), BLOCK)
        for row in search(
            end.store, end.name, queries[start : start + BLOCK], wanted, vector, settings
        ).ids.tolist()
    ]
    values = []
    for row, right, self_id in zip(hits, truth, own, strict=True):
        kept = [key for key in row if key is not None and key != self_id][:k]
        values.append(len(set(right).intersection(kept)) / len(right) if right else 1.0)
    return np.asarray(values, dtype=np.float64)
