"""Plans that change the index of a vector to the requested one.

``in_place`` adds a quantizer to an hnsw index that has none, and changes a few settings. Any other
change needs a copy (``copy_switch``) or a new named vector (``add_vector``): Weaviate answers 200
when a quantizer is replaced or disabled, but keeps the old codes, which may be unusable after a
restart (docs/engines/weaviate.md#changing-a-quantizer).

An operation reads the current state and does what is missing. If it was interrupted anywhere, on
the client or on the server, running it again completes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Quantization, State, Step, Symbol, Vector
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.operations import table
from qadapt.stores.weaviate import (
    copy_switch,
    mapping,
    named_vectors,
    native_rescore,
    vector_index,
    vector_index_config,
)
from qadapt.stores.weaviate.copy_switch import Copy, Switch
from qadapt.stores.weaviate.named_vectors import Add, Fill
from qadapt.stores.weaviate.schema import DYNAMIC, HFRESH, HNSW
from qadapt.stores.weaviate.schema_update import Put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.version import ServerVersion

OPERATIONS = table(Put, Copy, Switch, Add, Fill)


# -- planning ------------------------------------------------------------------------------------


def plan_change(
    snapshot: Snapshot,
    request: ChangeRequest,
    mapped: MappedQuantization | None,
    server_version: ServerVersion,
    taken: Collection[str],
) -> ChangePlan:
    """Plan a change of one vector.

    Args:
        mapped: the quantization; None to keep it.
        taken: the names of all collections and aliases.

    Raises:
        UnsupportedError: the change needs a copy, and there is no alias to switch to it.
    """
    vector, asked = request.vector, request.codes
    recreation: tuple[Step, ...] = ()
    added = request.strategy == "vector"
    if request.target_vector is not None and not added:
        native = None if mapped is None else mapped.native
        recreation = tuple(
            recreate_steps(snapshot, vector, request.target_vector, server_version, taken, native)
        )
        if _narrower(snapshot, vector, request.target_vector):
            return ChangePlan(recreation=recreation)  # the copy is created with its codes
    if asked is None or mapped is None:
        return ChangePlan(recreation=recreation)
    reported = tuple(native_rescore.notes(snapshot.layout, vector, mapped, request))
    if added:
        dims = None if request.target_vector is None else request.target_vector.dim
        name, made = vector_steps(snapshot, vector, mapped, asked, server_version, dims)
        return ChangePlan(tuple(made), recreation, reported, name if made else None)
    way = alias_steps if request.strategy == "alias" else steps
    made = way(snapshot, vector, mapped, asked, server_version, taken)
    return ChangePlan(tuple(made), recreation, reported)


def rescored_request(
    request: ChangeRequest, mapped: Callable[..., MappedQuantization]
) -> tuple[ChangeRequest, MappedQuantization, int | None, tuple[str, ...]]:
    """The request with the rescoring that the index will do, and its mapped quantization.

    Clients without parameters get the rescoring of the setting too, if the index can hold it.

    Args:
        request: a request for a quantization.
        mapped: maps a quantization for a vector and its current index.

    Returns:
        The request, its mapped quantization, the limit that an undo restores (None to keep the
        one of the plan), and notes.

    Raises:
        UnsupportedError
    """
    codes = request.codes
    assert codes is not None
    snapshot: Snapshot = request.inspection.native
    field = snapshot.layout.field(request.vector)
    about = request.mapped_vector(field.vector)
    found = mapped(codes, about, field.native)
    index = native_rescore.then(field, found.native or field.native, codes)
    notes = tuple(native_rescore.limit_notes(snapshot.layout, request.vector, index, request))
    held = native_rescore.held(index, request.rescore)
    if not held:
        return request, found, None, notes
    was = native_rescore.limit_before(snapshot.layout, request.vector, index)
    codes = codes.replace(native=vector_index_config.merged(codes.native, held))
    asked = codes.replace(rescore=request.rescore)
    request = dataclasses.replace(request, quantization=asked)
    return request, mapped(codes, about, field.native), was, notes


def steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    asked: Quantization,
    server_version: ServerVersion,
    taken: Collection[str],
) -> list[Step]:
    """Steps to a mapped index; empty if it exists and is verified active.

    Args:
        mapped: a supported quantization.
        asked: the requested one, whose ``native`` fields must match exactly.
        taken: the names of all collections and aliases.

    Raises:
        UnsupportedError: the change needs a copy, and there is no alias to switch to it.
    """
    field = snapshot.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = vector_index_config.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit):
        return _unfinished(snapshot, vector, wanted, server_version, taken)
    _refuse_pq_on_dynamic(wanted)
    why = _why_not_in_place(snapshot, vector, wanted, explicit)
    if why is not None:
        copy_switch.refuse(
            snapshot, server_version, why, named_vectors.strategy_hint(server_version)
        )
        return [copy_switch.step(snapshot, vector, wanted, _words(mapped), why, taken)]
    if mapping.from_native(field.native, field.vector) == mapped.target:
        if snapshot.status(vector).state is State.IGNORED:
            return _unfinished(snapshot, vector, wanted, server_version, taken, explicit)
        return [vector_index.settings_step(snapshot, vector, explicit)]
    return [
        vector_index.put_step(
            snapshot, vector, mapped, wanted["vectorIndexConfig"], server_version, taken
        )
    ]


def alias_steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    asked: Quantization,
    server_version: ServerVersion,
    taken: Collection[str],
) -> list[Step]:
    """Steps that copy, even if a change in place is possible; empty if nothing differs.

    Raises:
        UnsupportedError: there is no alias to switch.
    """
    field = snapshot.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = vector_index_config.settings(asked.native)
    if mapping.satisfies(field.native, wanted, field.vector, explicit) and _observation(
        snapshot, vector
    ):
        return []
    _refuse_pq_on_dynamic(wanted)
    why = "searches and writes of the existing collection continue undisturbed"
    copy_switch.refuse(
        snapshot,
        server_version,
        "a copy was requested",
        named_vectors.strategy_hint(server_version),
    )
    return [copy_switch.step(snapshot, vector, wanted, _words(mapped), why, taken)]


def vector_steps(
    snapshot: Snapshot,
    vector: str,
    mapped: MappedQuantization,
    asked: Quantization,
    server_version: ServerVersion,
    dims: int | None = None,
) -> tuple[str, list[Step]]:
    """Steps that add a named vector, and its name; no steps if nothing differs.

    Args:
        dims: number of first dimensions that the new vector holds; None for all.

    Raises:
        UnsupportedError: the server is too old, some tenants are not active, or there are too few
            rows to train on.
    """
    field = snapshot.layout.field(vector)
    wanted = mapped.native or field.native
    explicit = vector_index_config.settings(asked.native)
    same = dims is None and mapping.satisfies(field.native, wanted, field.vector, explicit)
    if same and _observation(snapshot, vector):
        return vector, []
    _refuse_pq_on_dynamic(wanted)
    vector_index.refuse_few_rows(snapshot, *(vector_index_config.quantizer(wanted) or ("", {})))
    words = _words(mapped) if dims is None else f"the first {dims:,} dimensions, {_words(mapped)}"
    return named_vectors.steps(snapshot, vector, wanted, words, server_version, dims)


def _refuse_pq_on_dynamic(wanted: Mapping[str, Any]) -> None:
    """Refuse PQ on a dynamic index that is filled by a copy: 1.39.0 accepts it, never trains it.

    Raises:
        UnsupportedError
    """
    kind, _ = vector_index_config.quantizer(wanted) or ("", {})
    if wanted["vectorIndexType"] == DYNAMIC and kind == "pq":
        raise UnsupportedError(
            "PQ on a dynamic index never becomes active if a copy writes its rows",
            hint='use `scalar` or `binary`, or another index: native={"vectorIndexType": "hnsw"}',
        )


def _observation(snapshot: Snapshot, vector: str) -> bool:
    """Whether the configuration in the schema is verified active."""
    return snapshot.status(vector).state in (State.ACTIVE, State.ABSENT)


def with_former_limit(plan: ChangePlan, vector: str, was: int) -> ChangePlan:
    """The plan whose operations record the rescoreLimit that they raise."""

    def changed(step: Step) -> Step:
        if step.request.get("op") == Put.op:
            return step.replace(request={**step.request, "was": was})
        if step.request.get("op") == Copy.op:
            return step.replace(request={**step.request, "was": {vector: was}})
        return step

    # A copy of the first dimensions has its codes; another copy is followed by a step for them.
    recreation = (changed(step) if step.request.get("dims") else step for step in plan.recreation)
    return replace(plan, steps=tuple(map(changed, plan.steps)), recreation=tuple(recreation))


def recreate_steps(
    snapshot: Snapshot,
    vector: str,
    wanted: Vector,
    server_version: ServerVersion,
    taken: Collection[str],
    codes: Mapping[str, Any] | None = None,
) -> list[Step]:
    """Steps that copy to another metric or fewer dimensions, which are fixed at creation.

    Args:
        codes: the index with the requested quantization, for fewer dimensions; None keeps it.

    Raises:
        UnsupportedError: the datatype changes, the index does not have the metric, or there is no
            alias.
    """
    field = snapshot.layout.field(vector)
    if wanted.datatype != "float32":
        raise UnsupportedError(
            f"Weaviate stores float32 only, not {wanted.datatype}",
            hint="use a quantization instead: `scalar`",
        )
    if field.index == HFRESH and wanted.metric.value == "dot":
        raise UnsupportedError(
            "the index hfresh supports cosine and euclidean, not dot",
            hint='change the index first: native={"vectorIndexType": "hnsw"}',
        )
    native = {"vectorIndexType": field.index, "vectorIndexConfig": field.config}
    why, action = "the metric is fixed at creation", f"the metric {wanted.metric}"
    if _narrower(snapshot, vector, wanted):
        why, native = "the number of dimensions is fixed", dict(codes or native)
        action = f"the first {wanted.dim} dimensions"
        if wanted.metric is not field.metric:
            action += f" and the metric {wanted.metric}"
    copy_switch.refuse(snapshot, server_version, why)
    return [copy_switch.step(snapshot, vector, native, action, why, taken, wanted)]


def _narrower(snapshot: Snapshot, vector: str, wanted: Vector) -> bool:
    return wanted.dim != snapshot.layout.field(vector).vector.dim


def _words(mapped: MappedQuantization) -> str:
    index = (mapped.native or {}).get("vectorIndexType", HNSW)
    return f"{mapped.target} on {index}"


def _why_not_in_place(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    explicit: Mapping[str, Any],
) -> str | None:
    """Why a change needs a copy; None if it does not."""
    field = snapshot.layout.field(vector)
    if wanted["vectorIndexType"] != field.index:
        return f"the index type is fixed at creation ({field.index})"
    now = mapping.from_native(field.native, field.vector)
    then = mapping.from_native(wanted, field.vector)
    frozen = sorted(
        name
        for name in vector_index_config.differences(field.config, explicit)
        if name not in vector_index.LIVE[field.index]
        and name.split(".")[0] not in vector_index_config.QUANTIZERS
    )
    if frozen:
        return f"{', '.join(frozen)} is fixed at creation"
    if now == then:
        inner = vector_index_config.differences(field.config, explicit)
        fixed = [name for name in inner if name not in vector_index.LIVE[field.index]]
        return f"{', '.join(fixed)} is fixed once there are codes" if fixed else None
    if field.index != HNSW:
        return f"an existing index of the type {field.index} cannot change its quantizer"
    if snapshot.status(vector).state is State.IGNORED and now.kind is Kind.NONE:
        return "a quantizer was disabled in the schema, but its codes are still in use"
    if now.kind is not Kind.NONE:
        return (
            f"Weaviate cannot change {now} to {then} in place: it accepts the schema but keeps the "
            "old codes"
        )
    return None


def _unfinished(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    server_version: ServerVersion,
    taken: Collection[str],
    explicit: Mapping[str, Any] | None = None,
) -> list[Step]:
    """The steps left if the schema matches the request but the quantizer is not active."""
    status = snapshot.status(vector)
    field = snapshot.layout.field(vector)
    if status.state is State.BUILDING:
        action = "wait until the shards are ready"
        request = Put(vector, {}, codes=True).to_request()
        # The schema does not change, so there is no earlier state to restore.
        return [Step(Symbol.BACKGROUND, action, status.reason, request, request)]
    if status.state is not State.IGNORED:
        return []
    name, block = vector_index_config.quantizer(field.native) or ("", {})
    if field.index == HNSW and name in ("pq", "sq", "rq"):
        vector_index.refuse_few_rows(snapshot, name, block)
        reverse, way_back = vector_index.undone_by(snapshot, vector, server_version, taken)
        action = f"send the schema again to start {name.upper()}"
        reason = f"{status.reason}; {way_back}"
        return [vector_index.codes_step(snapshot, vector, action, reason, explicit or {}, reverse)]
    if field.index == DYNAMIC:
        raise UnsupportedError(f"{field.name or 'the vector'}: {status.reason}", hint=status.advice)
    copy_switch.refuse(
        snapshot, server_version, status.reason, named_vectors.strategy_hint(server_version)
    )
    words = f"{mapping.from_native(wanted, field.vector)} on {field.index}"
    return [copy_switch.step(snapshot, vector, wanted, words, status.reason, taken)]
