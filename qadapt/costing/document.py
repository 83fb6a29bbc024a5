"""The documents of a cost: prices, a size, a setting of a store, all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qadapt.errors import SpecError
from qadapt.footprint import Footprint
from qadapt.model import Serializable

GIB = 1024**3


@dataclass(frozen=True)
class Prices(Serializable):
    """What the user pays; there are no defaults, because prices differ and change.

    Attributes:
        ram: money for a GiB of RAM and month; None to leave RAM out.
        disk: money for a GiB of disk and month; None to leave disk out.
    """

    ram: float | None = None
    disk: float | None = None

    def __post_init__(self) -> None:
        for name, price in (("ram", self.ram), ("disk", self.disk)):
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise SpecError(f"the price of {name} must be a number from 0; got {price!r}")

    def monthly(self, ram: int, disk: int) -> float | None:
        """Money a month; None where no price was given."""
        if self.ram is None and self.disk is None:
            return None
        return (ram * (self.ram or 0) + disk * (self.disk or 0)) / GIB


@dataclass(frozen=True)
class Scale(Serializable):
    """A collection of another size.

    Attributes:
        factor: how many times the collection as it is.
        rows: of all copies of one row, one.
        ram, disk: bytes, all replicas.
        monthly: money a month, all replicas; None where no price was given.
    """

    factor: float
    rows: int
    ram: int
    disk: int
    monthly: float | None


@dataclass(frozen=True)
class Line(Serializable):
    """One setting of one store.

    Attributes:
        store: its name.
        setting: as asked for.
        footprint: at the first scale, one replica.
        scales: at each scale.
        unsupported_reason: why the store does not have it; empty when it does.
    """

    store: str
    setting: str
    footprint: Footprint | None
    scales: tuple[Scale, ...] = ()
    unsupported_reason: str = ""


@dataclass(frozen=True)
class Cost(Serializable):
    """What a collection costs, now and otherwise.

    Attributes:
        collection, address: what was looked at; empty for plain numbers.
        rows, dim, metric, datatype: of the vector.
        replicas: copies of each row.
        prices: as given by the user.
        before: the collection as it was seen; None for plain numbers.
        after: the same store with the setting asked for; None when nothing was asked.
        lines: the stores side by side.
        notes: what is not counted.
    """

    collection: str
    address: str
    rows: int
    dim: int
    metric: str
    datatype: str
    replicas: int
    prices: Prices
    before: Line | None
    after: Line | None
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    format: str = "qadapt.cost/1"
