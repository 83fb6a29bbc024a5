"""Evaluate: the live setting, and candidates on a copy of a sample, against ground truth."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qadapt.errors import InputError, QadaptError
from qadapt.evaluation import latency, measurement, overall_progress
from qadapt.evaluation.candidates import CandidateRunner, Client, EvaluationContext
from qadapt.evaluation.copied_rows import copied_rows, shared_samples
from qadapt.evaluation.documents import Evaluation, now
from qadapt.evaluation.exact_neighbors import GroundTruth, over_rows
from qadapt.evaluation.labels import read_labels
from qadapt.evaluation.measurement import query_ids as names_of
from qadapt.evaluation.memory import smallest
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.overall_progress import Meter, Steps
from qadapt.evaluation.partial import INTERRUPTED, Interrupted, SavedResults
from qadapt.evaluation.query_input import resolve_queries
from qadapt.evaluation.results import Result, Truth
from qadapt.evaluation.row_samples import RowSamples
from qadapt.evaluation.scratch_copies import check_disk, scratch_copy
from qadapt.evaluation.searcher import RelevanceLabels, Workload
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.streamed_ground_truth import exact_truth
from qadapt.evaluation.subsets import Subset
from qadapt.evaluation.truth_vectors import truth_notes, vector_of_truth
from qadapt.evaluation.verify import live_result
from qadapt.local import collection_info
from qadapt.local.scratch import remove_leftovers, unowned_collections
from qadapt.model import Batch, CollectionInfo, VectorInfo
from qadapt.model.filters import matches, parse_filter
from qadapt.stores.base import Store, silent

SAMPLED = (
    "candidates were measured on a copy of {:,} of {:,} rows; recall without rescoring decreases "
    "as the number of rows grows"
)


@dataclass
class _Measured:
    """What one call has measured so far, and the copy that candidates were measured on.

    Attributes:
        count: rows that have the vector.
        copy_rows: see ``EvaluationDocument``.
        copy_truths: ground truth over the copy for each part; empty if it is that of all rows.
    """

    count: int
    results: list[Result] = field(default_factory=list)
    copy_rows: int | None = None
    copy_truths: tuple[Truth, ...] = ()
    notes: list[str] = field(default_factory=list)


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
        Interrupted: Ctrl-C after at least one setting was measured.
    """
    begun = time.monotonic()
    options.check_store(store)
    wanted = [Setting.of(item) for item in settings]
    options.check_settings(wanted)
    notes = _swept(store)
    info = collection_info.info(store, collection)
    vector = info.vectors[name]
    every = wanted if Setting(None) in wanted or not options.live else [Setting(None), *wanted]
    chosen = options.subsets(store, collection)
    seconds = {
        **overall_progress.of_reading(vector, options, len(chosen.parts)),
        **overall_progress.of_evaluation(vector, every, options, len(chosen.parts)),
    }
    meter = Meter(options.progress, seconds).start(overall_progress.QUERIES)
    options = options.replace(progress=meter)
    steps = Steps(meter, overall_progress.of_settings(vector, every, options, len(chosen.parts)))
    samples = shared_samples(store, info, name, every, options)
    works = [
        _context(store, info, name, subset, options, steps, samples) for subset in chosen.parts
    ]
    parts = []
    for number, work in enumerate(works):
        meter.begin(overall_progress.numbered(overall_progress.TRUTH, number))
        parts.append(_Part(work, _truth(work)))
    meter.begin(overall_progress.SAMPLE)
    measured = _Measured(vector.count, notes=notes)
    partial = False
    try:
        _measure(parts, info, every, measured, meter, samples)
    except KeyboardInterrupt:
        if not measured.results:
            raise
        partial = True
        total = len(every) * len(parts)
        measured.notes.append(INTERRUPTED.format(len(measured.results), total, "measured"))
    order, results = _ordered(parts, measured)
    parts = [parts[at] for at in order]
    truths = tuple(part.known.about for part in parts)
    copied = tuple(measured.copy_truths[at] for at in order if measured.copy_truths)
    separate = options.filter is not None or options.by is not None
    least = smallest(measured.results)
    whole = vector_of_truth(store, info, name)
    unmeasured = truth_notes(vector, parts[0].known.vector, whole)
    document = Evaluation(
        store=str(store.address),
        server=info.server,
        collection=collection,
        vector=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=measured.count,
        k=options.k,
        queries=len(parts[0].work.asked.queries),
        source=parts[0].work.asked.queries.source,
        truth=truths[0],
        results=tuple(results),
        copy_rows=measured.copy_rows,
        copy_truth=copied[0] if copied else None,
        notes=(*measured.notes, *unmeasured, *chosen.notes),
        partial=partial,
        truths=truths if separate else (),
        copy_truths=copied if separate else (),
        by=options.by or "",
        by_limit=options.by_limit if options.by else None,
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
        memory=None if least is None else least.memory,
        engine_memory=store.engine_memory(),
        memory_setting="live" if least is None else least.setting.partition(" ")[0],
    )
    if partial:
        raise Interrupted(document)
    return document


@dataclass(frozen=True)
class _Part:
    """Rows that are measured together: the context of their searches, and the ground truth."""

    work: EvaluationContext
    known: GroundTruth


