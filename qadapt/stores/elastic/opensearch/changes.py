"""Plans of changes: each one is a copy, because nothing of a field can be changed in place.

{"op": "opensearch.copy", "alias": "articles", "from": "articles_v1", "to": "articles_v2",
 "fields": {"embedding": {"type": "knn_vector", ...}}}
{"op": "opensearch.switch", "alias": "articles", "to": "articles_v1"}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qadapt.model import State, Vector
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy
from qadapt.stores.elastic.copy_switch import check_documents
from qadapt.stores.elastic.opensearch import copy_switch, status
from qadapt.stores.elastic.opensearch.copy_switch import Copy, Switch
from qadapt.stores.elastic.opensearch.schema import FAISS, LUCENE, SPACES, Field
from qadapt.stores.elastic.opensearch.snapshot import Snapshot
from qadapt.stores.operations import Operations, table
from qadapt.stores.store_types import MappedQuantization

WHY = "the server refuses every change of a field with vectors"
# Settings that a change of codes replaces; others, such as `meta`, are kept.
_REPLACED = ("method", "mode", "compression_level", "space_type", "model_id")


OPERATIONS: Operations = table(Copy, Switch)


def plan_change(
    request: ChangeRequest, mapped: MappedQuantization | None, taken: Collection[str]
) -> ChangePlan:
    """Plan a change of one vector.

    Args:
        mapped: the requested codes; None keeps the present ones.
        taken: names of all indexes and aliases.

    Raises:
        UnsupportedError: a strategy other than a copy, or documents that cannot be copied.
    """
    check_strategy("OpenSearch", request, "alias")
    planner = _Planner(request, mapped)
    if planner.is_done:
        return ChangePlan()
    step = planner.step(taken)
    if request.target_vector is not None:
        return ChangePlan(recreation=(step,), notes=planner.notes())
    return ChangePlan((step,), notes=planner.notes())


class _Planner:
    """The step of a change."""

    def __init__(self, request: ChangeRequest, mapped: MappedQuantization | None) -> None:
        self.taken: Snapshot = request.inspection.native
        self.field = self.taken.index.field_of(request.vector)
        self.now: Field = self.taken.product.field_of(self.field)
        self.seen = self.taken.observations[request.vector]
        self.request, self.mapped = request, mapped
        self.vector: Vector = request.target_vector or self.field.vector

    @property
    def definition(self) -> dict[str, Any]:
        """The field after the change."""
        now = self.field.definition
        kept = {name: each for name, each in now.items() if name not in _REPLACED}
        native: Mapping[str, Any] = {
            name: now[name] for name in ("method", "mode", "compression_level") if name in now
        }
        if self.mapped is not None:
            native = self._with_graph(self.mapped.native or {})
        return {**kept, **self.taken.product.new_field(self.vector, native)}

    def _with_graph(self, native: Mapping[str, Any]) -> dict[str, Any]:
        """The requested method with the present parameters of the graph, unless they are given."""
        method = dict(native["method"])
        former = (self.field.definition.get("method") or {}).get("parameters") or {}
        if method["name"] == self.now.method == "hnsw" and method["engine"] == self.now.engine:
            graph = {name: former[name] for name in ("m", "ef_construction") if name in former}
            method["parameters"] = {**graph, **method["parameters"]}
        return {**native, "method": method}

    @property
    def target(self) -> Field:
        """The settings of the field after the change."""
        return Field.of(self.definition, self.taken.product.server_version)

    @property
    def is_done(self) -> bool:
        """Whether the field is as requested, and its codes are in use."""
        if self.request.target_vector is not None:
            return False
        if self.mapped is None:
            return True
        state = status.status_of(self.seen).state
        if state is State.IGNORED:
            return False
        asked = self.request.codes.native if self.request.codes is not None else {}
        if asked:
            return bool(_method(self.target) == _method(self.now))
        # Another engine or method with the same codes stays.
        return self.target.quantization == self.now.quantization

    def step(self, taken: Collection[str]) -> Any:
        index, target = self.taken.index, self.target
        check_documents(index)
        dims = None
        if self.vector.dim < self.field.vector.dim:
            dims = {self.field.path: self.vector.dim}
        fields = {self.field.path: self.definition}
        operation = copy_switch.planned(index, fields, taken, dims)
        width = sum(each.vector.dim for each in index.vectors.values())
        count = self.seen.rows
        code_bytes = count * (target.code_bytes or 0)
        return copy_switch.step(operation, self._action(target), WHY, count, code_bytes, width)

    def _action(self, target: Field) -> str:
        words = f"{target.quantization} codes" if target.bits != 32 else "float32 vectors"
        if self.request.target_vector is not None:
            words += f", {self.vector.dim} dimensions, {SPACES[self.vector.metric]}"
        return f"{words} ({target.engine} {target.method})"

    def notes(self) -> tuple[str, ...]:
        found = []
        if self.target.engine == FAISS:
            found.append(
                "the engine faiss was not run by qadapt: the status of its codes is unknown"
            )
        elif self.target.engine == LUCENE and self.target.bits == 1:
            found.append(
                "the server rescores at least 100 candidates per shard, so that rescore=1 to 10 "
                "have the same results for k=10"
            )
        return tuple(found)


def _method(field: Field) -> Any:
    method = field.raw.get("method") or {}
    return {**method, "parameters": method.get("parameters") or {}}
