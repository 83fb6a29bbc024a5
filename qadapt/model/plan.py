"""Plans of changes: Plan, Step, Estimate, Guard."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from qadapt.errors import SpecError
from qadapt.model.client_params import ClientParams
from qadapt.model.document_version import UPGRADE, newer_version, of_newer_format
from qadapt.model.filter_documents import filter_text, saved_filter
from qadapt.model.info import Server
from qadapt.model.match import Accept, Match, Strategy
from qadapt.model.memory_change import MemoryChange
from qadapt.model.metric import Metric
from qadapt.model.prices import Prices
from qadapt.model.quantization import Quantization
from qadapt.model.serializable import Serializable
from qadapt.model.vector import Datatype, Vector

if TYPE_CHECKING:
    from typing_extensions import Self

PLAN_FORMAT = 1
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_LARGEST = 2**31  # limit of the counts in a guard


class Symbol(str, Enum):
    """Symbol for the effect of a step on the collection."""

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
        """Meaning of the symbol."""
        return _MEANING[self]


_MEANING = {
    Symbol.NOTHING: "nothing to do",
    Symbol.IN_PLACE: "changed in place, no rebuild",
    Symbol.BACKGROUND: "rebuilt in the background; searches continue",
    Symbol.BLOCKING: "rebuilt; searches or writes are blocked",
    Symbol.RECREATE: "copied to a new collection, then switched by alias",
    Symbol.CLIENT: "done by qadapt on the client",
}


@dataclass(frozen=True)
class Estimate(Serializable):
    """Estimated sizes in bytes, and what a step blocks.

    Attributes:
        codes_ram, codes_disk: codes after the step.
        originals_ram, originals_disk: original vectors after the step.
        temporary_disk: needed only while the step runs.
        stops: operations that are blocked while the step runs.
    """

    codes_ram: int = 0
    codes_disk: int = 0
    originals_ram: int = 0
    originals_disk: int = 0
    temporary_disk: int = 0
    stops: Literal["nothing", "writes", "searches", "searches and writes"] = "nothing"


@dataclass(frozen=True)
class Step(Serializable):
    """Step of a plan.

    Attributes:
        symbol: effect on the collection.
        action: short description.
        reason: why the step is needed or done this way.
        request: exact native request; it is idempotent.
        reverse: request that rolls it back; None if it cannot be rolled back.
        estimate: sizes, and blocked operations.
    """

    symbol: Symbol
    action: str
    reason: str
    request: Mapping[str, Any]
    reverse: Mapping[str, Any] | None = None
    estimate: Estimate = field(default_factory=Estimate)

    @property
    def needs_consent(self) -> bool:
        """Whether the step needs confirmation: it cannot be rolled back, or blocks searches."""
        if self.symbol is Symbol.NOTHING:
            return False
        return self.reverse is None or "searches" in self.estimate.stops


@dataclass(frozen=True)
class Plan(Serializable):
    """Ordered steps from the current to the requested quantization.

    Attributes:
        id: unique id; also the id of the applied change.
        created: time in UTC, ISO 8601.
        address: canonical address of the database.
        reopen: address to connect with, key masked; if empty, ``address`` is used.
        collection, vector: collection and vector that are changed.
        server: database that the plan was made for.
        current: quantization before the change.
        requested: requested quantization.
        target: quantization after the change; differs from ``requested`` as described by ``match``.
        match: how closely ``target`` matches ``requested``.
        accept: permitted match level.
        disabled: disabled native features.
        fingerprint: hash of the configuration that the plan is based on.
        count, dim: rows and dimensions at planning time.
        target_vector: new metric and datatype of the vector; None if they do not change.
        metric, datatype: requested ones, also if the vector has them already; None if none was
            requested.
        strategy: requested strategy, ``in-place``, ``alias`` or ``vector``; None if the database
            chose.
        steps: ordered steps.
        notes: remarks about the plan.
        guard: minimum recall; the change is rolled back if it is not reached.
        format: format version of the document.
        qadapt: version of qadapt that made the plan.
        new_vector: name of the vector that is added with the quantization ``target``, while
            ``vector`` is kept; None if ``vector`` itself is changed.
        memory: RAM and disk of the vector before and after; None if the database has no cost
            model.
        clients: what clients without qadapt must send after the change; None if nothing.
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
    metric: Metric | None = None
    datatype: Datatype | None = None
    strategy: Strategy | None = None
    reopen: str = ""
    format: int = PLAN_FORMAT
    qadapt: str = ""
    new_vector: str | None = None
    memory: MemoryChange | None = None
    clients: ClientParams | None = None

    def __post_init__(self) -> None:
        if self.format != PLAN_FORMAT:
            raise SpecError(
                f"the plan has format {self.format}; this qadapt supports format {PLAN_FORMAT}",
                hint="create a new plan with `qadapt plan`",
            )
        # The id is used as the name of a folder, and a plan file may come from anybody.
        if not _ID.fullmatch(self.id):
            raise SpecError(
                f"{self.id!r:.80} is not a valid plan id",
                hint="create a new plan with `qadapt plan`",
            )

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Parse the result of ``to_dict``.

        Raises:
            SpecError: the data is invalid, or was written by a newer qadapt.
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

    def priced(self, prices: Prices) -> Self:
        """Copy whose ``memory`` has monthly costs; unchanged without prices or ``memory``."""
        if self.memory is None or not prices.given:
            return self
        return self.replace(memory=self.memory.priced(prices))

    @property
    def changed_vector(self) -> str:
        """Vector that has the quantization ``target`` after the change."""
        return self.vector if self.new_vector is None else self.new_vector

    @property
    def changes(self) -> bool:
        """Whether the plan changes anything."""
        return any(step.symbol is not Symbol.NOTHING for step in self.steps)

    @property
    def reversible(self) -> bool:
        """Whether all steps can be rolled back."""
        return all(
            step.reverse is not None for step in self.steps if step.symbol is not Symbol.NOTHING
        )

    @property
    def needs_consent(self) -> bool:
        """Whether the plan loses the original vectors, or a step cannot be rolled back or blocks
        searches."""
        return self.loses_originals or any(step.needs_consent for step in self.steps)

    @property
    def loses_originals(self) -> bool:
        """Whether codes replace the original vectors."""
        return self.changes and self.requested.originals == "none"


