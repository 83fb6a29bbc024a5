"""A plan that can be applied, and the change that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.errors import InputError, NotFoundError, PlanStaleError
from qadapt.evaluation.documents import Verification
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.query_input import Encoder
from qadapt.evaluation.verify import verify as run_verify
from qadapt.model import Guard
from qadapt.model import Plan as PlainPlan
from qadapt.model.address import Address
from qadapt.planning import abandoned_records, apply, journal
from qadapt.planning.abandoned_records import Abandoned
from qadapt.planning.apply import Outcome
from qadapt.planning.journal import DamagedRecord
from qadapt.planning.plan_text import plan_text
from qadapt.stores.base import OnProgress, Store, silent
from qadapt.stores.registry import open_store

DEFAULT_TIMEOUT = 3600.0


@dataclass(frozen=True)
class Plan(PlainPlan):
    """A plan that can be printed, saved and applied; see ``qadapt.model.Plan`` for its fields."""

    @classmethod
    def _of(cls, plan: PlainPlan, store: Store | None) -> Plan:
        fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        bound = cls(**fields)
        object.__setattr__(bound, "_store", store)
        return bound

    def __str__(self) -> str:
        return plan_text(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready.

        Raises:
            InputError: the guard's queries are an array.
        """
        if self.guard is not None and not isinstance(self.guard.queries, (int, str)):
            raise InputError(
                "the plan's guard holds its queries as an array, which has no place in a document",
                hint="numpy.save them and give the path: qa.Guard(0.95, queries='queries.npy')",
            )
        return super().to_dict()

    def apply(
        self,
        *,
        yes: bool = False,
        progress: OnProgress | None = None,
        guard: Guard | str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        allow_key_env: Iterable[str] = (),
    ) -> Change:
        """Carry the plan out, wait until the engine obeys, and verify by the guard.

        Args:
            yes: consent to steps that have no way back or stop searches.
            progress: called with ``Progress`` events.
            guard: recall that must hold afterwards; default: the plan's own.
            timeout: seconds that one step may take.
            allow_key_env: environment variables that a plan from a file may name as the key of
                its store, besides the store's own.

        Raises:
            ConsentRequiredError, PlanStaleError, GuardMissedError, ApplyError, BusyError
        """
        store, owned = _store_of(self, allow_key_env)
        try:
            outcome = apply.apply_plan(
                store,
                PlainPlan(**{name: getattr(self, name) for name in self.__dataclass_fields__}),
                yes=yes,
                progress=progress or silent,
                guard=Guard.parse(guard) if isinstance(guard, str) else guard,
                timeout=timeout,
            )
        finally:
            if owned:
                store.close()
        return Change(outcome, None if owned else store)

    def again(self, allow_key_env: Iterable[str] = ()) -> Plan:
        """The same request, planned from what the collection is now.

        Args:
            allow_key_env: as for ``apply``.
        """
        place = Address.from_file(self.reopen or self.address, allow_key_env)
        with _SharedStore(getattr(self, "_store", None), place, self.disabled) as store:
            made = apply.plan_again(store, self)
        return Plan._of(made, getattr(self, "_store", None))

    def replace(self, **changes: Any) -> Plan:
        """A copy with some fields changed, still bound to the store it was made with."""
        return Plan._of(super().replace(**changes), getattr(self, "_store", None))


def apply_plans(
    plans: Iterable[Plan],
    *,
    yes: bool = False,
    progress: OnProgress | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    allow_key_env: Iterable[str] = (),
) -> Iterator[Change]:
    """Apply plans that were made together, one after the other.

    A plan that only the plans before it made stale is planned again; see ``Plan.apply``.
    """
    options: dict[str, Any] = {"yes": yes, "progress": progress, "timeout": timeout}
    allowed = tuple(allow_key_env)
    changed: set[tuple[str, str]] = set()
    for plan in plans:
        place = (plan.address, plan.collection)
        try:
            change = plan.apply(allow_key_env=allowed, **options)
        except PlanStaleError:
            if place not in changed:
                raise
            change = plan.again(allowed).apply(allow_key_env=allowed, **options)
        if change.state != "nothing":
            changed.add(place)
        yield change


def _store_of(plan: PlainPlan, allow_key_env: Iterable[str]) -> tuple[Store, bool]:
    """The store that a plan was made with, or a newly opened one (then True).

    A plan without a store comes from a file, which somebody else may have written.
    """
    bound: Store | None = getattr(plan, "_store", None)
    if bound is not None:
        return bound, False
    address = Address.from_file(plan.reopen or plan.address, allow_key_env)
    return open_store(address, disabled=plan.disabled), True


