"""Earlier runs: finding the plan in the journal, and checking that the new call matches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qadapt.errors import InputError, IntegrityError, PlanStaleError, SpecError
from qadapt.local import collection_info
from qadapt.local.state import state_access
from qadapt.migration import journal as journals
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.journal import Journal
from qadapt.migration.nearest import map_quantization
from qadapt.migration.options import Options
from qadapt.migration.plan import MigrationPlan, VectorPlan
from qadapt.model import Kind, Quantization
from qadapt.model.document_version import newer_version

PLAN = "plan"


@contextmanager
def open_journal(source: Endpoint, target: Endpoint) -> Iterator[Journal]:
    """The journal of a pair of collections, closed at the end."""
    with closing(Journal(journals.folder_of(source.key, target.key))) as journal:
        yield journal


@contextmanager
def earlier_journal(source: Endpoint, target: Endpoint) -> Iterator[Journal]:
    """The journal of an earlier run, to read.

    If there was no earlier run, this is an empty journal in a temporary folder: the state folder
    may be read-only.
    """
    folder = journals.folder_of(source.key, target.key)
    with state_access():
        exists = folder.exists()
    if exists:
        with open_journal(source, target) as journal:
            yield journal
        return
    with TemporaryDirectory() as temporary, closing(Journal(Path(temporary))) as journal:
        yield journal


def earlier_plan(journal: Journal, target: Endpoint) -> MigrationPlan | None:
    """The plan of an earlier run; None without one, or if its target was dropped with its rows."""
    document = journal.get(PLAN)
    if document is None:
        return None
    if not target.exists and journal.rows():
        return None
    return parse_plan(journal, document)


def parse_plan(journal: Journal, document: Any) -> MigrationPlan:
    """The plan that a journal holds.

    Raises:
        IntegrityError: it is damaged, or was written by a newer qadapt.
    """
    try:
        return MigrationPlan.from_dict(document)
    except SpecError as error:
        origin = newer_version(document, journals.FORMAT)
        raise journal.damaged(origin or error.message, origin is not None) from error


def check_unchanged(
    plan: MigrationPlan, source: Endpoint, target: Endpoint, journal: Journal
) -> None:
    """Check that source and target are as the earlier run left them.

    Raises:
        PlanStaleError: the vectors of the source have changed.
        IntegrityError: the target has lost rows.
    """
    info = collection_info.info(source.store, source.name)
    now = {name: each.vector for name, each in info.vectors.items() if name in plan.vectors}
    if now != {name: each.source for name, each in plan.vectors.items()}:
        raise PlanStaleError(
            "the vectors of the source have changed since the migration began",
            hint="drop the target to copy from the beginning, or choose another target name",
        )
    rows = journal.rows()
    if rows and not journal.all_done():
        found = target.store.count(target.name)
        if found < rows:
            raise IntegrityError(
                f"{target} acknowledged {rows:,} rows and has {found:,} now",
                hint="rows were deleted since then; copy all rows again: --restart",
            )


def check_resume_options(plan: MigrationPlan, target: Endpoint, options: Options) -> None:
    """Refuse options that differ from the plan of an earlier run, or from a given plan.

    The rows that were copied follow that plan, so the call that continues cannot change it.

    Raises:
        SpecError: a quantization for a vector that is not copied.
        InputError: an option differs from the plan.
    """
    if isinstance(options.quantization, Mapping):
        for name in options.quantization:
            if name not in plan.vectors:
                raise SpecError.unknown("vector", name, plan.vectors, where="quantization")
    conflicts = list(_conflicts(plan, target, options))
    if conflicts:
        raise InputError(
            f"options differ from the plan to continue: {'; '.join(conflicts)}",
            hint="leave them out to continue; to start over, drop the target or choose another "
            "target name",
        )


def _conflicts(plan: MigrationPlan, target: Endpoint, options: Options) -> Iterator[str]:
    for name, each in plan.vectors.items():
        requested = options.quantization_of(name)
        if requested is not None and not _same_quantization(requested, each, target):
            dims = each.target.dim if each.target.dim < each.source.dim else None
            planned = each.requested_quantization.replace(rescore=each.rescore, dims=dims)
            yield f"quantization (--quantize) is {requested}, planned {planned}"
        if options.datatype not in (None, each.target.datatype):
            yield f"datatype (--datatype) is {options.datatype}, planned {each.target.datatype}"
    if options.keep_norms and not plan.keep_norms:
        yield "keep_norms (--keep-norms) is set, planned without"
    if options.updated_at not in (None, plan.updated_at):
        yield f"updated_at (--updated-at) is {options.updated_at}, planned {plan.updated_at}"


def _same_quantization(requested: Quantization, each: VectorPlan, target: Endpoint) -> bool:
    """Whether the requested quantization leads to the planned one."""
    if requested.rescore != each.rescore:
        return False
    if requested.kept_dims(each.source.dim) != each.target.dim:
        return False
    if requested.originals == "none":
        return each.target.datatype.startswith("turbo")
    planned, bare = each.requested_quantization, requested.replace(rescore=None, dims=None)
    if bare == planned or {bare.kind, planned.kind} == {Kind.NONE}:
        return True
    if bare.kind is Kind.FLOAT16 and each.source.datatype == "float16":
        return planned.kind is Kind.NONE
    return bare.kind is not Kind.NONE and (
        map_quantization(target.store, bare, each.target, requested=True)[0] == planned
    )
