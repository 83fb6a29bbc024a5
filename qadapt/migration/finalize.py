"""Around the load of rows: index building is deferred, then indexes and quantization are built.

While rows are written, the target's engine builds no index; it builds it once at the end. The
journal records the former settings before they are changed, so that the next run of the same
command restores them if this one is killed. A target that existed before the migration keeps
building its index, because it may be searched in the meantime.
"""

from __future__ import annotations

from typing import Any

from qadapt.errors import TooFewRowsError
from qadapt.local import bulk_writes, collection_info
from qadapt.local.apply_steps import apply_steps
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.wait import Goal, wait_for
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.journal import Journal
from qadapt.migration.payload_indexes import create_payload_indexes
from qadapt.migration.plan import MigrationPlan
from qadapt.model import Accept, Kind, Plan, Quantization, Status
from qadapt.planning import planner
from qadapt.planning.plan_options import PlanOptions
from qadapt.stores.base import OnProgress
from qadapt.stores.polling import Deadline, Wait

BULK_LOAD = "bulk_load"


# -- bulk load -----------------------------------------------------------------------------------


def bulk_load_settings(target: Endpoint) -> dict[str, Any]:
    """For the journal: the settings that a load of a new target changes."""
    return {BULK_LOAD: dict(target.store.bulk_load_settings(target.name))}


def begin_bulk_load(target: Endpoint, journal: Journal) -> None:
    """Defer index building while there are rows to copy; may be repeated."""
    if journal.get(BULK_LOAD) and not journal.all_done():
        target.store.begin_bulk_load(target.name)


def end_bulk_load(target: Endpoint, journal: Journal) -> None:
    """Restore the settings; the engine starts to build its index."""
    former = journal.get(BULK_LOAD)
    if former:
        target.store.end_bulk_load(target.name, former)


def wait_for_index(
    target: Endpoint, journal: Journal, progress: OnProgress, timeout: float
) -> None:
    """Wait until the engine has built its index.

    Raises:
        StoreTimeoutError: not built within ``timeout`` seconds; the next run waits again.
    """
    if journal.get(BULK_LOAD):
        target.store.settle(target.name, progress, timeout)
        journal.put(**{BULK_LOAD: {}})


# -- payload indexes and quantization ------------------------------------------------------------


def build_indexes(
    plan: MigrationPlan, target: Endpoint, progress: OnProgress, timeout: float
) -> dict[str, Status]:
    """Create payload indexes and quantize the target as planned; may be repeated.

    Returns:
        The verified status of each vector.

    Raises:
        ApplyError: the engine ignores the quantization.
        StoreTimeoutError: not built within ``timeout`` seconds.
    """
    if not target.store.traits.payload_indexes_last:
        create_payload_indexes(plan, target, progress)
    found = {}
    for name, each in plan.vectors.items():
        if each.requested_quantization.kind is Kind.NONE:
            found[name] = collection_info.info(target.store, target.name).vectors[name].status
        else:
            accept: Accept = "client" if each.quantized_by == "qadapt" else "differs"
            found[name] = quantize(
                target, name, each.requested_quantization, accept, progress, timeout
            )
        if each.rescore is not None or each.full_dim is not None:
            settings = read_settings(target.store, target.name)
            changed = settings.of(name).replace(rescore=each.rescore, full_dim=each.full_dim)
            write_settings(target.store, target.name, settings.with_vector(name, changed))
    if target.store.traits.payload_indexes_last:
        create_payload_indexes(plan, target, progress)
    # Client-side codes of an existing target that the plan does not name are out of date now.
    for name in bulk_writes.resume(target.store, target.name, progress):
        if name in found:
            found[name] = collection_info.info(target.store, target.name).vectors[name].status
    return found


def quantize(
    target: Endpoint,
    name: str,
    wanted: Quantization,
    accept: Accept,
    progress: OnProgress,
    timeout: float,
) -> Status:
    """Quantize one vector, and wait until that is verified.

    Where the engine builds no codes for so few rows, the setting is made anyway, and the status is
    ``ignored``.

    Raises:
        TooFewRowsError: the target does not accept a setting for codes that it does not build.
        UnsupportedError, ApplyError, StoreTimeoutError
    """

    def plan(*, without_codes: bool) -> Plan:
        options = PlanOptions(vector=name, accept=accept, without_codes=without_codes)
        return planner.make_plan(target.store, target.name, wanted, options)

    try:
        made, built = plan(without_codes=False), True
    except TooFewRowsError:
        made, built = plan(without_codes=True), False
    apply_steps(target.store, target.name, made.steps, progress, timeout)
    if not built:
        return collection_info.info(target.store, target.name).vectors[name].status
    wait = Wait(progress, Deadline(timeout))
    return wait_for(target.store, target.name, name, Goal(wanted), wait)
