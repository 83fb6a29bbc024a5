"""Guards of changes: recall before and after.

After a change of the datatype, recall is measured against the ground truth of the vectors before
the change: the new vectors have lost precision.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from qadapt.errors import GuardMissedError
from qadapt.evaluation.ground_truth import exact_neighbors
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.recall import ORIGINALS
from qadapt.evaluation.truth_vectors import vector_of_truth
from qadapt.evaluation.verify import CURRENT, MeasuredSubset, measure_live, measure_subset
from qadapt.local import collection_info
from qadapt.model import Guard, Plan, Vector
from qadapt.planning import guard_truth
from qadapt.planning.change_record import ChangeRecord
from qadapt.planning.guard_result import GuardResult, ground_truths
from qadapt.stores.base import OnProgress, Store


def measure_guard(
    store: Store, record: ChangeRecord, when: str, progress: OnProgress
) -> GuardResult | None:
    """Measure the recall of a guard once; a resumed change reuses an earlier measurement.

    Raises:
        GuardMissedError: before the change, the measurement proves nothing.
        IntegrityError: the saved ground truth from before the change cannot be read.
    """
    plan = record.plan
    if plan.guard is None:
        return None
    known = GuardResult.of(record.last(f"recall {when}"))
    if known is not None:
        return known
    if when == "before":
        measured = _measure_before(store, record, plan.guard, progress)
    else:
        measured = _measure_after(store, record, plan.guard, progress)
    record.add(
        f"recall {when}", recall=measured.recall, ground_truth=measured.ground_truth,
        proof=measured.proof.level, reason=measured.proof.reason, no_params=measured.no_params,
        filter=measured.filter,
    )  # fmt: skip
    return measured


def _measure_before(
    store: Store, record: ChangeRecord, guard: Guard, progress: OnProgress
) -> GuardResult:
    plan = record.plan
    measured, parts = guard_recall(store, plan.collection, plan.vector, guard, progress)
    if measured.proof.level == "none" and not record.started_steps():
        raise GuardMissedError(
            f"the guard {guard} cannot be judged: {measured.proof.reason}; nothing was changed",
            hint="use a guard with a smaller k, or apply without a guard",
        )
    if guard_truth.is_needed(plan):
        source = store.aliases().get(plan.collection, plan.collection)
        info = collection_info.info(store, plan.collection)
        whole = vector_of_truth(store, info, plan.vector).name
        former = [_with_metric(store, plan, whole, part, guard, progress) for part in parts]
        guard_truth.save(record, former, source, whole)
    return measured


def _with_metric(
    store: Store,
    plan: Plan,
    whole: str,
    part: MeasuredSubset,
    guard: Guard,
    progress: OnProgress,
) -> MeasuredSubset:
    """The ground truth before the change, by the metric after it.

    Args:
        whole: name of the vector that ground truth is computed from.
    """
    truth, subset = part.truth, part.subset
    metric = plan.target_vector.metric if plan.target_vector else truth.vector.metric
    if metric == truth.vector.metric:
        return part
    vector = replace(truth.vector, metric=metric)
    truth = exact_neighbors(
        store, subset.collection, whole, vector, part.queries, guard.k, progress,
        filter=subset.filter,
    ).labelled(subset.label)  # fmt: skip
    return replace(part, truth=truth)


def _measure_after(
    store: Store, record: ChangeRecord, guard: Guard, progress: OnProgress
) -> GuardResult:
    plan, name = record.plan, record.plan.changed_vector
    if guard_truth.is_needed(plan):
        info = collection_info.info(store, plan.collection)
        former = guard_truth.load(store, record)
        vector = former[0].vector
        if vector.datatype != info.vectors[name].datatype:
            parts = [
                MeasuredSubset(
                    each.subset, each.queries, each.truth,
                    tuple(measure_live(
                        store, info, name, [CURRENT], each.queries, each.truth, progress,
                        each.subset,
                    )),
                )
                for each in former
            ]  # fmt: skip
            return replace(_lowest(parts, guard), ground_truth=_before_the_change(vector))
    return guard_recall(store, plan.collection, name, guard, progress)[0]


def guard_recall(
    store: Store, collection: str, name: str, guard: Guard, progress: OnProgress
) -> tuple[GuardResult, list[MeasuredSubset]]:
    """The current recall@k on the guard's queries, against the stored vectors.

    Returns:
        The lowest recall of the guard's filters, and the measurement of each.
    """
    info = collection_info.info(store, collection)
    options = EvaluationOptions(
        k=guard.k, queries=guard.queries, filter=guard.filter, by=guard.by, seed=guard.seed,
        by_limit=guard.by_limit, progress=progress,
    )  # fmt: skip
    parts = [
        measure_subset(store, info, name, [CURRENT], subset, options)
        for subset in options.subsets(store, collection).parts
    ]
    return _lowest(parts, guard), parts


def _lowest(parts: Sequence[MeasuredSubset], guard: Guard) -> GuardResult:
    """The lowest judged recall; filters that prove nothing count only if there are no others."""
    found = [_result(part) for part in parts if part.proves] or [_result(part) for part in parts]
    return min(found, key=lambda each: each.judged(guard))


def _result(part: MeasuredSubset) -> GuardResult:
    (found,) = part.results
    assert found.recall is not None  # the live collection is always measured
    assert found.recall_no_params is not None
    about, no_params = part.truth.about, found.recall_no_params.value
    return GuardResult(
        found.recall.value, about.ground_truth, about.proof, no_params, part.subset.label
    )


def _before_the_change(vector: Vector) -> str:
    """The ground truth after a change of the datatype."""
    if vector.datatype == "float32":
        return ORIGINALS
    return f"vectors before the change ({vector.datatype})"


def missed(plan: Plan, before: GuardResult | None, after: GuardResult | None) -> str:
    """Why the guard is missed; empty if it is met or there is none."""
    if plan.guard is None or after is None:
        return ""
    if after.proof.level == "none":
        return f"the guard {plan.guard} cannot be evaluated: {after.proof.reason}"
    if after.judged(plan.guard) >= plan.guard.recall:
        return ""
    was = "" if before is None else f" (it was {before.recall:.4f} before)"
    under = f" for {after.filter}" if after.filter else ""
    weak = f"; {after.proof.reason}" if after.proof.reason else ""
    return (
        f"recall@{plan.guard.k} is {_figures(after)} with {plan.target}{under}, below the guard of "
        f"{plan.guard.recall:g}{was}; ground truth: {ground_truths(before, after)}{weak}"
    )


def _figures(measured: GuardResult) -> str:
    """Both figures; one if they are equal."""
    if measured.no_params is None or measured.no_params == measured.recall:
        return f"{measured.recall:.4f}"
    return (
        f"{measured.no_params:.4f} for a client that sends no search parameters, and "
        f"{measured.recall:.4f} for clients that send those of the setting,"
    )


def way_out(plan: Plan, after: GuardResult | None) -> str:
    """What to do after a missed guard."""
    guard = plan.guard
    finer = "raise the oversampling (rescore=), or plan a finer kind"
    if guard is None or after is None or after.recall < guard.recall:
        return finer
    where = [plan.reopen or plan.address, plan.collection]
    where += ["--vector", plan.changed_vector] if plan.changed_vector else []
    return (
        "if all clients will send the parameters, apply it again with --guard-clients configured "
        "(qa.Guard(clients='configured')); then `qadapt client-params "
        f"{shlex.join(where)}` prints what they must send"
    )
