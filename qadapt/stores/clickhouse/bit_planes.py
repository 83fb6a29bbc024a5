"""Operations on a column of the type QBit beside the vectors: bit planes of codes of 8 bits.

The engine computes the codes of new rows from a MATERIALIZED expression, for all clients, and a
search reads as many planes as it asks for (docs/engines/clickhouse.md#bit-planes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qadapt.stores.clickhouse.collections import planes_definition, relation, set_comment
from qadapt.stores.clickhouse.connection import quoted
from qadapt.stores.clickhouse.schema import PLANES, Table
from qadapt.stores.clickhouse.snapshot import unbuilt_rows
from qadapt.stores.clickhouse.vector_index import materialize
from qadapt.stores.operations import Execution, Operation

if TYPE_CHECKING:
    from qadapt.stores.clickhouse.store import ClickHouseStore


@dataclass(frozen=True)
class BuildPlanes(Operation):
    """Adds the column of bit planes, builds it for all parts, and sets the planes of a search.

    Attributes:
        column: the column of the vectors.
        dim: its dimensions.
        bits: planes that a search reads, 1 to 8.
    """

    op: ClassVar[str] = "clickhouse.build_planes"

    column: str
    dim: int
    bits: int

    def run(self, at: Execution[ClickHouseStore]) -> None:
        table = at.store.table(at.collection)
        name = self.column + PLANES
        connection = at.store.connection
        if table.planes_of(self.column) is None:
            connection.execute(
                f"ALTER TABLE {relation(table)} ADD COLUMN "
                f"{planes_definition(self.column, self.dim)}",
                f"add the column {name!r}",
            )
        set_precision(at, table, self.column, self.bits)
        if unbuilt_rows(connection, table, name):
            materialize(at, table, name, f"COLUMN {quoted(name)}", f"the column {name!r}")
        at.store.forget(at.collection)


@dataclass(frozen=True)
class DropPlanes(Operation):
    """Drops the column of bit planes.

    Attributes:
        column: the column of the vectors.
    """

    op: ClassVar[str] = "clickhouse.drop_planes"

    column: str

    def run(self, at: Execution[ClickHouseStore]) -> None:
        table = at.store.table(at.collection)
        at.store.connection.execute(
            f"ALTER TABLE {relation(table)} DROP COLUMN IF EXISTS {quoted(self.column + PLANES)}",
            f"drop the column {self.column + PLANES!r}",
        )
        set_precision(at, table, self.column, None)
        at.store.forget(at.collection)


def set_precision(
    at: Execution[ClickHouseStore], table: Table, column: str, bits: int | None
) -> None:
    """Save the number of planes that a search reads; None removes it."""
    saved = dict(table.settings.get("precision") or {})
    if saved.get(column) == bits:
        return
    saved.pop(column, None)
    if bits is not None:
        saved[column] = bits
    settings = {key: value for key, value in table.settings.items() if key != "precision"}
    if saved:
        settings["precision"] = saved
    set_comment(at.store.connection, table, settings)
