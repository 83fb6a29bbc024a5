"""Planner: computes the ordered steps of a change, each with a reason."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from qadapt.errors import NotFoundError, SpecError, UnsupportedError
from qadapt.local import client_codes, collection_info
from qadapt.local.client_operations import Forget, Remember
from qadapt.local.client_params import planned_params
from qadapt.local.settings import read_settings
from qadapt.model import (
    ACCEPTS,
    Accept,
    CollectionInfo,
    Guard,
    Kind,
    Match,
    MatchLevel,
    Metric,
    Plan,
    Quantization,
    QuantizationLike,
    Rescore,
    Step,
    Strategy,
    Symbol,
    Vector,
    VectorInfo,
)
from qadapt.model.vector import Datatype
from qadapt.planning import client_steps, codes_only, journal, leading_dims
from qadapt.planning.change_record import utc_now
from qadapt.planning.memory_change import graph_note, memory_change
from qadapt.planning.plan_options import PlanOptions
from qadapt.planning.restore_commands import restore_commands
from qadapt.stores.base import ChangePlan, ChangeRequest, Store, unsupported_error
from qadapt.stores.store_types import USE_CLIENT_CODES
from qadapt.version import __version__


def make_plan(
    store: Store,
    collection: str,
    quantization: QuantizationLike | None,
    options: PlanOptions | None = None,
) -> Plan:
    """Plan the steps from the current quantization to ``quantization``.

    Args:
        quantization: requested quantization; None keeps the current one.
        options: everything else; None for the defaults.

    Raises:
        NotFoundError: the collection or vector does not exist.
        UnsupportedError: the match is not permitted by ``accept``, or the strategy is not
            possible.
    """
    options = options or PlanOptions()
    accept, strategy = options.accept, options.strategy
    if store.collection_of(collection) != collection:
        raise UnsupportedError(
            f"{collection!r} is a partition; quantization applies to the whole collection",
            hint=f"plan for {store.collection_of(collection)!r}",
        )
    inspection = store.inspect(collection)
    info = collection_info.merged(store, inspection.info)
    now = info.vectors[which_vector(collection, info.vectors, options.vector)]
    wanted = now.quantization
    if quantization is not None:
        wanted = Quantization.of(quantization).with_default_places
        if wanted.dims is None and now.quantization.dims == now.dim:
            wanted = wanted.replace(dims=now.dim)  # the others do not exist
    if quantization is None and now.quantized_by == "qadapt":
        accept = "client"  # the client-side codes exist already
    codes_datatype = codes_only.datatype_of(store, now, wanted)
    datatype = codes_datatype or options.datatype
    target_vector = _target_vector(store, now, wanted, options.metric, datatype)
    strategy = strategy or leading_dims.strategy(store, now, target_vector)
    if strategy != "vector":
        leading_dims.check(store, collection, now, wanted, target_vector)
    by_us, target, match = _decide_backend(store, now, wanted, accept)
    if strategy == "vector":
        _refuse_new_vector(by_us, now, target_vector, wanted)
    change = ChangePlan()
    if not by_us or target_vector is not None:
        asked = None if by_us else codes_only.stored(wanted)
        request = ChangeRequest(
            inspection, now.name, asked, target_vector, strategy, options.without_codes
        )
        change = store.plan_change(request)
    ours = (
        client_steps.build_steps(store, info, now, wanted) if by_us
        else client_steps.replaced_codes_steps(now, strategy)
    )  # fmt: skip
    steps = [*ours, *change.steps]
    if target_vector is not None and steps and store.traits.recreates_separately:
        raise UnsupportedError(
            f"a change of the metric or datatype cannot be combined with {wanted}",
            hint="plan the metric or datatype first, then the quantization",
        )
    steps = [*change.recreation, *steps]
    new = change.new_vector
    _refuse_copy(store, steps, strategy)
    remember = _search_defaults_step(store, info, now.name if new is None else new, wanted)
    # Reset first and set last: a crash in between must not leave rescoring without quantization.
    steps = remember + steps if wanted.rescore is None else steps + remember
    if target_vector is not None and target_vector.dim != now.dim:
        steps.append(leading_dims.remember(store, collection, now, target_vector.dim, new))
    steps += _reset_defaults_steps(store, info)
    if not steps:
        steps = [Step(Symbol.NOTHING, "nothing to do", _why_nothing(now), {})]
    made = Plan(
        id=journal.new_id(),
        created=utc_now(),
        address=store.address.identity,
        collection=collection,
        vector=now.name,
        server=info.server,
        current=now.quantization,
        requested=wanted,
        target=target,
        match=match,
        accept=accept,
        fingerprint=info.fingerprint,
        count=info.count,
        dim=now.dim,
        steps=tuple(steps),
        notes=(
            *filter(None, [Quantization.synonym_note(quantization)]),
            *_notes(store, info, now, wanted, by_us),
            *leading_dims.notes(now, target_vector, new),
            *codes_only.notes(store, now, wanted, codes_datatype),
            *change.notes,
            *filter(None, [graph_note(store.profile, info, now.name, codes_only.stored(wanted))]),
        ),
        disabled=store.disabled,
        guard=rooted(options.guard),
        target_vector=target_vector if new is None else None,
        metric=None if options.metric is None else Metric.of(options.metric),
        datatype=options.datatype,
        strategy=strategy,
        reopen=store.address.reopen,
        qadapt=__version__,
        new_vector=new,
        memory=memory_change(
            *(store.profile, info, now.name, codes_only.stored(wanted), target_vector),
            by_us=by_us,
            kept=new is not None,
        ),
        clients=None
        if by_us
        else planned_params(
            store,
            collection,
            now.name,
            now.vector,
            target.replace(rescore=wanted.rescore, dims=wanted.dims),
        ),
    )
    back = restore_commands(store, made)
    if back is None:
        return made
    note = f"to restore {made.current} later, by a copy and an alias that readers must use: {back}"
    return made.replace(notes=(*made.notes, note))


def _target_vector(
    store: Store,
    now: VectorInfo,
    wanted: Quantization,
    metric: Metric | str | None,
    datatype: Datatype | None,
) -> Vector | None:
    """Vector with the new metric or datatype; None if they do not change."""
    target_vector = Vector(
        leading_dims.target_dim(store, now, wanted),
        now.metric if metric is None else Metric.of(metric),
        now.datatype if datatype is None else datatype,
    )
    if target_vector == now.vector:
        return None
    if target_vector.dim != now.dim and now.quantized_by == "qadapt":
        raise UnsupportedError(
            "fewer dimensions cannot be combined with client-side codes",
            hint=f"plan `none` first, then {wanted}",
        )
    fixed = target_vector.replace(dim=now.dim) != now.vector
    half = wanted.kind is Kind.FLOAT16 and wanted.originals != "none"
    if fixed and (half or now.quantized_by == "qadapt"):
        raise UnsupportedError(
            f"a change of the metric or datatype cannot be combined with {wanted}",
            hint="plan `none` first, then the metric or datatype, then the quantization",
        )
    return target_vector


def rooted(guard: Guard | None) -> Guard | None:
    """Guard with an absolute path of its queries."""
    if guard is None or not isinstance(guard.queries, (str, os.PathLike)):
        return guard
    return guard.replace(queries=os.path.abspath(guard.queries))


def which_vector(collection: str, vectors: Iterable[str], name: str | None) -> str:
    """Resolve the name of the vector.

    Raises:
        NotFoundError: the vector does not exist.
        SpecError: no name was given, and there are several vectors.
    """
    known = list(vectors)
    if name is None and (len(known) == 1 or "" in known):
        return known[0] if len(known) == 1 else ""
    if name is None:
        raise SpecError(
            f"{collection!r} has {len(known)} vectors; name one",
            hint=f"vector= or --vector, one of: {', '.join(known)}",
        )
    if name not in known:
        raise NotFoundError.missing("vector", name, known)
    return name


def _decide_backend(
    store: Store, now: VectorInfo, wanted: Quantization, accept: Accept
) -> tuple[bool, Quantization, Match]:
    """Decide whether codes are client-side, the resulting quantization, and its match."""
    if wanted.kind is Kind.NONE and not store.traits.shortens_codes:
        return False, wanted, Match.of()
    mapped = client_codes.by_store(store, wanted, now.vector)
    native = mapped.match
    if native.level is MatchLevel.EXACT or (
        native.level is MatchLevel.DIFFERS and accept != "exact"
    ):
        return False, mapped.target.replace(rescore=wanted.rescore), native
    ours = client_codes.match(wanted)
    if accept == "client" and ours.level is not MatchLevel.UNSUPPORTED:
        return True, wanted, ours
    if native.level is MatchLevel.DIFFERS:
        raise UnsupportedError(
            f"{store.name} has only an approximation of {wanted}: {'; '.join(native.differences)}",
            hint="accept it with accept='differs' (--accept differs)",
        )
    offer = native.support
    named = any("--accept client" in each for each in offer)
    if ours.level is not MatchLevel.UNSUPPORTED and not named:
        offer = (*offer, USE_CLIENT_CODES)
    raise unsupported_error(native.replace(support=offer), wanted, store.name)


def codes_of(
    store: Store, now: VectorInfo, quantization: QuantizationLike | None, accept: Accept
) -> tuple[bool, str]:
    """Whether codes would be client-side, and why the database refuses them (empty if not)."""
    if accept not in ACCEPTS:
        raise SpecError.unknown("accept", accept, ACCEPTS)
    if quantization is None:
        return False, ""
    wanted = Quantization.of(quantization).with_default_places
    try:
        return _decide_backend(store, now, wanted, accept)[0], ""
    except UnsupportedError as error:
        return False, error.message


def _refuse_new_vector(
    by_us: bool, now: VectorInfo, target_vector: Vector | None, wanted: Quantization
) -> None:
    if by_us:
        raise UnsupportedError(
            f"{wanted} uses client-side codes, which need no new vector",
            hint="omit strategy='vector' (--strategy)",
        )
    if target_vector is not None and target_vector.replace(dim=now.dim) != now.vector:
        raise UnsupportedError(
            "an additional vector has the same metric and datatype as the existing one",
            hint="use strategy='alias' (--strategy alias) to change the metric or datatype",
        )


def _refuse_copy(store: Store, steps: Iterable[Step], strategy: Strategy | None) -> None:
    strategy_hint = (
        "; or strategy='vector': an additional vector" if store.traits.adds_vectors else ""
    )
    for step in steps:
        if strategy == "in-place" and step.symbol is Symbol.RECREATE:
            raise UnsupportedError(
                f"this cannot be done in place: {step.reason}",
                hint=f"strategy='alias' (--strategy alias): {step.action}{strategy_hint}",
            )


def _search_defaults_step(
    store: Store, info: CollectionInfo, vector: str, wanted: Quantization
) -> list[Step]:
    former = read_settings(store, info.name).of(vector).rescore
    if former == wanted.rescore:
        return []

    def request(rescore: Rescore | None) -> dict[str, Any]:
        return Remember(vector, None if rescore is None else str(rescore)).to_request()

    if wanted.rescore is None:
        action = "reset default search parameters; the database decides about rescoring"
    else:
        action = f"set default search parameters: {rescore_words(wanted.rescore)}"
    return [
        Step(
            Symbol.CLIENT,
            action,
            f"{_place(store, info.name)}; qadapt sends them with every search",
            request(wanted.rescore),
            request(former),
        )
    ]


def _reset_defaults_steps(store: Store, info: CollectionInfo) -> list[Step]:
    """Steps that delete settings of vectors that do not exist."""
    return [
        Step(
            Symbol.CLIENT,
            f"delete the settings of the vector {name!r}",
            "the vector does not exist",
            Forget(name).to_request(),
            # They have no effect, so there is nothing to restore.
            Forget(name).to_request(),
        )
        for name in read_settings(store, info.name).vectors
        if name not in info.vectors
    ]


def _place(store: Store, collection: str) -> str:
    if store.load_settings(collection) is None:
        return (
            "the database cannot keep search parameters: saved in the state folder of this machine "
            "only"
        )
    return "stored in the collection, which qadapt reads on every machine"


def rescore_words(rescore: Rescore) -> str:
    """Describe a rescore setting."""
    if not rescore.on:
        return "no rescoring"
    return f"rescore {rescore.text}"


def _why_nothing(now: VectorInfo) -> str:
    if now.is_plain:
        return "the vector has no quantization, as requested"
    return f"{now.quantization} is configured and verified active"


def _notes(
    store: Store, info: CollectionInfo, now: VectorInfo, wanted: Quantization, by_us: bool
) -> tuple[str, ...]:
    notes = [*info.notes, *now.notes]
    left = journal.pending(store.address.identity, info.name)
    if left is not None:
        notes.append(
            f"an earlier change ({left.id}) is unfinished: apply completes it if it is "
            "the same change, and rolls it back first otherwise"
        )
    kept = wanted.originals != "none"
    if wanted.kind is not Kind.NONE and wanted.kind is not Kind.FLOAT16 and kept:
        if wanted.originals == "disk":
            notes.append("original vectors are kept on disk: codes need additional disk")
        else:
            notes.append("original vectors are kept: codes need additional disk and RAM")
        if wanted.rescore is None and not by_us:
            notes.append("the database decides about rescoring; `qadapt inspect` shows its default")
    return tuple(notes)
