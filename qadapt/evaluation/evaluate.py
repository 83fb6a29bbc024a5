"""Evaluate: the live setting, and candidates on a copy of a sample, against ground truth."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from qadapt.errors import InputError, QadaptError
from qadapt.evaluation import latency, measurement
from qadapt.evaluation.candidates import CandidateRunner, Client, EvaluationContext
from qadapt.evaluation.documents import Evaluation, now
from qadapt.evaluation.exact_neighbors import GroundTruth, over_rows
from qadapt.evaluation.labels import read_labels
from qadapt.evaluation.measurement import RelevanceLabels, Workload
from qadapt.evaluation.measurement import query_ids as names_of
from qadapt.evaluation.memory import smallest
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.results import Result, Truth
from qadapt.evaluation.sampling import present, whole_of
from qadapt.evaluation.scratch_copies import scratch_copy
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.streamed_ground_truth import exact_truth
from qadapt.evaluation.verify import live_result
from qadapt.local import collection_info
from qadapt.local.scratch import remove_leftovers, unowned_collections
from qadapt.model import Batch, CollectionInfo, VectorInfo
from qadapt.stores.base import Progress, Store, silent

SAMPLED = (
    "candidates were measured on a copy of {:,} of {:,} rows; recall without rescoring decreases "
    "as the number of rows grows"
)


@dataclass(frozen=True)
class _Measured:
    """Results of one call, and the copy that candidates were measured on.

    Attributes:
        count: rows that have the vector.
        copy_rows, copy_truth: see ``EvaluationDocument``.
    """

    results: list[Result]
    count: int
    copy_rows: int | None = None
    copy_truth: Truth | None = None
    notes: tuple[str, ...] = ()


def evaluate(
    store: Store,
    collection: str,
    name: str,
    settings: Sequence[SettingLike],
    options: EvaluationOptions,
) -> Evaluation:
    """Measure the live setting and candidates. The collection itself is only read.

    Args:
        name: name of the vector.
        settings: each a quantization, its string, or a ``Setting``; ``live:rescore=4`` is the live
            collection with other search parameters.

    Raises:
        InputError, UnsupportedError, NotFoundError, StoreError
    """
    begun = time.monotonic()
    options.check_store(store)
    wanted = [Setting.of(item) for item in settings]
    options.check_settings(wanted)
    notes = _swept(store)
    info = collection_info.info(store, collection)
    vector = info.vectors[name]
    workload = _workload(store, collection, name, vector, options)
    work = EvaluationContext(store, collection, name, vector, workload, options)
    known = exact_truth(
        store, collection, name, vector.vector, workload.queries, options.k, rows=options.rows,
        memory=options.memory, cached=not options.fresh, seed=options.seed,
        progress=options.progress,
    )  # fmt: skip
    measured = _measure(work, info, wanted, known)
    least = smallest(measured.results)
    return Evaluation(
        store=str(store.address),
        server=info.server,
        collection=collection,
        vector=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=measured.count,
        k=options.k,
        queries=len(workload.queries),
        source=workload.queries.source,
        truth=known.about,
        results=tuple(measured.results),
        copy_rows=measured.copy_rows,
        copy_truth=measured.copy_truth,
        notes=(*notes, *measured.notes),
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
        memory=None if least is None else least.memory,
        memory_setting="live" if least is None else least.setting.partition(" ")[0],
    )


def _workload(
    store: Store, collection: str, name: str, vector: VectorInfo, options: EvaluationOptions
) -> Workload:
    """The queries and what is measured with them."""
    queries = resolve_queries(
        store, collection, name, vector.vector, options.queries, encoder=options.encoder,
        ids=options.query_ids, seed=options.seed,
    )  # fmt: skip
    labels = None
    if options.labels is not None:
        qrels = read_labels(options.labels)
        labels = RelevanceLabels(qrels, options.label_field, store, collection)
    workload = Workload(queries, options.k, labels, tuple(options.concurrency), options.seconds)
    _check_labels(workload)
    return workload


def _measure(
    work: EvaluationContext, info: CollectionInfo, settings: Sequence[Setting], known: GroundTruth
) -> _Measured:
    """Measure the live settings, then the candidates."""
    live = [item for item in settings if item.quantization is None]
    if work.options.live and Setting(None) not in live:
        live.insert(0, Setting(None))
    candidates = [item for item in settings if item.quantization is not None]
    if not candidates:
        return _Measured([_live(work, item, known, None) for item in live], work.vector.count)
    sample = _sample(work, info)
    complete = info.count <= work.options.copy_rows
    notes = [] if complete else [SAMPLED.format(len(sample), info.count)]
    exact = known
    if not complete or known.sample is not None:
        exact = over_rows(sample, work.name, work.vector.vector, work.asked.queries, work.asked.k)
        if exact.about.proof.level != known.about.proof.level:
            notes.append(f"on the copy {exact.about.proof.reason}")
    with contextlib.ExitStack() as stack:
        client = _client(work, sample, stack) if work.asked.concurrency else None
        results = [_live(work, item, known, client) for item in live]
        results += CandidateRunner(work, sample, exact, client).run(candidates)
    return _Measured(
        results,
        len(sample) if complete else work.vector.count,  # rows without the vector do not count
        len(sample),
        None if exact is known else exact.about,
        tuple(notes),
    )


def _swept(store: Store) -> list[str]:
    """Remove copies that interrupted calls left behind; notes about them."""
    notes = []
    try:
        gone = remove_leftovers(store)
        if gone:
            notes.append(f"removed copies of an interrupted call: {', '.join(gone)}")
    except QadaptError as error:
        # The measurement does not depend on it, and the next call tries again.
        notes.append(f"copies of an interrupted call could not be removed: {error.message}")
    alien = unowned_collections(store)
    if alien:
        notes.append(f"copies of another state folder were left in place: {', '.join(alien)}")
    return notes


def _check_labels(asked: Workload) -> None:
    """Refuse labels that belong to other queries.

    Raises:
        InputError
    """
    if asked.labels is None:
        return
    names = names_of(asked.queries)
    if not any(name in asked.labels.qrels for name in names):
        raise InputError(
            f"none of the queries has a label: the query ids are {_few(names)}, the labels are for "
            f"{_few(list(asked.labels.qrels))}",
            hint="pass the query ids of the labels: query_ids=, --query-ids FILE, or a .tsv or "
            ".jsonl file of queries",
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")


def _live(
    work: EvaluationContext, setting: Setting, known: GroundTruth, client: Client | None
) -> Result:
    info = collection_info.info(work.store, work.collection).vectors[work.name]
    searcher = work.searcher(work.collection, setting, info.vector)
    start = live_result(work.store.name, info, setting, work.options.prices)
    return measurement.measure(searcher, info, known, start, work.options.progress, client=client)


def _sample(work: EvaluationContext, info: CollectionInfo) -> Batch:
    """The rows with the vector: all of them, or those of a sample."""
    options = work.options
    options.progress(Progress("reading a sample"))
    if info.count <= options.copy_rows:
        batch = whole_of(work.store, work.collection, work.name)
    else:
        batch = work.store.sample(
            work.collection, options.copy_rows, seed=options.seed, vectors=[work.name]
        )
    return present(batch, work.name, work.collection)


def _client(work: EvaluationContext, sample: Batch, stack: contextlib.ExitStack) -> Client:
    """A function that measures the duration of a search in a collection of a few rows."""
    few = sample.rows(0, min(len(sample), work.asked.k + work.asked.extra))
    vector = work.vector.vector
    small = stack.enter_context(
        scratch_copy(
            work.store, {work.name: vector}, [few], silent, of=f"{work.collection} (few rows)"
        )
    )
    searcher = work.searcher(small, Setting(None), vector)
    return lambda: latency.client_overhead(searcher.one, len(work.asked.queries))
