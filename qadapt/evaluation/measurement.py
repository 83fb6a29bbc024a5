"""Measure one setting of an existing collection: quality, latency and bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qadapt.costing.footprints import CLIENT_CODES, footprint_of
from qadapt.engines.exact import pair_scores, tolerance
from qadapt.errors import UnsupportedError
from qadapt.evaluation import latency, metrics
from qadapt.evaluation.exact_neighbors import GroundTruth
from qadapt.evaluation.ground_truth import Queries
from qadapt.evaluation.recall import is_correct, least_score, recall_per_query
from qadapt.evaluation.results import Bytes, Figure, Labels, Latency, Result
from qadapt.evaluation.searcher import Searcher, SearchResults, Workload, search_all
from qadapt.model import Kind, VectorInfo
from qadapt.stores.base import OnProgress, Progress


def measure(
    searcher: Searcher,
    info: VectorInfo,
    known: GroundTruth,
    result: Result,
    progress: OnProgress,
    *,
    client: Callable[[], float] | None = None,
    no_params: Figure | None = None,
) -> Result:
    """Measure an active setting.

    Args:
        known: ground truth of the collection that is searched.
        result: the result to complete.
        client: measures the milliseconds of client and network; None to skip that.
        no_params: recall of a client that sends no parameters; None to measure it.
    """
    asked = searcher.asked
    times = [latency.cold(searcher.one, len(asked.queries))] if asked.concurrency else []
    found = search_all(searcher, result.setting, progress)
    if info.quantized_by == "qadapt":
        client = None  # codes are searched in this process, without the database client
    # Measured for each setting, so that both timings run under the same load.
    client_ms = client() if client is not None and times else None
    times += _warm(searcher, client_ms, result.setting, progress)
    if client_ms is not None:
        times[0] = times[0].replace(client_ms=client_ms)
    if asked.batches:
        times.append(found.batches)
    quality = _quality(searcher, found, known)
    if no_params is None and searcher.sends_params(info):
        other = searcher.without_params()
        label = f"{result.setting} (no parameters)"
        no_params = _quality(other, search_all(other, label, progress), known)["recall"]
    quality["recall_no_params"] = no_params or quality["recall"]
    sizes = _bytes(searcher.store.name, info)
    codes = sizes.codes if info.quantization.kind not in (Kind.NONE, Kind.FLOAT16) else None
    each = codes if codes is not None else sizes.originals
    return result.replace(
        state="measured",
        status=info.status,
        latency=tuple(times),
        bytes=sizes,
        bytes_per_vector=each / info.count if each is not None and info.count else None,
        how=found.how,
        filter=asked.label,
        labels=_labels(found, known, asked),
        **quality,
    )


def _quality(searcher: Searcher, found: SearchResults, known: GroundTruth) -> dict[str, Any]:
    """Recall, and what else can be compared with the ground truth."""
    if known.sample is not None:
        return _by_sample(searcher, found, known)
    return against_truth(found, known)


def against_truth(found: SearchResults, known: GroundTruth) -> dict[str, Any]:
    """Recall, nDCG, overlap and score error against exact neighbors."""
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
    """A lower bound of recall, from the rows of a sample that a search missed.

    A sampled row was missed if it scores higher than the worst hit and is not a hit. Multiplied by
    the number of rows that each sampled row represents, this estimates how many rows above its
    worst hit a search missed; the missed true neighbors are at most these. Missing, repeated and
    nonexistent hits also count as missed.
    """
    about, asked, sample = known.about, searcher.asked, known.sample
    assert sample is not None
    share = about.rows / about.total_rows
    missed, short = np.zeros(len(asked.queries)), np.zeros(len(asked.queries))
    names = {key: at for at, key in enumerate(sample.ids)}
    rows, dim = sample.vectors[searcher.name], searcher.vector.dim
    exact = known.exact(found.ids, every=True)
    worst = np.nanmin(exact, axis=1, initial=np.inf)  # infinite without hits
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
    """The ids of queries; their numbers from 0 if they have none."""
    return queries.ids or tuple(str(at) for at in range(len(queries)))


def _bytes(store: str, info: VectorInfo) -> Bytes:
    """Codes and original vectors in RAM and on disk, as ``qadapt cost`` counts them."""
    source = "reported by the database or read from its files; placement as configured"
    ours = info.quantized_by == "qadapt"
    if ours:
        source = "codes: files of qadapt; original vectors: reported by the database"
    try:
        parts = {part.name: part for part in footprint_of(store, info).components}
    except UnsupportedError:  # the store has no cost model
        parts = {}
    codes, originals = parts.get(CLIENT_CODES if ours else "codes"), parts.get("originals")
    return Bytes(
        codes.disk if ours and codes is not None else info.code_bytes,
        info.float_bytes,
        None if codes is None else codes.ram,
        None if codes is None else codes.disk,
        None if originals is None else originals.ram,
        None if originals is None else originals.disk,
        info.count,
        source,
    )
