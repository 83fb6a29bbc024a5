"""RAM, disk and monthly cost of a vector before and after a change."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model.prices import Prices
from qadapt.model.serializable import Serializable
from qadapt.model.table import human_bytes, preformatted


@dataclass(frozen=True)
class MemoryChange(Serializable):
    """Bytes of codes, original vectors, graph and index of a vector, before and after a change.

    Sizes that the database reports are used; others are computed (docs/cost.md).

    Attributes:
        note: why the change saves no RAM, and which setting does; empty if it saves RAM.
        prices: per GiB and month, of one replica; None if none were given.
        monthly_before, monthly_after: cost per month in the currency of the prices; None without
            prices.
    """

    ram_before: int
    ram_after: int
    disk_before: int
    disk_after: int
    note: str = ""
    prices: Prices | None = None
    monthly_before: float | None = None
    monthly_after: float | None = None

    def priced(self, prices: Prices | None) -> MemoryChange:
        """Copy with the monthly costs at these prices; without prices if there are none."""
        given = prices if prices is not None and prices.given else None
        before = after = None
        if given is not None:
            before = given.monthly(self.ram_before, self.disk_before)
            after = given.monthly(self.ram_after, self.disk_after)
        return self.replace(prices=given, monthly_before=before, monthly_after=after)

    def __str__(self) -> str:
        parts = [
            f"RAM {_bytes_change(self.ram_before, self.ram_after)}",
            f"disk {_bytes_change(self.disk_before, self.disk_after)}",
        ]
        if self.monthly_before is not None and self.monthly_after is not None:
            before, after = self.monthly_before, self.monthly_after
            parts.append(
                f"per month {money_text(before)} -> {money_text(after)} ({_percent(before, after)})"
            )
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return preformatted(str(self))


def money_text(amount: float) -> str:
    """An amount with two decimals, or two digits if it is below 1."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.2g}"


def _bytes_change(before: int, after: int) -> str:
    """``2.0 MiB -> 1.0 MiB (-50 %)``."""
    return f"{human_bytes(before)} -> {human_bytes(after)} ({_percent(before, after)})"


def _percent(before: float, after: float) -> str:
    if before == after:
        return "unchanged"
    return f"{100 * (after - before) / before:+.0f} %" if before else "new"