class Change:
    """A change that was applied. As a context manager it is undone when its block fails."""

    def __init__(self, outcome: Outcome, store: Store | None = None) -> None:
        self.outcome = outcome
        self._store = store

    def __repr__(self) -> str:
        return f"<Change {self.id} {self.state}: {self.outcome.requested}>"

    id = property(lambda self: self.outcome.id, doc="The change's id.")
    state = property(lambda self: self.outcome.state, doc="applied, undone, nothing, ...")
    status = property(lambda self: self.outcome.status, doc="The status seen at the end.")
    recall_before = property(lambda self: self.outcome.recall_before, doc="By the guard.")
    recall_after = property(lambda self: self.outcome.recall_after, doc="By the guard.")
    seconds = property(lambda self: self.outcome.seconds, doc="How long it took.")

    @property
    def plan(self) -> Plan:
        """The plan that was applied.

        Raises:
            NotFoundError: there was nothing to do, so nothing was kept.
        """
        return Plan._of(journal.find(self.id).plan, self._store)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.outcome.to_dict()

    def verify(
        self,
        *,
        k: int = 10,
        queries: Any = 200,
        encoder: Encoder | None = None,
        seed: int = 0,
        progress: OnProgress | None = None,
    ) -> Verification:
        """Compare the configuration with the verified status, and measure recall@k.

        Args:
            k, queries, encoder, seed, progress: see ``Collection.verify``.
        """
        options = EvaluationOptions(
            k=k, queries=queries, encoder=encoder, seed=seed, progress=progress or silent
        )
        place = self.outcome.reopen or self.outcome.address
        with _SharedStore(self._store, place) as store:
            return run_verify(store, self.outcome.collection, self.outcome.vector, options)

    def undo(
        self, *, progress: OnProgress | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> Change:
        """Take the change back and wait until the engine obeys.

        Raises:
            PlanError: undone already, or a newer change stands on it.
            PlanStaleError: somebody else changed the collection since.
        """
        record = journal.find(self.id)
        place = record.plan.reopen or record.plan.address
        with _SharedStore(self._store, place, record.plan.disabled) as store:
            outcome = apply.undo_change(store, record, progress=progress or silent, timeout=timeout)
        self.outcome = outcome
        return self

    def __enter__(self) -> Change:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.state == "applied":
            self.undo()


class _SharedStore:
    """The store at hand, or one opened for as long as it is needed."""

    def __init__(
        self, store: Store | None, address: str | Address, disabled: Sequence[str] = ()
    ) -> None:
        self._store, self._address, self._disabled = store, address, disabled
        self._opened: Store | None = None

    def __enter__(self) -> Store:
        if self._store is not None:
            return self._store
        self._opened = open_store(self._address, disabled=self._disabled)
        return self._opened

    def __exit__(self, *_: object) -> None:
        if self._opened is not None:
            self._opened.close()


class History(list[Change]):
    """All changes that were begun on this machine, newest first.

    Attributes:
        damaged: records that cannot be read, each with ``id``, ``path``, ``problem``, ``hint``,
            ``address`` and ``collection`` (empty where unknown). Until such a record is set aside
            by ``qadapt.abandon``, no change of its collection is planned, applied or undone.
    """

    def __init__(
        self, changes: Iterable[Change] = (), damaged: Iterable[DamagedRecord] = ()
    ) -> None:
        super().__init__(changes)
        self.damaged = tuple(damaged)


def history() -> History:
    """All changes that were begun on this machine, newest first; damaged records beside them."""
    records, damaged = journal.scan()
    return History((Change(apply.outcome_of(record)) for record in records), damaged)


def abandon(change: str) -> Abandoned:
    """Set the record of a change aside, so that it is no longer considered.

    Nothing is done to the collection, and the change can't be undone afterwards. The record is
    moved to the folder ``abandoned`` of the state folder and never deleted.

    Args:
        change: its id, or the beginning of it; of a damaged record the name of its folder.

    Returns:
        Where the record is now, and what state the collection may be in.

    Raises:
        NotFoundError: no such change.
        BusyError: the change is under way in another process.
    """
    return abandoned_records.abandon(change)


def undo(
    change: str | None = None,
    *,
    progress: OnProgress | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Change:
    """Take a change back: by its id (or the beginning of it), or the newest that is not undone.

    Raises:
        NotFoundError: no such change.
        IntegrityError: its record, or another one of its collection, cannot be read.
        PlanError, PlanStaleError: see ``Change.undo``.
    """
    if change is not None:
        record = journal.find(change)
    else:
        standing = (item for item in journal.records() if item.state != "undone")
        newest = next(standing, None)
        if newest is None:
            raise NotFoundError(
                "there is no change to undo", hint="`qadapt history` lists what was applied"
            )
        record = newest
    return Change(apply.outcome_of(record)).undo(progress=progress, timeout=timeout)


def load_plan(path: str | Path) -> Plan:
    """A plan that ``qadapt plan -o`` or ``plan.to_json()`` saved.

    The store's address in it is not trusted: a key that it names by ``key_env`` is used only for
    the store's own variables, or with ``Plan.apply(allow_key_env=...)``.

    Raises:
        InputError: no such file.
        SpecError: not a plan.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the plan {path}: {error}") from error
    return Plan.from_json(text)
