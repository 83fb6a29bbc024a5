"""A change of one vector, as it passes between the planner and a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionInfo, Quantization, Rescore, Step, Strategy, Vector


@dataclass(frozen=True)
class Inspection:
    """A collection as a server described it at one time.

    Attributes:
        info: in common terms.
        native: the store's own snapshot, which ``info`` was derived from; None where the store
            has none.
    """

    info: CollectionInfo
    native: Any = None


@dataclass(frozen=True)
class ChangeRequest:
    """What a vector is to become.

    Attributes:
        inspection: the collection, read once; the store plans from it and reads nothing twice.
        vector: its name.
        quantization: the quantization asked for; None leaves it.
        target_vector: the vector with another metric or datatype; None leaves both.
        strategy: ``in-place``, ``alias`` or ``vector``; None leaves it to the store.
        without_codes: set the quantization although the engine builds no codes of so few rows.
            For a copy, which has the settings of its source.
    """

    inspection: Inspection
    vector: str
    quantization: Quantization | None
    target_vector: Vector | None = None
    strategy: Strategy | None = None
    without_codes: bool = False

    @property
    def collection(self) -> str:
        """The name that was inspected."""
        return self.inspection.info.name

    @property
    def codes(self) -> Quantization | None:
        """The quantization without the rescoring, which no step sets."""
        return None if self.quantization is None else self.quantization.replace(rescore=None)

    @property
    def rescore(self) -> Rescore | None:
        """The rescoring that searches will ask for."""
        return None if self.quantization is None else self.quantization.rescore


@dataclass(frozen=True)
class ChangePlan:
    """How a store makes a change.

    Attributes:
        steps: to the quantization, in order; empty when it is set and active. Each request is
            carried out by ``Store.run`` and may be repeated.
        recreation: the steps to another metric or datatype, before ``steps``.
        notes: what a reader must know besides the steps.
        new_vector: the vector that is made, by the strategy ``vector``; None for none.
    """

    steps: tuple[Step, ...] = ()
    recreation: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    new_vector: str | None = None


def no_recreation(store: str) -> UnsupportedError:
    """The error of a store that cannot change a metric or datatype."""
    return UnsupportedError(
        f"{store} fixes metric and datatype at creation, and has no alias to switch to a copy",
        hint="create another collection with them, and write the rows of `collection.read()` to it",
    )


def in_place_only(store: str, strategy: Strategy) -> UnsupportedError:
    """The error of a store that has no other strategy than ``in-place``."""
    reason = {
        "alias": f"{store} changes quantization in place alone, not by a copy and an alias",
        "vector": f"{store} changes the quantization of a vector itself, and adds no new vector",
    }[strategy]
    return UnsupportedError(reason, hint=f"leave out strategy='{strategy}' (--strategy)")


def check_strategy(store: str, request: ChangeRequest, *strategies: Strategy) -> None:
    """Refuse a strategy that a store does not have.

    Args:
        strategies: those that it has besides ``in-place``.

    Raises:
        UnsupportedError
    """
    strategy = request.strategy
    if strategy is not None and strategy not in ("in-place", *strategies):
        raise in_place_only(store, strategy)
