"""The documents of a cost: prices, scales, lines, and the whole."""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.footprint import Footprint
from qadapt.model import Serializable
from qadapt.model.engine_memory import EngineMemory
from qadapt.model.prices import Prices
from qadapt.model.table import DASH, Table, Tabular, size_text


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
class Cost(Tabular, Serializable):
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
        engine_memory: measured memory of the engine of a live collection, everything included;
            None if it cannot be measured.
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
    engine_memory: EngineMemory | None = None
    format: str = "qadapt.cost/1"

    def table(self) -> Table:
        """Current and requested setting, then all settings: RAM and disk by scale."""
        lines = [
            *[("current", self.before)] * (self.before is not None),
            *[("requested", self.after)] * (self.after is not None),
            *[("", line) for line in self.lines],
        ]
        scales = next((line.scales for _, line in lines if line and line.scales), ())
        priced = self.prices.given
        columns = ["", "Database", "Setting"]
        for scale in scales:
            columns += [f"#RAM {scale.factor:g}x", f"#Disk {scale.factor:g}x"]
            columns += [f"#Per month {scale.factor:g}x"] * priced
        width = len(columns) - 3
        rows = []
        for label, line in lines:
            assert line is not None
            cells = [cell for scale in line.scales for cell in _scale_cells(scale, priced)]
            rows.append((label, line.store, line.setting, *(cells or [DASH] * width)))
        unsupported = [
            f"{line.store}, {line.setting}: {line.unsupported_reason}"
            for _, line in lines
            if line is not None and line.unsupported_reason
        ]
        measured = [str(self.engine_memory)] if self.engine_memory else []
        title = f"{self.rows:,} rows of {self.dim:,} dimensions, {self.replicas} replica(s)"
        if self.collection:
            title = f"{self.collection}: {title}"
        return Table(tuple(columns), tuple(rows), title, (*unsupported, *self.notes, *measured))


def _scale_cells(scale: Scale, priced: bool) -> list[str]:
    monthly = DASH if scale.monthly is None else f"{scale.monthly:,.2f}"
    return [size_text(scale.ram), size_text(scale.disk), *[monthly] * priced]
