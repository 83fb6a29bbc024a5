"""A change as data: Plan, Step, Estimate, Guard."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from qadapt.errors import SpecError
from qadapt.model.data import Vector
from qadapt.model.document_version import UPGRADE, newer_version, of_newer_format
from qadapt.model.info import Server
from qadapt.model.match import Accept, Match, Strategy
from qadapt.model.quantization import Quantization
from qadapt.model.serializable import Serializable

if TYPE_CHECKING:
    from typing_extensions import Self

PLAN_FORMAT = 1
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_LARGEST = 2**31  # of a guard's counts


class Symbol(str, Enum):
    """What a step does to the collection, in one sign."""

    NOTHING = "="
    IN_PLACE = "~"
    BACKGROUND = "±"
    BLOCKING = "!"
    RECREATE = "-/+"
    CLIENT = ">"

    def __str__(self) -> str:
        return self.value

    @property
    def meaning(self) -> str:
        """The sign in words."""
        return _MEANING[self]


_MEANING = {
    Symbol.NOTHING: "nothing to do",
    Symbol.IN_PLACE: "changed in place, no rebuild",
    Symbol.BACKGROUND: "rebuilt in the background, searches go on",
    Symbol.BLOCKING: "rebuilt, searches or writes stop meanwhile",
    Symbol.RECREATE: "recreated and copied, then switched by alias",
    Symbol.CLIENT: "done by qadapt on the client's side",
}


@dataclass(frozen=True)
class Estimate(Serializable):
    """What a step will hold and stop, in bytes.

    Attributes:
        codes_ram, codes_disk: codes after the step.
        originals_ram, originals_disk: floats after the step.
        temporary_disk: needed while the step runs, free again afterwards.
        stops: what stops meanwhile.
    """

    codes_ram: int = 0
    codes_disk: int = 0
    originals_ram: int = 0
    originals_disk: int = 0
    temporary_disk: int = 0
    stops: Literal["nothing", "writes", "searches", "searches and writes"] = "nothing"


@dataclass(frozen=True)
class Step(Serializable):
    """One step of a plan.

    Attributes:
        symbol: what it does to the collection.
        action: in a few words.
        reason: why this way.
        request: the exact native request; carrying it out twice does the same as once.
        reverse: the request that takes it back; None for none.
        estimate: bytes, and what stops.
    """

    symbol: Symbol
    action: str
    reason: str
    request: Mapping[str, Any]
    reverse: Mapping[str, Any] | None = None
    estimate: Estimate = field(default_factory=Estimate)

    @property
    def needs_consent(self) -> bool:
        """Whether somebody must agree: no way back, or searches stop."""
        if self.symbol is Symbol.NOTHING:
            return False
        return self.reverse is None or "searches" in self.estimate.stops


@dataclass(frozen=True)
class Plan(Serializable):
    """Ordered steps from what is to what was asked for.

    Attributes:
        id: unique; also the id of the change once applied.
        created: UTC, ISO 8601.
        address: which store; the same however it is connected to.
        reopen: what opens it again, with any key masked; empty in plans of before: ``address``.
        collection, vector: what is changed.
        server: the engine that was asked.
        current: the quantization before.
        requested: what was asked for.
        target: what the store will really have, in common words.
        match: how near ``target`` comes to ``requested``.
        accept: how far the plan may go.
        disabled: native features switched off.
        fingerprint: of the configuration that the plan was made from.
        count, dim: rows and dimensions when planned.
        target_vector: the vector's metric and datatype, where those change too; None where not.
        strategy: how it was to be done, ``in-place``, ``alias`` or ``vector``; None left it to
            the store.
        steps: in order.
        notes: what a reader must know, in words.
        guard: recall that must hold, else the change is undone.
        format: version of this document.
        qadapt: version that made it.
        new_vector: the vector that ``target`` is of once applied, made beside ``vector``, which
            stays; None where ``vector`` itself is changed.
    """

    id: str
    created: str
    address: str
    collection: str
    vector: str
    server: Server
    current: Quantization
    requested: Quantization
    target: Quantization
    match: Match
    accept: Accept
    fingerprint: str
    count: int
    dim: int
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    guard: Guard | None = None
    target_vector: Vector | None = None
    strategy: Strategy | None = None
    reopen: str = ""
    format: int = PLAN_FORMAT
    qadapt: str = ""
    new_vector: str | None = None

    def __post_init__(self) -> None:
        if self.format != PLAN_FORMAT:
            raise SpecError(
                f"the plan has format {self.format}, this qadapt reads format {PLAN_FORMAT}",
                hint="make the plan again with `qadapt plan`",
            )
        # The id names a folder in the state folder, and a plan file may come from anybody.
        if not _ID.fullmatch(self.id):
            raise SpecError(
                f"{self.id!r:.80} is not the id of a plan",
                hint="make the plan again with `qadapt plan`",
            )

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The plan that ``to_dict`` gave.

        Raises:
            SpecError: the data has another shape, or was written by a newer qadapt.
        """
        _refuse_surrogates(data)
        reported = newer_version(data, PLAN_FORMAT)
        if reported is not None and of_newer_format(data, PLAN_FORMAT):
            raise SpecError(f"the plan was {reported}", hint=UPGRADE)
        try:
            return super().from_dict(data)
        except SpecError as error:
            if reported is None:
                raise
            raise SpecError(f"the plan was {reported}: {error.message}", hint=UPGRADE) from error

    @property
    def changed_vector(self) -> str:
        """The vector that ``target`` is of once applied."""
        return self.vector if self.new_vector is None else self.new_vector

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return any(step.symbol is not Symbol.NOTHING for step in self.steps)

    @property
    def reversible(self) -> bool:
        """Whether all that it changes can be taken back."""
        return all(
            step.reverse is not None for step in self.steps if step.symbol is not Symbol.NOTHING
        )

    @property
    def needs_consent(self) -> bool:
        """Whether a step has no reverse or stops searches."""
        return any(step.needs_consent for step in self.steps)


