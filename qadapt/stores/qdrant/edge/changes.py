"""Changes of an edge collection: planning, and the operations of its plans.

::

    {"op": "edge.configure", "vector": "", "quantization_config": {...} or null,
     "memory": "cold" or null, "optimizers": {"indexing_threshold": 300} or left out,
     "by_way_of_none": true or left out, "rebuild": false or left out,
     "rebuilt_with": {"indexing_threshold": 0, "memory": "cached"} or left out}
    {"op": "edge.optimize"}
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import BusyError
from qadapt.model import Estimate, Quantization, State, Step, Symbol, VectorInfo
from qadapt.stores.change import ChangePlan, ChangeRequest
from qadapt.stores.operations import KEEP, Execution, Keep, Operation, table
from qadapt.stores.polling import Deadline
from qadapt.stores.qdrant import indexing_threshold, mapping, memory
from qadapt.stores.qdrant.edge import collections, disk_space, schema
from qadapt.stores.qdrant.edge import snapshot as edge_snapshot
from qadapt.stores.qdrant.edge.connection import Shard
from qadapt.stores.qdrant.edge.optimize import POLL_SECONDS, rebuild
from qadapt.stores.qdrant.edge.status import Observation, codes_while_growing
from qadapt.stores.store_types import MappedQuantization, Progress

if TYPE_CHECKING:
    from qadapt.stores.qdrant.edge.store import EdgeStore

# Seconds that a change waits for a process that is about to release the folder.
PATIENCE = 10.0

WHY_BLOCKING = (
    "the engine rebuilds in a subprocess that holds the folder's lock, so searches and writes of "
    "this collection wait until it ends"
)
NOT_BUILT = "the engine builds no codes for so few rows; it builds them when there are more"

KEPT = "an undo keeps what is built, because the collection is configured for it"


# -- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Configure(Operation):
    """Edits the configuration of one vector and rebuilds the segments that differ from it.

    An omitted field keeps its setting; null removes it from the file.

    Attributes:
        by_way_of_none: rebuild without codes first, because the engine keeps a segment indexed if
            only the threshold is raised again.
        rebuild: whether segments are rebuilt.
        rebuilt_with: settings that the engine rebuilds with before it gets the others, which are
            not rebuilt then. It restores what the engine keeps otherwise: segments without an
            index (``indexing_threshold`` 0), and original vectors in RAM (``memory`` or
            ``on_disk``) where the configuration does not name their place.
    """

    op: ClassVar[str] = "edge.configure"

    vector: str
    quantization_config: Mapping[str, Any] | Keep | None = KEEP
    memory: str | Keep | None = KEEP
    on_disk: bool | Keep | None = KEEP
    optimizers: Mapping[str, Any] | Keep = KEEP
    by_way_of_none: bool = False
    rebuild: bool = True
    rebuilt_with: Mapping[str, Any] | None = None

    def run(self, at: Execution[EdgeStore]) -> None:
        shard = at.store.shard(at.collection)
        with shard.lock:
            if self.by_way_of_none:
                own(shard, at)
                none = Configure(self.vector, None, self.memory, self.on_disk, self.optimizers)
                none._edit(shard)
                _rebuild(shard, at)
            own(shard, at)
            if self.rebuilt_with:
                self._with(self.rebuilt_with)._edit(shard)
                _rebuild(shard, at)
            self._edit(shard)
            if self.rebuild and not self.rebuilt_with:
                _rebuild(shard, at)

    def _with(self, settings: Mapping[str, Any]) -> Configure:
        places = {key: value for key, value in settings.items() if key != "indexing_threshold"}
        optimizers = {**_given(self), **{k: v for k, v in settings.items() if k not in places}}
        return replace(self, optimizers=optimizers or KEEP, **places)

    def _edit(self, shard: Shard) -> None:
        before = schema.read(shard.folder)
        edge_snapshot.vector(before, self.vector)
        wanted = schema.configured(before, self.to_request())
        if schema.settings(wanted) == schema.settings(before):
            return
        shard.pause()
        collections.configure(shard.folder, before, wanted)

    def reverse(self, snapshot: schema.Config) -> Configure:
        """The operation that restores the current configuration."""
        params = snapshot["vectors"][self.vector]
        former = params.get("quantization_config") or snapshot.get("quantization_config")
        optimizers: Mapping[str, Any] | Keep = KEEP
        again = False
        if not isinstance(self.optimizers, Keep):
            now = snapshot.get("optimizers") or {}
            optimizers = {key: now.get(key) for key in self.optimizers}
            again = mapping.same_config(former, _config_of(self))
        return Configure(
            self.vector,
            former,
            KEEP if isinstance(self.memory, Keep) else params.get("memory"),
            KEEP if isinstance(self.on_disk, Keep) else params.get("on_disk"),
            optimizers,
            by_way_of_none=again,
            rebuild=self.rebuild,
        )


@dataclass(frozen=True)
class Optimize(Operation):
    """Rebuilds segments that differ from the configuration."""

    op: ClassVar[str] = "edge.optimize"

    def run(self, at: Execution[EdgeStore]) -> None:
        shard = at.store.shard(at.collection)
        with shard.lock:
            own(shard, at)
            _rebuild(shard, at)

    def reverse(self, snapshot: Any) -> Optimize:
        """This operation itself: it applies what is configured, so there is no earlier state."""
        return self


OPERATIONS = table(Configure, Optimize)


def _given(operation: Configure) -> Mapping[str, Any]:
    return {} if isinstance(operation.optimizers, Keep) else operation.optimizers


def own(shard: Shard, at: Execution[Any]) -> None:
    """Open the shard, waiting if a killed process has not released it yet."""
    patience = Deadline(min(at.deadline.left, PATIENCE))
    while True:
        try:
            with shard.use("change"):
                return
        except BusyError:
            if patience.passed:
                raise
        at.progress(Progress("waiting for the process that has the collection open"))
        time.sleep(POLL_SECONDS)


def _rebuild(shard: Shard, at: Execution[Any]) -> None:
    shard.pause()
    disk_space.check_open(shard.folder)
    rebuild(shard.folder, at.progress, at.deadline.left)


# -- planning ------------------------------------------------------------------------------------


def plan_change(request: ChangeRequest, mapped: MappedQuantization) -> ChangePlan:
    """Plan the steps to a mapped quantization; none if it is configured and active.

    Raises:
        TooFewRowsError: so few vectors that the engine never indexes them.
    """
    snapshot: edge_snapshot.Snapshot = request.inspection.native
    info = request.inspection.info.vectors[request.vector]
    if request.without_codes:
        return ChangePlan((_settings_step(info, snapshot.config, mapped),))
    return ChangePlan(tuple(steps(info, snapshot.config, snapshot.vectors[request.vector], mapped)))


def steps(
    info: VectorInfo, settings: schema.Config, observation: Observation, mapped: MappedQuantization
) -> list[Step]:
    """The steps to a mapped quantization; empty if it is configured and active.

    Args:
        info: the vector's current state.
        settings: the shard's configuration.
        observation: the evidence of its status.
        mapped: the target; not unsupported.

    Raises:
        TooFewRowsError: so few vectors that the engine never indexes them.
    """
    operation = _operation(info, observation, mapped)
    if operation is None:
        return _unfinished(info, observation)
    lowered = None
    if not isinstance(operation.optimizers, Keep):
        lowered = operation.optimizers.get("indexing_threshold")
    reason = WHY_BLOCKING
    if lowered is not None:
        reason += f"; {indexing_threshold.why_lowered(observation.threshold, lowered)}"
    codes = memory.code_bytes(_config_of(operation), observation.vector, info.count)
    reverse = _restoring(operation.reverse(settings), settings, observation)
    if remains := _remaining_index(observation, reverse):
        reason += f"; {remains}"
    return [
        Step(
            Symbol.BLOCKING,
            _action(info, observation, mapped, lowered),
            reason,
            operation.to_request(),
            reverse.to_request(),
            _estimate(info, codes, mapped.target),
        )
    ]


def _restoring(reverse: Configure, settings: schema.Config, observation: Observation) -> Configure:
    """The reverse operation with the settings that the engine does not restore from the file."""
    found: dict[str, Any] = {}
    optimizers = reverse.optimizers
    if _undo_removes_index(reverse, observation):
        found["indexing_threshold"] = 0
        former = (settings.get("optimizers") or {}).get("indexing_threshold")
        optimizers = {**_given(reverse), "indexing_threshold": former}
    if reverse.memory is None and reverse.on_disk is None:
        found["memory"] = "cached"
    elif isinstance(reverse.memory, Keep) and reverse.on_disk is None:
        found["on_disk"] = False  # engines before 1.19
    return replace(reverse, optimizers=optimizers, rebuilt_with=found or None)


def restoring_index(
    optimizers: Mapping[str, Any] | Keep,
    snapshot: edge_snapshot.Snapshot,
    observation: Observation,
) -> tuple[Mapping[str, Any] | Keep, Mapping[str, Any] | None]:
    """The settings of the optimizers before a change, and those to rebuild with before them.

    A rebuild with a new vector indexes the segments; if none had an index, an undo removes it.

    Args:
        optimizers: the settings that the change sets.
        observation: the evidence of a vector whose own quantization does not change.
    """
    former = snapshot.config.get("optimizers") or {}
    found = {} if isinstance(optimizers, Keep) else {key: former.get(key) for key in optimizers}
    if not _undo_removes_index(Configure(""), observation):
        return found or KEEP, None
    found["indexing_threshold"] = former.get("indexing_threshold")
    return found, {"indexing_threshold": 0}


def _undo_removes_index(reverse: Configure, observation: Observation) -> bool:
    """Whether no segment has an index, and none of the former codes requires one."""
    needs_index = bool(observation.target) and not codes_while_growing(observation.target)
    unindexed = bool(observation.growing) and not observation.indexed
    return unindexed and not needs_index and not reverse.by_way_of_none


def _remaining_index(observation: Observation, reverse: Configure) -> str:
    """What an undo cannot restore; empty if it restores the index of all segments."""
    if "indexing_threshold" in (reverse.rebuilt_with or {}) or not observation.waiting:
        return ""
    rows = sum(segment.present for segment in observation.waiting)
    return (
        f"{rows:,} rows have no index yet and get one, which an undo keeps, because the engine "
        "rebuilds all segments"
    )


def _settings_step(info: VectorInfo, settings: schema.Config, mapped: MappedQuantization) -> Step:
    operation = _settings_alone(info.name, mapped, rebuild=False)
    return Step(
        Symbol.IN_PLACE,
        f"set quantization {info.quantization} -> {mapped.target}",
        NOT_BUILT,
        operation.to_request(),
        operation.reverse(settings).to_request(),
    )


def _config_of(operation: Configure) -> Mapping[str, Any] | None:
    found = operation.quantization_config
    return None if isinstance(found, Keep) else found


def _settings_alone(
    name: str,
    mapped: MappedQuantization,
    optimizers: Mapping[str, Any] | Keep = KEEP,
    *,
    rebuild: bool = True,
) -> Configure:
    """The operation that sets a quantization.

    Args:
        name: the name of the vector.
        mapped: the target; not unsupported.
    """
    native = mapped.native or {}
    memory: str | Keep | None = KEEP
    on_disk: bool | Keep | None = KEEP
    if "memory" in native:
        # The older field with the same meaning is removed, otherwise both would be set.
        memory, on_disk = native["memory"], None
    elif "on_disk" in native:
        # The only field of engines before 1.19.
        on_disk = native["on_disk"]
    wanted = native.get("quantization_config")
    return Configure(name, wanted, memory, on_disk, optimizers, rebuild=rebuild)


def _operation(
    info: VectorInfo, observation: Observation, mapped: MappedQuantization
) -> Configure | None:
    """The operation that changes the configuration; None if it need not change."""
    wanted = (mapped.native or {}).get("quantization_config")
    optimizers = lowered_threshold(observation, wanted)
    if mapping.satisfies(info.quantization, mapped.target) and optimizers is None:
        return None
    return _settings_alone(info.name, mapped, KEEP if optimizers is None else optimizers)


def lowered_threshold(
    observation: Observation, wanted: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The new indexing threshold for codes that require an index; None if it need not change."""
    if not wanted or codes_while_growing(wanted) or observation.indexed or not observation.growing:
        return None
    return indexing_threshold.lowered(
        wanted,
        observation.threshold,
        observation.growing_sizes,
        observation.count,
        observation.vector,
    )


