"""Select the settings that may meet a target, by predictions and sizes, cheapest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qadapt.costing import Footprint
from qadapt.costing.footprints import planned_for
from qadapt.errors import UnsupportedError
from qadapt.evaluation.candidates import ONLY_SIMILAR
from qadapt.evaluation.documents import RuledOut, Target
from qadapt.evaluation.results import Figure, Prediction, Result
from qadapt.evaluation.settings import Setting
from qadapt.local.client_codes import by_store
from qadapt.model import (
    Accept,
    CollectionInfo,
    Kind,
    MatchLevel,
    Quantization,
    Rescore,
    Vector,
    VectorInfo,
)
from qadapt.simulation import registry
from qadapt.stores.base import OnProgress, Progress, Store

# Default candidates: the quantizations that the supported databases have.
CODES = (
    "none",
    "scalar",
    "scalar:bits=6",
    "scalar:bits=4",
    "rotational:bits=8",
    "rotational:bits=4",
    "rotational:bits=2",
    "rotational:bits=1.5",
    "rotational:bits=1",
    "binary",
    "binary:query_bits=8",
    "binary:bits=2,query_bits=8",
    "product:ratio=16",
    "product:ratio=32",
)
# Scalar codes that a store may have in place of those of 8 bits.
SEVEN_BITS = "scalar:bits=7"
FIRST = "predicted: {} has recall {:.3f} and needs {:,} bytes of RAM"
FACTORS = (1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True)
class Candidate:
    """A setting that may meet the target.

    Attributes:
        quantization: with the placement of codes and original vectors.
        recall: predicted for the whole collection.
        next: the next larger oversampling, in case the measured recall is slightly lower.
    """

    quantization: Quantization
    rescore: Rescore | None
    recall: Figure
    prediction: Prediction | None
    footprint: Footprint
    next: Rescore | None

    @property
    def setting(self) -> Setting:
        return Setting(self.quantization, self.rescore)

    @property
    def settings(self) -> list[Setting]:
        """The setting, and the same with more candidates."""
        more = [] if self.next is None else [Setting(self.quantization, self.next)]
        return [self.setting, *more]


def default_codes(store: Store) -> list[str]:
    """``CODES``, with scalar codes of 7 bits if the store has them in place of 8 bits."""
    features = store.capabilities().features
    eight, seven = (f"native-scalar:{bits}" in features for bits in (8, 7))
    if seven and not eight and store.capabilities().native("native-scalar:7"):
        return [SEVEN_BITS if each == "scalar" else each for each in CODES]
    return list(CODES)


def candidate_grid(codes: Sequence[str], k: int, store: Store, vector: Vector) -> list[Setting]:
    """Settings for each quantization: without rescoring, then with increasing oversampling.

    If an engine always rescores, its default comes first.
    """
    found = []
    for text in codes:
        quantization = Quantization.parse(text).replace(rescore=None)
        if quantization.kind in (Kind.NONE, Kind.FLOAT16) or quantization.originals == "none":
            found.append(Setting(quantization))  # nothing to rescore with
            continue
        off = Rescore(source="off")
        mapped = store.map(quantization, vector)
        always = registry.candidates(store.name, mapped, k, off)[0] > k
        found.append(Setting(quantization, None if always else off))
        factors = [factor for factor in FACTORS if factor * k <= store.traits.max_k]
        found += [Setting(quantization, Rescore(factor)) for factor in factors]
    return found


class FirstAnswer:
    """Reports the cheapest setting that is predicted to meet the target.

    Args:
        progress: gets an event whose stage is the answer.
    """

    def __init__(self, progress: OnProgress) -> None:
        self._progress = progress
        self._last = ""

    def report(self, tries: Sequence[Candidate]) -> None:
        """Report the first candidate, unless it was the last one that was reported."""
        if not tries:
            return
        first = tries[0]
        answer = FIRST.format(first.setting.text, first.recall.value, first.footprint.ram)
        if answer != self._last:
            self._last = answer
            self._progress(Progress(answer, unit="steps"))


def without_product_codes(grid: Sequence[Setting]) -> int:
    """The number of settings before product codes, whose predictions take longest; 0 if there are
    no product codes."""
    kinds = [None if each.quantization is None else each.quantization.kind for each in grid]
    return kinds.index(Kind.PRODUCT) if Kind.PRODUCT in kinds else 0


class Predictions(Protocol):
    """Results of a simulation."""

    @property
    def results(self) -> tuple[Result, ...]: ...

    def result(self, setting: str) -> Result:
        """The result of a setting."""


@dataclass(frozen=True)
class PredictedSoFar:
    """The results of a simulation that still runs, one for each setting."""

    results: tuple[Result, ...]

    def result(self, setting: str) -> Result:
        return next(each for each in self.results if each.setting == setting)


def shortlist(
    store: Store,
    info: CollectionInfo,
    vector: VectorInfo,
    simulation: Predictions,
    target: Target,
    accept: Accept = "differs",
) -> tuple[list[Candidate], list[RuledOut]]:
    """The settings that may meet the target, cheapest first, and those that cannot."""
    by_codes: dict[Quantization, list[Result]] = {}
    for setting in dict.fromkeys(each.setting for each in simulation.results):
        result = simulation.result(setting)  # of several filters, the lowest recall
        by_codes.setdefault(result.quantization, []).append(result)
    tries: list[Candidate] = []
    out: list[RuledOut] = []
    targets: set[str] = set()
    for quantization, results in by_codes.items():
        if results[0].state == "unsupported":
            out.append(RuledOut(str(quantization), "; ".join(results[0].notes)))
            continue
        match = by_store(store, quantization, vector.vector).match
        if match.level is MatchLevel.UNSUPPORTED and quantization.kind is not Kind.FLOAT16:
            out.append(RuledOut(str(quantization), "; ".join(match.differences)))
            continue
        if accept == "exact" and match.level is MatchLevel.DIFFERS:
            reported = "; ".join((ONLY_SIMILAR.format(store.name), *match.differences))
            out.append(RuledOut(str(quantization), reported))
            continue
        # Quantizations with the same target, such as scalar with 7 and 8 bits, are tried once.
        if results[0].target in targets:
            continue
        targets.add(results[0].target)
        good = [at for at, result in enumerate(results) if _recall(result) >= target.recall]
        if not good:
            top = max(results, key=_recall)
            why = f"predicted recall@{target.k} is {_recall(top):.3f} at most, with {top.setting}"
            out.append(RuledOut(str(quantization), why, top.recall))
            continue
        first = results[good[0]]
        later = results[good[0] + 1] if good[0] + 1 < len(results) else None
        for placed in _places(store, vector, quantization, _rescoring(first)):
            out_or_try = _priced(store, vector, placed, first, later, target)
            if isinstance(out_or_try, RuledOut):
                out.append(out_or_try)
            else:
                tries.append(out_or_try)
    tries.sort(
        key=lambda item: (item.footprint.ram, _factor(item.rescore, target.k), item.footprint.disk)
    )
    return tries, out


def _recall(result: Result) -> float:
    return result.recall.value if result.recall is not None else 0.0


def _factor(rescore: Rescore | None, k: int) -> float:
    return rescore.factor(k) if rescore is not None and rescore.on else 0.0


def _rescoring(result: Result) -> bool:
    return result.rescore is not None and result.rescore.on


def _places(
    store: Store, vector: VectorInfo, quantization: Quantization, rescoring: bool
) -> list[Quantization]:
    """Placements to consider: codes in RAM, original vectors in RAM or on disk.

    Only the quantization itself if the database has no placement.
    """
    if quantization.kind in (Kind.NONE, Kind.FLOAT16) or quantization.originals == "none":
        return [quantization]
    plain = store.map(quantization, vector.vector).match.differences
    for codes, originals in (("ram", "disk"), ("ram", "ram")):
        placed = quantization.replace(codes=codes, originals=originals)
        if store.map(placed, vector.vector).match.differences != plain:
            return [quantization]  # the database has no placement
    on_disk = quantization.replace(codes="ram", originals="disk")
    if not rescoring:
        return [on_disk]
    return [on_disk, quantization.replace(codes="ram", originals="ram")]


def _priced(
    store: Store,
    vector: VectorInfo,
    quantization: Quantization,
    result: Result,
    later: Result | None,
    target: Target,
) -> Candidate | RuledOut:
    rescore = Setting.of(result.setting).rescore
    text = Setting(quantization, rescore).text
    try:
        footprint = planned_for(store.name, vector, quantization)
    except UnsupportedError as error:
        return RuledOut(text, error.message, result.recall)
    if target.max_ram is not None and footprint.ram > target.max_ram:
        over = footprint.ram / target.max_ram
        why = f"needs {footprint.ram:,} bytes of RAM, {over:.2f} times the limit"
        return RuledOut(text, why, result.recall, footprint.ram)
    assert result.recall is not None
    more = Setting.of(later.setting).rescore if later is not None else None
    return Candidate(quantization, rescore, result.recall, result.predicted, footprint, more)
