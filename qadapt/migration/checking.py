"""Comparing a target with its source: counts, ids both ways, rows, recall.

Ids are compared all, on disk (``idset``). Rows are compared all or a sample of them, each with
the change that was planned for it (length 1, float16). Recall is of the target's own search
against the exact truth of the source, which is computed in the same pass over its rows. Memory
holds pages and the queries' best rows, however many rows there are.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import RunningTop, exact_scores
from qadapt.errors import InputError
from qadapt.evaluation.recall import interval
from qadapt.local.settings import read_settings
from qadapt.migration.ahead import ahead
from qadapt.migration.carrier import Carrier, home
from qadapt.migration.compare import Difference
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.idset import IdSet, among
from qadapt.migration.parting import Piece, inside, part_of, pieces, sources, targets
from qadapt.migration.plan import VectorPlan
from qadapt.migration.report import Check, RecallCheck
from qadapt.migration.scan import carries_notes, every_piece, pages
from qadapt.migration.side_by_side import SHOWN, Comparing, Found
from qadapt.model import Batch, Guard, Id, Vector
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, Search, silent

Floats = npt.NDArray[np.float32]
# Rows that are left out: the part that their id is unique in (or None), and the id.
Out = Mapping[tuple[str | None, Id], str]
# Rows of a page, as many as have so many bytes: Milvus looks through all keys for each page.
PAGE_ROWS, PAGE_BYTES = 4_000, 4 << 20
SAMPLE = 10_000  # rows of a sample
WHOLE = 200_000  # rows up to which all are compared where nobody says
QUERIES, K = 100, 10
BLOCK = 50
NO_RECALL = (
    "recall was not measured: the source has no rows with vectors, so the check proves nothing "
    "about searches"
)
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
    left_out: Mapping[tuple[str | None, Id], str] | None = None,
    progress: OnProgress = silent,
) -> Check:
    """Compare a target with its source.

    Args:
        how: ``all`` or ``sample``; None leaves it to the size.
        gate: least recall; None for not much less than the source's own.
        left_out: rows that are not in the target on purpose, by part and id.
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
    drawn = _drawn(source, target, plans, carrier, queries, seed, k, total)
    found = _rows(source, target, plans, carrier, out, share, drawn, total, progress)
    recalls = tuple(
        _recall(source, plans[name], carrier, name, of, k, gate, progress)
        for name in plans
        if (of := [each for each in drawn if each.name == name])
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
        notes=() if recalls or not plans else (NO_RECALL,),
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
    out: Out,
    progress: OnProgress,
) -> tuple[list[Id], list[Id]]:
    """Source ids that the target lacks, and target ids that the source lacks: of each part.

    Both sides are read at the same time.
    """
    there = targets(source, target, carrier)
    stop = threading.Event()
    with (
        IdSet() as mine,
        IdSet() as theirs,
        ThreadPoolExecutor(1, "qadapt-ids") as beside,
        _ending(stop),
    ):
        taken = beside.submit(_take_in, there, theirs, stop)
        for place, keys in target_ids(source, carrier, out):
            mine.add([other for _, other in keys], place)
            progress(Progress("comparing ids", mine.count + theirs.count))
        taken.result()
        progress(Progress("comparing ids", mine.count + theirs.count))
        lost, extra = mine.without(theirs), theirs.without(mine)
    missing: list[Id] = []
    if len(lost):
        for place, keys in target_ids(source, carrier, out):
            wanted = set(among([other for _, other in keys], lost, place))
            missing += [key for key, other in keys if other in wanted]
    strange: list[Id] = []
    if len(extra):
        for place, end in there:
            for batch in pages(end, payload=False):
                strange += among(list(batch.ids), extra, place)
    return missing, strange


def _take_in(
    ends: Sequence[tuple[str | None, Endpoint]], found: IdSet, stop: threading.Event
) -> None:
    for place, end in ends:
        for batch in pages(end, payload=False):
            if stop.is_set():
                return
            found.add(batch.ids, place)


@contextmanager
def _ending(stop: threading.Event) -> Iterator[None]:
    """Whatever ends this side, the thread beside it is not waited for to its end."""
    try:
        yield
    finally:
        stop.set()


