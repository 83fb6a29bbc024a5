"""Operations of plans: indexes, the type of a column, and settings in the comment on a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from qadapt.stores.operations import Execution, Operation, table
from qadapt.stores.pgvector import index_build

if TYPE_CHECKING:
    from qadapt.stores.pgvector.store import PgvectorStore


@dataclass(frozen=True)
class BuildIndex(Operation):
    """Builds an index, concurrently with searches and writes.

    Attributes:
        vector: name of the vector.
        codes: ``vector``, ``halfvec``, ``bit`` or ``subvector``.
        metric: of the operator class; ignored for ``bit``.
        using: ``hnsw`` or ``ivfflat``.
        options: storage parameters.
        name: of the index.
        dims: number of first dimensions; None for all.
    """

    op: ClassVar[str] = "pgvector.build_index"

    vector: str
    codes: str
    metric: str
    using: str
    name: str
    options: Mapping[str, int] = field(default_factory=dict, hash=False)
    dims: int | None = None

    def run(self, at: Execution[PgvectorStore]) -> None:
        index_build.build(at, self)


@dataclass(frozen=True)
class DropIndex(Operation):
    """Drops an index, concurrently with searches and writes.

    Attributes:
        vector: name of the vector.
        name: of the index; must be an index of this vector.
    """

    op: ClassVar[str] = "pgvector.drop_index"

    vector: str
    name: str

    def run(self, at: Execution[PgvectorStore]) -> None:
        index_build.drop(at, self.vector, self.name)


@dataclass(frozen=True)
class Choose(Operation):
    """Records which index a search uses, in the comment on the table.

    Attributes:
        vector: name of the vector.
        codes: ``vector``, ``halfvec``, ``bit``, or such as ``bit:256`` for an index of the first
            dimensions; None for the smallest index.
    """

    op: ClassVar[str] = "pgvector.choose"

    vector: str
    codes: str | None = None

    def run(self, at: Execution[PgvectorStore]) -> None:
        at.store.save_codes(at.collection, self.vector, self.codes)


@dataclass(frozen=True)
class SetMetric(Operation):
    """Records the metric of a vector in the comment on the table.

    Attributes:
        vector: name of the vector.
        metric: ``cosine``, ``dot`` or ``euclidean``; None removes it.
    """

    op: ClassVar[str] = "pgvector.set_metric"

    vector: str
    metric: str | None = None

    def run(self, at: Execution[PgvectorStore]) -> None:
        at.store.save_metric(at.collection, self.vector, self.metric)


@dataclass(frozen=True)
class AlterColumn(Operation):
    """Changes the type of a vector column, which rewrites the table under an exclusive lock.

    Attributes:
        vector: name of the vector.
        type: ``vector`` or ``halfvec``.
    """

    op: ClassVar[str] = "pgvector.alter_column"

    vector: str
    type: str

    def run(self, at: Execution[PgvectorStore]) -> None:
        index_build.alter_column(at, self.vector, self.type)


OPERATIONS = table(BuildIndex, DropIndex, Choose, SetMetric, AlterColumn)
