"""The documents of a cost: prices, scales, lines, and the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qadapt.errors import SpecError
from qadapt.footprint import Footprint
from qadapt.model import Serializable

GIB = 1024**3


@dataclass(frozen=True)
class Prices(Serializable):
    """Prices that the user pays, without defaults, because prices differ between providers.

    Attributes:
        ram: price per GiB of RAM and month; None to exclude RAM.
        disk: price per GiB of disk and month; None to exclude disk.
    """

    ram: float | None = None
    disk: float | None = None

    def __post_init__(self) -> None:
        for name, price in (("ram", self.ram), ("disk", self.disk)):
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise SpecError(f"the price of {name} must be a non-negative number; got {price!r}")

    def monthly(self, ram: int, disk: int) -> float | None:
        """Price per month; None without a price."""
        if self.ram is None and self.disk is None:
            return None
        return (ram * (self.ram or 0) + disk * (self.disk or 0)) / GIB


@dataclass(frozen=True)
class Scale(Serializable):
    """The collection at another size.

    Attributes:
        factor: multiple of the current number of rows.
        rows: number of rows, replicas not counted.
        ram, disk: bytes of all replicas.
        monthly: price per month for all replicas; None without a price.
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
        setting: as requested.
        footprint: at scale 1, one replica; None if the store lacks the setting.
        scales: at each scale.
        unsupported_reason: why the store lacks the setting; otherwise empty.
    """

    store: str
    setting: str
    footprint: Footprint | None
    scales: tuple[Scale, ...] = ()
    unsupported_reason: str = ""


@dataclass(frozen=True)
class Cost(Serializable):
    """The cost of a collection, now and under other settings.

    Attributes:
        collection, address: of a live collection; empty for plain numbers.
        rows, dim, metric, datatype: of the vector.
        replicas: copies of each row.
        prices: as given by the user.
        before: the live collection; None for plain numbers.
        after: the same store with the requested setting; None without one.
        lines: the comparison of stores and settings.
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
