"""A plan that stands already (of an earlier run, or given) against what is asked for now.

What such a plan holds cannot be changed by the call that goes on with it: the rows that were
copied are as it says. So other words are refused and not passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qadapt.errors import InputError, SpecError
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.options import Options
from qadapt.migration.plan import MigrationPlan, VectorPlan
from qadapt.migration.translating import translated
from qadapt.model import Kind, Quantization


def refuse_other_words(plan: MigrationPlan, target: Endpoint, options: Options) -> None:
    """Refuse what was asked for and is not in the plan.

    Raises:
        SpecError: a quantization for a vector that is not carried.
        InputError: the plan says otherwise.
    """
    if isinstance(options.quantization, Mapping):
        for name in options.quantization:
            if name not in plan.vectors:
                raise SpecError.unknown("vector", name, plan.vectors, where="quantization")
    others = list(_others(plan, target, options))
    if others:
        raise InputError(
            f"the plan that this goes on with says otherwise: {'; '.join(others)}",
            hint="leave that out to go on, or begin anew: drop the target, or name another one",
        )


def _others(plan: MigrationPlan, target: Endpoint, options: Options) -> Iterator[str]:
    for name, each in plan.vectors.items():
        asked = options.of(name)
        if asked is not None and not _means(asked, each, target):
            now = each.wanted.replace(rescore=each.rescore)
            yield f"quantization (--quantize) {asked}, planned {now}"
        if options.datatype not in (None, each.target.datatype):
            yield f"datatype (--datatype) {options.datatype}, planned {each.target.datatype}"
    if options.keep_norms and not plan.keep_norms:
        yield "keep_norms (--keep-norms), planned without"
    if options.updated_at not in (None, plan.updated_at):
        yield f"updated_at (--updated-at) {options.updated_at}, planned {plan.updated_at}"


def _means(asked: Quantization, each: VectorPlan, target: Endpoint) -> bool:
    """Whether the plan's quantization is what comes of what is asked for."""
    if asked.rescore != each.rescore:
        return False
    bare = asked.replace(rescore=None)
    if bare == each.wanted or {bare.kind, each.wanted.kind} == {Kind.NONE}:
        return True
    if bare.kind is Kind.FLOAT16 and each.source.datatype == "float16":
        return each.wanted.kind is Kind.NONE
    return bare.kind is not Kind.NONE and (
        translated(target.store, bare, each.target)[0] == each.wanted
    )
