"""Planning of changes: the requests that lead to a quantization, without I/O.

One request changes a collection in place; ``body`` is the exact body of the PATCH::

    {"op": "qdrant.patch", "vector": "", "body": {"quantization_config": {...} or "Disabled"}}

Per vector or for the whole collection: if a collection has one vector without its own setting, the
collection's setting is changed, otherwise the vector's. A vector cannot be excluded from the
collection's quantization: per-vector "Disabled" falls back to the collection's
(docs/engines/qdrant.md#changing-quantization).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import UnsupportedError
from qadapt.model import Estimate, Kind, Quantization, State, Step, Symbol, Vector, VectorInfo
from qadapt.model.capabilities import older
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangePlan, ChangeRequest, no_recreation
from qadapt.stores.operations import Execution, Operation, table
from qadapt.stores.qdrant import indexing_threshold, mapping, memory
from qadapt.stores.qdrant.server import copy_switch, local_mode, schema, vector_index
from qadapt.stores.qdrant.server.copy_switch import Recreate, Switch
from qadapt.stores.qdrant.server.snapshot import Snapshot
from qadapt.stores.qdrant.server.status import Observation, codes_while_growing, wide
from qadapt.stores.qdrant.version import datatype as datatype_problem

if TYPE_CHECKING:
    from qadapt.stores.qdrant.server.store import QdrantStore

WHY_BACKGROUND = "each segment is rebuilt while the old one serves searches, then swapped"


@dataclass(frozen=True)
class Patch(Operation):
    """Sends a PATCH unless nothing differs, and waits for the segments of a vector.

    Attributes:
        body: the exact body.
    """

    op: ClassVar[str] = "qdrant.patch"

    vector: str
    body: Mapping[str, Any]

    def run(self, at: Execution[QdrantStore]) -> None:
        sent = vector_index.patch(at.store.connection, at.collection, self.body)
        vector_index.settle(
            *(at.store.connection, at.collection, self.vector, at.progress, at.deadline.left),
            unchanged=not sent,
        )

    def reverse(self, snapshot: schema.Info) -> Patch:
        """The PATCH to the current configuration."""
        return Patch(self.vector, _reverse(self.body, snapshot))


OPERATIONS = table(Patch, Recreate, Switch)


def plan_change(store: QdrantStore, request: ChangeRequest) -> ChangePlan:
    """Plan a change on a server; reject it in local mode.

    Raises:
        UnsupportedError: local mode, or a change that the server does not support.
    """
    if store.connection.local:
        return _local_plan(store, request)
    snapshot: Snapshot = request.inspection.native
    schema.vector(snapshot.info, request.vector)
    now = request.inspection.info.vectors[request.vector]
    recreation: tuple[Step, ...] = ()
    if request.target_vector is not None:
        recreation = (_recreation(store, snapshot, now, request.target_vector),)
    if request.codes is None:
        return ChangePlan(recreation=recreation)
    return ChangePlan(_plan_steps(store, snapshot, now, request), recreation)


def _plan_steps(
    store: QdrantStore, snapshot: Snapshot, now: VectorInfo, request: ChangeRequest
) -> tuple[Step, ...]:
    quantization = request.codes or Quantization(Kind.NONE)
    about = request.mapped_vector(schema.vector(snapshot.info, now.name))
    mapped = store.require_mapped(quantization, about)
    if mapped.target.kind is Kind.FLOAT16 and about.datatype == "float32":
        if schema.in_force(snapshot.info, now.name):
            raise UnsupportedError(
                f"the vector {now.name!r} has codes, and float16 would also replace its "
                "original vectors",
                hint="change the quantization to `none` first, then to float16",
            )
        return (_recreation(store, snapshot, now, about.replace(datatype="float16")),)
    if mapped.target.kind is Kind.NONE and about.datatype == "float16":
        mapped = MappedQuantization(
            mapped.native, quantization.replace(kind=Kind.FLOAT16), mapped.match
        )
    seen = snapshot.observation(now.name, now.count)
    return tuple(steps(now, snapshot.info, seen, mapped, store.connection.version))


def _recreation(store: QdrantStore, snapshot: Snapshot, now: VectorInfo, wanted: Vector) -> Step:
    """The step to another datatype or metric: recreate, copy, switch the alias.

    Raises:
        UnsupportedError: the name is not an alias, or the server does not support the datatype.
    """
    problem = datatype_problem(wanted, store.connection.version)
    if problem:
        raise UnsupportedError(problem, hint="choose another datatype")
    schema.vector(snapshot.info, now.name, moved=True)
    taken = dict.fromkeys(store.collections(), "")
    return copy_switch.step(snapshot, now, wanted, taken)


def _local_plan(store: QdrantStore, request: ChangeRequest) -> ChangePlan:
    wanted = request.codes
    now = request.inspection.info.vectors[request.vector].quantization
    if request.target_vector is not None:
        raise no_recreation(store.name)
    if wanted is None or (wanted.kind is Kind.NONE and now.kind is Kind.NONE):
        return ChangePlan()
    raise UnsupportedError(f"{wanted} is not supported: {local_mode.RULE}", hint=local_mode.ADVICE)


def steps(
    info: VectorInfo,
    raw: schema.Info,
    observation: Observation,
    mapped: MappedQuantization,
    version: str | None,
) -> list[Step]:
    """The steps to a mapped quantization; empty if it is configured and active.

    Args:
        info: the vector's current state.
        raw: the collection's configuration.
        observation: the evidence of its status.
        mapped: the target; not unsupported.
        version: of the server.

    Raises:
        UnsupportedError: the configuration cannot express the target, or its index is never built.
    """
    body = _body(info, raw, observation, mapped, version)
    if not body:
        return _unfinished(info, observation)
    patch = Patch(info.name, body)
    reason = WHY_BACKGROUND
    lowered = body.get("optimizers_config", {}).get("indexing_threshold")
    if lowered is not None:
        reason += f"; {_why_lowered(observation, mapped, lowered)}"
    if observation.config_conflict:
        reason += (
            f"; {observation.config_conflict}, which this step resolves and an undo does not "
            "restore"
        )
    if explicit := _explicit_after_undo(body, raw):
        reason += f"; an undo sets {explicit}, the default, because the server cannot unset a field"
    if schema.sparse(raw):
        reason += f"; sparse vectors ({', '.join(schema.sparse(raw))}) are never quantized"
    if older(version or "9", "1.19") and mapped.target.codes is not None:
        reason += "; before 1.19 the placement of codes is set by `always_ram`"
    return [
        Step(
            Symbol.BACKGROUND,
            _action(info, observation, mapped, body),
            reason,
            patch.to_request(),
            patch.reverse(raw).to_request(),
            _estimate(info, observation, body, mapped.target),
        )
    ]


def _action(
    info: VectorInfo, observation: Observation, mapped: MappedQuantization, body: Mapping[str, Any]
) -> str:
    """Describe the PATCH; names a quantization only if it changes."""
    part = body.get("vectors", {}).get(info.name, {})
    if "quantization_config" in body or "quantization_config" in part:
        return f"set quantization {info.quantization} -> {mapped.target}"
    done = []
    if part:
        cold = part.get("memory", "cold" if part.get("on_disk") else "cached") == "cold"
        done.append(f"keep the original vectors {'on disk' if cold else 'in RAM'}")
    lowered = body.get("optimizers_config", {}).get("indexing_threshold")
    if lowered is not None:
        done.append(indexing_threshold.action(observation.threshold, lowered))
    return ", ".join(done)


def _why_lowered(observation: Observation, mapped: MappedQuantization, lowered: int) -> str:
    wanted = (mapped.native or {}).get("quantization_config")
    if wide(wanted):
        return indexing_threshold.why_indexed(lowered)
    return indexing_threshold.why_lowered(observation.threshold, lowered)


def _body(
    info: VectorInfo,
    raw: schema.Info,
    observation: Observation,
    mapped: MappedQuantization,
    version: str | None,
) -> dict[str, Any]:
    """The body of the PATCH; empty if nothing differs."""
    native = mapped.native or {}
    wanted = native.get("quantization_config")
    body: dict[str, Any] = {}
    if not mapping.satisfies(
        info.quantization.replace(originals=None), mapped.target.replace(originals=None)
    ):
        body = _quantization(raw, info.name, wanted)
        if not schema.differences(body, raw):
            body = {}
    optimizers = _lowered_threshold(observation, wanted, version, changing=bool(body))
    place = memory.originals_bytes(
        schema.params(raw)[info.name],
        mapped.target.originals,
        mapped=schema.maps_large_segments(raw),
    )
    if place:
        body.setdefault("vectors", {}).setdefault(info.name, {}).update(place)
    if optimizers is not None:
        body["optimizers_config"] = optimizers
    return body


def _quantization(raw: schema.Info, name: str, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    alone = len(schema.params(raw)) == 1
    own, common = schema.own(raw, name), schema.common(raw)
    value = dict(wanted) if wanted else schema.DISABLED
    if alone and not own:
        return {"quantization_config": value}
    if wanted or not common:
        return {"vectors": {name: {"quantization_config": value}}}
    if alone:
        both = {"vectors": {name: {"quantization_config": schema.DISABLED}}}
        return {"quantization_config": schema.DISABLED, **both}
    others = sorted(other for other in schema.params(raw) if other != name)
    raise UnsupportedError(
        f"the collection is quantized ({common}) and Qdrant cannot exclude the vector {name!r}: a "
        "vector without its own setting uses the collection's setting",
        hint=f"set the quantization of {', '.join(map(repr, others))} per vector, then PATCH the "
        'collection with {"quantization_config": "Disabled"}',
    )


def _lowered_threshold(
    observation: Observation,
    wanted: Mapping[str, Any] | None,
    version: str | None,
    *,
    changing: bool,
) -> dict[str, Any] | None:
    """The new indexing threshold for codes that require an index; None if it need not change.

    Args:
        changing: the codes change, so the server rebuilds the segments.
    """
    if not wanted or observation.indexed or not observation.growing:
        return None
    if codes_while_growing(wanted, version) and not _needs_an_index(observation, wanted, changing):
        return None
    if (
        wide(wanted)
        and not changing
        and indexing_threshold.needed(observation.growing_sizes) is None
    ):
        return None  # too few rows for an index, which the status reports
    return indexing_threshold.lowered(
        wanted,
        observation.threshold,
        observation.growing_sizes,
        observation.count,
        observation.vector,
    )


def _needs_an_index(observation: Observation, wanted: Mapping[str, Any], changing: bool) -> bool:
    """Whether binary codes of more than 1 bit require an index to be effective.

    A segment that is built from its rows has the statistics for them, with or without an index;
    servers that report segment ids (since 1.17) show which segments were.
    """
    if not wide(wanted):
        return False
    if changing:
        return any(each.uuid is None for each in observation.growing)
    return observation.all_unmeasured


def _unfinished(info: VectorInfo, observation: Observation) -> list[Step]:
    if info.status.state is not State.BUILDING:
        return []
    # An empty diff of the optimizer's settings changes nothing and starts an optimizer that waits;
    # sending the quantization again would cancel a running build and restart it.
    body: dict[str, Any] = {"optimizers_config": {}} if observation.stalled else {}
    wake = Patch(info.name, body).to_request()
    verb = "trigger the optimizer and wait" if observation.stalled else "wait"
    return [
        Step(
            Symbol.BACKGROUND,
            f"{verb} until {info.quantization} is built",
            f"{info.status.reason}; {WHY_BACKGROUND}",
            wake,
            # It applies what is already configured, so there is no earlier state to restore.
            wake,
            _estimate(info, observation, {}, info.quantization),
        )
    ]


def _reverse(body: Mapping[str, Any], raw: schema.Info) -> dict[str, Any]:
    """The PATCH that restores the current configuration."""
    found: dict[str, Any] = {}
    if "quantization_config" in body:
        found["quantization_config"] = schema.common(raw) or schema.DISABLED
    for name, part in body.get("vectors", {}).items():
        now = schema.params(raw)[name]
        restored = {key: _former(key, now.get(key)) for key in part}
        if schema.config_conflict(raw, name):
            # A setting that caused endless rebuilds is not restored: memory took precedence.
            restored["on_disk"] = False
        found.setdefault("vectors", {})[name] = restored
    if "optimizers_config" in body:
        now = raw["config"].get("optimizer_config") or {}
        former = {key: now.get(key) for key in body["optimizers_config"]}
        if former.get("indexing_threshold") is None:
            former["indexing_threshold"] = schema.THRESHOLD
        found["optimizers_config"] = former
    return found


def _explicit_after_undo(body: Mapping[str, Any], raw: schema.Info) -> str:
    """The unset fields that an undo sets to their default; empty if there are none."""
    found = []
    for name, part in body.get("vectors", {}).items():
        if "on_disk" in part and schema.params(raw)[name].get("on_disk") is None:
            found.append("on_disk to false")
    now = raw["config"].get("optimizer_config") or {}
    wanted = body.get("optimizers_config", {})
    if "indexing_threshold" in wanted and now.get("indexing_threshold") is None:
        found.append(f"indexing_threshold to {schema.THRESHOLD:,} KB")
    return " and ".join(found)


def _former(key: str, value: Any) -> Any:
    """The value that restores a former one: null in a PATCH means "not given".

    ``memory`` is changed only if it is set, so it can always be restored; ``on_disk`` false is the
    default that null restores.
    """
    if value is not None and value != {}:
        return value
    return {"quantization_config": schema.DISABLED, "on_disk": False}[key]


def _estimate(
    info: VectorInfo, observation: Observation, body: Mapping[str, Any], target: Quantization
) -> Estimate:
    part = body.get("vectors", {}).get(info.name, {})
    wanted = part.get("quantization_config", body.get("quantization_config", observation.target))
    native = None if wanted == schema.DISABLED else wanted
    codes = memory.code_bytes(native, observation.vector, info.count)
    originals = int(4 * info.count * info.dim)
    return memory.estimate(codes, originals, info.quantization, target, "nothing")