def target_ids(
    source: Endpoint, carrier: Carrier, out: Out
) -> Iterator[tuple[str | None, list[tuple[Id, Id]]]]:
    """Pages of (source id, target id) and the target's part, without rows that are left out."""
    payload = carrier.parting.by == "note" or carries_notes(source)
    for piece in every_piece(source, carrier, payload=payload):
        keys = [key for key in piece.rows.ids if (piece.within, key) not in out]
        yield piece.place, [(key, carrier.target_id(key)) for key in keys]


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
        name: of the vector.
        label: the part whose rows they are, and are compared with; None where there are none.
        source, target: where the part is searched.
        vectors: float32 ``(nq, d)``.
        own: the rows that they are.
        vector: dimensions and metric.
        tops: of blocks of queries.
        keys: of rows by their numbers, those that are among the best.
    """

    name: str
    label: str | None
    source: Endpoint
    target: Endpoint
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


def _drawn(
    source: Endpoint,
    target: Endpoint,
    plans: Mapping[str, VectorPlan],
    carrier: Carrier,
    queries: object,
    seed: int,
    k: int,
    total: int,
) -> list[Drawn]:
    """Vectors of the source as queries, and room for their best rows; of each part its own."""
    if not isinstance(queries, int):
        raise InputError("the gate of a check uses vectors of the source as queries: a number")
    if not total:
        return []
    result = []
    there = {place for place, _ in targets(source, target, carrier)}
    for piece in _sample(source, target, carrier, list(plans), min(queries, total), seed, total):
        if piece.place not in there:
            continue  # a part that is missing whole, which the ids tell of
        batch, keys = piece.native, _keys(piece.native)
        here = part_of(source, piece.within)
        for name, plan in plans.items():
            good = present(batch, name)
            good &= np.isfinite(batch.vectors[name]).all(axis=1) & batch.vectors[name].any(axis=1)
            rows = np.flatnonzero(good).tolist()
            if rows:
                own = [keys[row] for row in rows]
                tops = [RunningTop(k + 1) for _ in range(0, len(own), BLOCK)]
                floats = batch.vectors[name][rows]
                places = (here, piece.target)
                result.append(Drawn(name, piece.label, *places, floats, own, plan.source, tops))
    return result


def _sample(
    source: Endpoint,
    target: Endpoint,
    carrier: Carrier,
    vectors: list[str],
    n: int,
    seed: int,
    total: int,
) -> Iterator[Piece]:
    """``n`` rows drawn evenly, without a list of all ids, by the part that they are in."""
    places = np.sort(np.random.default_rng(seed).choice(total, n, replace=False))
    start = 0
    for within, end in sources(source, carrier.parting):
        keys: list[Id] = []
        for batch in pages(end, payload=False):
            low, high = np.searchsorted(places, [start, start + len(batch)])
            keys += [batch.ids[place - start] for place in places[low:high].tolist()]
            start += len(batch)
        if keys:
            native = end.store.fetch(end.name, keys, vectors=vectors)
            yield from pieces(carrier, target, native, within)


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
    out: Out,
    share: float,
    drawn: Sequence[Drawn],
    total: int,
    progress: OnProgress,
) -> Found:
    """Compare rows page by page; the same pass finds the truth of the queries. While pages are
    compared, the next one is read."""
    seen = 0
    draw = np.random.default_rng(0)
    there = {place for place, _ in targets(source, target, carrier)}
    row = sum(4 * each.source.dim for each in plans.values())
    size = max(1, min(PAGE_ROWS, PAGE_BYTES // max(1, row)))
    with Comparing(plans) as comparing:
        for within, end in sources(source, carrier.parting):
            natives = ahead(end.store.read(end.name, vectors=carrier.names, page=size))
            with closing(natives):
                for native in natives:
                    for piece in pieces(carrier, target, native, within):
                        _truth(piece, out, drawn)
                        ids = piece.rows.ids
                        chosen = draw.random(len(ids)) < share
                        if piece.place in there:
                            kept = [(piece.within, key) not in out for key in ids]
                            rows = np.flatnonzero(chosen & np.asarray(kept, dtype=np.bool_))
                            comparing.add(piece.pick(rows.tolist()))
                    seen += len(native)
                    progress(Progress("comparing rows", seen, total))
        return comparing.all()


def _truth(piece: Piece, out: Out, drawn: Sequence[Drawn]) -> None:
    """Show the queries of a part its rows."""
    keys = [Key(a, b) for a, b in zip(piece.native.ids, piece.rows.ids, strict=True)]
    for each in drawn:
        if each.label != piece.label:
            continue
        rows = piece.native.vectors[each.name]
        there = present(piece.native, each.name) & np.isfinite(rows).all(axis=1)
        if out:
            there &= np.asarray([(piece.within, key) not in out for key in piece.rows.ids])
        each.add(rows, there, keys)


# -- recall --------------------------------------------------------------------------------------


def _recall(
    source: Endpoint,
    plan: VectorPlan,
    carrier: Carrier,
    name: str,
    drawn: Sequence[Drawn],
    k: int,
    gate: Guard | None,
    progress: OnProgress,
) -> RecallCheck:
    both: list[list[npt.NDArray[np.float64]]] = [[], []]
    for each in drawn:
        truth = each.truth(k)
        there = [[carrier.target_id(key.own) for key in row] for row in truth]
        own = [carrier.target_id(key.own) for key in each.own]
        inner = inside(each.label, carrier.parting, here=False)
        both[0].append(_found(each.target, each, plan.target, there, own, k, inner))
        here = [[key.native for key in row] for row in truth]
        native = [key.native for key in each.own]
        inner = inside(each.label, carrier.parting, here=True)
        both[1].append(_found(each.source, each, plan.source, here, native, k, inner))
    values, before = np.concatenate(both[0]), float(np.concatenate(both[1]).mean())
    progress(Progress("measuring recall", len(values), len(values), "queries"))
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
        queries=len(values),
        passed=(recall if gate else high) >= least,
    )


def _found(
    end: Endpoint,
    drawn: Drawn,
    vector: Vector,
    truth: list[list[Id]],
    own: list[Id],
    k: int,
    filter: Mapping[str, Any] | None,
) -> npt.NDArray[np.float64]:
    """Recall@k of each query in the search of one end, float64 ``(nq,)``."""
    queries = drawn.vectors
    settings = read_settings(end.store, end.name).of(drawn.name)
    wanted = Search(k=k + 1, vector=drawn.name, filter=filter)
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
