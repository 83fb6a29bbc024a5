"""Plans that can be applied, and applied changes."""

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
from qadapt.model import Guard, Prices
from qadapt.model import Plan as PlainPlan
from qadapt.model.address import Address
from qadapt.model.table import Table, preformatted
from qadapt.planning import abandoned_records, apply, journal
from qadapt.planning.abandoned_records import Abandoned
from qadapt.planning.change_record import DamagedRecord
from qadapt.planning.outcome import Outcome, outcome_of
from qadapt.planning.plan_text import plan_text
from qadapt.stores.base import OnProgress, Store, silent
from qadapt.stores.registry import open_store

DEFAULT_TIMEOUT = 3600.0


@dataclass(frozen=True)
class Plan(PlainPlan):
    """Plan that can be printed, saved and applied; see ``qadapt.model.Plan`` for its fields."""

    @classmethod
    def _of(cls, plan: PlainPlan, store: Store | None) -> Plan:
        fields = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        bound = cls(**fields)
        object.__setattr__(bound, "_store", store)
        return bound

    def __str__(self) -> str:
        return plan_text(self)

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return preformatted(plan_text(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields without the connection; ``apply`` opens a new one."""
        return _unbound_plan, (
            PlainPlan(**{n: getattr(self, n) for n in self.__dataclass_fields__}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types.

        Raises:
            InputError: the queries of the guard are an array.
        """
        if self.guard is not None and not isinstance(self.guard.queries, (int, str)):
            raise InputError(
                "the queries of the guard are an array, which cannot be saved in a plan",
                hint="save them with numpy.save and pass the path: qa.Guard(0.95, queries='q.npy')",
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
        prices: Prices | None = None,
    ) -> Change:
        """Apply the plan, wait until it is verified active, and check the guard.

        Args:
            yes: confirm steps that cannot be rolled back or block searches.
            progress: called with ``Progress`` events.
            guard: minimum recall after the change; default: the guard of the plan.
            timeout: maximum seconds per step.
            allow_key_env: environment variables that a plan from a file may use for the key, in
                addition to those of the database.
            prices: per GiB and month, for the monthly cost in ``Change.memory``; default: those of
                the plan.

        Raises:
            ConsentRequiredError, PlanStaleError, GuardMissedError, ApplyError, BusyError
        """
        store, owned = _store_of(self, allow_key_env)
        plan = self.priced(prices or Prices())
        try:
            outcome = apply.apply_plan(
                store,
                PlainPlan(**{name: getattr(plan, name) for name in plan.__dataclass_fields__}),
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
        """Plan the same request for the current state of the collection.

        Args:
            allow_key_env: see ``apply``.
        """
        place = Address.from_file(self.reopen or self.address, allow_key_env)
        with _SharedStore(getattr(self, "_store", None), place, self.disabled) as store:
            made = apply.plan_again(store, self)
        return Plan._of(made, getattr(self, "_store", None))

    def replace(self, **changes: Any) -> Plan:
        """Copy with changed fields and the same connection."""
        return Plan._of(super().replace(**changes), getattr(self, "_store", None))


def _unbound_plan(plan: PlainPlan) -> Plan:
    """Plan without a connection."""
    return Plan._of(plan, None)


def apply_plans(
    plans: Iterable[Plan],
    *,
    yes: bool = False,
    progress: OnProgress | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    allow_key_env: Iterable[str] = (),
) -> Iterator[Change]:
    """Apply plans in order.

    A plan that is outdated only because of earlier plans is planned again; see ``Plan.apply``.
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
    """Connection of a plan, or a new connection (then True).

    A plan without a connection comes from a file, which is not trusted.
    """
    bound: Store | None = getattr(plan, "_store", None)
    if bound is not None:
        return bound, False
    address = Address.from_file(plan.reopen or plan.address, allow_key_env)
    return open_store(address, disabled=plan.disabled), True


class Change:
    """Applied change. As a context manager, it is undone if the block raises an error."""

    def __init__(self, outcome: Outcome, store: Store | None = None) -> None:
        self.outcome = outcome
        self._store = store

    def __str__(self) -> str:
        return str(self.outcome)

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return self.outcome._repr_html_()

    def __repr__(self) -> str:
        return f"<Change {self.id} {self.state}: {self.outcome.requested}>"

    id = property(lambda self: self.outcome.id, doc="Id of the change.")
    state = property(lambda self: self.outcome.state, doc="State: applied, undone, nothing, ...")
    status = property(lambda self: self.outcome.status, doc="Final status of the quantization.")
    recall_before = property(lambda self: self.outcome.recall_before, doc="By the guard.")
    recall_after = property(lambda self: self.outcome.recall_after, doc="By the guard.")
    seconds = property(lambda self: self.outcome.seconds, doc="Duration in seconds.")
    memory = property(lambda self: self.outcome.memory, doc="RAM and disk, before and after.")

    @property
    def plan(self) -> Plan:
        """Plan that was applied.

        Raises:
            NotFoundError: the plan changed nothing, so there is no record.
        """
        return Plan._of(journal.find(self.id).plan, self._store)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
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
        """Roll the change back and wait until that is verified.

        Raises:
            PlanError: the change was undone, or a newer change depends on it.
            PlanStaleError: the collection was changed by another client.
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
    """Use the existing connection, or open a temporary one."""

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
    """All changes that were started on this machine, newest first.

    Attributes:
        damaged: unreadable records with ``id``, ``path``, ``problem``, ``hint``, ``address`` and
            ``collection`` (empty if unknown). Until a damaged record is abandoned with
            ``qadapt.abandon``, no change of its collection can be planned, applied or undone.
    """

    def __init__(
        self, changes: Iterable[Change] = (), damaged: Iterable[DamagedRecord] = ()
    ) -> None:
        super().__init__(changes)
        self.damaged = tuple(damaged)

    def table(self) -> Table:
        """One row per change."""
        outcomes = [change.outcome for change in self]
        rows = [
            (each.id, each.state, each.collection, each.requested, str(each.address))
            for each in outcomes
        ]
        notes = tuple(f"damaged: {each.id}: {each.problem}" for each in self.damaged)
        columns = ("Change", "State", "Collection", "Quantization", "Store")
        return Table(columns, tuple(rows), notes=notes)

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return self.table()._repr_html_()


def history() -> History:
    """List all changes that were started on this machine, newest first, and damaged records."""
    records, damaged = journal.scan()
    return History((Change(outcome_of(record)) for record in records), damaged)


def abandon(change: str) -> Abandoned:
    """Abandon the record of a change, so that it is ignored.

    The collection is not modified, and the change can no longer be undone. The record is moved to
    the folder ``abandoned`` in the state folder and never deleted.

    Args:
        change: id of the change or a prefix of it; for a damaged record the name of its folder.

    Returns:
        New path of the record, and the possible state of the collection.

    Raises:
        NotFoundError: the change does not exist.
        BusyError: the change is in progress in another process.
    """
    return abandoned_records.abandon(change)


def undo(
    change: str | None = None,
    *,
    progress: OnProgress | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> Change:
    """Undo a change, by its id or a prefix of it; by default the newest that is not undone.

    Raises:
        NotFoundError: the change does not exist.
        IntegrityError: its record, or another one of its collection, is unreadable.
        PlanError, PlanStaleError: see ``Change.undo``.
    """
    if change is not None:
        record = journal.find(change)
    else:
        standing = (item for item in journal.records() if item.state != "undone")
        newest = next(standing, None)
        if newest is None:
            raise NotFoundError(
                "there is no change to undo", hint="`qadapt history` lists all changes"
            )
        record = newest
    return Change(outcome_of(record)).undo(progress=progress, timeout=timeout)


def load_plan(path: str | Path) -> Plan:
    """Load a plan that was saved with ``qadapt plan -o`` or ``plan.to_json()``.

    The address in the plan is not trusted: ``key_env`` may name only variables of the database, or
    those in ``Plan.apply(allow_key_env=...)``.

    Raises:
        InputError: the file cannot be read.
        SpecError: the file is not a plan.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the plan {path}: {error}", hint="pass a file that `qadapt plan -o` wrote"
        ) from error
    return Plan.from_json(text)
