"""Prices of RAM and disk."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qadapt.errors import SpecError
from qadapt.model.serializable import Serializable

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
                raise SpecError(
                    f"the price of {name} must be a non-negative number; got {price!r}",
                    hint="pass a price per GiB and month, such as 0.10",
                )

    @property
    def given(self) -> bool:
        """Whether there is a price."""
        return self.ram is not None or self.disk is not None

    def monthly(self, ram: int, disk: int) -> float | None:
        """Price per month; None without a price."""
        if not self.given:
            return None
        return (ram * (self.ram or 0) + disk * (self.disk or 0)) / GIB
