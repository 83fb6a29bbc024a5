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

import numpy as np

from qadapt.migration.ahead import ahead
from qadapt.migration.carrier import Carrier
from qadapt.migration.compare import Difference
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.gaps import not_copied
from qadapt.migration.idset import IdSet, among
from qadapt.migration.parting import pieces, sources, targets
from qadapt.migration.plan import VectorPlan
from qadapt.migration.recall_check import Codes, Drawn, Out, add_rows, draw, recall_of
from qadapt.migration.report import Check
from qadapt.migration.scan import carries_notes, every_piece, pages
from qadapt.migration.side_by_side import SHOWN, Comparing, Found
from qadapt.model import Guard, Id, Metric
from qadapt.stores.base import OnProgress, Progress, silent

# Rows of a page, as many as have so many bytes: Milvus looks through all keys for each page.
PAGE_ROWS, PAGE_BYTES = 4_000, 4 << 20
SAMPLE = 10_000  # rows of a sample
WHOLE = 200_000  # rows up to which all are compared where nobody says
QUERIES, K = 100, 10
NO_RECALL = (
    "recall was not measured: the source has no rows with vectors, so the check proves nothing "
    "about searches"
)
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
    plans = _after_searches(source, target, plans)
    out = dict(left_out or {})
    total = source.store.count(source.name)
    sampled = how == "sample" or (how is None and total > WHOLE)
    share = min(1.0, SAMPLE / total) if sampled and total else 1.0
    k, queries, seed = (gate.k, gate.queries, gate.seed) if gate else (K, QUERIES, 0)
    uncopied = not_copied(source, plans)
    codes = {name: Codes.of(source, target, name) for name in plans}
    exact = [name for name, each in codes.items() if each.any and gate is None]
    lost, extra = _ids(source, target, carrier, out, progress)
    drawn = draw(source, target, plans, carrier, queries, seed, k, total, exact, progress)
    found = _rows(source, target, plans, carrier, out, share, drawn, total, progress)
    recalls = tuple(
        recall_of(plans[name], name, of, k, gate, total, codes[name])
        for name in plans
        if (of := [each for each in drawn if each.name == name])
    )
    told = [
        *uncopied,
        *(Difference(key, "missing", "the target does not have it") for key in lost[:SHOWN]),
        *(Difference(key, "not in the source", "the target alone has it") for key in extra[:SHOWN]),
        *found.differences,
    ]
    same = not lost and not extra and not found.different and not uncopied
    passed = same and all(each.passed for each in recalls)
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


def _after_searches(
    source: Endpoint, target: Endpoint, plans: Mapping[str, VectorPlan]
) -> dict[str, VectorPlan]:
    """Plans that leave room for rounding where the searches of a check change what is compared."""
    if not (source.store.searches_round or target.store.searches_round):
        return dict(plans)
    return {
        name: plan.replace(comparison="length 1")
        if plan.comparison == "bit for bit" and plan.source.metric is Metric.COSINE
        else plan
        for name, plan in plans.items()
    }


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
                        add_rows(piece, out, drawn)
                        ids = piece.rows.ids
                        chosen = draw.random(len(ids)) < share
                        if piece.place in there:
                            kept = [(piece.within, key) not in out for key in ids]
                            rows = np.flatnonzero(chosen & np.asarray(kept, dtype=np.bool_))
                            comparing.add(piece.pick(rows.tolist()))
                    seen += len(native)
                    progress(Progress("comparing rows", seen, total))
        return comparing.all()