Clients = Literal["any", "configured"]
CLIENTS: tuple[Clients, ...] = ("any", "configured")
_GUARD = re.compile(r"\s*recall\s*@\s*(\d+)\s*>=\s*([0-9.]+(?:e-?[0-9]+)?%?)\s*")


@dataclass(frozen=True)
class Guard(Serializable):
    """Minimum recall after a change; the change is rolled back if it is not reached.

    Args:
        recall: minimum recall@k after the change, 0 to 1.
        k: number of results, 10 by default.
        queries: array ``(nq, d)``, path of a ``.npy`` file, or the number of vectors of the
            collection that are used as queries (200 by default).
        seed: random seed of the sample.
        clients: ``"any"`` judges a client that sends no search parameters, so that the recall
            holds for clients that do not know the setting; ``"configured"`` judges clients that
            send the parameters of the setting, as qadapt does (``qadapt client-params``).
        filter: judge searches with this filter, against the rows that match: a mapping, or a text
            expression of the database. The lowest recall of a list of filters is judged.
        by: judge the lowest recall of the values of this payload field, such as ``"tenant"``;
            ``"@"``: of the partitions or tenants of the database. Values whose recall proves
            nothing, because k covers all of their rows, do not count.
        by_limit: maximum number of values, the most frequent first.
    """

    recall: float
    k: int = 10
    queries: Any = 200
    seed: int = 0
    clients: Clients = "any"
    filter: Any = None
    by: str | None = None
    by_limit: int = 10

    def __post_init__(self) -> None:
        number = isinstance(self.recall, (int, float)) and not isinstance(self.recall, bool)
        if not number or not 0 < self.recall <= 1:
            raise SpecError(
                f"the recall of a guard must be above 0 and at most 1; got {self.recall!r}",
                hint="for example 0.95, or --guard 'recall@10>=0.95'",
            )
        if self.clients not in CLIENTS:
            raise SpecError.unknown("clients of a guard", str(self.clients), CLIENTS)
        _at_least_one("k", self.k)
        _at_least_one("by_limit", self.by_limit)
        if self.filter is not None:
            listed = isinstance(self.filter, (list, tuple))
            saved = [saved_filter(each) for each in (self.filter if listed else [self.filter])]
            object.__setattr__(self, "filter", saved if listed else saved[0])
            if listed and self.by is not None:
                raise SpecError(
                    "a guard with a list of filters cannot have `by`",
                    hint="use one filter, which applies to all values",
                )
            if not saved:
                raise SpecError("the list of filters of a guard is empty", hint="omit it")
        if self.by is not None and (not isinstance(self.by, str) or not self.by):
            raise SpecError(
                f"`by` of a guard must be a payload field; got {self.by!r:.40}",
                hint='for example "topic"',
            )
        if isinstance(self.queries, (bool, int)):
            _at_least_one("queries", self.queries)

    @classmethod
    def parse(cls, text: str) -> Guard:
        """Parse ``"recall@10>=0.95"`` or ``"recall@10>=95%"``."""
        found = _GUARD.fullmatch(text) if isinstance(text, str) else None
        try:
            if found is None:
                raise ValueError(text)
            share = found[2]
            recall = float(share.rstrip("%")) / (100 if share.endswith("%") else 1)
            k = int(found[1])
        except ValueError:
            raise _not_a_guard(text) from None
        if not math.isfinite(recall):
            raise _not_a_guard(text)
        return cls(recall=recall, k=k)

    @property
    def rows(self) -> str:
        """The filters, for messages; empty for all rows."""
        listed = self.filter if isinstance(self.filter, list) else [self.filter]
        parts = [filter_text(each) for each in listed if each is not None]
        if self.by is not None:
            parts.append("each partition" if self.by == "@" else f"each value of {self.by}")
        return " and ".join(parts)

    def __str__(self) -> str:
        return f"recall@{self.k}>={self.recall!r}"


def _not_a_guard(text: Any) -> SpecError:
    return SpecError(
        f"a guard must have the form 'recall@10>=0.95'; got {text!r:.60}",
        hint="for example --guard 'recall@10>=0.95'",
    )


def _at_least_one(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < _LARGEST:
        raise SpecError(
            f"{name} of a guard must be an integer from 1; got {value!r:.40}",
            hint="for example Guard(recall=0.95, k=10, queries=200)",
        )


def _refuse_surrogates(data: Any) -> None:
    """Raise an error for text that cannot be encoded as UTF-8."""
    try:
        json.dumps(data, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise SpecError(
            f"the plan contains invalid Unicode: {error.object[error.start :][:1]!r}",
            hint="create a new plan with `qadapt plan`",
        ) from error