_GUARD = re.compile(r"\s*recall\s*@\s*(\d+)\s*>=\s*([0-9.]+(?:e-?[0-9]+)?%?)\s*")


@dataclass(frozen=True)
class Guard(Serializable):
    """Recall that must hold on the user's own vectors, else the change is undone.

    Args:
        recall: least recall@k after the change, 0 to 1.
        k: 10 by default.
        queries: the queries, float ``(nq, d)``; or the path of a ``.npy`` file of them; or how
            many vectors of the collection are used as queries (200 by default).
        seed: of the sample.
    """

    recall: float
    k: int = 10
    queries: Any = 200
    seed: int = 0

    def __post_init__(self) -> None:
        number = isinstance(self.recall, (int, float)) and not isinstance(self.recall, bool)
        if not number or not 0 < self.recall <= 1:
            raise SpecError(
                f"a guard's recall is above 0 and at most 1; got {self.recall!r}",
                hint="for example 0.95, or --guard 'recall@10>=0.95'",
            )
        _at_least_one("k", self.k)
        if isinstance(self.queries, (bool, int)):
            _at_least_one("queries", self.queries)

    @classmethod
    def parse(cls, text: str) -> Guard:
        """A guard from ``"recall@10>=0.95"`` or ``"recall@10>=95%"``."""
        found = _GUARD.fullmatch(text) if isinstance(text, str) else None
        try:
            if found is None:
                raise ValueError(text)
            share = found[2]
            recall = float(share.rstrip("%")) / (100 if share.endswith("%") else 1)
            k = int(found[1])
        except ValueError:
            raise SpecError(
                f"a guard looks like 'recall@10>=0.95'; got {text!r}",
            ) from None
        if not math.isfinite(recall):
            raise SpecError(f"a guard looks like 'recall@10>=0.95'; got {text!r}")
        return cls(recall=recall, k=k)

    def __str__(self) -> str:
        return f"recall@{self.k}>={self.recall!r}"


def _at_least_one(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < _LARGEST:
        raise SpecError(f"a guard's {name} is a whole number from 1; got {value!r:.40}")


def _refuse_surrogates(data: Any) -> None:
    """Refuse text that no file and no terminal can hold."""
    try:
        json.dumps(data, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise SpecError(
            f"the plan holds text that is not valid Unicode: {error.object[error.start :][:1]!r}",
            hint="make the plan again with `qadapt plan`",
        ) from error
