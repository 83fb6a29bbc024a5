"""Running a migration from the beginning, or from where an earlier run stopped.

The stages are: plan, create the target, copy, catch up, build indexes and quantization, check, cut
over. The journal records each, so that the same call continues an interrupted run.
"""

from __future__ import annotations

import time

from qadapt.errors import AlreadyExistsError, NotFoundError, UnsupportedError
from qadapt.local import bulk_writes
from qadapt.local.state import exclusive, forget
from qadapt.migration.catch_up import WATERMARK, catch_up
from qadapt.migration.copy_check import check_copy
from qadapt.migration.cutover import cut_over, refuse_cutover
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.finalize import (
    BULK_LOAD,
    begin_bulk_load,
    build_indexes,
    bulk_load_settings,
    end_bulk_load,
    wait_for_index,
)
from qadapt.migration.journal import Journal
from qadapt.migration.local_executor import CopyStats, copy_with_threads
from qadapt.migration.options import Options
from qadapt.migration.partitions import split_source
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.planner import comparison_plan, make_plan
from qadapt.migration.report import Check, Metrics, Migration
from qadapt.migration.resume import (
    PLAN,
    check_resume_options,
    check_unchanged,
    earlier_journal,
    earlier_plan,
    open_journal,
    parse_plan,
)
from qadapt.migration.schema import create_collection
from qadapt.migration.worker import CopyWorker
from qadapt.stores.base import OnProgress, ScanRange, silent

CREATED = "created"
SHOWN = 20  # skipped rows in the result
COPYING = (
    "`qadapt migrate` is copying rows of {} into the collection, or was interrupted: the same "
    "command finishes the copy and builds the codes again"
)


def plan_migration(
    source: Endpoint, target: Endpoint, options: Options, progress: OnProgress = silent
) -> MigrationPlan:
    """The plan of a migration; that of an earlier run, if it can be resumed.

    Raises:
        NotFoundError, InputError, AlreadyExistsError, UnsupportedError: as ``make_plan``.
    """
    with earlier_journal(source, target) as journal:
        earlier = earlier_plan(journal, target)
    plan = earlier or make_plan(source, target, options, progress)
    check_resume_options(plan, target, options)
    return plan


def migrate(
    source: Endpoint,
    target: Endpoint,
    options: Options,
    *,
    plan: MigrationPlan | None = None,
    resume: bool = False,
    restart: bool = False,
    with_catch_up: bool = False,
    cutover: str | None = None,
    on: str | None = None,
    progress: OnProgress = silent,
) -> Migration:
    """Copy, build, check and cut over; stages that an earlier run completed are not repeated.

    Args:
        plan: as ``plan_migration`` returned it; None to make one.
        resume: fail if there is no earlier run.
        restart: discard the progress of an earlier run, and copy all rows to its target again.
        with_catch_up: apply changes of the source after the copy.
        cutover: an alias to switch to the target after the check has passed.
        on: the address of a Ray cluster, or ``local``; None for threads of this process.

    Raises:
        UnsupportedError: something cannot be copied, and that is not allowed.
        BusyError: another run uses this target.
        KeyboardInterrupt: after each worker has finished its batch; the same call continues.
    """
    source.ensure_loaded()
    if cutover is not None:
        refuse_cutover(target)
    with exclusive(*target.key), open_journal(source, target) as journal:
        if restart and target.exists:
            _restart(source, journal)
        earlier = earlier_plan(journal, target)
        if resume and earlier is None:
            raise NotFoundError(
                f"there is no earlier run from {source} to {target} to resume",
                hint="leave out --resume to start one",
            )
        made = earlier or plan or make_plan(source, target, options, progress)
        check_resume_options(made, target, options)
        if earlier is not None and plan is None:
            made = made.replace(workers=options.workers, batch_bytes=options.batch_bytes)
        made = _with_allowed(made, options)
        refuse_losses(made)
        if earlier is None:
            _begin(made, source, target, journal)
        else:
            check_unchanged(made, source, target, journal)
            journal.put(**{PLAN: made.to_dict()})
        return _run_stages(
            made, source, target, options, journal,
            resumed=earlier is not None, with_catch_up=with_catch_up, cutover=cutover, on=on,
            progress=progress,
        )  # fmt: skip


def _run_stages(
    plan: MigrationPlan,
    source: Endpoint,
    target: Endpoint,
    options: Options,
    journal: Journal,
    *,
    resumed: bool,
    with_catch_up: bool,
    cutover: str | None,
    on: str | None,
    progress: OnProgress,
) -> Migration:
    worker = CopyWorker(plan, source, target, options.retry_timeout)
    _create_target(plan, target, journal)
    worker.router.create_missing()
    rows_before = journal.rows()
    if with_catch_up or not journal.all_done():
        bulk_writes.suspend(target.store, target.name, COPYING.format(source))
    begin_bulk_load(target, journal)
    copied = _copy(plan, journal, worker, on, progress)
    caught_up = catch_up(plan, journal, worker, progress) if with_catch_up else None
    begun = time.monotonic()
    end_bulk_load(target, journal)
    status = build_indexes(plan, target, progress, options.timeout)
    wait_for_index(target, journal, progress, options.timeout)
    build_seconds = time.monotonic() - begun
    checked = None
    if options.check != "off":
        checked = _check(plan, source, target, options, journal, progress)
    passed = checked is None or checked.passed
    skipped = [
        (key, reason if partition is None else f"{reason} (in {partition})")
        for (partition, key), reason in journal.skipped().items()
    ]
    return Migration(
        plan=plan,
        state="done" if passed else "check failed",
        resumed=resumed,
        status=status,
        metrics=_metrics(plan, copied, rows_before, build_seconds, checked),
        skipped=tuple(skipped[:SHOWN]),
        check=checked,
        catch_up=caught_up,
        cutover=cut_over(target, cutover) if cutover and passed else None,
    )


