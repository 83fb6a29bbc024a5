"""A migration from beginning to end, or from where an earlier run stopped."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from qadapt.errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PlanStale,
    SpecError,
    UnsupportedError,
)
from qadapt.local import seen
from qadapt.local.state import exclusive
from qadapt.migration import journal as journals
from qadapt.migration import loading, parting
from qadapt.migration.beside import create
from qadapt.migration.building import build
from qadapt.migration.carrier import Carrier
from qadapt.migration.catching_up import MARK, catch_up
from qadapt.migration.checking import check
from qadapt.migration.copying import Copied, copy
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.journal import Journal
from qadapt.migration.lane import Lane, carrier_of, lane_of
from qadapt.migration.options import Options
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.planner import make_plan, plan_of_two
from qadapt.migration.report import Check, Cutover, Metrics, Migration
from qadapt.migration.said_otherwise import refuse_other_words
from qadapt.model.written import UPGRADE, newer
from qadapt.stores.base import OnProgress, Part, silent

PLAN, MADE = "plan", "made"
LEFT_OUT = 20


def plan_migration(
    source: Endpoint, target: Endpoint, options: Options, progress: OnProgress = silent
) -> tuple[MigrationPlan, bool]:
    """The plan, and whether it is that of an earlier run, which can be gone on with.

    Raises:
        NotFoundError, InputError, AlreadyExistsError, UnsupportedError: as ``make_plan``.
    """
    with _journal(source, target) as journal:
        known = _known(journal, target)
    made = known or make_plan(source, target, options, progress)
    refuse_other_words(made, target, options)
    return made, known is not None


def migrate(
    source: Endpoint,
    target: Endpoint,
    options: Options,
    *,
    plan: MigrationPlan | None = None,
    resume: bool = False,
    restart: bool = False,
    catching_up: bool = False,
    cutover: str | None = None,
    on: str | None = None,
    progress: OnProgress = silent,
) -> Migration:
    """Copy, build, compare, and cut over; what an earlier run did is not done again.

    Args:
        plan: as ``plan_migration`` gave it; None to make it.
        resume: refuse to begin.
        restart: forget an earlier run, and copy from the beginning into what is there.
        catching_up: carry what was written, changed and deleted meanwhile.
        cutover: an alias to switch to the target, after the check passed.
        on: the address of a Ray cluster, or ``local``; None for threads here.

    Raises:
        UnsupportedError: something cannot be carried and was not allowed.
        BusyError: another run is at this target.
        KeyboardInterrupt: after each worker has finished its batch; the same call goes on.
    """
    source.must_be_there()
    if cutover is not None and not target.store.traits.aliases:
        raise UnsupportedError(
            f"{target.store.name} has no aliases, so there is none to switch to the copy",
            hint="leave out cutover (--cutover)",
        )
    with exclusive(*target.key), _journal(source, target) as journal:
        if restart and target.there:
            _again(source, journal)
        known = _known(journal, target)
        resumed = known is not None
        if resume and not resumed:
            raise NotFoundError(
                f"there is no earlier run from {source} to {target} to go on with",
                hint="leave out --resume to begin",
            )
        made = known or plan or make_plan(source, target, options, progress)
        refuse_other_words(made, target, options)
        if resumed and plan is None:
            made = made.replace(workers=options.workers, batch_bytes=options.batch_bytes)
        made = _allowing(made, options)
        refuse_losses(made)
        if known is None:
            _begin(made, source, target, journal)
        else:
            _same_source(made, source, target, journal)
            journal.put(**{PLAN: made.to_dict()})
        lane = lane_of(made, source, target, options.patience)
        _make(made, target, journal)
        parting.make_missing(source, target, lane.carrier)
        already = sum(stand.rows for stand in journal.stands())
        loading.begin(target, journal)
        copied = _copied(made, journal, lane, on, progress)
        caught = catch_up(made, journal, lane, progress) if catching_up else None
        begun = time.monotonic()
        loading.end(target, journal)
        status = build(made, target, progress, options.timeout)
        loading.settle(target, journal, progress, options.timeout)
        built = time.monotonic() - begun
        checked = _checked(made, source, target, lane.carrier, journal, options, progress)
        good = checked is None or checked.passed
        switched = _cut_over(target, cutover) if cutover and good else None
        left_out = [
            (key, why if within is None else f"{why} (in {within})")
            for (within, key), why in journal.left_out().items()
        ][:LEFT_OUT]
        return Migration(
            plan=made,
            state="done" if good else "check failed",
            resumed=resumed,
            status=status,
            metrics=_metrics(made, copied, already, built, checked),
            left_out=tuple(left_out),
            check=checked,
            caught_up=caught,
            cutover=switched,
        )


def compare(
    source: Endpoint, target: Endpoint, options: Options, progress: OnProgress = silent
) -> Check:
    """Compare two collections, whether or not this machine migrated one to the other.

    Raises:
        NotFoundError: one of them is not there.
    """
    source.must_be_there()
    target.must_be_there()
    with _journal(source, target) as journal:
        known = _known(journal, target)
        left_out = journal.left_out()
    if known is None:
        known = plan_of_two(source, target, options)
    carrier = carrier_of(known, target)
    return check(
        source,
        target,
        known.vectors,
        carrier,
        how=options.check,
        gate=options.gate,
        left_out=left_out,
        progress=progress,
    )


# -- before --------------------------------------------------------------------------------------


@contextmanager
def _journal(source: Endpoint, target: Endpoint) -> Iterator[Journal]:
    journal = Journal(journals.folder_of(source.key, target.key))
    try:
        yield journal
    finally:
        journal.close()


def _known(journal: Journal, target: Endpoint) -> MigrationPlan | None:
    """The plan of an earlier run; None where its target is gone with the rows in it."""
    document = journal.get(PLAN)
    if document is None:
        return None
    if not target.there and any(stand.rows for stand in journal.stands()):
        return None
    return _plan_of(journal, document)


def _plan_of(journal: Journal, document: Any) -> MigrationPlan:
    """The plan that a journal holds.

    Raises:
        IntegrityError: it is damaged, or of a newer qadapt.
    """
    try:
        return MigrationPlan.from_dict(document)
    except SpecError as error:
        told = newer(document, journals.FORMAT)
        if told is None:
            raise journal.damaged(error.message) from error
        raise IntegrityError(
            f"the journal of the migration in {journal.folder} was {told}", hint=UPGRADE
        ) from error


def _allowing(plan: MigrationPlan, options: Options) -> MigrationPlan:
    """The plan with what is allowed now beside what was when it was made."""
    allow = tuple(dict.fromkeys([*plan.allow, *options.allow]))
    losses = tuple(loss.replace(allowed=loss.name in allow) for loss in plan.losses)
    return plan.replace(allow=allow, losses=losses)


def refuse_losses(plan: MigrationPlan) -> None:
    """Refuse what cannot be carried and was not allowed.

    Raises:
        UnsupportedError
    """
    refused = plan.refused
    if refused:
        told = "; ".join(f"{loss.name}: {loss.what}" for loss in refused)
        names = " ".join(f"--allow {loss.name}" for loss in refused)
        raise UnsupportedError(
            f"not all of {plan.source_collection!r} can be carried: {told}",
            hint=f"to leave that behind: {names}",
        )


def _begin(plan: MigrationPlan, source: Endpoint, target: Endpoint, journal: Journal) -> None:
    """Note what will be done, before anything is."""
    if target.there and "existing-target" not in plan.allow:
        raise AlreadyExistsError(f"there is a collection {target.name!r} by now", hint="plan again")
    parts = _parts(source, plan)
    journal.begin(parts, **{PLAN: plan.to_dict(), MARK: plan.mark, MADE: target.there})


def _parts(source: Endpoint, plan: MigrationPlan) -> list[Part]:
    return parting.reading(source, plan.parting, plan.workers, plan.count, plan.parts)


def _again(source: Endpoint, journal: Journal) -> None:
    """All rows of an earlier run are open again; its plan and target stay."""
    plan = journal.get(PLAN)
    if plan is not None:
        journal.begin(
            _parts(source, _plan_of(journal, plan)),
            **{key: journal.get(key) for key in (PLAN, MARK, MADE, loading.LOAD)},
        )


def _make(plan: MigrationPlan, target: Endpoint, journal: Journal) -> None:
    """Create the target; one whose creation was interrupted is of no use and made again."""
    if journal.get(MADE):
        target.must_be_there()
        return
    if target.there:
        target.store.drop(target.name)
    create(target, plan.made, plan.beside)
    journal.put(**{MADE: True, **loading.noted(target)})


def _same_source(plan: MigrationPlan, source: Endpoint, target: Endpoint, journal: Journal) -> None:
    info = seen.info(source.store, source.name)
    now = {name: each.vector for name, each in info.vectors.items() if name in plan.vectors}
    if now != {name: each.source for name, each in plan.vectors.items()}:
        raise PlanStale(
            "the source has other vectors than when the migration began",
            hint="copy it from the beginning, to another name: drop the target first",
        )
    stands = journal.stands()
    rows = sum(stand.rows for stand in stands)
    if rows and not all(stand.done for stand in stands) and target.store.count(target.name) < rows:
        raise IntegrityError(
            f"{rows:,} rows were acknowledged by {target}, and fewer are there now",
            hint="rows were deleted meanwhile; copy all of them again: --restart",
        )


# -- the stages ----------------------------------------------------------------------------------


def _copied(
    plan: MigrationPlan, journal: Journal, lane: Lane, on: str | None, progress: OnProgress
) -> Copied:
    if all(stand.done for stand in journal.stands()):
        return Copied()
    if on is None:
        return copy(plan, journal, lane, progress)
    from qadapt.migration.on_ray import copy_on_ray

    return copy_on_ray(plan, journal, lane, on, progress)


def _checked(
    plan: MigrationPlan,
    source: Endpoint,
    target: Endpoint,
    carrier: Carrier,
    journal: Journal,
    options: Options,
    progress: OnProgress,
) -> Check | None:
    if options.check == "off":
        return None
    return check(
        source,
        target,
        plan.vectors,
        carrier,
        how=options.check,
        gate=options.gate,
        left_out=journal.left_out(),
        progress=progress,
    )


def _cut_over(target: Endpoint, alias: str) -> Cutover:
    before = target.store.aliases().get(alias)
    target.store.switch_alias(alias, target.name)
    address = shlex.quote(str(replace(target.store.address, collection=None)))
    words = [address, shlex.quote(alias)]
    back = [*words, shlex.quote(before)] if before else [*words, "--drop"]
    return Cutover(alias, before, target.name, f"qadapt alias {' '.join(back)}")


def _metrics(
    plan: MigrationPlan, copied: Copied, already: int, built: float, checked: Check | None
) -> Metrics:
    lanes = max(1, min(plan.workers, plan.parts))
    spent = copied.seconds * lanes
    return Metrics(
        rows=copied.rows,
        bytes=copied.bytes,
        already=already,
        left_out=copied.left_out,
        writes=copied.writes,
        copy_seconds=copied.seconds,
        build_seconds=built,
        check_seconds=checked.seconds if checked else 0.0,
        rate=copied.rate,
        megabytes_rate=copied.bytes / copied.seconds / 1e6 if copied.seconds else 0.0,
        write_share=min(1.0, copied.write_seconds / spent) if spent else 0.0,
    )
