"""Advise with client-side codes: predicted by the code index on the sample, measured with a copy.

The database keeps the original vectors, and the codes are stored in addition. They never need less
RAM than no codes, and are only recommended if searches without codes are too slow.
"""

from __future__ import annotations

from collections.abc import Sequence

from qadapt.costing.footprints import planned_for
from qadapt.evaluation.documents import Evaluation, Option, RuledOut, Simulation, Target
from qadapt.evaluation.evaluate import evaluate
from qadapt.evaluation.option_cost import option, p95
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.results import Result
from qadapt.evaluation.settings import Setting
from qadapt.local.client_codes import by_store, match
from qadapt.model import CollectionInfo, MatchLevel, Quantization, Rescore, VectorInfo
from qadapt.stores.base import Store

FACTORS = (2, 4, 8, 16, 32)  # also of the settings that are simulated
COPIED = (
    "met the target on {:,} of {:,} rows with client-side codes (accept=client); predicted for all"
)
PREDICTED = "client-side codes (accept=client), not confirmed on a copy"
CLIENT_SIDE = "measured on all rows with client-side codes (accept=client)"


def unmodelled_codes(codes: Sequence[str], store: Store, vector: VectorInfo) -> list[Quantization]:
    """The codes that the database does not support and qadapt does."""
    asked = [Quantization.parse(text).replace(rescore=None) for text in codes]
    return [
        each
        for each in dict.fromkeys(asked)
        if by_store(store, each, vector.vector).match.level is MatchLevel.UNSUPPORTED
        and match(each).level is not MatchLevel.UNSUPPORTED
    ]


def measure_client_codes(
    store: Store,
    info: CollectionInfo,
    name: str,
    codes: Sequence[Quantization],
    target: Target,
    options: EvaluationOptions,
    simulation: Simulation,
) -> tuple[list[Option], list[RuledOut], Evaluation]:
    """Measure the least rescoring with which each of the client-side codes meets the target.

    Args:
        simulation: predicts their recall on all rows, which counts if the copy holds only some.
    """
    most = store.traits.max_k
    factors = [Rescore(source="off"), *(Rescore(f) for f in FACTORS if f * target.k <= most)]
    settings = [Setting(each, rescore) for each in codes for rescore in factors]
    untimed = options.replace(live=False, accept="client", concurrency=())
    found = evaluate(store, info.name, name, settings, untimed)
    out: list[RuledOut] = []
    least: list[Setting] = []  # the least rescoring of each of the codes
    for each in codes:
        # Of several filters, the lowest recall.
        mine = [found.result(item.text) for item in settings if item.quantization == each]
        if found.copy_rows != info.count:
            mine = [item for item in mine if _predicted_recall(item, simulation) >= target.recall]
            if not mine:
                out.append(_never_predicted(each, simulation, target))
                continue
        good = next((item for item in mine if _recall(item) >= target.recall), None)
        if good is None:
            out.append(_missed(max(mine, key=_recall), target))
        else:
            least.append(Setting.of(good.setting))
    chosen: list[Option] = []
    if least:
        found = evaluate(store, info.name, name, least, untimed.replace(concurrency=(1,)))
        for item in [found.result(setting.text) for setting in least]:
            if _meets(item, target):
                chosen.append(_option(store, info, name, item, target, found, simulation))
            else:
                out.append(_missed(item, target))
    fits, large = _within(chosen, target)
    return fits, out + large, found


def predicted_client_codes(
    store: Store,
    vector: VectorInfo,
    codes: Sequence[Quantization],
    target: Target,
    simulation: Simulation,
) -> tuple[list[Option], list[RuledOut]]:
    """The least rescoring with which client-side codes are predicted to meet the target."""
    chosen: list[Option] = []
    out: list[RuledOut] = []
    for each in codes:
        mine = _simulated(each, simulation)
        good = next((item for item in mine if _recall(item) >= target.recall), None)
        if good is None:
            out.append(_never_predicted(each, simulation, target))
            continue
        assert good.recall is not None
        placed = planned_for(store.name, vector, each, client_side=True)
        chosen.append(
            option(
                Setting.of(good.setting), each, placed, good.recall, target,
                source="predicted", latency_ms=None, reason=PREDICTED,
            )
        )  # fmt: skip
    fits, large = _within(chosen, target)
    return fits, out + large


def _simulated(codes: Quantization, simulation: Simulation) -> list[Result]:
    """The predictions for some codes; of several filters, the lowest recall."""
    settings = dict.fromkeys(item.setting for item in simulation.results)
    found = [simulation.result(setting) for setting in settings]
    return [item for item in found if item.quantization == codes and item.state == "predicted"]


def _predicted_recall(item: Result, simulation: Simulation) -> float:
    """The predicted recall of a measured setting; 0 if it was not predicted."""
    known = {each.setting: each for each in _simulated(item.quantization, simulation)}
    return _recall(known[item.setting]) if item.setting in known else 0.0


def _never_predicted(codes: Quantization, simulation: Simulation, target: Target) -> RuledOut:
    best = max(_simulated(codes, simulation), key=_recall, default=None)
    if best is None:
        return RuledOut(str(codes), "its recall with client-side codes was not predicted")
    why = f"with client-side codes, predicted recall@{target.k} is {_recall(best):.3f} at most"
    return RuledOut(str(codes), f"{why}, with {best.setting}", best.recall)


def _within(chosen: Sequence[Option], target: Target) -> tuple[list[Option], list[RuledOut]]:
    """The options within the limit of RAM, and the others."""
    fits = [item for item in chosen if target.max_ram is None or item.ram <= target.max_ram]
    return fits, [
        RuledOut(item.setting, f"needs {item.ram:,} bytes of RAM", item.recall, item.ram)
        for item in chosen
        if item not in fits
    ]


def _recall(result: Result) -> float:
    return result.recall.value if result.recall is not None else 0.0


def _meets(result: Result, target: Target) -> bool:
    slow = p95(result)
    in_time = target.max_latency_ms is None or (slow is not None and slow <= target.max_latency_ms)
    return _recall(result) >= target.recall and in_time


def _missed(result: Result, target: Target) -> RuledOut:
    if result.recall is None:
        return RuledOut(result.setting, f"{result.state}: {'; '.join(result.notes)}")
    why = f"with client-side codes, recall@{target.k} is {_recall(result):.4f} at most"
    if _recall(result) >= target.recall:
        why = f"the 95th percentile with client-side codes is {p95(result):.2f} ms"
    return RuledOut(result.setting, why, result.recall, latency_ms=p95(result))


def _option(
    store: Store,
    info: CollectionInfo,
    name: str,
    result: Result,
    target: Target,
    measured: Evaluation,
    simulation: Simulation,
) -> Option:
    whole = measured.copy_rows is None or measured.copy_rows >= info.count
    recall = result.recall if whole else simulation.result(result.setting).recall
    assert recall is not None
    return option(
        Setting.of(result.setting),
        result.quantization,
        planned_for(store.name, info.vectors[name], result.quantization, client_side=True),
        recall,
        target,
        source="measured" if whole else "predicted",
        latency_ms=p95(result),
        reason=CLIENT_SIDE if whole else COPIED.format(measured.copy_rows, info.count),
    )