def _unfinished(info: VectorInfo, observation: Observation) -> list[Step]:
    operation: Operation = Optimize()
    if info.status.state is State.IGNORED and observation.all_unmeasured:
        # The engine considers these codes configured and rebuilds them only after a rebuild without
        # codes.
        operation = Configure(info.name, observation.target, by_way_of_none=True)
    elif info.status.state is not State.BUILDING:
        return []
    codes = memory.code_bytes(observation.target, observation.vector, info.count)
    return [
        Step(
            Symbol.BLOCKING,
            f"build {info.quantization}",
            f"{info.status.reason}; {WHY_BLOCKING}; {KEPT}",
            operation.to_request(),
            # It applies what is already configured, so there is no earlier state to restore.
            Optimize().to_request(),
            _estimate(info, codes, info.quantization),
        )
    ]


def _action(
    info: VectorInfo, observation: Observation, mapped: MappedQuantization, lowered: int | None
) -> str:
    """Describe the request; names a quantization only if it changes."""
    if lowered is not None and mapping.satisfies(info.quantization, mapped.target):
        return indexing_threshold.action(observation.threshold, lowered)
    return f"set quantization {info.quantization} -> {mapped.target}"


def _estimate(info: VectorInfo, codes: int, target: Quantization) -> Estimate:
    originals = info.float_bytes or 0
    return memory.estimate(codes, originals, info.quantization, target, "searches and writes")
