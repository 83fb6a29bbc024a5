"""Advise: the cheapest setting that meets a target.

From simulation first, which costs nothing: for each kind of codes the least rescoring whose
predicted recall meets the target, and what it takes in RAM. What is left is tried on the live
engine, cheapest first, until two settings were seen to meet the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import SpecError, refuse_pairs
from qadapt.evaluation.advice_spec import spec_of
from qadapt.evaluation.advise_client import measure_client_codes as measure_ours
from qadapt.evaluation.advise_client import unmodelled_codes
from qadapt.evaluation.candidates import TIMEOUT
from qadapt.evaluation.evaluate import COPY_ROWS, evaluate
from qadapt.evaluation.exact_neighbors import MEMORY
from qadapt.evaluation.option_cost import monthly, p95
from qadapt.evaluation.query_input import Encoder
from qadapt.evaluation.recall import weakest_proof
from qadapt.evaluation.results import (
    Advice,
    Evaluation,
    Figure,
    Option,
    Prediction,
    Result,
    RuledOut,
    Target,
    now,
)
from qadapt.evaluation.settings import Setting
from qadapt.evaluation.shortlist import CODES, Candidate, candidate_grid, shortlist
from qadapt.evaluation.simulate import SAMPLE, simulate
from qadapt.model import ACCEPTS, Accept
from qadapt.stores.base import OnProgress, Store, silent

AT_ONCE = 3  # settings that are tried on the engine in one go
ROUNDS = 3

SLOW = "with originals on disk each rescored row is read from there: latency depends on that disk"
COPIED = (
    "measured on {:,} of {:,} rows, where it met the target; recall is the prediction for all of "
    "them"
)
OURS = "the best has qadapt's own codes: qadapt plan -f SPEC --accept client"
UNMET = "nothing met the target: the notes and what was ruled out say by how much"


def advise(
    store: Store,
    collection: str,
    name: str,
    target: Target,
    *,
    codes: Sequence[str] = CODES,
    queries: Any = 200,
    encoder: Encoder | None = None,
    confirm: bool = True,
    sample_rows: int = SAMPLE,
    copy_rows: int = COPY_ROWS,
    memory_budget: int = MEMORY,
    fresh: bool = False,
    seed: int = 0,
    timeout: float = TIMEOUT,
    accept: Accept = "differs",
    progress: OnProgress = silent,
    command: str = "",
) -> Advice:
    """The cheapest setting that meets a target; the collection is only read.

    Args:
        codes: what to choose from.
        queries: see ``questions.ask``.
        confirm: try on the live engine, on a copied sample that is removed afterwards; else the
            advice rests on predictions alone, and a latency cannot be promised.
        accept: ``exact`` (no cousins of what is named), ``differs``, or ``client``: qadapt's own
            codes too where the store has none, which are measured beside the copy.

    Raises:
        InputError, SpecError, NotFoundError, StoreError
    """
    _check(target)
    if accept not in ACCEPTS:
        raise SpecError.unknown("accept", accept, ACCEPTS)
    refuse_pairs(
        (target.max_latency_ms is not None and not confirm, "max_latency_ms (--max-latency)",
         "with confirm=False (--no-confirm)", "latency is measured on the engine"),
        (accept == "client" and not confirm, "accept=client (--accept client)",
         "with confirm=False (--no-confirm)", "qadapt's own codes are measured, not predicted"),
    )  # fmt: skip
    info = store.info(collection)
    vector = info.vectors[name]
    simulation = simulate(
        store, collection, name, candidate_grid(codes, target.k, store, vector.vector), k=target.k,
        queries=queries, encoder=encoder, sample_rows=sample_rows, memory=memory_budget,
        fresh=fresh, seed=seed,
        progress=progress,
    )  # fmt: skip
    tries, out = shortlist(store, info, vector, simulation, target, accept)
    by_us = unmodelled_codes(codes, store, vector) if accept == "client" else []
    found: list[Option] = []
    evaluation: Evaluation | None = None
    notes: list[str] = []
    if confirm and tries:
        for at in range(0, min(len(tries), AT_ONCE * ROUNDS), AT_ONCE):
            part = tries[at : at + AT_ONCE]
            settings = [setting for item in part for setting in item.settings]
            measured = evaluate(
                store, collection, name, settings=settings, k=target.k, queries=queries,
                encoder=encoder, copy_rows=copy_rows, live=at == 0, memory=memory_budget,
                seed=seed, timeout=timeout, progress=progress,
                accept="differs" if accept == "client" else accept,
                concurrency=(1,) if target.max_latency_ms is None else (1, 4),
            )  # fmt: skip
            evaluation = _joined(evaluation, measured)
            options, missed = _confirmed(part, measured, target)
            found += options
            out += missed
            if len(found) >= 2:
                break
        out += [_dearer(item) for item in tries[at + AT_ONCE :]]
    else:
        found = [_predicted(item, target) for item in tries[:2]]
        out += [_dearer(item) for item in tries[2:]]
    if by_us:
        options, missed, measured = measure_ours(
            store, info, name, by_us, target, queries=queries, encoder=encoder,
            copy_rows=copy_rows, memory=memory_budget, seed=seed, timeout=timeout,
            progress=progress,
        )  # fmt: skip
        evaluation = _joined(evaluation, measured)
        named = {str(each) for each in by_us}
        out = [item for item in out if item.setting not in named] + missed
        found = sorted([*found, *options], key=lambda item: item.ram)
    out += [
        RuledOut(item.setting, "it meets the target too, but is dearer", item.recall, item.ram)
        for item in found[2:]
    ]
    found = [_ranked(option, found[0]) for option in found]
    best = found[0] if found else None
    if best is None:
        notes.append(UNMET)
    elif best.quantization.originals == "disk":
        notes.append(SLOW)
    if best is not None and best.quantization in by_us:
        notes.append(OURS)
    proof = weakest_proof(each.proof for each in (simulation, evaluation) if each is not None)
    if proof.reason:
        notes.append(proof.reason)
    return Advice(
        store=str(store.address),
        collection=collection,
        vector=name,
        target=target,
        best=best,
        runner_up=found[1] if len(found) > 1 else None,
        ruled_out=tuple(out),
        simulation=simulation,
        evaluation=None if evaluation is None else _with_predictions(evaluation, tries),
        spec="" if best is None else spec_of(store, collection, name, best, target, queries),
        confirmed=confirm and best is not None and proof.level != "none",
        created=now(),
        command=command,
        notes=tuple(notes),
    )


def _check(target: Target) -> None:
    if isinstance(target.recall, bool) or not 0 < target.recall <= 1:
        raise SpecError(f"a target's recall is above 0 and at most 1; got {target.recall!r}")
    for word in ("max_ram", "max_latency_ms", "price"):
        value = getattr(target, word)
        if value is not None and (isinstance(value, bool) or value <= 0):
            raise SpecError(f"{word} is a number above 0; got {value!r}")


# -- what was chosen -------------------------------------------------------------------------------


def _predicted(item: Candidate, target: Target) -> Option:
    return _option(
        item, item.setting, item.recall, target, "predicted", None, "not confirmed on the engine"
    )


def _dearer(item: Candidate) -> RuledOut:
    ram = item.footprint.ram
    return RuledOut(
        item.setting.text, f"not tried: it takes {ram:,} bytes of RAM", item.recall, ram
    )


# -- on the engine -------------------------------------------------------------------------------


def _confirmed(
    part: Sequence[Candidate], measured: Evaluation, target: Target
) -> tuple[list[Option], list[RuledOut]]:
    """Of each try the first of its settings that met the target, cheapest first."""
    found: list[Option] = []
    out: list[RuledOut] = []
    whole = measured.copy_rows is None or measured.copy_rows >= measured.count
    for item in part:
        why: RuledOut | None = None
        for setting in item.settings:
            result = measured.result(setting.text)
            why = _missed(result, item, target)
            if why is None:
                recall = result.recall if whole and result.recall is not None else item.recall
                reason = (
                    "measured on all rows" if whole
                    else COPIED.format(measured.copy_rows, measured.count)
                )  # fmt: skip
                found.append(
                    _option(
                        item, setting, recall, target, "measured" if whole else "predicted",
                        p95(result), reason,
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
        why = f"measured recall@{target.k} is {result.recall.value:.4f}, under {target.recall:g}"
        return RuledOut(result.setting, why, result.recall, ram, slow)
    if target.max_latency_ms is not None and slow is not None and slow > target.max_latency_ms:
        why = f"the 95th percentile is {slow:.2f} ms, over {target.max_latency_ms:g}"
        return RuledOut(result.setting, why, result.recall, ram, slow)
    return None


def _option(
    item: Candidate,
    setting: Setting,
    recall: Figure,
    target: Target,
    source: Any,
    latency_ms: float | None,
    reason: str,
) -> Option:
    footprint = item.footprint
    return Option(
        setting=setting.text,
        quantization=item.quantization,
        rescore=setting.rescore,
        recall=recall,
        source=source,
        ram=footprint.ram,
        disk=footprint.disk,
        latency_ms=latency_ms,
        monthly=monthly(target, footprint.ram),
        reasons=(reason,),
    )


def _ranked(option: Option, best: Option) -> Option:
    """With the reason for its place."""
    if option is best:
        why = "the least RAM of what met the target, and the fewest candidates to score again"
    elif option.ram == best.ram:
        why = "as much RAM as the best, and more on disk or more candidates to score again"
    else:
        why = f"{option.ram - best.ram:,} bytes of RAM more than the best"
    return option.replace(reasons=(why, *option.reasons))


def _joined(first: Evaluation | None, second: Evaluation) -> Evaluation:
    if first is None:
        return second
    return first.replace(
        results=(*first.results, *second.results),
        seconds=first.seconds + second.seconds,
        copy_truth=first.copy_truth or second.copy_truth,
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
    )


def _with_predictions(evaluation: Evaluation, tries: Sequence[Candidate]) -> Evaluation:
    message_text: Mapping[str, Prediction | None] = {
        item.setting.text: item.prediction for item in tries
    }
    return evaluation.replace(
        results=tuple(
            result.replace(predicted=message_text.get(result.setting))
            for result in evaluation.results
        )
    )
