"""Recall of a copy beside that of its source, by exact scores of the source's vectors.

Codes lose results by themselves, whatever they were copied from. So where a side has codes, both
are compared by exact search too, and by their own search only where the target has no codes or
those of the source. A gate is for the target's own search.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.engines.exact import pair_scores
from qadapt.engines.nearest import Nearest, objects
from qadapt.errors import InputError
from qadapt.evaluation.neighbours import SPARE, listed
from qadapt.evaluation.recall import interval, proof_of, recall_per_query, truth_of, without_own
from qadapt.local.settings import read_settings
from qadapt.migration.carrier import Carrier
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.parting import Piece, inside, part_of, pieces, sources, targets
from qadapt.migration.plan import VectorPlan
from qadapt.migration.report import RecallCheck
from qadapt.migration.scan import pages
from qadapt.model import Batch, Guard, Id, Kind, Quantization, Vector
from qadapt.model.queries import usable
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, Search

Floats = npt.NDArray[np.float32]
# Rows that are left out: the part that their id is unique in (or None), and the id.
Out = Mapping[tuple[str | None, Id], str]
BLOCK = 50
SLACK = 0.02  # recall that the target may have less than the source, where no gate is given


@dataclass
class Hits:
    """What one end found for the queries, and its exact scores.

    Attributes:
        ids: of each query's first k hits, its own row left out.
        scores: float64 ``(nq, k)``, made from the source's vectors; NaN for a row that the source
            does not have.
        places: where each id stands, ``(query, place)``.
    """

    ids: list[list[Id]]
    scores: npt.NDArray[np.float64]
    places: dict[Id, list[tuple[int, int]]]

    @classmethod
    def of(cls, ids: list[list[Id]], k: int) -> Hits:
        places: dict[Id, list[tuple[int, int]]] = {}
        for at, row in enumerate(ids):
            for place, key in enumerate(row):
                places.setdefault(key, []).append((at, place))
        return cls(ids, np.full((len(ids), k), np.nan), places)

    def score(
        self, ids: Sequence[Id], there: npt.NDArray[np.bool_], drawn: Drawn, rows: Floats
    ) -> None:
        """Score the hits that are in a page of the source.

        Args:
            ids: of the page's rows, as this end has them.
            there: bool ``(m,)``, rows that have a vector.
            rows: float32 ``(m, d)``.
        """
        found = [
            (at, place, row)
            for row, key in enumerate(ids)
            if key in self.places and there[row]
            for at, place in self.places[key]
        ]
        if found:
            at, place, of = np.asarray(found, dtype=np.intp).T
            self.scores[at, place] = pair_scores(drawn.vectors, rows, at, of, drawn.vector.metric)


@dataclass
class Drawn:
    """Queries of one vector, what both ends found for them, and the best rows so far.

    Attributes:
        name: of the vector.
        label: the part whose rows they are, and are compared with; None where there are none.
        source, target: where the part is searched.
        vectors: float32 ``(nq, d)``.
        own: the rows that they are, as the source has them and as the target has them.
        vector: dimensions and metric.
        best: rows of the source, by their ids there.
        here, there: hits of the source and of the target.
        exact: the same by exact search; None where they are not asked for, or a side refuses.
    """

    name: str
    label: str | None
    source: Endpoint
    target: Endpoint
    vectors: Floats
    own: tuple[list[Id], list[Id]]
    vector: Vector
    best: Nearest
    here: Hits
    there: Hits
    exact: tuple[Hits, Hits] | None = None

    def scored(self) -> Iterator[tuple[Hits, bool]]:
        """All hits, and whether their ids are the target's."""
        here, there = self.exact or (None, None)
        for each, carried in ((self.here, False), (here, False), (self.there, True), (there, True)):
            if each is not None:
                yield each, carried


