"""Cost: the same collection under several settings, at several sizes, in bytes and price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qadapt.costing.document import Cost, Line, Prices, Scale
from qadapt.errors import InputError, UnsupportedError
from qadapt.footprint import Component, CostModel, Footprint, original_bytes
from qadapt.model import (
    CollectionInfo,
    Kind,
    Quantization,
    QuantizationLike,
    Vector,
    VectorInfo,
)
from qadapt.model.numbers import is_whole
from qadapt.stores import registry
from qadapt.stores.profile import StoreProfile

CLIENT_CODES = "qadapt's codes"
SCALES = (1.0, 10.0, 100.0)

# The settings compared by default.
SETTINGS: tuple[str, ...] = (
    "none",
    "scalar",
    "rotational:bits=8",
    "rotational:bits=4",
    "rotational:bits=1",
    "binary",
    "product:ratio=16",
)


NOT_COUNTED = (
    "not counted: payloads and payload indexes, write-ahead logs, and temporary space while an "
    "engine builds an index (a copy of the segment)"
)


def modelled() -> list[str]:
    """The stores whose costs are compared by default: one of each family, sorted by name."""
    known = registry.profiles()
    return [name for name, each in known.items() if each.cost_model and each.family == name]


def _model(store: str) -> tuple[StoreProfile, CostModel]:
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
    known, model = _model(store)
    if not is_whole(count) or count < 0:
        raise InputError(
            f"rows must be a non-negative integer; got {count!r}", hint="for example rows=1000000"
        )
    if vector.datatype not in known.datatypes:
        vector = vector.replace(datatype="float32")
    found = model.footprint(int(count), vector, Quantization.of(quantization), index or {})
    return found.replace(store=store)


def as_seen(info: CollectionInfo, name: str) -> Footprint:
    """The footprint of a live vector: sizes that the store reports, otherwise by the formulas."""
    vector = info.vectors[name]
    store, there = info.server.store, vector.quantization
    if vector.quantized_by == "qadapt":  # the store holds no codes
        there = Quantization(Kind.NONE)
        model = memory(vector.count, vector.vector, there, store, index=vector.index)
    else:
        model = _model(store)[1].as_configured(vector)
    components = [_seen(part, vector) for part in model.components]
    if vector.quantized_by == "qadapt" and vector.code_bytes:
        size = vector.code_bytes
        components.append(Component(CLIENT_CODES, size, size, "as reported", "qadapt's code index"))
    elif vector.code_bytes is not None and there.kind is not Kind.NONE:
        in_force = str(vector.status.state) in ("active", "building")
        if not in_force:
            components = _uncompressed(components, vector)
    return Footprint.of(
        store, vector.quantization, tuple(components), native=model.native, notes=model.notes
    )


def as_planned(
    info: CollectionInfo,
    name: str,
    quantization: Quantization,
    target_vector: Vector | None = None,
    *,
    client_side: bool = False,
    rows: int | None = None,
) -> Footprint:
    """The footprint of a live vector with another quantization.

    Original vectors have the size that the store reports, so that parts that do not change are
    equal before and after.

    Args:
        target_vector: new metric and datatype; None if they do not change.
        client_side: the codes are those of qadapt, and the store holds none.
        rows: another number of rows.

    Raises:
        UnsupportedError: the store lacks this quantization.
    """
    vector, store = info.vectors[name], info.server.store
    native = Quantization(Kind.NONE) if client_side else quantization
    about = target_vector or vector.vector
    count = vector.count if rows is None else rows
    found = memory(count, about, native, store, index=vector.index)
    components = list(found.components)
    if about.datatype == vector.datatype:
        reported = vector.replace(code_bytes=None)
        components = [_seen(part, reported) for part in components]
    if client_side:
        size = count * quantization.code_bytes(vector.dim)
        components.append(Component(CLIENT_CODES, size, size, "bits x dim / 8", "codes of qadapt"))
    return found.replace(
        components=tuple(components),
        ram=sum(part.ram for part in components),
        disk=sum(part.disk for part in components),
    )


def _seen(part: Component, vector: VectorInfo) -> Component:
    """A part with the size that the store reports, if it reports one."""
    reported = {"codes": vector.code_bytes, "originals": vector.float_bytes}.get(part.name)
    biggest = max(part.ram, part.disk)
    if not reported or not biggest:
        return part
    scale = (
        reported / original_bytes(vector.count, vector.vector) if part.name == "originals" else 1
    )
    if part.name == "codes":
        scale = reported / biggest
    return part.replace(
        ram=round(part.ram * scale), disk=round(part.disk * scale), source="reported by the store"
    )


def _uncompressed(components: Sequence[Component], vector: VectorInfo) -> list[Component]:
    """Codes that are configured but not active save nothing: searches use the originals."""
    kept = [part for part in components if part.name not in ("codes", "centroids", "originals")]
    size = vector.float_bytes or original_bytes(vector.count, vector.vector)
    words = "searches use the originals: no codes are active"
    return [*kept, Component("originals", size, size, words, "reported by the store")]


def cost(
    rows: int,
    dim: int,
    quantization: QuantizationLike | None = None,
    *,
    metric: str = "cosine",
    datatype: Any = "float32",
    store: str = registry.DEFAULT,
    prices: Prices | None = None,
    replicas: int = 1,
    scales: Sequence[float] = SCALES,
    settings: Sequence[QuantizationLike] | None = None,
    stores: Sequence[str] | None = None,
) -> Cost:
    """The cost of ``rows`` vectors of ``dim`` dimensions, per store and setting.

    Args:
        quantization: the setting for ``store``; None for the comparison only.
        prices: prices that the user pays; without them, no cost is shown.
        replicas: copies of each row.
        scales: multiples of the number of rows.
        settings: the settings to compare; default: ``SETTINGS``.
        stores: the stores to compare; default: one of each family.

    Raises:
        SpecError, InputError
    """
    vector = Vector(dim, metric, datatype)  # type: ignore[arg-type]
    return compare(
        rows,
        vector,
        store=store,
        quantization=quantization,
        prices=prices or Prices(),
        replicas=replicas,
        scales=scales,
        settings=settings,
        stores=stores,
    )


def compare(
    rows: int,
    vector: Vector,
    *,
    store: str,
    quantization: QuantizationLike | None = None,
    info: CollectionInfo | None = None,
    name: str = "",
    address: str = "",
    prices: Prices,
    replicas: int = 1,
    scales: Sequence[float] = SCALES,
    settings: Sequence[QuantizationLike] | None = None,
    stores: Sequence[str] | None = None,
) -> Cost:
    """The lines of a cost; ``info`` is a live collection."""
    if replicas < 1 or not scales or any(not s > 0 for s in scales):
        raise InputError(
            "replicas and scales must be greater than 0",
            hint="for example replicas=1, scales=(1, 10)",
        )
    asked = None if quantization is None else Quantization.of(quantization).with_default_places
    chosen = [Quantization.of(each).with_default_places for each in (settings or SETTINGS)]
    compared = modelled() if stores is None else list(stores)
    if asked is not None and str(asked.codes_only) not in map(str, chosen):
        chosen.append(asked.codes_only)
    index = {} if info is None else info.vectors[name].index

    def line(where: str, setting: Quantization) -> Line:
        own = index if registry.profile(where).family == registry.profile(store).family else {}

        def footprint(count: int) -> Footprint:
            if info is not None and where == info.server.store and setting is asked:
                return as_planned(info, name, setting, rows=count)  # as in a plan
            return memory(count, vector, setting, where, index=own)

        return _line(where, setting, rows, footprint, scales, replicas, prices)

    before = None
    if info is not None:
        seen = as_seen(info, name)
        grown = tuple(_scaled(seen, rows, factor, replicas, prices) for factor in scales)
        before = Line(store, str(info.vectors[name].quantization), seen, grown)
    return Cost(
        collection="" if info is None else info.name,
        address=address,
        rows=rows,
        dim=vector.dim,
        metric=str(vector.metric),
        datatype=vector.datatype,
        replicas=replicas,
        prices=prices,
        before=before,
        after=None if asked is None else line(store, asked),
        lines=tuple(
            line(where, _model(where)[1].compared(each)).replace(setting=str(each))
            for where in compared
            for each in chosen
        ),
        notes=_notes(prices, [_model(where)[1].note for where in compared]),
    )


def _line(
    store: str,
    setting: Quantization,
    rows: int,
    footprint: Callable[[int], Footprint],
    scales: Sequence[float],
    replicas: int,
    prices: Prices,
) -> Line:
    try:
        found = [footprint(round(rows * f)) for f in scales]
        first = footprint(rows)
    except UnsupportedError as error:
        return Line(store, str(setting), None, unsupported_reason=error.message)
    grown = tuple(
        Scale(
            factor,
            round(rows * factor),
            replicas * each.ram,
            replicas * each.disk,
            prices.monthly(replicas * each.ram, replicas * each.disk),
        )
        for factor, each in zip(scales, found, strict=True)
    )
    return Line(store, str(setting), first, grown)


def _scaled(seen: Footprint, rows: int, factor: float, replicas: int, prices: Prices) -> Scale:
    """A measured footprint, scaled in proportion."""
    ram, disk = round(seen.ram * factor) * replicas, round(seen.disk * factor) * replicas
    return Scale(factor, round(rows * factor), ram, disk, prices.monthly(ram, disk))


def _notes(prices: Prices, of_stores: Sequence[str]) -> tuple[str, ...]:
    notes = [NOT_COUNTED, *(note for note in of_stores if note)]
    if prices.ram is None and prices.disk is None:
        notes.append("no monthly cost: no prices given")
    elif prices.disk is None:
        notes.append("monthly cost covers RAM only: no price of disk given")
    elif prices.ram is None:
        notes.append("monthly cost covers disk only: no price of RAM given")
    return tuple(notes)
