"""Tables with vectors, as the system catalogs describe them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import Metric, Vector
from qadapt.stores.pgvector.mapping import METHODS

# The column of the unnamed vector, and the jsonb column whose keys are payload fields.
UNNAMED_COLUMN, PAYLOAD_COLUMN, ID_COLUMN = "embedding", "payload", "id"
DATATYPES = {"vector": "float32", "halfvec": "float16"}
OPCLASS_METRICS = {"cosine": Metric.COSINE, "ip": Metric.DOT, "l2": Metric.EUCLIDEAN}
ID_TYPES = {
    "int2": "int", "int4": "int", "int8": "int", "uuid": "uuid", "text": "text",
    "varchar": "text", "bpchar": "text",
}  # fmt: skip
NUMBER_TYPES = ("int2", "int4", "int8", "float4", "float8", "numeric")
TEXT_TYPES = ("text", "varchar")
_TABLE, PARTITIONED, _VIEW, _MATERIALIZED, _FOREIGN = "r", "p", "v", "m", "f"
KINDS = {
    _TABLE: "table", PARTITIONED: "partitioned table", _VIEW: "view",
    _MATERIALIZED: "materialized view", _FOREIGN: "foreign table",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        number: ``attnum``.
        type: name of the type, such as ``vector`` or ``int8``.
        dim: dimensions of a vector; None if the column has none or is not a vector.
        writable: neither generated nor an identity that rejects values.
    """

    name: str
    number: int
    type: str
    dim: int | None
    writable: bool


@dataclass(frozen=True)
class Index:
    """An index of the access methods hnsw or ivfflat on one column.

    Attributes:
        oid: of the index.
        name: without schema.
        column: number of the column; 0 if the expression was not recognized.
        codes: ``vector`` for the column itself, ``halfvec``, ``bit`` or ``subvector`` (the first
            dimensions in the type of the column) for an expression of it; ``other`` for another
            expression.
        method: ``hnsw``, ``ivfflat``, or the access method of another extension.
        opclass: such as ``vector_cosine_ops``.
        options: storage parameters, such as ``{"m": 16}``.
        valid: whether queries may use it; false while it is built, and if a build was cut off.
        predicate: the condition of a partial index; ``""`` for all rows.
        size: bytes on disk, with partitions.
        expression: as the server prints it; ``""`` for a column.
        parts: names of the indexes of the partitions.
        dims: number of first dimensions that the expression keeps; None for all.
    """

    oid: int
    name: str
    column: int
    codes: str
    method: str
    opclass: str
    options: Mapping[str, int]
    valid: bool
    predicate: str
    size: int
    expression: str = ""
    parts: tuple[str, ...] = ()
    dims: int | None = None

    @property
    def label(self) -> str:
        """Codes and first dimensions, such as ``bit`` or ``bit:256``, as the comment saves them."""
        return label(self.codes, self.dims)

    @property
    def is_plain(self) -> bool:
        """Whether qadapt could build it: by pgvector, on all rows, with known codes."""
        return self.method in METHODS and self.codes != "other" and not self.predicate

    def serves(self, names: Sequence[str]) -> bool:
        """Whether the names of indexes in a plan include this one or one of its parts."""
        return any(each in names for each in (self.name, *self.parts))

    @property
    def metric(self) -> Metric | None:
        """The metric of the operator class; None for codes that have none."""
        found = re.search(r"_(cosine|ip|l2)_ops$", self.opclass)
        return OPCLASS_METRICS[found[1]] if found else None


def label(codes: str, dims: int | None) -> str:
    """Codes and first dimensions, such as ``bit`` or ``bit:256``."""
    return codes if dims is None else f"{codes}:{dims}"


