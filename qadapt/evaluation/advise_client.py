"""Advise, where qadapt's own codes are accepted: measured beside a copy, since no model is of them.

The store's floats stay as they are, and our codes come on top: so they never take less RAM than
no codes at all, and are the answer only where searches without codes are too slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qadapt.costing import memory
from qadapt.evaluation.evaluate import evaluate
from qadapt.evaluation.option_cost import monthly, p95
from qadapt.evaluation.results import Evaluation, Option, Result, RuledOut, Target
from qadapt.evaluation.settings import Setting
from qadapt.local.client_codes import by_store, match
from qadapt.model import CollectionInfo, MatchLevel, Quantization, Rescore, VectorInfo
from qadapt.stores.base import Store

FACTORS = (2, 4, 8, 16)
NO_MODEL = (
    "it met the target on {:,} of {:,} rows, and qadapt's own codes are measured and not "
    "predicted: --copy-rows {} measures all"
)
BESIDE = "measured on all rows, with qadapt's own codes beside the store (accept=client)"


def unmodelled_codes(codes: Sequence[str], store: Store, vector: VectorInfo) -> list[Quantization]:
    """Those of the codes that the store has not, and qadapt has."""
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
    **how: Any,
) -> tuple[list[Option], list[RuledOut], Evaluation]:
    """For each of our own codes the least rescoring that meets the target, as measured.

    Args:
        how: what ``evaluate`` takes besides.
    """
    most = store.traits.max_k
    factors = [Rescore(source="off"), *(Rescore(f) for f in FACTORS if f * target.k <= most)]
    settings = [Setting(each, rescore) for each in codes for rescore in factors]
    how = {"k": target.k, "live": False, "accept": "client", **how}
    found = evaluate(store, info.name, name, settings=settings, concurrency=(), **how)
    out: list[RuledOut] = []
    least: list[Setting] = []  # for each of the codes, as recall goes
    for each in codes:
        mine = [item for item in found.results if item.quantization == each]
        good = next((item for item in mine if _recall(item) >= target.recall), None)
        if good is None:
            out.append(_missed(max(mine, key=_recall), target))
        elif found.copy_rows != info.count:
            words = NO_MODEL.format(found.copy_rows, info.count, info.count)
            out.append(RuledOut(good.setting, words, good.recall))
        else:
            least.append(Setting.of(good.setting))
    options: list[Option] = []
    if least:
        found = evaluate(store, info.name, name, settings=least, concurrency=(1,), **how)
        for item in found.results:
            if _meets(item, target):
                options.append(_option(store, info, info.vectors[name], item, target))
            else:
                out.append(_missed(item, target))
    fits = [item for item in options if target.max_ram is None or item.ram <= target.max_ram]
    out += [
        RuledOut(item.setting, f"takes {item.ram:,} bytes of RAM", item.recall, item.ram)
        for item in options
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
    why = f"with qadapt's own codes recall@{target.k} is {_recall(result):.4f} at most"
    if _recall(result) >= target.recall:
        why = f"the 95th percentile with qadapt's own codes is {p95(result):.2f} ms"
    return RuledOut(result.setting, why, result.recall, latency_ms=p95(result))


def _option(
    store: Store, info: CollectionInfo, vector: VectorInfo, result: Result, target: Target
) -> Option:
    index = dict(vector.index)
    floats = memory(info.count, vector.vector, "none", store.name, index=index)
    assert result.bytes is not None and result.recall is not None
    ram = floats.ram + (result.bytes.codes_ram or 0)
    return Option(
        setting=result.setting,
        quantization=result.quantization,
        rescore=Setting.of(result.setting).rescore,
        recall=result.recall,
        source="measured",
        ram=ram,
        disk=floats.disk + (result.bytes.codes_disk or 0),
        latency_ms=p95(result),
        monthly=monthly(target, ram),
        reasons=(BESIDE,),
    )
