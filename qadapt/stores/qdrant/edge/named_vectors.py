"""Changing a quantization or the dimensions by another named vector with the values of one.

::

    {"op": "edge.add_vector", "from": "", "to": "default_binary_256", "dims": 256,
     "quantization_config": {...} or null, "memory": "cold" or left out, "datatype": "float32",
     "optimizers": {"indexing_threshold": 300} or left out}
    {"op": "edge.drop_vector", "from": "", "to": "default_binary_256",
     "rebuilt_with": {"indexing_threshold": 0} or left out, "optimizers": {...} or left out}

The engine adds an empty vector to a shard and drops one, without a change of the others
(docs/engines/qdrant.md#edge).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from qadapt.errors import StoreError, StoreTimeoutError, UnsupportedError
from qadapt.model import Batch, Quantization, Step, Symbol, Vector, VectorInfo
from qadapt.model.leading_dims import leading
from qadapt.stores.base import ReadRequest
from qadapt.stores.change import ChangePlan, ChangeRequest, check_strategy, no_recreation
from qadapt.stores.operations import KEEP, Execution, Keep, Operation, table
from qadapt.stores.qdrant import memory
from qadapt.stores.qdrant import rows as shared_rows
from qadapt.stores.qdrant.edge import changes, collections, rows, schema
from qadapt.stores.qdrant.edge import snapshot as edge_snapshot
from qadapt.stores.qdrant.edge.connection import Shard, client_module, version
from qadapt.stores.store_types import MappedQuantization, Progress

if TYPE_CHECKING:
    from qadapt.stores.qdrant.edge.store import EdgeStore

PAGE = 5_000  # rows read and written at a time


@dataclass(frozen=True)
class AddVector(Operation):
    """Adds a vector with the values of another one, and builds its codes.

    Attributes:
        source, target: the existing vector and the new one.
        datatype: of the new vector.
        dims: number of first dimensions of the new vector, scaled to length 1 under cosine; None
            for all.
        quantization_config, memory, on_disk, optimizers, rebuild: as those of
            ``changes.Configure``.
    """

    op: ClassVar[str] = "edge.add_vector"
    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}

    source: str
    target: str
    datatype: str
    dims: int | None = None
    quantization_config: Mapping[str, Any] | Keep | None = KEEP
    memory: str | Keep | None = KEEP
    on_disk: bool | Keep | None = KEEP
    optimizers: Mapping[str, Any] | Keep = KEEP
    rebuild: bool = True

    def run(self, at: Execution[EdgeStore]) -> None:
        shard = at.store.shard(at.collection)
        with shard.lock:
            changes.own(shard, at)
            _create(shard, self)
            _fill(shard, self, at)
            changes.Configure(
                self.target, self.quantization_config, self.memory, self.on_disk, self.optimizers,
                rebuild=self.rebuild,
            ).run(at)  # fmt: skip


@dataclass(frozen=True)
class DropVector(Operation):
    """Drops the vector that ``AddVector`` added.

    Attributes:
        source, target: the vector that stays and the one that is dropped.
        optimizers, rebuilt_with: as those of ``changes.Configure``, for the segments that the
            engine indexed with the new vector.
    """

    op: ClassVar[str] = "edge.drop_vector"
    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}

    source: str
    target: str
    optimizers: Mapping[str, Any] | Keep = KEEP
    rebuilt_with: Mapping[str, Any] | None = None

    def run(self, at: Execution[EdgeStore]) -> None:
        shard = at.store.shard(at.collection)
        with shard.lock:
            changes.own(shard, at)
            if self.target in schema.read(shard.folder)["vectors"]:
                # The engine removes an index only if the codes of a vector change.
                if self.rebuilt_with:
                    changes.Configure(
                        self.target, None, optimizers=self.optimizers,
                        rebuilt_with=self.rebuilt_with,
                    ).run(at)  # fmt: skip
                edge = client_module()
                with shard.change("drop a vector of") as opened:
                    opened.update(edge.UpdateOperation.delete_vector_name(self.target))
            changes.Configure(self.source, optimizers=self.optimizers, rebuild=False).run(at)


OPERATIONS = {**changes.OPERATIONS, **table(AddVector, DropVector)}


# -- planning ------------------------------------------------------------------------------------


def plan_change(
    request: ChangeRequest, mapped: Callable[[Quantization, Vector], MappedQuantization]
) -> ChangePlan:
    """Plan a change in place, or another vector for the strategy ``vector``.

    Args:
        mapped: maps a quantization for a vector.

    Raises:
        UnsupportedError: another metric or datatype, or fewer dimensions in place.
        TooFewRowsError: so few vectors that the engine never indexes them.
    """
    check_strategy("edge", request, "vector")
    added = request.strategy == "vector"
    if request.target_vector is not None and not added:
        raise no_recreation("edge")
    if request.codes is None:
        return ChangePlan()
    about = edge_snapshot.vector(request.inspection.native.config, request.vector)
    found = mapped(request.codes, request.mapped_vector(about))
    return _plan_vector(request, found) if added else changes.plan_change(request, found)


def _plan_vector(request: ChangeRequest, mapped: MappedQuantization) -> ChangePlan:
    """Plan another vector with a mapped quantization; no steps if nothing differs.

    Raises:
        UnsupportedError: the engine cannot add vectors.
        TooFewRowsError: so few vectors that the engine never indexes them.
    """
    snapshot: edge_snapshot.Snapshot = request.inspection.native
    info = request.inspection.info.vectors[request.vector]
    dims = None if request.target_vector is None else request.target_vector.dim
    there = str(info.status.state) in ("active", "absent")
    if dims is None and there and info.quantization.codes_only == mapped.target.codes_only:
        return ChangePlan(new_vector=request.vector)
    _refuse_old_engine()
    add = _adding(request, snapshot, mapped, dims)
    observation = snapshot.vectors[request.vector]
    former: tuple[Mapping[str, Any] | Keep, Mapping[str, Any] | None] = (KEEP, None)
    if add.rebuild:
        former = changes.restoring_index(add.optimizers, snapshot, observation)
    drop = DropVector(add.source, add.target, *former)
    narrow = observation.vector.replace(dim=dims or info.dim)
    codes = memory.code_bytes((mapped.native or {}).get("quantization_config"), narrow, info.count)
    size = 4 * info.count * narrow.dim
    what = f"the first {dims:,} dimensions of " if dims is not None else "the values of "
    words = "" if mapped.target.is_plain(narrow.dim) else f", {mapped.target.without_dims}"
    why = f"; {changes.WHY_BLOCKING}" if add.rebuild else ""
    step = Step(
        Symbol.BLOCKING if add.rebuild else Symbol.BACKGROUND,
        f"add the vector {add.target!r} with {what}{_label(info)}{words}",
        f"{_label(info)} does not change, and an undo drops the new vector; rows written later "
        f"have only the vectors that their writer sends, so send both{why}",
        add.to_request(),
        drop.to_request(),
        memory.estimate(
            codes,
            size,
            Quantization.of("none"),
            mapped.target,
            "searches and writes" if add.rebuild else "nothing",
        ),
    )
    return ChangePlan((step,), new_vector=add.target)


def _refuse_old_engine() -> None:
    if not hasattr(client_module().UpdateOperation, "create_dense_vector"):
        raise UnsupportedError(
            f"qdrant-edge-py {version()} cannot add a vector to a collection",
            hint="install a newer qdrant-edge-py, or copy the collection with `qadapt migrate`",
        )


def _adding(
    request: ChangeRequest,
    snapshot: edge_snapshot.Snapshot,
    mapped: MappedQuantization,
    dims: int | None,
) -> AddVector:
    observation = snapshot.vectors[request.vector]
    native = mapped.native or {}
    codes = native.get("quantization_config")
    lowered = changes.lowered_threshold(observation, codes)
    return AddVector(
        request.vector,
        _free_name(snapshot.config, request.vector, mapped.target, dims),
        native.get("datatype") or observation.vector.datatype,
        dims,
        codes,
        native.get("memory", KEEP),
        native.get("on_disk", KEEP),
        KEEP if lowered is None else lowered,
        # Without codes, a rebuild would only add an index, which the existing vector lacks.
        rebuild=bool(codes) or bool(observation.indexed),
    )


def _free_name(settings: schema.Config, vector: str, target: Quantization, dims: int | None) -> str:
    words = [vector or "default"]
    if str(target.kind) != "none":
        named = target.bits is not None and "bits=" in str(target.codes_only)
        words.append(
            f"{target.kind}{target.bits:g}".replace(".", "_") if named else f"{target.kind}"
        )
    if dims is not None:
        words.append(str(dims))
    base = name = "_".join(words)
    number = 2
    while name in settings["vectors"] or name in settings.get("sparse_vectors", {}):
        name, number = f"{base}_{number}", number + 1
    return name


def _label(info: VectorInfo) -> str:
    return f"the vector {info.name!r}" if info.name else "the unnamed vector"


# -- execution -----------------------------------------------------------------------------------


def _create(shard: Shard, wanted: AddVector) -> None:
    """Add the empty vector, unless an interrupted change has added it.

    Raises:
        StoreError: the existing vector of that name has other dimensions.
    """
    settings = schema.read(shard.folder)
    source = edge_snapshot.vector(settings, wanted.source)
    target = source.replace(dim=wanted.dims or source.dim, datatype=wanted.datatype)
    if wanted.target in settings["vectors"]:
        there = edge_snapshot.vector(settings, wanted.target)
        if there != target:
            raise StoreError(
                f"{shard.name!r} has another vector {wanted.target!r} of {there.dim:,} dimensions",
                hint="plan again: the next plan uses a free name",
            )
        return
    edge = client_module()
    params = collections.vector_params(edge, target)
    with shard.change("add a vector to") as opened:
        opened.update(
            edge.UpdateOperation.create_dense_vector(
                wanted.target, target.dim, params.distance, None, params.datatype
            )
        )


def _fill(shard: Shard, wanted: AddVector, at: Execution[Any]) -> None:
    """Copy the values of all rows that have the source vector and lack the new one.

    Raises:
        StoreTimeoutError
    """
    settings = schema.read(shard.folder)
    both = {name: edge_snapshot.vector(settings, name) for name in (wanted.source, wanted.target)}
    metric, dim = both[wanted.source].metric, both[wanted.target].dim
    total = edge_snapshot.take_snapshot(shard, exact=False).count
    edge, done = client_module(), 0
    for page in rows.scroll(shard, ReadRequest(tuple(both), payload=False, page=PAGE)):
        if at.deadline.passed:
            raise StoreTimeoutError(
                f"{done:,} of {total:,} rows have the vector {wanted.target!r}",
                hint="apply again to continue",
            )
        batch = shared_rows.to_batch(page, both, payload=False)
        values = leading(batch.vectors[wanted.source], dim, metric)
        # An interrupted change has filled some rows, which other datatypes round.
        near = 1e-5 if wanted.datatype == "float32" else 2e-3
        stale = ~np.isclose(values, batch.vectors[wanted.target], rtol=near, atol=1e-6).all(axis=1)
        absent = batch.missing.get(wanted.source)
        if absent is not None:
            stale &= ~absent
        changed = np.flatnonzero(stale)
        if len(changed):
            part = Batch(changed.tolist(), {wanted.target: values[changed]})
            with shard.change("write to", part) as opened:
                opened.update(
                    edge.UpdateOperation.update_vectors(
                        [
                            edge.PointVectors(page[at].id, {wanted.target: memoryview(row)})
                            for at, row in zip(changed.tolist(), values[changed], strict=True)
                        ]
                    )
                )
        done += len(page)
        at.progress(Progress(f"filling {wanted.target!r}", done, total))