@dataclass(frozen=True)
class Table:
    """A table, materialized view or view with vectors.

    Attributes:
        oid: of the relation.
        schema, name: unquoted.
        kind: ``relkind``.
        persistence: ``p``, ``u`` for an unlogged table, ``t`` for a temporary one.
        columns: in order.
        key: the column of a primary key of one column; None if there is none.
        indexes: approximate indexes.
        settings: settings of qadapt in the comment on the table.
        comment: the comment without the settings.
        partitions: the leaf partitions of a partitioned table, as (schema, name).
        heap, toast: bytes on disk.
        triggers: number of triggers of the user.
        row_security: whether policies filter the rows of the current role.
        owned: whether the current role owns the table.
        search_defaults: settings of the extension that a role or database has by default.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    columns: tuple[Column, ...]
    key: Column | None
    indexes: tuple[Index, ...]
    settings: Mapping[str, Any]
    comment: str
    partitions: tuple[tuple[str, str], ...] = ()
    heap: int = 0
    toast: int = 0
    triggers: int = 0
    row_security: bool = False
    owned: bool = True
    search_defaults: tuple[str, ...] = ()
    _by_name: dict[str, Column] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_name.update({each.name: each for each in self.columns})

    @property
    def is_partitioned(self) -> bool:
        """Whether it is a partitioned table, whose indexes are built per partition."""
        return self.kind == PARTITIONED

    @property
    def is_indexable(self) -> bool:
        """Whether it can have indexes."""
        return self.kind in (_TABLE, PARTITIONED, _MATERIALIZED)

    @property
    def vectors(self) -> dict[str, Column]:
        """Vector columns with dimensions, by the name of the vector."""
        return {
            name: column for name, column in self._vector_columns.items() if column.dim is not None
        }

    @property
    def without_dimensions(self) -> list[str]:
        """Names of vector columns that were declared without dimensions."""
        return [name for name, column in self._vector_columns.items() if column.dim is None]

    @property
    def _vector_columns(self) -> dict[str, Column]:
        found = [each for each in self.columns if each.type in DATATYPES]
        return {"" if each.name == UNNAMED_COLUMN else each.name: each for each in found}

    @property
    def payload_columns(self) -> list[Column]:
        """Columns that are payload fields."""
        apart = {PAYLOAD_COLUMN} if self.has_payload_column else set()
        key = self.key.name if self.key else None
        vectors = ("vector", "halfvec", "sparsevec")
        return [
            each
            for each in self.columns
            if each.type not in vectors and each.name not in apart and each.name != key
        ]

    @property
    def has_payload_column(self) -> bool:
        """Whether a jsonb column holds the payload fields that have no column."""
        column = self._by_name.get(PAYLOAD_COLUMN)
        return column is not None and column.type == "jsonb"

    def column(self, name: str) -> Column | None:
        """A column by name."""
        return self._by_name.get(name)

    def indexes_of(self, column: Column) -> list[Index]:
        """The approximate indexes of a vector column."""
        return [each for each in self.indexes if each.column == column.number]

    def metric_of(self, name: str, column: Column) -> tuple[Metric | None, str]:
        """The metric of a vector, and where it is from: ``comment``, ``index`` or ``""``."""
        saved = (self.settings.get("metrics") or {}).get(column.name)
        if saved in {each.value for each in Metric}:
            return Metric(saved), "comment"
        found = {each.metric for each in self.indexes_of(column) if each.metric} - {None}
        return (next(iter(found)), "index") if len(found) == 1 else (None, "")

    @property
    def other_vectors(self) -> dict[str, str]:
        """Columns of vectors that qadapt does not use, with the reason."""
        return {e.name: "has the type sparsevec" for e in self.columns if e.type == "sparsevec"}

    def column_of(self, name: str) -> Column:
        """The column of a vector.

        Raises:
            NotFoundError: the vector does not exist.
            UnsupportedError: the column has no dimensions.
        """
        if name in self.without_dimensions:
            raise UnsupportedError(
                f"the column {name or UNNAMED_COLUMN!r} was declared without dimensions",
                hint="ALTER TABLE ... ALTER COLUMN ... TYPE vector(n)",
            )
        if name not in self.vectors:
            raise NotFoundError.missing("vector", name, self.vectors)
        return self.vectors[name]

    def vector(self, name: str, assumed: Metric = Metric.COSINE) -> Vector:
        """Dimensions, metric and datatype of a vector.

        Args:
            assumed: the metric if neither a comment nor an index has one.

        Raises:
            NotFoundError, UnsupportedError: as ``column_of``.
        """
        column = self.column_of(name)
        metric, _ = self.metric_of(name, column)
        datatype: Any = DATATYPES[column.type]
        return Vector(int(column.dim or 0), metric or assumed, datatype)

    def require_key(self) -> Column:
        """The column of the primary key.

        Raises:
            UnsupportedError: there is none, it has several columns, or an unsupported type.
        """
        if self.key is None:
            raise UnsupportedError(
                f"the {KINDS[self.kind]} {self.name!r} has no primary key of one column, so rows "
                "have no id",
                hint="ALTER TABLE ... ADD PRIMARY KEY (column)",
            )
        if self.key.type not in ID_TYPES:
            raise UnsupportedError(
                f"the primary key {self.key.name!r} of {self.name!r} has type {self.key.type}",
                hint="supported: integers, uuid and text",
            )
        return self.key


def split_name(collection: str) -> tuple[str | None, str]:
    """Schema (None for the current one) and table of a collection name."""
    schema, dot, table = collection.partition(".")
    return (schema, table) if dot and schema and table else (None, collection)
