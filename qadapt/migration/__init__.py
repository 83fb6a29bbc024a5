"""Migration of a collection from one store to another: plan, copy, check, cut over.

The modules form a pipeline, and each imports only from those before it::

    schema -> row_codec -> partitions -> writer -> worker -> copy_check -> cutover

``planner`` makes the plan, ``run`` carries it out, ``text`` and ``report`` describe the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from qadapt.migration import run
from qadapt.migration.endpoint import open_endpoint
from qadapt.migration.options import MB, CheckScope, Options
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.report import Check, Migration
from qadapt.model import Guard, Quantization, QuantizationLike
from qadapt.model.losses import LOSSES
from qadapt.model.option_checks import refuse_pairs
from qadapt.stores.base import OnProgress, silent

__all__ = ["LOSSES", "Check", "Migration", "MigrationPlan", "check", "migrate", "plan_migration"]


def _options(
    quantization: QuantizationLike | Mapping[str, QuantizationLike] | None,
    gate: Guard | str | None,
    allow: Sequence[str],
    **others: Any,
) -> Options:
    wanted: Any = quantization
    if isinstance(quantization, Mapping) and "kind" not in quantization:
        wanted = {
            name: Quantization.of(each).with_default_places for name, each in quantization.items()
        }
    elif quantization is not None:
        wanted = Quantization.of(quantization).with_default_places
    limit = Guard.parse(gate) if isinstance(gate, str) else gate
    return Options(allow=tuple(allow), quantization=wanted, gate=limit, **others)


def plan_migration(
    source: Any,
    target: Any,
    *,
    allow: Sequence[str] = (),
    quantization: QuantizationLike | Mapping[str, QuantizationLike] | None = None,
    datatype: Literal["float32", "float16"] | None = None,
    keep_norms: bool = False,
    workers: int = 2,
    batch_bytes: int = 4 * MB,
    updated_at: str | None = None,
    trial_copy: bool = True,
    progress: OnProgress | None = None,
) -> MigrationPlan:
    """Plan a migration without carrying it out.

    Args:
        trial_copy: copy up to 400 rows to a scratch collection, which is dropped again. The trial
            shows what the target changes, and how long the copy takes. False to read only.

    The other arguments are those of ``migrate``.

    Raises:
        NotFoundError, AlreadyExistsError, UnsupportedError, InputError
    """
    options = _options(
        quantization,
        None,
        allow,
        datatype=datatype,
        keep_norms=keep_norms,
        workers=workers,
        batch_bytes=batch_bytes,
        updated_at=updated_at,
        trial_copy=trial_copy,
    )
    with open_endpoint(source) as here, open_endpoint(target, default=here.name) as there:
        return run.plan_migration(here, there, options, progress or silent)


def migrate(
    source: Any,
    target: Any,
    *,
    allow: Sequence[str] = (),
    quantization: QuantizationLike | Mapping[str, QuantizationLike] | None = None,
    datatype: Literal["float32", "float16"] | None = None,
    keep_norms: bool = False,
    workers: int = 2,
    batch_bytes: int = 4 * MB,
    updated_at: str | None = None,
    check: CheckScope | None = None,
    gate: Guard | str | None = None,
    catch_up: bool = False,
    cutover: str | None = None,
    resume: bool = False,
    restart: bool = False,
    on: str | None = None,
    retry_timeout: float = 60.0,
    timeout: float = 3600.0,
    trial_copy: bool = True,
    plan: MigrationPlan | None = None,
    progress: OnProgress | None = None,
) -> Migration:
    """Copy a collection to another store or name, exactly once.

    After an interruption, the same call continues where it stopped.

    Args:
        source, target: ``"URL#collection"``, a ``Collection``, or ``(Database, name)``. The name
            of the target defaults to that of the source. The target must not exist yet.
        allow: names of losses to accept (``qadapt.migration.LOSSES``). Any other data that cannot
            be copied is refused before anything is written.
        quantization: of the target, or ``{vector: quantization}``; by default the source's, mapped
            to the nearest equivalent.
        datatype: of the target's vectors; by default the source's.
        keep_norms: keep the lengths of cosine vectors in the payload where the target normalizes
            them.
        workers: number of workers, 1 to 64, each with a reading and a writing thread.
        batch_bytes: initial size of one write, in bytes; it adapts to the target's response times.
        updated_at: payload field with the time of a row's last change, for ``catch_up``.
        check: compare ``"all"`` rows, a ``"sample"``, or ``"off"``; None for all up to 200,000
            rows, else a sample.
        gate: minimum recall@k of the target, such as ``"recall@10>=0.95"``; None for the recall of
            the source less 0.02.
        catch_up: after the copy, apply rows that were added, changed or deleted in the source.
        cutover: an alias in the target to switch to the copy after the check has passed.
        resume: fail if there is no earlier run to continue.
        restart: discard the progress of an earlier run and write all rows again.
        on: copy as Ray tasks: ``"local"``, ``"auto"`` or ``"ray://host:port"``.
        retry_timeout: seconds to retry while a server is unreachable, before the copy stops.
        timeout: seconds for building the quantization.
        trial_copy: as for ``plan_migration``.
        plan: a plan that ``plan_migration`` returned.

    Returns:
        The result; its ``state`` is ``"check failed"`` if the check did not pass.

    Raises:
        NotFoundError, AlreadyExistsError, UnsupportedError, InputError, BusyError
    """
    refuse_pairs(
        (resume and restart, "resume (--resume)", "with restart (--restart)",
         "one continues an earlier run, the other discards it"),
        (check == "off" and gate is not None, "gate (--gate)", 'with check="off" (--check off)',
         "the check measures recall"),
    )  # fmt: skip
    options = _options(
        quantization,
        gate,
        allow,
        datatype=datatype,
        keep_norms=keep_norms,
        workers=workers,
        batch_bytes=batch_bytes,
        updated_at=updated_at,
        check=check,
        retry_timeout=retry_timeout,
        timeout=timeout,
        trial_copy=trial_copy,
    )
    with open_endpoint(source) as here, open_endpoint(target, default=here.name) as there:
        return run.migrate(
            here,
            there,
            options,
            plan=plan,
            resume=resume,
            restart=restart,
            with_catch_up=catch_up,
            cutover=cutover,
            on=on,
            progress=progress or silent,
        )


def check(
    source: Any,
    target: Any,
    *,
    scope: Literal["all", "sample"] | None = None,
    gate: Guard | str | None = None,
    progress: OnProgress | None = None,
) -> Check:
    """Compare two collections: row counts, ids in both directions, rows, and recall.

    Args:
        source, target: as for ``migrate``.
        scope: compare ``"all"`` rows or a ``"sample"``; None for all up to 200,000 rows, else a
            sample.
        gate: minimum recall@k of the target's own search; None for the recall of the source less
            0.02, by exact search where a side is quantized.

    Raises:
        NotFoundError, UnsupportedError
    """
    options = _options(None, gate, (), check=scope)
    with open_endpoint(source) as here, open_endpoint(target, default=here.name) as there:
        return run.compare(here, there, options, progress or silent)
