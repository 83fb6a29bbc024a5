"""Cost: the same collection under several settings, at several sizes, in bytes and price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.costing.document import Cost, Line, Scale
from qadapt.costing.footprints import as_grown, as_planned, cost_model, memory, modelled
from qadapt.errors import InputError, UnsupportedError
from qadapt.footprint import Footprint
from qadapt.model import (
    CollectionInfo,
    Prices,
    Quantization,
    QuantizationLike,
    Vector,
)
from qadapt.stores import registry

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


@dataclass(frozen=True)
class LiveVector:
    """A vector of a collection that exists.

    Attributes:
        info, name: the collection, and the name of the vector.
        address: address of the database.
        client_side: the requested codes are client-side.
        refused: why the database does not support the requested quantization; empty if it does.
    """

    info: CollectionInfo
    name: str
    address: str
    client_side: bool = False
    refused: str = ""


def compare(
    rows: int,
    vector: Vector,
    *,
    store: str,
    quantization: QuantizationLike | None = None,
    live: LiveVector | None = None,
    prices: Prices,
    replicas: int = 1,
    scales: Sequence[float] = SCALES,
    settings: Sequence[QuantizationLike] | None = None,
    stores: Sequence[str] | None = None,
) -> Cost:
    """The lines of a cost."""
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
    index = {} if live is None else live.info.vectors[live.name].index

    def line(where: str, setting: Quantization) -> Line:
        own = index if registry.profile(where).family == registry.profile(store).family else {}

        def footprint(count: int) -> Footprint:
            if live is None or where != store:
                return memory(count, vector, setting, where, index=own)
            if setting is not asked:
                return as_planned(live.info, live.name, setting, rows=count)
            if live.refused:
                raise UnsupportedError(live.refused, hint="choose another quantization")
            by_us = live.client_side
            return as_planned(live.info, live.name, setting, client_side=by_us, rows=count)

        return _line(where, setting, rows, footprint, scales, replicas, prices)

    before = None
    if live is not None:
        there = live

        def grown(count: int) -> Footprint:
            return as_grown(there.info, there.name, count)

        setting = live.info.vectors[live.name].quantization
        before = _line(store, setting, rows, grown, scales, replicas, prices)
    return Cost(
        collection="" if live is None else live.info.name,
        address="" if live is None else live.address,
        rows=rows,
        dim=vector.dim,
        metric=str(vector.metric),
        datatype=vector.datatype,
        replicas=replicas,
        prices=prices,
        before=before,
        after=None if asked is None else line(store, asked),
        lines=tuple(
            line(where, cost_model(where)[1].compared(each))
            for where in compared
            for each in chosen
        ),
        notes=_notes(prices, [cost_model(where)[1].note for where in compared]),
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


def _notes(prices: Prices, of_stores: Sequence[str]) -> tuple[str, ...]:
    notes = [NOT_COUNTED, *(note for note in of_stores if note)]
    if not prices.given:
        notes.append("no monthly cost: no prices given")
    elif prices.disk is None:
        notes.append("monthly cost covers RAM only: no price of disk given")
    elif prices.ram is None:
        notes.append("monthly cost covers disk only: no price of RAM given")
    return tuple(notes)