def draw(
    source: Endpoint,
    target: Endpoint,
    plans: Mapping[str, VectorPlan],
    carrier: Carrier,
    queries: object,
    seed: int,
    k: int,
    total: int,
    exact: Collection[str],
    progress: OnProgress,
) -> list[Drawn]:
    """Draw vectors of the source as queries, of each part its own, and search both ends.

    Args:
        exact: the vectors that are searched exactly as well.
    """
    if not isinstance(queries, int):
        raise InputError("the gate of a check uses vectors of the source as queries: a number")
    if not total:
        return []
    result = []
    there = {place for place, _ in targets(source, target, carrier)}
    for piece in _sample(source, target, carrier, list(plans), min(queries, total), seed, total):
        if piece.place not in there:
            continue  # a part that is missing whole, which the ids tell of
        batch = piece.native
        here = part_of(source, piece.within)
        for name, plan in plans.items():
            good = present(batch, name) & usable(batch.vectors[name], plan.source)
            good &= batch.vectors[name].any(axis=1)
            rows = np.flatnonzero(good).tolist()
            if not rows:
                continue
            floats = batch.vectors[name][rows]
            own = [batch.ids[row] for row in rows]
            carried = [carrier.target_id(piece.rows.ids[row]) for row in rows]
            best = Nearest(floats, plan.source.metric, k + SPARE)
            ends = (
                (here, own, plan.source, inside(piece.label, carrier.parting, here=True)),
                (piece.target, carried, plan.target,
                 inside(piece.label, carrier.parting, here=False)),
            )  # fmt: skip

            def both(exact: bool, name: str = name, floats: Floats = floats,
                     ends: Any = ends) -> tuple[Hits, Hits]:  # fmt: skip
                found = [
                    Hits.of(_found(end, name, vector, floats, keys, k, inner, exact=exact), k)
                    for end, keys, vector, inner in ends
                ]
                return found[0], found[1]

            progress(Progress("measuring recall", 0, len(rows), "queries"))
            found = both(exact=False)
            precise = _unless_refused(both) if name in exact else None
            places = (here, piece.target, floats, (own, carried), plan.source, best)
            result.append(Drawn(name, piece.label, *places, *found, precise))
    return result


def _unless_refused(both: Callable[..., tuple[Hits, Hits]]) -> tuple[Hits, Hits] | None:
    """Hits of exact searches; None where a limit of the collection refuses them."""
    try:
        return both(exact=True)
    except InputError as error:
        if not error.limit:
            raise
        return None


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


def present(batch: Batch, name: str) -> npt.NDArray[np.bool_]:
    """Which rows have a vector, bool ``(n,)``."""
    if name in batch.missing:
        return ~batch.missing[name]
    return np.ones(len(batch), dtype=np.bool_)


def add_rows(piece: Piece, out: Out, drawn: Sequence[Drawn]) -> None:
    """Compare the queries of a part with a page of its rows."""
    mine = [each for each in drawn if each.label == piece.label]
    if not mine:
        return
    names = objects(piece.native.ids)
    carried = [piece.carrier.target_id(key) for key in piece.rows.ids]
    left = np.zeros(len(names), dtype=np.bool_)
    if out:
        left |= np.asarray([(piece.within, key) in out for key in piece.rows.ids])
    for each in mine:
        rows = piece.native.vectors[each.name]
        there = present(piece.native, each.name)
        each.best.add(rows, names, ~there | left)
        for hits, of_target in each.scored():
            hits.score(carried if of_target else piece.native.ids, there, each, rows)


# -- what is compared with what ------------------------------------------------------------------


@dataclass(frozen=True)
class Codes:
    """What both sides have of a vector, our own codes included; rescoring left out."""

    source: Quantization
    target: Quantization

    @classmethod
    def of(cls, source: Endpoint, target: Endpoint, name: str) -> Codes:
        """As the two sides are now."""
        return cls(_quantization(source, name), _quantization(target, name))

    @property
    def any(self) -> bool:
        """Whether a side has codes, so that exact search tells more than its own."""
        return _coded(self.source) or _coded(self.target)

    @property
    def comparable(self) -> bool:
        """Whether the target's own search should find what the source's own search finds."""
        return not _coded(self.target) or self.source == self.target


