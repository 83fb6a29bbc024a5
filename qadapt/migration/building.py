"""After the load: indexes on the payload and quantization are built once, settings come along."""

from __future__ import annotations

from qadapt.errors import TooFewRowsError
from qadapt.local import seen
from qadapt.local.settings import read_settings, write_settings
from qadapt.migration import indexes
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.plan import MigrationPlan
from qadapt.model import Accept, Kind, Quantization, Status
from qadapt.planning import planner, requests
from qadapt.planning.wait import wait_for
from qadapt.stores.base import OnProgress


def build(
    plan: MigrationPlan, target: Endpoint, progress: OnProgress, timeout: float
) -> dict[str, Status]:
    """Index the payload, quantize the target as the plan says, and look until that is in force.

    Doing it twice does the same as once.

    Returns:
        What was seen of each vector.

    Raises:
        ApplyError: the engine ignores it, with the rule and the way out.
        StoreTimeoutError: not done after ``timeout`` seconds.
    """
    if not target.store.traits.payload_indexes_last:
        indexes.make(plan, target, progress)
    found = {}
    for name, each in plan.vectors.items():
        if each.wanted.kind is Kind.NONE:
            found[name] = seen.info(target.store, target.name).vectors[name].status
        else:
            accept: Accept = "client" if each.held_by == "qadapt" else "differs"
            found[name] = quantize(target, name, each.wanted, accept, progress, timeout)
        if each.rescore is not None:
            settings = read_settings(target.store, target.name)
            changed = settings.of(name).replace(rescore=each.rescore)
            write_settings(target.store, target.name, settings.with_vector(name, changed))
    if target.store.traits.payload_indexes_last:
        indexes.make(plan, target, progress)
    return found


def quantize(
    target: Endpoint,
    name: str,
    wanted: Quantization,
    accept: Accept,
    progress: OnProgress,
    timeout: float,
) -> Status:
    """Quantize one vector, and wait until it was seen; nothing to do is done at once.

    Where the engine builds no codes of so few rows, they are set all the same, and the status says
    that they are ignored.

    Raises:
        TooFewRowsError: the target cannot be set to codes that it does not build.
        UnsupportedError, ApplyError, StoreTimeoutError
    """
    try:
        made = planner.make_plan(target.store, target.name, wanted, vector=name, accept=accept)
    except TooFewRowsError:
        if not target.store.set_without_codes(target.name, name, wanted):
            raise
        return seen.info(target.store, target.name).vectors[name].status
    for step in made.steps:
        if step.request:
            requests.run(target.store, target.name, step.request, progress, timeout)
    return wait_for(target.store, target.name, name, wanted, progress, timeout)
