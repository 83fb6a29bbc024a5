"""Advise: find the cheapest setting that meets a target.

The search starts with a simulation: for each kind of codes, the least rescoring whose predicted
recall meets the target, and its RAM. These settings are then measured on the engine, cheapest
first, until two of them meet the target.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.evaluation import overall_progress
from qadapt.evaluation.advice_spec import guard_of, spec_of
from qadapt.evaluation.advise_client import (
    measure_client_codes,
    predicted_client_codes,
    unmodelled_codes,
)
from qadapt.evaluation.documents import (
    Advice,
    Evaluation,
    Option,
    RuledOut,
    Simulation,
    Target,
    now,
)
from qadapt.evaluation.evaluate import evaluate
from qadapt.evaluation.joined_evaluations import joined, with_predictions
from qadapt.evaluation.memory import live_memory
from qadapt.evaluation.option_cost import option, p95, ranked
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.overall_progress import Meter
from qadapt.evaluation.partial import Interrupted
from qadapt.evaluation.results import Result
from qadapt.evaluation.scratch_copies import check_disk
from qadapt.evaluation.settings import Setting
from qadapt.evaluation.shortlist import (
    CODES,
    Candidate,
    FirstAnswer,
    PredictedSoFar,
    candidate_grid,
    shortlist,
    without_product_codes,
)
from qadapt.evaluation.simulate import simulate
from qadapt.local import collection_info
from qadapt.model import CollectionInfo, MemoryChange, Prices, Quantization, VectorInfo
from qadapt.stores.base import Store

AT_ONCE = 3  # candidates measured by one evaluation
ROUNDS = 3
ROUND = 20.0  # expected seconds of a further evaluation

SLOW = "original vectors are on disk: rescoring reads them, so latency depends on the disk"
COPIED = (
    "measured on {:,} of {:,} rows, where it met the target; recall is the prediction for all rows"
)
OURS = "the best setting uses client-side codes: qadapt plan -f SPEC --accept client"
STOPPED = "interrupted: the answer is based on what was measured; --resume (resume=True) continues"
UNMET = "no setting meets the target; the ruled-out settings show by how much each one misses it"


@dataclass
class _Findings:
    """What one call has found so far; ``filters`` is the number of filters, 0 for none."""

    options: list[Option] = field(default_factory=list)
    out: list[RuledOut] = field(default_factory=list)
    evaluation: Evaluation | None = None
    filters: int = 0

    def add(self, options: list[Option], out: list[RuledOut], measured: Evaluation) -> None:
        """Add the outcome of one evaluation."""
        self.options += options
        self.out += out
        self.evaluation = joined(self.evaluation, measured)


def advise(
    store: Store,
    collection: str,
    name: str,
    target: Target,
    options: EvaluationOptions,
    codes: Sequence[str] = CODES,
) -> Advice:
    """Find the cheapest setting that meets a target. The collection is only read.

    Args:
        name: name of the vector.
        target: the requirements; its ``k`` replaces that of ``options``.
        codes: quantizations to choose from.

    Raises:
        InputError, SpecError, NotFoundError, StoreError
        Interrupted: Ctrl-C after at least one setting was simulated.
    """
    begun = time.monotonic()
    options.check_target(target)
    options = options.replace(k=target.k)
    guard = guard_of(target, options)
    info = store.info(collection)
    vector = info.vectors[name]
    if options.confirm:
        check_disk(store, min(info.count, options.copy_rows), vector.dim)
    grid = candidate_grid(codes, target.k, store, vector.vector)
    meter = Meter(options.progress, _expected(vector, grid, options))
    options = options.replace(progress=meter)
    meter.begin(overall_progress.SIMULATION)
    answer = FirstAnswer(meter)
    fast = without_product_codes(grid) if options.confirm else 0

    def early(results: Sequence[Result]) -> None:
        if fast and len(results) == fast:
            so_far = PredictedSoFar(tuple(results))
            answer.report(shortlist(store, info, vector, so_far, target, options.accept)[0])

    stopped = False
    try:
        simulation = simulate(store, collection, name, grid, options, early)
    except Interrupted as error:
        stopped, simulation = True, error.document
    tries, out = shortlist(store, info, vector, simulation, target, options.accept)
    found = _Findings(out=out, filters=len(simulation.truths))
    by_us = unmodelled_codes(codes, store, vector) if options.accept == "client" else []
    if not stopped:
        try:
            _measure(store, info, name, target, options, tries, by_us, found, simulation, answer)
        except KeyboardInterrupt:
            stopped = True
    measured = bool(found.options)
    if not measured and (stopped or not options.confirm):
        found.options = [_predicted(item, target) for item in tries[:2]]
        found.out += [_dearer(item) for item in tries[2:]]
        _add_client_codes(
            found, by_us, *predicted_client_codes(store, vector, by_us, target, simulation)
        )
    found.out += [
        RuledOut(item.setting, "it meets the target, but needs more RAM", item.recall, item.ram)
        for item in found.options[2:]
    ]
    answers = [ranked(item, found.options[0]) for item in found.options[:2]]
    evaluation = None if found.evaluation is None else with_predictions(found.evaluation, tries)
    advice = Advice(
        **_joint(simulation, evaluation),
        target=target,
        best=answers[0] if answers else None,
        runner_up=answers[1] if len(answers) > 1 else None,
        ruled_out=tuple(found.out),
        spec=spec_of(store, collection, name, answers[0], target, guard) if answers else "",
    )
    own = [STOPPED] if stopped else []
    own += _notes(advice, by_us, partial=stopped)
    now_seen = live_memory(store.name, collection_info.info(store, collection).vectors[name])
    advice = advice.replace(
        **_memory(now_seen, advice.best, target),
        engine_memory=store.engine_memory(),
        confirmed=measured and advice.best is not None and advice.proof.level != "none",
        notes=tuple(dict.fromkeys((*advice.notes, *own))),
        partial=stopped,
        created=now(),
        command=options.command,
        seconds=time.monotonic() - begun,
    )
    if stopped:
        raise Interrupted(advice)
    return advice


def _expected(
    vector: VectorInfo, grid: Sequence[Setting], options: EvaluationOptions
) -> dict[str, float]:
    """Expected seconds of the simulation, and of the evaluation of the first candidates."""
    reading = overall_progress.of_reading(vector, options)
    seconds = {**reading, **overall_progress.of_simulation(vector, grid, options)}
    found = {overall_progress.SIMULATION: sum(seconds.values())}
    if options.confirm:
        some = [Setting(None), *(Setting(each.quantization) for each in grid[:AT_ONCE])]
        timed = options.replace(concurrency=(1,))
        rest = overall_progress.of_evaluation(vector, some, timed)
        found[f"{overall_progress.SETTINGS} 0"] = sum(rest.values())
    return found


def _joint(simulation: Simulation, evaluation: Evaluation | None) -> dict[str, Any]:
    """The shared fields of the advice: those of both documents."""
    shared = simulation.shared()
    if evaluation is not None:
        shared.update(
            count=evaluation.count,
            results=(*evaluation.results, *simulation.results),
            copy_rows=evaluation.copy_rows,
            copy_truth=evaluation.copy_truth,
            copy_truths=evaluation.copy_truths,
            notes=(*simulation.notes, *evaluation.notes),
        )
    return shared


def _memory(live: MemoryChange | None, best: Option | None, target: Target) -> dict[str, Any]:
    """RAM and disk now and with the recommended setting."""
    if live is None or best is None:
        return {"memory": live, "memory_setting": "live"}
    change = live.replace(ram_after=best.ram, disk_after=best.disk)
    return {"memory": change.priced(Prices(target.price)), "memory_setting": best.setting}


def _notes(advice: Advice, by_us: Sequence[Quantization], *, partial: bool) -> list[str]:
    notes = []
    if advice.best is None:
        notes += [] if partial else [UNMET]
    elif advice.best.quantization.originals == "disk":
        notes.append(SLOW)
    if advice.best is not None and advice.best.quantization in by_us:
        notes.append(OURS)
    if advice.proof.reason:
        notes.append(advice.proof.reason)
    return notes


# -- without measurements -------------------------------------------------------------------------


def _predicted(item: Candidate, target: Target) -> Option:
    return option(
        item.setting,
        item.quantization,
        item.footprint,
        item.recall,
        target,
        source="predicted",
        latency_ms=None,
        reason="not confirmed on the engine",
    )


def _dearer(item: Candidate) -> RuledOut:
    ram = item.footprint.ram
    return RuledOut(
        item.setting.text, f"not measured: it needs {ram:,} bytes of RAM", item.recall, ram
    )


# -- on the engine -------------------------------------------------------------------------------


def _measure(
    store: Store,
    info: CollectionInfo,
    name: str,
    target: Target,
    options: EvaluationOptions,
    tries: Sequence[Candidate],
    by_us: Sequence[Quantization],
    found: _Findings,
    simulation: Simulation,
    answer: FirstAnswer,
) -> None:
    """Report the prediction as a first answer, then measure candidates."""
    if not options.confirm:
        return
    if tries:
        answer.report(tries)
        _confirm(store, info, name, target, options, tries, found)
    if by_us:
        _measure_client_codes(store, info, name, target, options, by_us, found, simulation)


def _confirm(
    store: Store,
    info: CollectionInfo,
    name: str,
    target: Target,
    options: EvaluationOptions,
    tries: Sequence[Candidate],
    found: _Findings,
) -> None:
    """Measure candidates, cheapest first, until two of them meet the target.

    Each setting is timed with each filter; together they take as long as one.
    """
    at = 0
    for at in range(0, min(len(tries), AT_ONCE * ROUNDS), AT_ONCE):
        part = tries[at : at + AT_ONCE]
        if isinstance(options.progress, Meter):
            options.progress.begin(f"{overall_progress.SETTINGS} {at}", ROUND)
        settings = [setting for item in part for setting in item.settings]
        asked = options.replace(
            live=at == 0,
            fresh=False,  # the simulation has just computed the ground truth
            accept="differs" if options.accept == "client" else options.accept,
            concurrency=(1,) if target.max_latency_ms is None else (1, 4),
            resume=options.resume or at > 0,  # the results of one call share a file
            seconds=options.seconds / max(1, found.filters),
        )
        try:
            measured = evaluate(store, info.name, name, settings, asked)
        except Interrupted as error:
            found.add(*_confirmed(part, error.document, target), error.document)
            raise
        found.add(*_confirmed(part, measured, target), measured)
        if len(found.options) >= 2:
            break
    found.out += [_dearer(item) for item in tries[at + AT_ONCE :]]


def _measure_client_codes(
    store: Store,
    info: CollectionInfo,
    name: str,
    target: Target,
    options: EvaluationOptions,
    codes: Sequence[Quantization],
    found: _Findings,
    simulation: Simulation,
) -> None:
    """Measure codes that only qadapt has."""
    try:
        options_found, out, measured = measure_client_codes(
            store, info, name, codes, target, options.replace(fresh=False), simulation
        )
    except Interrupted as error:
        _add_client_codes(found, codes, [], [])
        found.add([], [], error.document)
        raise
    _add_client_codes(found, codes, options_found, out)
    found.add([], [], measured)


def _add_client_codes(
    found: _Findings,
    codes: Sequence[Quantization],
    options: Sequence[Option],
    out: Sequence[RuledOut],
) -> None:
    """Add codes that only qadapt has; what is known of them replaces the refusal by the store."""
    named = {str(each) for each in codes}
    found.out = [item for item in found.out if item.setting not in named]
    found.options += options
    found.out += out
    found.options.sort(key=lambda item: item.ram)


def _confirmed(
    part: Sequence[Candidate], measured: Evaluation, target: Target
) -> tuple[list[Option], list[RuledOut]]:
    """The first setting of each candidate that meets the target, cheapest first.

    Candidates that an interrupted evaluation did not reach are in neither list.
    """
    reached = {result.setting for result in measured.results}
    found: list[Option] = []
    out: list[RuledOut] = []
    whole = measured.copy_rows is None or measured.copy_rows >= measured.count
    for item in part:
        why: RuledOut | None = None
        for setting in item.settings:
            if setting.text not in reached:
                why = None
                break
            result = measured.result(setting.text)
            why = _missed(result, item, target)
            if why is None:
                recall = result.recall if whole and result.recall is not None else item.recall
                reason = (
                    "measured on all rows" if whole
                    else COPIED.format(measured.copy_rows, measured.count)
                )  # fmt: skip
                found.append(
                    option(
                        setting, item.quantization, item.footprint, recall, target,
                        source="measured" if whole else "predicted",
                        latency_ms=p95(result), reason=reason,
                    )
                )  # fmt: skip
                break
        if why is not None:
            out.append(why)
    return found, out


def _missed(result: Result, item: Candidate, target: Target) -> RuledOut | None:
    ram, slow = item.footprint.ram, p95(result)
    if result.state != "measured" or result.recall is None:
        why = f"{result.state}: {'; '.join(result.notes)}"
        return RuledOut(result.setting, why, result.recall, ram, slow)
    if result.recall.value < target.recall:
        why = f"measured recall@{target.k} is {result.recall.value:.4f}, below {target.recall:g}"
        return RuledOut(result.setting, why, result.recall, ram, slow)
    if target.max_latency_ms is not None and slow is not None and slow > target.max_latency_ms:
        why = f"the 95th percentile is {slow:.2f} ms, above {target.max_latency_ms:g}"
        return RuledOut(result.setting, why, result.recall, ram, slow)
    return None
