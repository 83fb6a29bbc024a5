"""Copying a collection from one store to another: planned, exactly once, compared, cut over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from qadapt.errors import refuse_pairs
from qadapt.migration import running
from qadapt.migration.endpoint import opened
from qadapt.migration.options import MB, CheckHow, Options
from qadapt.migration.plan import ALLOWED, MigrationPlan
from qadapt.migration.report import Check, Migration
from qadapt.model import Guard, Quantization, QuantizationLike
from qadapt.stores.base import OnProgress, silent

__all__ = ["ALLOWED", "Check", "Migration", "MigrationPlan", "check", "migrate", "plan_migration"]


def _options(
    quantization: QuantizationLike | Mapping[str, QuantizationLike] | None,
    gate: Guard | str | None,
    allow: Sequence[str],
    **rest: Any,
) -> Options:
    wanted: Any = quantization
    if isinstance(quantization, Mapping) and "kind" not in quantization:
        wanted = {name: Quantization.of(each) for name, each in quantization.items()}
    elif quantization is not None:
        wanted = Quantization.of(quantization)
    limit = Guard.parse(gate) if isinstance(gate, str) else gate
    return Options(allow=tuple(allow), quantization=wanted, gate=limit, **rest)


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
    probe: bool = True,
    progress: OnProgress | None = None,
) -> MigrationPlan:
    """What ``migrate`` would do; changes nothing.

    Args:
        probe: copy up to 400 rows to a scratch collection, which is dropped again: that shows
            what the target changes, and how long it will take. False reads only.

    The others are those of ``migrate``.

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
        probe=probe,
    )
    with opened(source) as here, opened(target, default=here.name) as there:
        return running.plan_migration(here, there, options, progress or silent)[0]


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
    check: CheckHow | None = None,
    gate: Guard | str | None = None,
    catch_up: bool = False,
    cutover: str | None = None,
    resume: bool = False,
    restart: bool = False,
    on: str | None = None,
    patience: float = 60.0,
    timeout: float = 3600.0,
    probe: bool = True,
    plan: MigrationPlan | None = None,
    progress: OnProgress | None = None,
) -> Migration:
    """Copy a collection, so that each row is there once; interrupted, the same call goes on.

    Args:
        source, target: ``"URL#collection"``, a ``Collection``, or ``(Database, name)``. The
            target's name is that of the source where none is given; it must not be there yet.
        allow: names of what may be left behind (``qadapt.migration.ALLOWED``); all else that
            cannot be carried is refused before anything is written.
        quantization: of the target, or ``{vector: quantization}``; the source's, translated,
            where none is given.
        datatype: what the target keeps of the floats; by default what the source has.
        keep_norms: where the target keeps cosine vectors at length 1, note the lengths in the
            payload.
        workers: pairs of a reading and a writing thread, 1 to 64.
        batch_bytes: of one write to begin with; it follows the target's answers.
        updated_at: an entry of the payload that says when a row was written, for ``catch_up``.
        check: compare ``"all"`` rows or a ``"sample"``, or ``"off"``; None: all up to 200,000.
        gate: least recall@k of the target, such as ``"recall@10>=0.95"``; None: that of the
            source's own search less 0.02.
        catch_up: after the copy, carry what was added, changed or deleted meanwhile.
        cutover: an alias in the target to switch to the copy, once the check has passed.
        resume: refuse to begin; there must be an earlier run to go on with.
        restart: forget what an earlier run did and write all rows again.
        on: copy as tasks of Ray: ``"local"``, ``"auto"`` or ``"ray://host:port"``.
        patience: seconds that a server may be away before the copy stops.
        timeout: seconds for building the quantization.
        probe: as for ``plan_migration``.
        plan: one that ``plan_migration`` made.

    Returns:
        What became of it; ``state`` is ``"check failed"`` where the check did not pass.

    Raises:
        NotFoundError, AlreadyExistsError, UnsupportedError, InputError, BusyError
    """
    refuse_pairs(
        (resume and restart, "resume (--resume)", "with restart (--restart)",
         "one goes on with an earlier run, the other forgets it"),
        (check == "off" and gate is not None, "gate (--gate)", 'with check="off" (--check off)',
         "recall is measured by the check"),
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
        patience=patience,
        timeout=timeout,
        probe=probe,
    )
    with opened(source) as here, opened(target, default=here.name) as there:
        return running.migrate(
            here,
            there,
            options,
            plan=plan,
            resume=resume,
            restart=restart,
            catching_up=catch_up,
            cutover=cutover,
            on=on,
            progress=progress or silent,
        )


def check(
    source: Any,
    target: Any,
    *,
    how: Literal["all", "sample"] | None = None,
    gate: Guard | str | None = None,
    progress: OnProgress | None = None,
) -> Check:
    """Compare two collections: counts, ids both ways, rows, and recall against exact truth.

    Args:
        source, target: as for ``migrate``.
        how: compare all rows or a sample; None: all up to 200,000.
        gate: least recall@k of the target's own search; None: not much less than the source has,
            by exact search where a side has codes.

    Raises:
        NotFoundError, UnsupportedError
    """
    options = _options(None, gate, (), check=how)
    with opened(source) as here, opened(target, default=here.name) as there:
        return running.compare(here, there, options, progress or silent)
