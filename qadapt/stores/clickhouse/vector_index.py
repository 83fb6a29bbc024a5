"""Operations that add and drop vector indexes, while searches and writes continue.

``MATERIALIZE INDEX`` is a mutation: the engine builds the index for one part after another, and a
search compares the rows of the other parts exactly (docs/engines/clickhouse.md#changes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.stores.clickhouse.collections import index_definition, relation
from qadapt.stores.clickhouse.connection import quoted
from qadapt.stores.clickhouse.schema import Index, Table
from qadapt.stores.clickhouse.snapshot import read_mutations, read_parts
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import poll
from qadapt.stores.store_types import Progress

if TYPE_CHECKING:
    from qadapt.stores.clickhouse.store import ClickHouseStore

# Rows of a table whose build is short enough to wait for the statement.
SMALL = 20_000


@dataclass(frozen=True)
class BuildIndex(Operation):
    """Adds an index, builds it for all parts, and waits.

    Attributes:
        name: of the index.
        column: the indexed column.
        function: the distance, such as ``cosineDistance``.
        quantization: such as ``b1``.
        m, ef: connections per element, candidates of the construction.
        granularity: of the index.
    """

    op: ClassVar[str] = "clickhouse.build_index"

    name: str
    column: str
    function: str
    dim: int
    quantization: str
    m: int
    ef: int
    granularity: int = 100_000_000

    @classmethod
    def of(cls, index: Index) -> BuildIndex:
        """The operation that builds an index."""
        return cls(
            index.name, index.column, index.function, index.dim, index.quantization, index.m,
            index.ef, index.granularity,
        )  # fmt: skip

    @property
    def index(self) -> Index:
        """The index without its size."""
        return Index(
            self.name, self.column, self.function, self.dim, self.quantization, self.m, self.ef,
            granularity=self.granularity,
        )  # fmt: skip

    def run(self, at: Execution[ClickHouseStore]) -> None:
        table = at.store.table(at.collection)
        current = next((each for each in table.indexes if each.name == self.name), None)
        if current is not None and current.type_full != self.index.type_full:
            raise StoreError(
                f"{at.collection!r} has another index with the name {self.name!r}: "
                f"{current.type_full}",
                hint=f"drop it: ALTER TABLE {relation(table)} DROP INDEX {quoted(self.name)}",
            )
        place = relation(table)
        if current is None:
            definition = index_definition(self.index).removeprefix("INDEX ")
            at.store.connection.execute(
                f"ALTER TABLE {place} ADD INDEX IF NOT EXISTS {definition}",
                f"add the index {self.name!r}",
            )
        build(at, table, self.name)


@dataclass(frozen=True)
class DropIndex(Operation):
    """Drops an index.

    Attributes:
        name: of the index.
    """

    op: ClassVar[str] = "clickhouse.drop_index"

    name: str

    def run(self, at: Execution[ClickHouseStore]) -> None:
        table = at.store.table(at.collection)
        at.store.connection.execute(
            f"ALTER TABLE {relation(table)} DROP INDEX IF EXISTS {quoted(self.name)}",
            f"drop the index {self.name!r}",
        )


def build(at: Execution[ClickHouseStore], table: Table, name: str) -> None:
    """Build an index for all parts that do not have it, and wait.

    Raises:
        StoreError: the mutation fails.
        StoreTimeoutError
    """
    materialize(at, table, name, f"INDEX {quoted(name)}", f"the index {name!r}")


def materialize(
    at: Execution[ClickHouseStore], table: Table, name: str, what: str, words: str
) -> None:
    """Run ``MATERIALIZE`` of an index or a column as a mutation of all parts, and wait.

    Args:
        name: a text by which the mutation is found.
        what: ``INDEX name`` or ``COLUMN name``.
        words: what is built, for messages.

    Raises:
        StoreError: the mutation fails.
        StoreTimeoutError
    """
    connection = at.store.connection
    running = [each for each in read_mutations(connection, table) if name in each.command]
    parts = read_parts(connection, table)
    # The engine starts a mutation up to two seconds later unless the statement waits for it.
    sync = 2 if sum(each.rows for each in parts) <= SMALL else 0
    if not running:
        connection.execute(
            f"ALTER TABLE {relation(table)} MATERIALIZE {what} SETTINGS mutations_sync = {sync}",
            f"build {words}",
        )

    def look() -> int:
        """The number of parts to do."""
        left = 0
        for each in read_mutations(connection, table):
            if name not in each.command:
                continue
            if each.failed:
                raise StoreError(
                    f"the build of {words} fails: {each.failed[:300]}",
                    hint=f"correct the cause, or end it: KILL MUTATION WHERE mutation_id = "
                    f"'{each.id}'",
                )
            left += max(1, each.parts)
        return left

    total = max(1, len(parts))
    poll(
        look,
        lambda left: not left,
        lambda left: Progress(f"building {words}", max(0, total - left), total, "parts"),
        lambda left: StoreTimeoutError(
            f"{words} is not built yet: {left} parts to do",
            hint="run `qadapt apply` again to wait; the server continues",
        ),
        at.wait,
    )