def _context(
    store: Store,
    info: CollectionInfo,
    name: str,
    subset: Subset,
    options: EvaluationOptions,
    steps: Steps,
    samples: RowSamples,
) -> EvaluationContext:
    vector = info.vectors[name]
    workload = _workload(store, name, vector, subset, options, samples)
    qrels = None if workload.labels is None else workload.labels.qrels
    saved = SavedResults.of(
        store, info, name, workload.queries, options, verb="eval", qrels=qrels, rows=subset.label
    )
    return EvaluationContext(
        store, subset.collection, name, vector, workload, options, saved, steps
    )


def _truth(work: EvaluationContext) -> GroundTruth:
    options = work.options
    return exact_truth(
        work.store, work.collection, work.name, work.vector.vector, work.asked.queries, options.k,
        rows=options.rows, memory=options.memory, cached=not options.fresh, seed=options.seed,
        filter=work.asked.filter, progress=options.progress,
    ).labelled(work.asked.label)  # fmt: skip


def _ordered(parts: Sequence[_Part], measured: _Measured) -> tuple[list[int], list[Result]]:
    """The order of the parts and their results: the lowest recall first.

    Parts that prove nothing come last. With candidates, only these are compared.
    """
    lowest: dict[str, float] = {}
    for each in measured.results:
        if each.where == "copy" or measured.copy_rows is None:
            lowest[each.filter] = min(lowest.get(each.filter, math.inf), each.lowest)
    truths = measured.copy_truths or tuple(part.known.about for part in parts)

    def key(at: int) -> tuple[bool, float]:
        return truths[at].proof.level == "none", lowest.get(truths[at].filter, math.inf)

    order = sorted(range(len(parts)), key=key)
    place = {truths[at].filter: rank for rank, at in enumerate(order)}
    return order, sorted(measured.results, key=lambda each: place[each.filter])


def _workload(
    store: Store,
    name: str,
    vector: VectorInfo,
    subset: Subset,
    options: EvaluationOptions,
    samples: RowSamples,
) -> Workload:
    """The queries and what is measured with them."""
    collection = subset.collection
    queries = resolve_queries(
        store, collection, name, vector.vector, options, subset.filter, samples.of(subset)
    )
    labels = None
    if options.labels is not None:
        qrels = read_labels(options.labels)
        labels = RelevanceLabels(qrels, options.label_field, store, collection)
    workload = Workload(
        queries, options.k, labels, tuple(options.concurrency), options.seconds, subset=subset
    )
    _check_labels(workload)
    return workload


def _measure(
    parts: Sequence[_Part],
    info: CollectionInfo,
    settings: Sequence[Setting],
    into: _Measured,
    meter: Meter,
    samples: RowSamples,
) -> None:
    """Measure the live settings, then the candidates."""
    work = replace(parts[0].work, collection=info.name)
    live = [item for item in settings if item.quantization is None]
    candidates = [item for item in settings if item.quantization is not None]
    if not candidates:
        meter.begin(overall_progress.SETTINGS)
        _measure_live(parts, live, None, into)
        return
    check_disk(work.store, min(info.count, work.options.copy_rows), work.vector.dim)
    sample = copied_rows(work, info, [part.work for part in parts], samples)
    complete = info.count <= work.options.copy_rows
    if complete:
        into.count = len(sample)  # rows without the vector do not count
    else:
        into.notes.append(SAMPLED.format(len(sample), info.count))
    into.copy_rows = len(sample)
    copied = not complete or parts[0].known.sample is not None
    exact = [_over_copy(part, sample) if copied else part.known for part in parts]
    for part, known in zip(parts, exact, strict=True):
        if known.about.proof.level != part.known.about.proof.level:
            where = f"{known.about.filter}: " if known.about.filter else ""
            into.notes.append(f"{where}on the copy {known.about.proof.reason}")
    into.copy_truths = tuple(each.about for each in exact) if copied else ()
    meter.begin(overall_progress.SETTINGS)
    with contextlib.ExitStack() as stack:
        client = _client(work, sample, stack) if work.asked.concurrency else None
        _measure_live(parts, live, client, into)
        asked = [(part.work, known) for part, known in zip(parts, exact, strict=True)]
        runner = CandidateRunner(work, sample, asked, client)
        try:
            runner.run(candidates)
        finally:
            into.results += runner.results


def _measure_live(
    parts: Sequence[_Part], settings: Sequence[Setting], client: Client | None, into: _Measured
) -> None:
    for number, part in enumerate(parts):
        for item in settings:
            part.work.steps.begin(overall_progress.numbered(item.text, number))
            into.results.append(_live(part, item, client))


def _over_copy(part: _Part, sample: Batch) -> GroundTruth:
    """Ground truth among the rows of the copy that match."""
    work, node = part.work, part.work.asked.filter
    if node is not None:
        tree = parse_filter(node)
        payloads = sample.payloads or ({},) * len(sample)
        sample = sample.take([at for at, each in enumerate(payloads) if matches(tree, each)])
    return over_rows(
        sample, work.name, work.vector.vector, work.asked.queries, work.asked.k,
        filter=work.asked.label,
    )  # fmt: skip


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


def _live(part: _Part, setting: Setting, client: Client | None) -> Result:
    work, known = part.work, part.known
    found = work.saved.find(setting.text, "live")
    if found is not None:
        return found
    info = collection_info.info(work.store, work.collection).vectors[work.name]
    searcher = work.searcher(work.collection, setting, info.vector)
    start = live_result(work.store.name, info, setting, work.options.prices)
    return work.saved.add(
        measurement.measure(searcher, info, known, start, work.steps, client=client)
    )


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