def _quantization(end: Endpoint, name: str) -> Quantization:
    whole = end.store.whole(end.name)
    ours = read_settings(end.store, end.name).of(name).client
    if ours is None:
        info = end.store.info(whole).vectors.get(name)  # none where no row has the vector
        ours = Quantization(Kind.NONE) if info is None else info.quantization
    return ours.replace(rescore=None)


def _coded(quantization: Quantization) -> bool:
    return quantization.kind not in (Kind.NONE, Kind.FLOAT16)


# -- recall --------------------------------------------------------------------------------------


def recall_of(
    plan: VectorPlan,
    name: str,
    drawn: Sequence[Drawn],
    k: int,
    gate: Guard | None,
    rows: int,
    codes: Codes,
) -> RecallCheck:
    """Recall of both sides by exact scores of the source's vectors, and whether it will do."""
    both: list[list[npt.NDArray[np.float64]]] = [[], [], [], []]
    more: list[bool] = []
    for each in drawn:
        ids, scores, beyond = listed(each.best, each.own[0], k)
        more += np.isfinite(beyond).tolist()
        wanted = [len(row) for row in ids]
        last = np.asarray([row[-1] if row else np.nan for row in scores])
        hits = (each.there, each.here, *(each.exact or ())[::-1])
        for side, found in zip(both, hits, strict=False):
            side.append(recall_per_query(found.ids, found.scores, last, wanted, each.vector.dim))
    values, before = np.concatenate(both[0]), float(np.concatenate(both[1]).mean())
    proof = proof_of(np.concatenate([each.vectors for each in drawn]), k, more, rows)
    low, high = interval(values)
    recall = float(values.mean())
    told: list[str] = []
    passed = True
    exact = source_exact = None
    if gate is not None:
        told.append(f"recall@{k} >= {gate.recall:.3f}")
        passed = recall >= gate.recall and proof.level != "none"
    elif codes.any and all(each.exact is not None for each in drawn):
        precise = np.concatenate(both[2])
        exact, source_exact = float(precise.mean()), float(np.concatenate(both[3]).mean())
        words, passed = _near(interval(precise)[1], source_exact, "exact search")
        told.append(words)
    if gate is None and (not told or codes.comparable):
        words, near = _near(high, before, f"recall@{k}")
        told.append(words)
        passed = passed and near
    return RecallCheck(
        vector=name,
        recall=recall,
        low=low,
        high=high,
        source_recall=before,
        gate="; ".join(told),
        k=k,
        queries=len(values),
        passed=passed,
        exact=exact,
        source_exact=source_exact,
        ground_truth=truth_of(plan.source),
        proof=proof,
    )


def _near(high: float, before: float, what: str) -> tuple[str, bool]:
    """Whether the upper end of an interval is not much less than the source's recall."""
    least = before - SLACK
    words = f"{what} >= {least:.3f} within its interval; that of the source ({before:.3f}) less "
    return f"{words}{SLACK:g}", high >= least


def _found(
    end: Endpoint,
    name: str,
    vector: Vector,
    queries: Floats,
    own: Sequence[Id],
    k: int,
    filter: Mapping[str, Any] | None,
    *,
    exact: bool,
) -> list[list[Id]]:
    """Ids of each query's first ``k`` hits in the search of one end, its own row left out."""
    settings = read_settings(end.store, end.name).of(name)
    wanted = Search(k=k + 1, vector=name, filter=filter, exact=exact)
    found: list[list[Id]] = []
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        hits = search(end.store, end.name, queries[block], wanted, vector, settings)
        found += without_own(hits.ids, own[block], k)
    return found