def compare(
    source: Endpoint, target: Endpoint, options: Options, progress: OnProgress = silent
) -> Check:
    """Compare two collections, whether or not one was migrated to the other.

    Raises:
        NotFoundError: one of them does not exist.
    """
    source.ensure_loaded()
    target.ensure_loaded()
    with earlier_journal(source, target) as journal:
        plan = earlier_plan(journal, target) or comparison_plan(source, target)
        return _check(plan, source, target, options, journal, progress)


# -- beginning -----------------------------------------------------------------------------------


def _with_allowed(plan: MigrationPlan, options: Options) -> MigrationPlan:
    """The plan with the losses that this call allows in addition."""
    allow = tuple(dict.fromkeys([*plan.allow, *options.allow]))
    losses = tuple(loss.replace(allowed=loss.name in allow) for loss in plan.losses)
    return plan.replace(allow=allow, losses=losses)


def refuse_losses(plan: MigrationPlan) -> None:
    """Refuse a plan with losses that are not allowed.

    Raises:
        UnsupportedError
    """
    if plan.refused:
        details = "; ".join(f"{loss.name}: {loss.detail}" for loss in plan.refused)
        options = " ".join(f"--allow {loss.name}" for loss in plan.refused)
        raise UnsupportedError(
            f"{plan.source_collection!r} cannot be copied completely: {details}",
            hint=f"to copy the rest: {options}",
        )


def _begin(plan: MigrationPlan, source: Endpoint, target: Endpoint, journal: Journal) -> None:
    """Record the plan before anything is changed."""
    if target.exists and "existing-target" not in plan.allow:
        raise AlreadyExistsError(
            f"the collection {target.name!r} was created after the plan was made",
            hint="plan again",
        )
    scan_ranges = _scan_ranges(source, plan)
    journal.begin(
        scan_ranges, **{PLAN: plan.to_dict(), WATERMARK: plan.watermark, CREATED: target.exists}
    )


def _scan_ranges(source: Endpoint, plan: MigrationPlan) -> list[ScanRange]:
    return split_source(source, plan.partitions, plan.workers, plan.count, plan.scan_ranges)


def _restart(source: Endpoint, journal: Journal) -> None:
    """Discard the progress of an earlier run; its plan and target remain."""
    document = journal.get(PLAN)
    if document is not None:
        kept = {key: journal.get(key) for key in (PLAN, WATERMARK, CREATED, BULK_LOAD)}
        journal.begin(_scan_ranges(source, parse_plan(journal, document)), **kept)


def _create_target(plan: MigrationPlan, target: Endpoint, journal: Journal) -> None:
    """Create the target; one whose creation was interrupted is dropped and created again."""
    if journal.get(CREATED):
        target.ensure_loaded()
        return
    if target.exists:
        target.store.drop(target.name)
    # Settings of an earlier collection of this name must not apply to the new one.
    forget(*target.key)
    create_collection(target, plan.target_vectors, plan.schema)
    journal.put(**{CREATED: True, **bulk_load_settings(target)})


# -- stages --------------------------------------------------------------------------------------


def _copy(
    plan: MigrationPlan, journal: Journal, worker: CopyWorker, on: str | None, progress: OnProgress
) -> CopyStats:
    if journal.all_done():
        return CopyStats()
    with worker.source.store.consistent_reads(worker.source.name) as snapshot:
        if on is None:
            return copy_with_threads(plan, journal, worker, progress)
        from qadapt.migration.ray_executor import copy_with_ray

        return copy_with_ray(plan, journal, worker, on, snapshot, progress)


def _check(
    plan: MigrationPlan,
    source: Endpoint,
    target: Endpoint,
    options: Options,
    journal: Journal,
    progress: OnProgress,
) -> Check:
    return check_copy(
        plan,
        source,
        target,
        scope=options.check,
        gate=options.gate,
        skipped=journal.skipped(),
        progress=progress,
    )


def _metrics(
    plan: MigrationPlan,
    copied: CopyStats,
    rows_before: int,
    build_seconds: float,
    checked: Check | None,
) -> Metrics:
    workers = max(1, min(plan.workers, plan.scan_ranges))
    worker_seconds = copied.seconds * workers
    return Metrics(
        rows=copied.rows,
        bytes=copied.bytes,
        rows_before=rows_before,
        skipped=copied.skipped,
        writes=copied.writes,
        copy_seconds=copied.seconds,
        build_seconds=build_seconds,
        check_seconds=checked.seconds if checked else 0.0,
        rows_per_second=copied.rows_per_second,
        megabytes_per_second=copied.bytes / copied.seconds / 1e6 if copied.seconds else 0.0,
        write_share=min(1.0, copied.write_seconds / worker_seconds) if worker_seconds else 0.0,
    )
