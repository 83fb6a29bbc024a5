"""Requests and plans for the change of one vector, exchanged between planner and store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionInfo, Quantization, Rescore, Step, Strategy, Vector
from qadapt.model.rescore import TIERS
from qadapt.stores.store_types import MappedQuantization


@dataclass(frozen=True)
class Inspection:
    """The state of a collection, read once.

    Attributes:
        info: in common terms.
        native: the store's own snapshot, from which ``info`` was derived; None if the store has
            none.
    """

    info: CollectionInfo
    native: Any = None


@dataclass(frozen=True)
class ChangeRequest:
    """The target state of a vector.

    Attributes:
        inspection: the collection, read once; the store plans from it without further reads.
        vector: the vector's name.
        quantization: the target quantization; None keeps the existing one.
        target_vector: the vector with another metric, datatype or fewer dimensions; None keeps
            them.
        strategy: ``in-place``, ``alias`` or ``vector``; None leaves the choice to the store.
        without_codes: set the quantization even if the engine builds no codes for so few rows; for
            a copy, which has the settings of its source.
    """

    inspection: Inspection
    vector: str
    quantization: Quantization | None
    target_vector: Vector | None = None
    strategy: Strategy | None = None
    without_codes: bool = False

    @property
    def collection(self) -> str:
        """The name of the inspected collection."""
        return self.inspection.info.name

    @property
    def codes(self) -> Quantization | None:
        """The quantization without what no step to codes sets: rescoring and ``dims``.

        Rescoring by finer codes with a name stays, because an index may have to store them.
        """
        if self.quantization is None:
            return None
        rescore = self.quantization.rescore
        tier = rescore if rescore is not None and rescore.source in TIERS else None
        return self.quantization.replace(rescore=tier, dims=None)

    @property
    def shortened(self) -> int | None:
        """First dimensions that codes keep, for a store whose vectors keep all of them."""
        return None if self.quantization is None else self.quantization.dims

    def mapped_vector(self, vector: Vector) -> Vector:
        """The vector that the codes are for: ``vector``, with the dimensions after the change."""
        target = self.target_vector
        return vector if target is None else vector.replace(dim=target.dim)

    @property
    def rescore(self) -> Rescore | None:
        """The rescoring that searches will use."""
        return None if self.quantization is None else self.quantization.rescore


@dataclass(frozen=True)
class ChangePlan:
    """The plan of a change.

    Attributes:
        steps: the steps to the quantization, in order; empty if it is configured and active.
            ``Store.run`` executes each request, which may be repeated.
        recreation: the steps to another metric or datatype, before ``steps``.
        notes: information for the user besides the steps.
        new_vector: the vector created by the strategy ``vector``; None for other strategies.
    """

    steps: tuple[Step, ...] = ()
    recreation: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    new_vector: str | None = None


def no_recreation(store: str) -> UnsupportedError:
    """The error of a store that cannot change the metric or datatype."""
    return UnsupportedError(
        f"{store} fixes the metric and the datatype at creation, and has no aliases to switch to "
        "a copy",
        hint=(
            "create a collection with the new settings and write the rows of "
            "`collection.read()` to it"
        ),
    )


def in_place_only(store: str, strategy: Strategy) -> UnsupportedError:
    """The error of a store whose only strategy is ``in-place``."""
    reason = {
        "alias": f"{store} changes quantization only in place, not by a copy and an alias switch",
        "vector": f"qadapt does not add a vector to a collection of {store}",
    }[strategy]
    hint = f"omit strategy='{strategy}' (--strategy)"
    if strategy == "vector":
        hint += "; for dims, the plan then copies the collection or names the command that does"
    return UnsupportedError(reason, hint=hint)


def check_strategy(store: str, request: ChangeRequest, *strategies: Strategy) -> None:
    """Reject a strategy that a store does not support.

    Args:
        strategies: the supported strategies besides ``in-place``.

    Raises:
        UnsupportedError
    """
    strategy = request.strategy
    if strategy is not None and strategy not in ("in-place", *strategies):
        raise in_place_only(store, strategy)


class Planner(Protocol):
    """Plans the change of one vector."""

    def recreation(self, target: Vector | None, /) -> Sequence[Step]:
        """The steps to another metric or datatype."""

    def steps(self, mapped: MappedQuantization, /) -> Sequence[Step]:
        """The steps to a quantization."""

    def notes(self, target: Quantization, /) -> Sequence[str]:
        """Information for the user besides the steps."""


def planned(
    planner: Planner, request: ChangeRequest, mapped: MappedQuantization | None
) -> ChangePlan:
    """The plan of a store that changes a vector in place.

    Args:
        mapped: the native configuration; None keeps the existing one.
    """
    recreation = tuple(planner.recreation(request.target_vector))
    if mapped is None:
        return ChangePlan(recreation=recreation)
    return ChangePlan(tuple(planner.steps(mapped)), recreation, tuple(planner.notes(mapped.target)))
