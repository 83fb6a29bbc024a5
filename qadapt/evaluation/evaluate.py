"""Eval: the live setting, and candidates on a copied sample, measured against exact truth."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from qadapt.errors import InputError, QadaptError, SpecError, refuse_pairs
from qadapt.evaluation import latency, measurement
from qadapt.evaluation.candidates import TIMEOUT, CandidateRunner, Client, EvaluationContext
from qadapt.evaluation.exact_neighbors import MEMORY, GroundTruth, exact_truth, over_rows
from qadapt.evaluation.labels import read_labels
from qadapt.evaluation.measurement import RelevanceLabels, Workload
from qadapt.evaluation.measurement import query_ids as names_of
from qadapt.evaluation.query_input import Encoder, resolve_queries
from qadapt.evaluation.results import Evaluation, Result, Truth, now
from qadapt.evaluation.sampling import present, whole_of
from qadapt.evaluation.scratch_copies import scratch_copy
from qadapt.evaluation.settings import Setting, SettingLike
from qadapt.evaluation.verify import matches_configuration
from qadapt.local import collection_info
from qadapt.local.scratch import remove_leftovers, unowned_collections
from qadapt.model import (
    ACCEPTS,
    Accept,
    Batch,
    CollectionInfo,
)
from qadapt.model.numbers import is_whole
from qadapt.stores.base import OnProgress, Progress, Store, check_k, silent

COPY_ROWS = 20_000

READ = "candidates ran on a copy of {:,} of {:,} rows: recall without rescoring falls as rows grow"


def evaluate(
    store: Store,
    collection: str,
    name: str,
    *,
    settings: Sequence[SettingLike] = (),
    k: int = 10,
    queries: Any = 200,
    encoder: Encoder | None = None,
    query_ids: Sequence[str] | None = None,
    labels: Any = None,
    label_field: str | None = None,
    rows: int | None = None,
    copy_rows: int = COPY_ROWS,
    live: bool = True,
    concurrency: Sequence[int] = (1, 4),
    seconds: float = latency.SECONDS,
    memory: int = MEMORY,
    fresh: bool = False,
    seed: int = 0,
    timeout: float = TIMEOUT,
    accept: Accept = "differs",
    progress: OnProgress = silent,
    command: str = "",
) -> Evaluation:
    """Measure the live setting and candidates; the collection itself is only read.

    Args:
        settings: candidates, each a quantization, its string, or a ``Setting``; ``live:rescore=4``
            is the collection as it is, searched so.
        queries: see ``questions.resolve_queries``.
        labels: relevance labels, a mapping or a file; ``query_ids`` names the queries in them.
        label_field: the payload field with the document's id of the labels; the row's id if None.
        rows: truth of the live setting over a sample of so many rows, which bounds its recall
            from below; all rows if None.
        copy_rows: candidates run on a copy of at most so many rows, removed afterwards.
        live: measure the collection as it is.
        concurrency: queries in flight, one measurement each; empty for no timing.
        fresh: compute the truth anew even if it is kept from before.
        timeout: seconds that a candidate may take to be built.
        accept: whose codes a candidate may have: ``exact`` (the store's, just as asked),
            ``differs`` (a cousin too), or ``client`` (where the store has none, qadapt's own,
            built beside the copy and removed with it). What is left is ``unsupported``.

    Raises:
        InputError, UnsupportedError, NotFoundError, StoreError
    """
    begun = time.monotonic()
    check_k(k, store.traits.max_k - 1)
    _check_numbers(rows, copy_rows, concurrency)
    for what, number in (("seconds", seconds), ("timeout (--build-timeout)", timeout)):
        if not number > 0:
            raise InputError(f"{what} must be above 0; got {number!r}")
    if accept not in ACCEPTS:
        raise SpecError.unknown("accept", accept, ACCEPTS)
    wanted = [Setting.of(item) for item in settings]
    as_is = [item for item in wanted if item.quantization is None]
    if live and Setting(None) not in as_is:
        as_is.insert(0, Setting(None))
    candidates = [item for item in wanted if item.quantization is not None]
    if not wanted and not live:
        raise InputError("there is nothing to measure", hint="give settings, or live=True")
    refuse_pairs(
        (query_ids is not None and labels is None, "query_ids (--query-ids)",
         "without labels (--labels)", "it names the queries as the labels do"),
        (label_field is not None and labels is None, "label_field (--label-field)",
         "without labels (--labels)", "it says which document of the labels a row is"),
        (labels is not None and isinstance(queries, int), "labels (--labels)",
         f"with queries={queries} (--queries)", "the collection's own vectors have no labels"),
        (rows is not None and not as_is, "rows (--rows)", "with live=False (--no-live)",
         "that truth is for the collection as it is"),
        (rows is not None and memory != MEMORY, "memory (--memory)", "with rows (--rows)",
         "a sample is read at once"),
        (seconds != latency.SECONDS and not concurrency, "seconds (--seconds)",
         "without concurrency (--concurrency)", "nothing is timed then"),
    )  # fmt: skip
    notes = _swept(store)
    info = collection_info.info(store, collection)
    vector = info.vectors[name]
    asked = Workload(
        resolve_queries(
            store,
            collection,
            name,
            vector.vector,
            queries,
            encoder=encoder,
            ids=query_ids,
            seed=seed,
        ),
        k,
        None
        if labels is None
        else RelevanceLabels(read_labels(labels), label_field, store, collection),
        tuple(concurrency),
        seconds,
    )
    _check_labels(asked)
    work = EvaluationContext(store, collection, name, vector, asked, timeout, progress, accept)
    known = exact_truth(
        store,
        collection,
        name,
        vector.vector,
        asked.queries,
        k,
        rows=rows,
        memory=memory,
        cached=not fresh,
        seed=seed,
        progress=progress,
    )
    results: list[Result] = []
    copy_count: int | None = None
    copy_truth: Truth | None = None
    count = vector.count
    if candidates:
        sample = _sample(store, collection, name, info, copy_rows, seed, progress)
        copy_count = len(sample)
        whole = info.count <= copy_rows
        count = copy_count if whole else count  # rows without the vector are none of its own
        if not whole:
            notes.append(READ.format(copy_count, info.count))
        exact = known if whole and known.sample is None else over_rows(
            sample, name, vector.vector, asked.queries, k
        )  # fmt: skip
        if exact is not known:
            copy_truth = exact.about
            if exact.about.proof.level != known.about.proof.level:
                notes.append(f"on the copy {exact.about.proof.reason}")
        with contextlib.ExitStack() as stack:
            client = _client(work, sample, stack) if asked.concurrency else None
            results += [_live(work, item, known, client) for item in as_is]
            results += CandidateRunner(work, sample, exact, client).run(candidates)
    else:
        results += [_live(work, item, known, None) for item in as_is]
    return Evaluation(
        store=str(store.address),
        server=info.server,
        collection=collection,
        vector=name,
        dim=vector.dim,
        metric=vector.metric,
        datatype=vector.datatype,
        count=count,
        k=k,
        queries=len(asked.queries),
        source=asked.queries.source,
        truth=known.about,
        results=tuple(results),
        copy_rows=copy_count,
        created=now(),
        command=command,
        seconds=time.monotonic() - begun,
        notes=tuple(notes),
        copy_truth=copy_truth,
    )


def _swept(store: Store) -> list[str]:
    """Remove what earlier calls left; what there is to tell of it."""
    notes = []
    try:
        gone = remove_leftovers(store)
        if gone:
            notes.append(f"removed what an earlier call left behind: {', '.join(gone)}")
    except QadaptError as error:
        # Measuring can go on; what stays is told, and tried again by the next call.
        notes.append(f"what an earlier call left behind could not be removed: {error.message}")
    alien = unowned_collections(store)
    if alien:
        notes.append(f"left by somebody else, not touched: {', '.join(alien)}")
    return notes


def _check_numbers(rows: int | None, copy_rows: int, concurrency: Sequence[int]) -> None:
    numbers = [("rows", rows), ("copy_rows", copy_rows)]
    for what, number in [*numbers, *(("concurrency", each) for each in concurrency)]:
        if number is not None and (not is_whole(number) or number < 1):
            raise InputError(f"{what} must be a whole number from 1; got {number!r}")


def _check_labels(asked: Workload) -> None:
    """Refuse labels that are of other queries."""
    if asked.labels is None:
        return
    names = names_of(asked.queries)
    if not any(name in asked.labels.qrels for name in names):
        raise InputError(
            f"none of the queries has a label: the queries are {_few(names)}, the labels are of "
            f"{_few(list(asked.labels.qrels))}",
            hint="name the queries as the labels do: query_ids=, --query-ids FILE, or a .tsv or "
            ".jsonl file of queries",
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")


def _live(
    work: EvaluationContext, setting: Setting, known: GroundTruth, client: Client | None
) -> Result:
    info = collection_info.info(work.store, work.collection).vectors[work.name]
    result = Result(
        setting.text, info.quantization, setting.rescore or info.default_rescore,
        dict(setting.options), str(info.quantization), where="live",
        notes=() if matches_configuration(info) else (
            f"configured {info.quantization}, seen {info.status.state}: {info.status.reason}",
        ),
    )  # fmt: skip
    searcher = work.searcher(work.collection, setting, info.vector)
    return measurement.measure(searcher, info, known, result, work.progress, client=client)


# -- candidates ----------------------------------------------------------------------------------


def _sample(
    store: Store,
    collection: str,
    name: str,
    info: CollectionInfo,
    rows: int,
    seed: int,
    progress: OnProgress,
) -> Batch:
    """The rows that candidates run on: all of them, or a sample; those that have the vector."""
    progress(Progress("reading a sample"))
    if info.count <= rows:
        batch = whole_of(store, collection, name)
    else:
        batch = store.sample(collection, rows, seed=seed, vectors=[name])
    return present(batch, name, collection)


def _client(work: EvaluationContext, sample: Batch, stack: contextlib.ExitStack) -> Client:
    """Measures what a search takes that gives the engine next to nothing to do."""
    few = sample.rows(0, min(len(sample), work.asked.k + work.asked.extra))
    vector = work.vector.vector
    small = stack.enter_context(
        scratch_copy(
            work.store, {work.name: vector}, [few], silent, of=f"{work.collection} (few rows)"
        )
    )
    searcher = work.searcher(small, Setting(None), vector)
    return lambda: latency.client_overhead(searcher.one, len(work.asked.queries))
