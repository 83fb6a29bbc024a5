"""The copy on a Ray cluster: the same workers as tasks on other machines.

Each scan range is one task. The task opens both stores on its node, copies like a local worker, and
streams the acknowledged batches; only the driver writes the journal. When a node fails, its tasks
are started again behind the last acknowledged id of their ranges.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from qadapt.errors import MissingExtraError, QadaptError, StoreError, UnreachableError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.journal import Journal
from qadapt.migration.local_executor import AckRecorder, CopyStats, progress_reporter
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.worker import CopyWorker, WriteAck
from qadapt.model import Id
from qadapt.model.address import Address
from qadapt.stores.base import OnProgress, ScanRange
from qadapt.stores.registry import open_store

POLL_SECONDS = 0.2
MAX_ATTEMPTS = 5  # tasks of one scan range that may die before the copy fails


def copy_with_ray(
    plan: MigrationPlan,
    journal: Journal,
    worker: CopyWorker,
    on: str,
    snapshot: str | None,
    progress: OnProgress,
) -> CopyStats:
    """Copy the rows that are not acknowledged in the journal yet, as tasks of a cluster.

    Args:
        on: ``local``, ``auto`` (the cluster at hand) or ``ray://host:port``.
        snapshot: of the source, for ``Store.consistent_reads`` of each task.

    Raises:
        MissingExtraError, UnreachableError
        StoreError: a store that other machines cannot open.
        QadaptError: the first error of a task.
    """
    ray = _import_ray()
    addresses = [_remote_address(end.store.address) for end in (worker.source, worker.target)]
    _connect(ray, on)
    run = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_task)
    document = plan.to_json()
    pending = [each for each in journal.ranges() if not each.done]
    begun = time.monotonic()
    recorder = AckRecorder(journal)
    report = progress_reporter(plan, worker, journal.rows(), progress)
    running: dict[Any, int] = {}
    attempts: dict[int, int] = {}
    try:
        while pending or running:
            while pending and len(running) < plan.workers:
                each = pending.pop(0)
                attempts[each.number] = attempts.get(each.number, 0) + 1
                stream = run.remote(
                    document,
                    addresses,
                    worker.retry_timeout,
                    dict(each.scan_range),
                    each.after,
                    snapshot,
                )
                running[stream] = each.number
            ready, _ = ray.wait(list(running), timeout=POLL_SECONDS, fetch_local=True)
            for stream in ready:
                number = running[stream]
                outcome = _next(ray, stream)
                if isinstance(outcome, WriteAck):
                    recorder.record(number, outcome)
                    continue
                del running[stream]
                if outcome is None:
                    journal.finish(number)
                elif isinstance(outcome, QadaptError) or attempts[number] >= MAX_ATTEMPTS:
                    raise _task_error(outcome)
                else:
                    pending.append(journal.range_progress(number))
            report(recorder.stats.rows)
    finally:
        for stream in running:
            ray.cancel(stream, force=True)
    return replace(recorder.stats, seconds=time.monotonic() - begun)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray", purpose="copying on a cluster (--on ray)") from None
    return ray


def _connect(ray: Any, on: str) -> None:
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


def _remote_address(address: Address) -> Address:
    if address.transport is None:
        raise StoreError(
            f"{address} is a local folder or file, which only one process can open",
            hint="leave out --on to copy with threads of this process",
        )
    return address


def _next(ray: Any, stream: Any) -> WriteAck | BaseException | None:
    """The next batch of a task, None at its end, or the error that ended it."""
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


def _task_error(error: BaseException) -> QadaptError:
    if isinstance(error, QadaptError):
        return error
    return StoreError(
        f"copying a scan range failed after {MAX_ATTEMPTS} attempts: {error}",
        hint="check the cluster; run the same command again to continue",
    )


# -- on a node of the cluster --------------------------------------------------------------------


def _task(
    document: str,
    addresses: list[Address],
    retry_timeout: float,
    scan_range: ScanRange,
    after: Id | None,
    snapshot: str | None,
) -> Iterator[WriteAck]:
    plan = MigrationPlan.from_json(document)
    here, there = (open_store(address) for address in addresses)
    try:
        source = Endpoint(here, plan.source_collection)
        target = Endpoint(there, plan.target_collection)
        with here.consistent_reads(source.name, snapshot):
            yield from CopyWorker(plan, source, target, retry_timeout).copy(scan_range, after)
    finally:
        here.close()
        there.close()
