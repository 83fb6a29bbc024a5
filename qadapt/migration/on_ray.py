"""The copy as tasks of Ray: the same lanes, on the machines of a cluster.

A part is one task. It opens both stores where it runs, copies like a thread here would, and
streams what the target acknowledged; the journal stays with the driver, which alone writes it.
When a node dies, its tasks are begun again behind the last acknowledged id of their parts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from qadapt.errors import MissingExtraError, QadaptError, StoreError, UnreachableError
from qadapt.migration.copying import Copied, Ledger, reporter
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.journal import Journal
from qadapt.migration.lane import Lane, Written, lane_of
from qadapt.migration.plan import MigrationPlan
from qadapt.model import Id
from qadapt.model.address import Address
from qadapt.stores.base import OnProgress, Part
from qadapt.stores.registry import open_store

LOOK = 0.2  # seconds
TRIES = 5  # tasks of one part that may die before it is given up


def copy_on_ray(
    plan: MigrationPlan, journal: Journal, lane: Lane, on: str, progress: OnProgress
) -> Copied:
    """Copy what the journal says is not copied yet, as tasks of a cluster.

    Args:
        on: ``local``, ``auto`` (the cluster at hand) or ``ray://host:port``.

    Raises:
        MissingExtraError, UnreachableError
        StoreError: a store that other machines cannot open.
        QadaptError: the first that a task met.
    """
    ray = _ray()
    addresses = [_reachable(end.store.address) for end in (lane.source, lane.target)]
    _join(ray, on)
    run = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_task)
    document = plan.to_json()
    waiting = [stand for stand in journal.stands() if not stand.done]
    begun = time.monotonic()
    ledger = Ledger(journal)
    tell = reporter(plan, lane, sum(stand.rows for stand in journal.stands()), progress)
    running: dict[Any, int] = {}
    tries: dict[int, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < plan.workers:
                stand = waiting.pop(0)
                tries[stand.no] = tries.get(stand.no, 0) + 1
                given = (document, addresses, lane.patience, dict(stand.part), stand.after)
                running[run.remote(*given)] = stand.no
            ready, _ = ray.wait(list(running), timeout=LOOK, fetch_local=True)
            for stream in ready:
                no = running[stream]
                outcome = _next(ray, stream)
                if isinstance(outcome, Written):
                    ledger.written(no, outcome)
                    continue
                del running[stream]
                if outcome is None:
                    journal.done(no)
                elif isinstance(outcome, QadaptError) or tries[no] >= TRIES:
                    raise _told(outcome)
                else:
                    waiting.append(journal.stand(no))
            tell(ledger.copied.rows)
    finally:
        for stream in running:
            ray.cancel(stream, force=True)
    return replace(ledger.copied, seconds=time.monotonic() - begun)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray", purpose="copying on a cluster (--on ray)") from None
    return ray


def _join(ray: Any, on: str) -> None:
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False}
    if on == "local":
        options["_node_ip_address"] = "127.0.0.1"
    else:
        options = {"log_to_driver": False, "address": on}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UnreachableError(
            f"no Ray cluster answers at {on!r}: {error}",
            hint="start one with `ray start --head`, or leave out --on",
        ) from error


def _reachable(address: Address) -> Address:
    if address.transport is None:
        raise StoreError(
            f"{address} is a folder or file of this machine, which one process opens at a time",
            hint="leave out --on: threads of this process copy it",
        )
    return address


def _next(ray: Any, stream: Any) -> Written | BaseException | None:
    """What a task acknowledged next; None at its end; what it died of."""
    try:
        found = ray.get(next(stream))
    except StopIteration:
        return None
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        return cause if isinstance(cause, BaseException) else error
    except ray.exceptions.RayError as error:
        return error  # type: ignore[no-any-return]
    return found  # type: ignore[no-any-return]


def _told(error: BaseException) -> QadaptError:
    if isinstance(error, QadaptError):
        return error
    return StoreError(
        f"a part was given up after {TRIES} tasks of it had died: {error}",
        hint="look at the cluster; the same command goes on",
    )


# -- on a machine of the cluster -----------------------------------------------------------------


def _task(
    document: str, addresses: list[Address], patience: float, part: Part, after: Id | None
) -> Iterator[Written]:
    plan = MigrationPlan.from_json(document)
    here, there = (open_store(address) for address in addresses)
    try:
        source = Endpoint(here, plan.source_collection)
        target = Endpoint(there, plan.target_collection)
        yield from lane_of(plan, source, target, patience).copy(part, after)
    finally:
        here.close()
        there.close()
