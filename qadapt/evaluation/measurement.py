"""Measuring one setting of a collection that is there: quality, then time, then bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qadapt.engines.exact import pair_scores, tolerance
from qadapt.evaluation import latency, metrics
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.recall import is_correct, least_score, recall_per_query
from qadapt.evaluation.results import Bytes, Figure, Labels, Latency, Result
from qadapt.local.settings import read_settings
from qadapt.model import Hits, Id, Kind, Rescore, SearchProvenance, Vector, VectorInfo
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, SearchRequest, Store

PROBES = 64  # queries sent at once where nobody looks at the clock


class RelevanceLabels:
    """Relevance labels, and the names that rows have in them.

    Args:
        qrels: ``{query id: {document id: gain}}``.
        field: the payload field that holds the document's id; None for the row's own id.
        store, collection: where payloads are asked for, whatever copy is searched.
    """

    def __init__(
        self,
        qrels: Mapping[str, Mapping[str, float]],
        field: str | None,
        store: Store,
        collection: str,
    ) -> None:
        self.qrels, self._field = qrels, field
        self._store, self._collection = store, collection
        self._names: dict[Id, str] = {}

    def names(self, rows: Sequence[Sequence[Id]]) -> list[list[str]]:
        """Rows of ids as the labels name them."""
        if self._field is None:
            return [[str(key) for key in row] for row in rows]
        unknown = dict.fromkeys(key for row in rows for key in row if key not in self._names)
        if unknown:
            batch = self._store.fetch(self._collection, list(unknown), vectors=(), payload=True)
            payloads = batch.payloads or ({},) * len(batch)
            for key, payload in zip(batch.ids, payloads, strict=True):
                self._names[key] = str(payload.get(self._field))
        return [[self._names.get(key, "") for key in row] for row in rows]


@dataclass(frozen=True)
class Workload:
    """What is measured, the same for all settings.

    Attributes:
        labels: relevance labels; None for none.
        concurrency: queries in flight, for each a measurement; empty for no timing.
        seconds: of timing, for each concurrency.
    """

    queries: Queries
    k: int
    labels: RelevanceLabels | None = None
    concurrency: tuple[int, ...] = (1, 4)
    seconds: float = latency.SECONDS

    @property
    def extra(self) -> int:
        """One hit more where queries are rows of the collection, whose own row does not count."""
        return 1 if any(own is not None for own in self.queries.own) else 0


class Searcher:
    """Searches of one setting of one vector."""

    def __init__(
        self,
        store: Store,
        collection: str,
        name: str,
        vector: Vector,
        asked: Workload,
        rescore: Rescore | None,
        options: Mapping[str, Any],
    ) -> None:
        self.store, self.collection, self.name, self.vector = store, collection, name, vector
        self.asked = asked
        self._wanted = SearchRequest(
            k=asked.k + asked.extra,
            vector=name,
            rescore=rescore,
            options=options,
        )
        self._settings = read_settings(store, collection).of(name)

    def block(self, block: slice) -> Hits:
        """Some queries in one request."""
        vectors = self.asked.queries.vectors[block]
        return search(
            self.store, self.collection, vectors, self._wanted, self.vector, self._settings
        )

    def one(self, at: int) -> Hits:
        """One query."""
        return self.block(slice(at, at + 1))


@dataclass(frozen=True)
class SearchResults:
    """Hits of all queries, own rows taken out.

    Attributes:
        ids, scores: best first, at most k.
        how: who searched, who rescored.
    """

    ids: list[list[Id]]
    scores: list[list[float]]
    how: SearchProvenance


def search_all(searcher: Searcher, label: str, progress: OnProgress) -> SearchResults:
    """Search all queries."""
    asked = searcher.asked
    queries, k = asked.queries, asked.k
    ids: list[list[Id]] = []
    scores: list[list[float]] = []
    how: SearchProvenance | None = None
    for start in range(0, len(queries), PROBES):
        block = slice(start, start + PROBES)
        hits = searcher.block(block)
        how = hits.how
        for row, own in enumerate(queries.own[block]):
            names = hits.ids[row].tolist()
            kept = [at for at, key in enumerate(names) if key is not None and key != own][:k]
            ids.append([names[at] for at in kept])
            scores.append(hits.scores[row, kept].tolist())
        done = min(start + PROBES, len(queries))
        progress(Progress(f"searching with {label}", done, len(queries), "queries"))
    assert how is not None  # there is at least one query
    return SearchResults(ids, scores, how)


def measure(
    searcher: Searcher,
    info: VectorInfo,
    known: GroundTruth,
    result: Result,
    progress: OnProgress,
    *,
    client: Callable[[], float] | None = None,
) -> Result:
    """``result`` with all that can be measured of a setting that is in force.

    Args:
        known: the exact neighbours in the collection that is searched.
        client: measures the client's own milliseconds; None where that cannot be.
    """
    asked = searcher.asked
    times = [latency.cold(searcher.one, len(asked.queries))] if asked.concurrency else []
    found = search_all(searcher, result.setting, progress)
    if info.quantized_by == "qadapt":
        client = None  # the search is ours: what the store's client takes is no part of it
    # Measured anew each time, so that both are of a machine that is equally busy.
    client_ms = client() if client is not None and times else None
    times += _warm(searcher, client_ms, result.setting, progress)
    if client_ms is not None:
        times[0] = times[0].replace(client_ms=client_ms)
    quality = (
        _by_sample(searcher, found, known)
        if known.sample is not None
        else against_truth(found, known)
    )
    sizes = _bytes(info)
    codes = sizes.codes if info.quantization.kind not in (Kind.NONE, Kind.FLOAT16) else None
    each = codes if codes is not None else sizes.originals
    return result.replace(
        state="measured",
        status=info.status,
        latency=tuple(times),
        bytes=sizes,
        bytes_per_vector=each / info.count if each is not None and info.count else None,
        how=found.how,
        labels=_labels(found, known, asked),
        **quality,
    )


def against_truth(found: SearchResults, known: GroundTruth) -> dict[str, Any]:
    """Recall, nDCG, overlap and score error against exact neighbours."""
    dim, wanted, last = known.vector.dim, known.wanted, known.last
    exact = known.exact(found.ids)
    good = is_correct(found.ids, exact, least_score(last, dim))
    where = metrics.places(good, exact, known.scores, dim)
    return {
        "recall": metrics.figure(recall_per_query(found.ids, exact, last, wanted, dim)),
        "ndcg": metrics.figure(metrics.ndcg(where, wanted)),
        "overlap": metrics.figure(metrics.overlap(where, wanted)),
        "score_error": metrics.score_error(found.scores, exact),
    }


def _by_sample(searcher: Searcher, found: SearchResults, known: GroundTruth) -> dict[str, Any]:
    """Recall bounded from below by the rows of a sample that a search missed.

    A sampled row that scores better than the worst hit and is no hit was missed. Scaled up by
    rows in the collection for each row of the sample, that is how many rows each search missed
    at least as near as its worst hit, on average; the true neighbours among them are no more.
    Hits that a search lacks, names twice, or that do not exist were missed too.
    """
    about, asked, sample = known.about, searcher.asked, known.sample
    assert sample is not None
    share = about.rows / about.total_rows
    missed, short = np.zeros(len(asked.queries)), np.zeros(len(asked.queries))
    names = {key: at for at, key in enumerate(sample.ids)}
    rows, dim = sample.vectors[searcher.name], searcher.vector.dim
    exact = known.exact(found.ids, every=True)
    worst = np.nanmin(exact, axis=1, initial=np.inf)  # infinite where nothing was found
    above = worst + tolerance(np.where(np.isfinite(worst), worst, 0), dim)
    of = np.arange(len(rows))
    for at, (row, own) in enumerate(zip(found.ids, asked.queries.own, strict=True)):
        there = {key for key, score in zip(row, exact[at], strict=False) if np.isfinite(score)}
        wanted = min(asked.k, about.total_rows - (own is not None))
        short[at] = max(0, wanted - len(there)) / max(1, wanted)
        query = asked.queries.vectors[at][None]
        scores = pair_scores(query, rows, np.zeros_like(of), of, searcher.vector.metric)
        if searcher.name in sample.missing:
            scores[sample.missing[searcher.name]] = -np.inf
        taken = [names[key] for key in (*there, own) if key in names]
        scores[taken] = -np.inf
        if there:
            missed[at] = np.count_nonzero(scores > above[at])
    per_query = np.maximum(missed / (share * asked.k), short)
    total = float(missed.sum())
    # 97.5 % upper limit of a Poisson count, by Wilson and Hilferty.
    more = total + 1
    upper = more * (1 - 1 / (9 * more) + 1.96 / (3 * math.sqrt(more))) ** 3
    low = max(0.0, 1 - upper / (share * asked.k * len(missed)) - float(short.mean()))
    value = max(0.0, 1 - float(per_query.mean()))
    return {"recall": Figure(max(low, value), low, 1.0)}


def _warm(
    searcher: Searcher, client_ms: float | None, label: str, progress: OnProgress
) -> list[Latency]:
    asked, found = searcher.asked, []
    for at, number in enumerate(asked.concurrency):
        progress(Progress(f"timing {label}", at, len(asked.concurrency), "concurrencies"))
        timed = latency.warm(
            searcher.one, len(asked.queries), number, client_ms=client_ms, seconds=asked.seconds
        )
        found.append(timed)
    if found:
        progress(Progress(f"timing {label}", len(found), len(found), "concurrencies"))
    return found


def _labels(found: SearchResults, known: GroundTruth, asked: Workload) -> Labels | None:
    labels = asked.labels
    if labels is None:
        return None
    queries, k = query_ids(asked.queries), asked.k
    recall, ndcg = metrics.against_labels(labels.names(found.ids), queries, labels.qrels, k)
    if not len(recall):
        return None
    exact = metrics.against_labels(labels.names(known.ids), queries, labels.qrels, k)
    return Labels(
        metrics.figure(recall),
        metrics.figure(ndcg),
        len(recall),
        float(exact[0].mean()),
        float(exact[1].mean()),
    )


def query_ids(queries: Queries) -> tuple[str, ...]:
    """The names of queries; their numbers from 0 where they have none."""
    return queries.ids or tuple(str(at) for at in range(len(queries)))


def _bytes(info: VectorInfo) -> Bytes:
    """What the engine reports, and where it is by what is configured."""
    asked = info.quantization
    if info.quantized_by == "qadapt":
        return _our_bytes(info)
    # Qdrant keeps codes that are not placed where the originals are, which are in RAM if nobody
    # says (docs/engines/qdrant.md#memory-placement).
    originals_on_disk = asked.originals == "disk"
    codes_on_disk = asked.codes == "disk" or (asked.codes is None and originals_on_disk)
    codes, originals = info.code_bytes, info.float_bytes
    return Bytes(
        codes,
        originals,
        None if codes is None else 0 if codes_on_disk else codes,
        codes,
        None if originals is None else 0 if originals_on_disk else originals,
        originals,
        info.count,
        "as the store reports, or as its files show; where they are, as configured",
    )


def _our_bytes(info: VectorInfo) -> Bytes:
    """Our codes lie on disk whole (with the int8 rows of binary ones); their bits in RAM too."""
    reported = {item.signal: item.value for item in info.status.evidence}
    # Codes that are missing or damaged have no size.
    ram, disk = reported.get("bytes in RAM"), reported.get("bytes on disk")
    originals = info.float_bytes
    source = "codes by qadapt's own files; originals as the store reports"
    return Bytes(disk, originals, ram, disk, originals, originals, info.count, source)
