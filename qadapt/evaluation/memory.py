"""RAM and disk of the settings of an evaluation, compared with the live collection."""

from __future__ import annotations

from collections.abc import Iterable

from qadapt.costing.footprints import change_between, footprint_of, planned_for
from qadapt.errors import UnsupportedError
from qadapt.evaluation.results import Result
from qadapt.model import MemoryChange, Prices, Quantization, VectorInfo

LOSS = 0.01  # a smaller setting may have this much less recall than the best one


def live_memory(
    store: str, vector: VectorInfo, prices: Prices | None = None
) -> MemoryChange | None:
    """RAM and disk of the live vector, as both sides; None if the store has no cost model."""
    try:
        seen = footprint_of(store, vector)
    except UnsupportedError:
        return None
    return change_between(seen, seen, prices)


def setting_memory(
    store: str,
    vector: VectorInfo,
    quantization: Quantization,
    *,
    client_side: bool,
    prices: Prices | None = None,
) -> MemoryChange | None:
    """RAM and disk of the live vector now and with another quantization, as in a plan.

    None if the store has no cost model for the quantization.
    """
    try:
        seen = footprint_of(store, vector)
        after = planned_for(
            store, vector, quantization.with_default_places, client_side=client_side
        )
    except UnsupportedError:
        return None
    return change_between(seen, after, prices)


def smallest(results: Iterable[Result]) -> Result | None:
    """The result with least RAM among those with nearly the best recall, the live one included.

    The first one of equal size; None if no result has a recall and a memory.
    """
    good = [each for each in results if each.recall is not None and each.memory is not None]
    best = max((_recall(each) for each in good), default=0.0)
    near = [each for each in good if _recall(each) >= best - LOSS]
    return min(near, key=_ram, default=None)


def _recall(result: Result) -> float:
    return result.recall.value if result.recall is not None else 0.0


def _ram(result: Result) -> int:
    return result.memory.ram_after if result.memory is not None else 0
