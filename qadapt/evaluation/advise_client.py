"""Advise with client-side codes: they are measured with a copy, because no model predicts them.

The database keeps the original vectors, and the codes are stored in addition. They never need less
RAM than no codes, and are only recommended if searches without codes are too slow.
"""

from __future__ import annotations

from collections.abc import Sequence

from qadapt.costing.footprints import planned_for
from qadapt.evaluation.documents import Evaluation, Option, RuledOut, Target
from qadapt.evaluation.evaluate import evaluate
from qadapt.evaluation.option_cost import option, p95
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.results import Result
from qadapt.evaluation.settings import Setting
from qadapt.local.client_codes import by_store, match
from qadapt.model import CollectionInfo, MatchLevel, Quantization, Rescore, VectorInfo
from qadapt.stores.base import Store

FACTORS = (2, 4, 8, 16)
NO_MODEL = (
    "it met the target on {:,} of {:,} rows; client-side codes cannot be predicted for all rows: "
    "pass --copy-rows {} to measure all"
)
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
) -> tuple[list[Option], list[RuledOut], Evaluation]:
    """Measure the least rescoring with which each of the client-side codes meets the target."""
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
        good = next((item for item in mine if _recall(item) >= target.recall), None)
        if good is None:
            out.append(_missed(max(mine, key=_recall), target))
        elif found.copy_rows != info.count:
            words = NO_MODEL.format(found.copy_rows, info.count, info.count)
            out.append(RuledOut(good.setting, words, good.recall))
        else:
            least.append(Setting.of(good.setting))
    chosen: list[Option] = []
    if least:
        found = evaluate(store, info.name, name, least, untimed.replace(concurrency=(1,)))
        for item in [found.result(setting.text) for setting in least]:
            if _meets(item, target):
                chosen.append(_option(store, info.vectors[name], item, target))
            else:
                out.append(_missed(item, target))
    fits = [item for item in chosen if target.max_ram is None or item.ram <= target.max_ram]
    out += [
        RuledOut(item.setting, f"needs {item.ram:,} bytes of RAM", item.recall, item.ram)
        for item in chosen
        if item not in fits
    ]
    return fits, out, found


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


def _option(store: Store, vector: VectorInfo, result: Result, target: Target) -> Option:
    assert result.recall is not None
    return option(
        Setting.of(result.setting),
        result.quantization,
        planned_for(store.name, vector, result.quantization, client_side=True),
        result.recall,
        target,
        source="measured",
        latency_ms=p95(result),
        reason=CLIENT_SIDE,
    )
