"""Bytes of one vector of a collection: the only computation for cost, plans and evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import InputError, UnsupportedError
from qadapt.footprint import Component, CostModel, Footprint, original_bytes
from qadapt.local import client_codes
from qadapt.model import (
    CollectionInfo,
    Kind,
    MemoryChange,
    Prices,
    Quantization,
    QuantizationLike,
    Vector,
    VectorInfo,
)
from qadapt.model.numbers import is_whole
from qadapt.stores import registry
from qadapt.stores.base import require_supported
from qadapt.stores.profile import StoreProfile

CLIENT_CODES = "client-side codes"
REPORTED = "reported by the store"  # the source of a size


def modelled() -> list[str]:
    """The stores whose costs are compared by default: one of each family, sorted by name."""
    known = registry.profiles()
    return [name for name, each in known.items() if each.cost_model and each.family == name]


def cost_model(store: str) -> tuple[StoreProfile, CostModel]:
    """The profile and the cost model of a store.

    Raises:
        SpecError: an unknown store.
        UnsupportedError: a store without a cost model.
    """
    known = registry.profile(store)
    if known.cost_model is None:
        raise UnsupportedError(
            f"the store {store!r} has no cost model",
            hint=f"stores with a cost model: {', '.join(modelled())}",
        )
    return known, known.cost_model


def memory(
    count: int,
    vector: Vector,
    quantization: QuantizationLike,
    store: str,
    *,
    index: Mapping[str, Any] | None = None,
) -> Footprint:
    """Bytes in RAM and on disk of ``count`` vectors in a store, including the vector index.

    Args:
        count: number of rows.
        vector: dimensions, metric and datatype (float32 if the store lacks the datatype).
        quantization: its ``codes`` and ``originals`` set where each is stored.
        store: a name listed by `qadapt stores`.
        index: the store's own index parameters, such as ``{"m": 32}``; default: its defaults.

    Raises:
        UnsupportedError: the store lacks this quantization, or has no cost model.
        SpecError: an unknown store.
    """
    known, model = cost_model(store)
    if not is_whole(count) or count < 0:
        raise InputError(
            f"rows must be a non-negative integer; got {count!r}", hint="for example rows=1000000"
        )
    if vector.datatype not in known.datatypes:
        vector = vector.replace(datatype="float32")
    wanted = Quantization.of(quantization)
    if known.traits.shortens_codes:
        codes = wanted
    else:
        codes = wanted.without_dims
        vector = vector.replace(dim=wanted.kept_dims(vector.dim))
    if wanted.originals == "none":
        return _codes_only(known, model, int(count), vector, wanted, index or {})
    found = model.footprint(int(count), vector, codes, index or {})
    return found.replace(store=store, target=found.target.replace(dims=wanted.dims))


def _codes_only(
    known: StoreProfile,
    model: CostModel,
    count: int,
    vector: Vector,
    wanted: Quantization,
    index: Mapping[str, Any],
) -> Footprint:
    """Codes as the datatype of a vector without quantization."""
    if known.mapping is None:
        raise UnsupportedError(
            f"the store {known.name!r} has no native quantization",
            hint="omit originals=none",
        )
    mapped = require_supported(known.mapping(wanted.without_dims, vector), wanted, known.name)
    coded = vector.replace(datatype=mapped.datatype or vector.datatype)
    found = model.footprint(count, coded, Quantization(Kind.NONE), index)
    return found.replace(store=known.name, target=wanted)


def as_seen(info: CollectionInfo, name: str) -> Footprint:
    """The footprint of a live vector: sizes that the store reports, otherwise by the formulas."""
    return footprint_of(info.server.store, info.vectors[name])


def footprint_of(store: str, vector: VectorInfo) -> Footprint:
    """As ``as_seen``, for a vector of a store."""
    there = vector.quantization
    if vector.quantized_by == "qadapt":  # the store holds no codes
        there = Quantization(Kind.NONE)
        model = memory(vector.count, vector.vector, there, store, index=vector.index)
    else:
        model = cost_model(store)[1].as_configured(vector)
    components = [_seen(part, vector) for part in model.components]
    if vector.quantized_by == "qadapt":
        components += _client_codes_seen(vector)
    elif vector.code_bytes is not None and not vector.is_plain:
        in_force = str(vector.status.state) in ("active", "building")
        if not in_force:
            components = _uncompressed(components, vector)
    return Footprint.of(
        store, vector.quantization, tuple(components), native=model.native, notes=model.notes
    )


def _client_codes_seen(vector: VectorInfo) -> list[Component]:
    """Client-side codes with the sizes of their files; missing or damaged codes have none."""
    reported = {item.signal: item.value for item in vector.status.evidence}
    ram, disk = reported.get("bytes in RAM"), reported.get("bytes on disk")
    if not isinstance(ram, int) or not isinstance(disk, int):
        return []
    return [Component(CLIENT_CODES, ram, disk, "as reported", "files of the code index")]


def as_planned(
    info: CollectionInfo,
    name: str,
    quantization: Quantization,
    target_vector: Vector | None = None,
    *,
    client_side: bool = False,
    rows: int | None = None,
    kept: bool | None = None,
) -> Footprint:
    """The footprint of a live vector with another quantization; see ``planned_for``."""
    return planned_for(
        info.server.store,
        info.vectors[name],
        quantization,
        target_vector,
        client_side=client_side,
        rows=rows,
        kept=kept,
    )


def planned_for(
    store: str,
    vector: VectorInfo,
    quantization: Quantization,
    target_vector: Vector | None = None,
    *,
    client_side: bool = False,
    rows: int | None = None,
    kept: bool | None = None,
) -> Footprint:
    """The footprint of a live vector with another quantization.

    Original vectors and the graph have the size that the store reports, so that parts that do not
    change are equal before and after.

    Args:
        store: name of its store.
        target_vector: new metric and datatype; None if they do not change.
        client_side: the codes are client-side, and the store holds none.
        rows: another number of rows.
        kept: whether the plan keeps the vector and adds another one, so that both are counted; None
            for the default of the store.

    Raises:
        UnsupportedError: the store lacks this quantization.
    """
    native = Quantization(Kind.NONE) if client_side else quantization
    about = target_vector or vector.vector
    count = vector.count if rows is None else rows
    found = memory(count, about, native, store, index=vector.index)
    components = list(found.components)
    if about.datatype == vector.datatype:
        reported = vector.replace(code_bytes=None, graph_bytes=None)
        components = [_seen(part, reported) for part in components]
    if client_side:
        ram, disk = client_codes.code_bytes(count, about.dim, quantization)
        words = "binary: dim / 8 in RAM; scalar of 4 bits: dim / 2 + 8; int8: dim on disk"
        components.append(Component(CLIENT_CODES, ram, disk, words, "files of the code index"))
    components = [_graph_as_now(part, store, vector) for part in components]
    if not client_side and about == vector.vector and _same_codes(found.target, vector):
        components = [_codes_as_now(part, store, vector) for part in components]
        if vector.graph_bytes == 0:
            components = [part for part in components if part.name != "graph"]
    if kept is None:
        kept = _adds_vector(store, vector, quantization) and not client_side
    if kept:
        components += grown(store, vector, count).components
    return found.replace(
        components=tuple(components),
        ram=sum(part.ram for part in components),
        disk=sum(part.disk for part in components),
    )


def _seen(part: Component, vector: VectorInfo) -> Component:
    """A part with the size that the store reports, if it reports one."""
    reported = {
        "codes": vector.code_bytes, "originals": vector.float_bytes, "graph": vector.graph_bytes,
    }.get(part.name)  # fmt: skip
    biggest = max(part.ram, part.disk)
    if part.name == "graph" and reported == 0:
        return part.replace(ram=0, disk=0, source=REPORTED)
    if not reported or not biggest:
        return part
    scale = (
        reported / original_bytes(vector.count, vector.vector) if part.name == "originals" else 1
    )
    if part.name in ("codes", "graph"):
        scale = reported / biggest
    return part.replace(ram=round(part.ram * scale), disk=round(part.disk * scale), source=REPORTED)


def _adds_vector(store: str, vector: VectorInfo, quantization: Quantization) -> bool:
    """Whether a plan adds a vector of fewer dimensions and keeps the existing one."""
    fewer = quantization.kept_dims(vector.dim) < vector.dim
    return fewer and registry.profile(store).traits.keeps_full_vectors


def _same_codes(target: Quantization, vector: VectorInfo) -> bool:
    """Whether a planned setting has the codes of the live vector, in any place."""
    active = str(vector.status.state) in ("active", "absent") and vector.quantized_by != "qadapt"
    both = [
        each.replace(rescore=None, codes=None, originals=None)
        for each in (target, vector.quantization)
    ]
    return active and both[0] == both[1]


def _codes_as_now(part: Component, store: str, vector: VectorInfo) -> Component:
    """Planned codes with as many bytes per row as those that the store reports."""
    if part.name != "codes" or not vector.code_bytes:
        return part
    live = cost_model(store)[1].as_configured(vector)
    computed = next(
        (max(each.ram, each.disk) for each in live.components if each.name == "codes"), 0
    )
    if not computed:
        return part
    scale = vector.code_bytes / computed
    return part.replace(ram=round(part.ram * scale), disk=round(part.disk * scale), source=REPORTED)


def as_grown(info: CollectionInfo, name: str, rows: int) -> Footprint:
    """The footprint of a live vector with another number of rows.

    Parts grow as the formulas do: a graph by more than the rows, centroids not at all.
    """
    return grown(info.server.store, info.vectors[name], rows)


def grown(store: str, vector: VectorInfo, rows: int) -> Footprint:
    """As ``as_grown``, for a vector of a store."""
    seen = footprint_of(store, vector)
    if not vector.count or rows == vector.count:
        return seen
    model = cost_model(store)[1]
    now, then = (
        {part.name: part for part in model.as_configured(vector.replace(count=count)).components}
        for count in (vector.count, rows)
    )

    def scaled(part: Component) -> Component:
        scale = rows / vector.count
        if part.name in now and part.name in then and now[part.name].disk:
            scale = then[part.name].disk / now[part.name].disk
        return part.replace(ram=round(part.ram * scale), disk=round(part.disk * scale))

    parts = tuple(map(scaled, seen.components))
    return Footprint.of(seen.store, seen.target, parts, native=seen.native, notes=seen.notes)


def _graph_as_now(part: Component, store: str, vector: VectorInfo) -> Component:
    """A planned graph with as many links per row as the one that the store reports.

    How many of the possible links a graph has depends on the vectors, and no formula knows them.
    """
    if part.name != "graph" or not vector.graph_bytes:
        return part
    live = cost_model(store)[1].as_configured(vector.replace(quantization=Quantization(Kind.NONE)))
    computed = next((each.disk for each in live.components if each.name == "graph"), 0)
    if not computed:
        return part
    scale = vector.graph_bytes / computed
    return part.replace(ram=round(part.ram * scale), disk=round(part.disk * scale), source=REPORTED)


def _uncompressed(components: Sequence[Component], vector: VectorInfo) -> list[Component]:
    """Codes that are configured but not active save nothing: searches use the originals."""
    kept = [part for part in components if part.name not in ("codes", "centroids", "originals")]
    size = vector.float_bytes or original_bytes(vector.count, vector.vector)
    words = "searches use the originals: no codes are active"
    return [*kept, Component("originals", size, size, words, REPORTED)]


def total(parts: Sequence[Footprint]) -> Footprint:
    """The sum of the footprints of several vectors, at least one."""
    components = tuple(each for part in parts for each in part.components)
    return Footprint.of(parts[0].store, parts[0].target, components)


def change_between(
    before: Footprint, after: Footprint, prices: Prices | None = None
) -> MemoryChange:
    """RAM, disk and, with prices, monthly cost of two settings of one vector."""
    return MemoryChange(before.ram, after.ram, before.disk, after.disk).priced(prices)
