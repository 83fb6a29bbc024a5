"""Plans of changes, and their operations.

A mapping accepts some types of index_options in place, mostly smaller codes, and shows them at
once. Segments keep their codes until they are merged, so the operation forces a merge. All other
changes need a copy (docs/engines/elasticsearch.md#mapping-updates).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.model import Estimate, State, Step, Symbol, Vector
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy
from qadapt.stores.elastic import collections, copy_switch, refreshes
from qadapt.stores.elastic.elasticsearch import code_record, in_place, mapping
from qadapt.stores.elastic.elasticsearch.snapshot import Snapshot
from qadapt.stores.elastic.elasticsearch.status import status_of
from qadapt.stores.elastic.elasticsearch.vector_index import put_options, same_options
from qadapt.stores.elastic.elasticsearch.version import SINCE_BYTES_OF_CODES
from qadapt.stores.elastic.schema import Index, quoted
from qadapt.stores.operations import Execution, Operation, table
from qadapt.stores.polling import poll
from qadapt.stores.store_types import MappedQuantization, Progress
from qadapt.stores.versioned_names import next_version

if TYPE_CHECKING:
    from qadapt.stores.elastic.elasticsearch.store import ElasticsearchStore

# Dummy documents for each shard: with 40, all of 3 shards got one.
_PER_SHARD = 16
_DUMMY = "qadapt-rewrite-"


# -- operations ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetOptions(Operation):
    """Replaces the index_options of a field, and rewrites its segments.

    Attributes:
        vector: name of the vector.
        options: complete index_options.
        rewrite: merge all segments, so that they get the codes of the new type.
    """

    op: ClassVar[str] = "elasticsearch.set_options"

    vector: str
    options: Mapping[str, Any]
    rewrite: bool = True

    def run(self, at: Execution[ElasticsearchStore]) -> None:
        index = at.store.index(at.collection)
        field = index.field_of(self.vector)
        if not same_options(at.store.product.options_of(field), self.options):
            put_options(at.store, index, field, self.options)
        kind = str(self.options["type"])
        if self.rewrite and not at.store.product.server_version.has(SINCE_BYTES_OF_CODES):
            index = at.store.index(at.collection)
            entry = (index.meta.get(code_record.KEY) or {}).get(field.path) or {}
            older = code_record.older_segments(at.store.connection, index, field.path, kind)
            if older is None or entry.get("type") != kind:
                code_record.write(at.store.connection, index, field.path, kind)
                at.store.forget(index.name)
        if self.rewrite:
            rewrite(at, self.vector)


@dataclass(frozen=True)
class Copy(copy_switch.Rebuild):
    """Copies an index with other vector fields, and gives its name to the copy."""

    op: ClassVar[str] = "elasticsearch.copy"


@dataclass(frozen=True)
class Switch(copy_switch.Switch):
    """Moves an alias back to the index that was copied."""

    op: ClassVar[str] = "elasticsearch.switch"


OPERATIONS = table(SetOptions, Copy, Switch)


def rewrite(at: Execution[ElasticsearchStore], vector: str) -> None:
    """Merge all segments, so that each is written with the type in the mapping.

    A merge to one segment does nothing for a shard that has one. Documents without vector, which
    are deleted in the request that adds them, give each shard a second segment. Where the server
    reports no bytes of codes, one merge is all that can be done.

    Raises:
        StoreTimeoutError: the merge goes on.
    """
    store = at.store
    index = store.index(at.collection)
    merged = False
    while True:
        state = _state(store, at.collection, vector)
        if state not in (State.BUILDING, State.UNKNOWN) or (state is State.UNKNOWN and merged):
            return
        if merged and at.deadline.passed:
            raise _late(at.collection, at.deadline.seconds)
        _touch(store, index)
        answer = store.connection.ask(
            "POST",
            f"/{quoted(index.real)}/_forcemerge",
            params={"max_num_segments": 1, "wait_for_completion": "false"},
            doing=f"merge the segments of {index.name!r}",
        )
        _wait(at, str(answer["task"]))
        merged = True
        refreshes.refresh(store.connection, index)


def _state(store: ElasticsearchStore, collection: str, vector: str) -> State:
    taken: Snapshot = store.inspect(collection).native
    return status_of(taken.observations[vector]).state


def _touch(store: ElasticsearchStore, index: Index) -> None:
    lines = []
    for number in range(1 if index.shards == 1 else _PER_SHARD * index.shards):
        key = f"{_DUMMY}{uuid.uuid4().hex[:8]}-{number}"
        lines.append(f'{{"index":{{"_id":"{key}"}}}}\n{{}}\n{{"delete":{{"_id":"{key}"}}}}\n')
    store.connection.lines(
        f"/{quoted(index.real)}/_bulk",
        "".join(lines).encode(),
        params={"refresh": "true"},
        doing=f"start a merge of {index.name!r}",
    )


def _wait(at: Execution[ElasticsearchStore], task: str) -> None:
    """Wait for a task."""

    def look() -> Mapping[str, Any]:
        found = at.store.connection.found(f"/_tasks/{task}", doing="read the task of the merge")
        return found or {"completed": True}

    found = poll(
        look,
        lambda told: bool(told.get("completed")),
        lambda _: Progress(f"merging the segments of {at.collection!r}"),
        lambda _: _late(at.collection, at.deadline.seconds),
        at.wait,
    )
    failures = (found.get("response") or {}).get("failures") or ()
    if found.get("error") or failures:
        raise StoreError(
            f"the merge of {at.collection!r} failed: {str(found.get('error') or failures)[:400]}",
            hint="the log of the server has more about this error",
        )


def _late(collection: str, seconds: float) -> StoreTimeoutError:
    return StoreTimeoutError(
        f"the segments of {collection!r} are not merged after {seconds:g} seconds",
        hint="the merge goes on: run `qadapt apply` again, with a larger --timeout",
    )


# -- planning ------------------------------------------------------------------------------------


def plan_change(
    store: ElasticsearchStore, request: ChangeRequest, mapped: MappedQuantization | None
) -> ChangePlan:
    """Plan a change of one vector.

    Raises:
        UnsupportedError: an unsupported strategy, datatype or number of dimensions.
    """
    check_strategy("elasticsearch", request, "alias")
    planner = _Planner(store, request, mapped)
    if request.target_vector is not None and request.target_vector != planner.field.vector:
        return ChangePlan(recreation=(planner.recreation(request.target_vector),))
    if mapped is None:
        return ChangePlan()
    return ChangePlan(tuple(planner.steps()), notes=tuple(planner.notes()))


class _Planner:
    """The steps and notes of a change."""

    def __init__(
        self, store: ElasticsearchStore, request: ChangeRequest, mapped: MappedQuantization | None
    ) -> None:
        self.store, self.request = store, request
        self.taken: Snapshot = request.inspection.native
        self.index = self.taken.index
        self.field = self.index.field_of(request.vector)
        self.current = store.product.options_of(self.field)
        holds = store.product.server_version.maps_rescoring
        self.rescore = request.rescore if holds else None
        if mapped is None or mapped.native is None:
            self.options = dict(self.current)
        else:
            self.options = mapping.index_options(mapped.native, self.current, self.rescore)
            if self.rescore is None and self.options["type"] == self.current["type"]:
                kept = self.current.get("rescore_vector")
                self.options |= {"rescore_vector": kept} if kept else {}

    def steps(self) -> list[Step]:
        kind, wanted = str(self.current["type"]), str(self.options["type"])
        state = status_of(self.taken.observations[self.request.vector]).state
        if kind == wanted:
            if state is State.BUILDING or self._unproven(state):
                return [self._in_place(rewrite=True)]
            if same_options(self.current, self.options):
                return []
            if self._m_shrinks:
                return [self._copy()]
            return [self._in_place(rewrite=False)]
        if self.request.strategy != "alias" and self._is_accepted(kind, wanted):
            return [self._in_place(rewrite=True)]
        return [self._copy()]

    def _unproven(self, state: State) -> bool:
        """Whether a merge would show that all segments have the codes."""
        seen = self.taken.observations[self.request.vector]
        old = not self.store.product.server_version.has(SINCE_BYTES_OF_CODES)
        return state is State.UNKNOWN and old and bool(seen.codes and seen.segments)

    @property
    def _m_shrinks(self) -> bool:
        return int(self.options.get("m", 0)) < int(self.current.get("m", 0)) and "m" in self.options

    def _is_accepted(self, kind: str, wanted: str) -> bool:
        version = self.store.product.server_version
        return wanted in in_place.accepted(kind, version) and not self._m_shrinks

    def _in_place(self, *, rewrite: bool) -> Step:
        operation = SetOptions(self.request.vector, self.options, rewrite)
        wanted = str(self.options["type"])
        if not rewrite:
            return Step(
                Symbol.IN_PLACE,
                f"set index_options of {self.field.path} to {_listed(self.options)}",
                "the server applies this to searches at once, and to graphs when it merges",
                operation.to_request(),
                SetOptions(self.request.vector, dict(self.current), False).to_request(),
            )
        codes = self._code_bytes
        return Step(
            Symbol.BACKGROUND,
            f"set index_options of {self.field.path} to {wanted}, and merge the segments",
            "the mapping shows the new type at once, but codes are written by merges only: one "
            "merge rewrites all segments of a shard to one, while searches and writes continue",
            operation.to_request(),
            self._reverse(wanted),
            Estimate(
                codes_ram=codes,
                codes_disk=codes,
                originals_disk=self._original_bytes,
                temporary_disk=self.taken.size + codes,
            ),
        )

    def _reverse(self, wanted: str) -> dict[str, Any]:
        """Back in place where the server accepts it, otherwise by a copy."""
        kind = str(self.current["type"])
        version = self.store.product.server_version
        back = kind in in_place.accepted(wanted, version) or kind == wanted
        if back and int(self.current.get("m", 0)) >= int(self.options.get("m", 0)):
            return SetOptions(self.request.vector, dict(self.current)).to_request()
        return self._copy_back().to_request()

    def _copy_back(self) -> Copy:
        """A copy with the current definition, under a name that no other copy takes."""
        name = f"{self.index.real}_undo_{uuid.uuid4().hex[:8]}"
        return Copy(self.index.name, self.index.real, name, {self.field.path: self._shown})

    @property
    def _shown(self) -> dict[str, Any]:
        """The definition with the options that it does not show."""
        return {**self.field.definition, "index_options": dict(self.current)}

    def _copy(self, vector: Vector | None = None) -> Step:
        copy_switch.check_fields(self.index)
        wanted = vector or self.field.vector
        definition = {**self.field.definition, "index_options": self.options}
        dims = None
        if vector is not None:
            definition = self.store.product.field(vector, self.options)
            if vector.dim != self.field.vector.dim:
                dims = {self.field.path: vector.dim}
        target = next_version(self.index.real, collections.all_names(self.store.connection))
        operation = Copy(
            self.index.name, self.index.real, target, {self.field.path: definition}, dims
        )
        if self.index.is_alias:
            reverse: Operation | None = Switch(self.index.name, self.index.real)
            fate = f"switch the alias {self.index.name!r}; {self.index.real!r} is kept for an undo"
        else:
            reverse = None if dims else self._copy_back()
            fate = f"delete {self.index.real!r} and make its name an alias of the copy, in one step"
        size = self.taken.size
        return Step(
            Symbol.RECREATE,
            f"copy to {target!r} with {_listed(self.options)}; {fate}",
            f"a mapping cannot change from {self.current['type']} to {self.options['type']}"
            if wanted == self.field.vector
            else "metric, datatype and dimensions are fixed at creation",
            operation.to_request(),
            None if reverse is None else reverse.to_request(),
            Estimate(
                codes_ram=self._code_bytes,
                codes_disk=self._code_bytes,
                originals_disk=self._original_bytes * (2 if self.index.is_alias else 1),
                temporary_disk=size,
                stops="writes",
            ),
        )

    def recreation(self, vector: Vector) -> Step:
        """The step to another metric, datatype or fewer dimensions."""
        return self._copy(vector)

    @property
    def _code_bytes(self) -> int:
        codes = mapping.split_type(str(self.options["type"]))[0]
        return self.taken.count * mapping.code_bytes(codes, self.field.vector.dim)

    @property
    def _original_bytes(self) -> int:
        seen = self.taken.observations[self.request.vector]
        return self.taken.count * seen.width * seen.dim

    def notes(self) -> list[str]:
        found = []
        codes = mapping.split_type(str(self.options["type"]))[0]
        if codes and self.request.rescore is not None:
            oversample = mapping.mapped_oversampling(self.request.rescore)
            if oversample is None:
                found.append(
                    "a mapping holds an oversampling of at most 10 and no number of candidates: "
                    "searches of qadapt send it, other clients must send it themselves"
                )
        if codes and self.index.shards > 1:
            found.append(
                f"each of {self.index.shards} shards rescores its own candidates, so that recall "
                "is higher than on one shard"
            )
        return found


def _listed(options: Mapping[str, Any]) -> str:
    more = [f"{key} {value}" for key, value in options.items() if key in ("m", "ef_construction")]
    factor = (options.get("rescore_vector") or {}).get("oversample")
    more += [] if factor is None else [f"oversample {factor:g}"]
    return ", ".join([str(options["type"]), *more])
