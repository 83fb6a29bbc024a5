"""Tables with vectors: columns, indexes and codecs, as the system tables describe them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.model import Metric, Vector
from qadapt.stores import checks

# The column of the unnamed vector, the JSON column of payload fields, the id, and the version that
# ReplacingMergeTree keeps.
UNNAMED_COLUMN, PAYLOAD_COLUMN, ID_COLUMN, VERSION_COLUMN = (
    "embedding", "payload", "id", "qadapt_version"
)  # fmt: skip
# Names of the columns of results. ClickHouse takes the name in a condition for that of a result
# first, so these are names that no column has.
ID, DISTANCE, COUNT = "qadapt_id", "qadapt_distance", "qadapt_count"
VECTOR, PAYLOAD = "qadapt_vector", "qadapt_payload"
RESERVED = (PAYLOAD_COLUMN, ID_COLUMN, VERSION_COLUMN)
FUNCTIONS = {
    Metric.COSINE: "cosineDistance", Metric.EUCLIDEAN: "L2Distance", Metric.DOT: "dotProduct",
}  # fmt: skip
METRICS = {word: metric for metric, word in FUNCTIONS.items()}
DATATYPES = {"Array(Float32)": "float32", "Array(BFloat16)": "bfloat16"}
QBIT = re.compile(r"QBit\((\w+), ?(\d+)")
# Columns with the bit planes of codes of another column, made by qadapt.
PLANES = "__qbit"
ALL_PLANES = 8
_INDEX = re.compile(
    r"vector_similarity\(\s*'hnsw'\s*,\s*'(\w+)'\s*,\s*(\d+)\s*"
    r"(?:,\s*'(\w+)'\s*(?:,\s*(\d+)\s*,\s*(\d+)\s*)?)?\)"
)
_CODEC = re.compile(r"Quantized\('(\w+)'((?:,\s*\d+)*)\)")
_KEY = re.compile(r"(?:U?Int(?:8|16|32|64)|String|UUID)$")
# Defaults of CREATE INDEX.
QUANTIZATION, M, EF = "bf16", 32, 128


@dataclass(frozen=True)
class Index:
    """An index of the type ``vector_similarity``.

    Attributes:
        column: the indexed column.
        function: the distance, such as ``cosineDistance``.
        quantization: ``f64``, ``f32``, ``f16``, ``bf16``, ``i8`` or ``b1``.
        m, ef: connections per element, candidates of the construction.
        size: compressed bytes of all parts; 0 if it was declared and not built.
        granularity: of the index; one graph per part at 100,000,000.
    """

    name: str
    column: str
    function: str
    dim: int
    quantization: str = QUANTIZATION
    m: int = M
    ef: int = EF
    size: int = 0
    granularity: int = 100_000_000

    @classmethod
    def parse(
        cls, name: str, column: str, type_full: str, size: int, granularity: int
    ) -> Index | None:
        """An index from ``system.data_skipping_indices``; None for one of another type."""
        found = _INDEX.match(type_full)
        if found is None:
            return None
        function, dim, word, m, ef = found.groups()
        return cls(
            name, column.strip("`"), function, int(dim), word or QUANTIZATION,
            int(m or 0) or M, int(ef or 0) or EF, size, granularity,
        )  # fmt: skip

    @property
    def type_full(self) -> str:
        """The type in a definition."""
        return (
            f"vector_similarity('hnsw', '{self.function}', {self.dim}, '{self.quantization}', "
            f"{self.m}, {self.ef})"
        )


@dataclass(frozen=True)
class Codec:
    """The codec ``Quantized`` of a column.

    Attributes:
        method: ``rabitq``, ``turboquant``, ``int8``, ``product``, ``prefix_int8`` or
            ``prefix_bf16``.
        dim: dimensions.
        numbers: further arguments: bits and segments of ``product``, leading dimensions of
            ``prefix_...``. Bits of the other methods have no effect
            (docs/engines/clickhouse.md#bits).
    """

    method: str
    dim: int
    numbers: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Codec | None:
        """The codec in ``system.columns.compression_codec``; None for another one."""
        found = _CODEC.search(text)
        if found is None:
            return None
        numbers = [int(each) for each in re.findall(r"\d+", found[2])]
        counts = found[1] == "product" or found[1].startswith("prefix_")
        return cls(found[1], numbers[0], tuple(numbers[1:]) if counts else ())

    @property
    def text(self) -> str:
        """The codec in a definition."""
        more = "".join(f", {each}" for each in self.numbers)
        return f"Quantized('{self.method}', {self.dim}{more})"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        type: the full type.
        codec: the codec ``Quantized``; None without.
        generated: the engine computes its values.
    """

    name: str
    type: str
    codec: Codec | None = None
    generated: bool = False


@dataclass(frozen=True)
class Table:
    """A table with vectors.

    Attributes:
        engine: such as ``ReplacingMergeTree``.
        columns: in order.
        indexes: vector indexes, in order of definition.
        other_indexes: names of other skip indexes.
        sorting_key: the expression of ``ORDER BY``.
        settings: settings of qadapt in the comment.
        comment: the rest of the comment.
        lengths: measured dimensions of columns without index, codec and setting.
        key_name: the column of the id that the address names.
    """

    database: str
    name: str
    engine: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    other_indexes: tuple[str, ...] = ()
    sorting_key: str = ID_COLUMN
    settings: Mapping[str, Any] = field(default_factory=dict)
    comment: str = ""
    lengths: Mapping[str, int] = field(default_factory=dict)
    key_name: str = ""

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {each.name: each for each in self.columns}

    @cached_property
    def vectors(self) -> dict[str, Column]:
        """Columns of vectors by the name of the vector."""
        found = [each for each in self.columns if each.type in DATATYPES and not each.generated]
        return {"" if each.name == UNNAMED_COLUMN else each.name: each for each in found}

    def planes_of(self, column: str) -> Column | None:
        """The column with the bit planes of the codes of a column; None without one."""
        found = self.by_name.get(column + PLANES)
        if found is None or not found.generated or not found.type.startswith("QBit(Int8, "):
            return None
        return found

    def precision_of(self, column: str) -> int:
        """The number of bit planes that a search of a column reads."""
        saved = (self.settings.get("precision") or {}).get(column)
        return int(saved or ALL_PLANES)

    @cached_property
    def other_vectors(self) -> dict[str, str]:
        """Columns of vectors that qadapt does not search, with the reason."""
        return {
            each.name: f"has the type {each.type}: its bits are those of the numbers, and only the "
            "functions for transposed vectors search it. Quantize a column of the type "
            "Array(Float32) instead"
            for each in self.columns
            if QBIT.match(each.type) and each.name not in self._planes
        }

    @cached_property
    def _planes(self) -> set[str]:
        """Names of the columns with bit planes of codes."""
        found = (self.planes_of(each.name) for each in self.vectors.values())
        return {each.name for each in found if each is not None}

    @cached_property
    def key(self) -> Column | None:
        """The column of the id: that of the address, the sorting key, or ``id``."""
        names = [self.key_name] if self.key_name else [self.sorting_key.strip("`"), ID_COLUMN]
        for name in names:
            column = self.by_name.get(name)
            if column is not None and _KEY.match(column.type):
                return column
        return None

    def require_key(self) -> Column:
        """The column of the id.

        Raises:
            UnsupportedError: no column is a number, a text or a UUID that sorts the table.
        """
        if self.key is None:
            raise UnsupportedError(
                f"{self.name!r} has no column for ids: it is sorted by {self.sorting_key!r}",
                hint="name a column of numbers, texts or UUIDs: clickhouse:DIR?id=COLUMN",
            )
        return self.key

    @property
    def key_kind(self) -> str:
        """``int`` or ``text``."""
        return "int" if "Int" in self.require_key().type else "text"

    @property
    def owned(self) -> bool:
        """Whether qadapt created the table."""
        return VERSION_COLUMN in self.by_name and PAYLOAD_COLUMN in self.by_name

    @property
    def replaces(self) -> bool:
        """Whether merges remove older rows with the same sorting key, as FINAL does in a read."""
        return "Replacing" in self.engine or "Collapsing" in self.engine

    @cached_property
    def fields(self) -> dict[str, Column]:
        """Columns that are payload fields; none in a table of qadapt, which has a document."""
        if self.owned:
            return {}
        other = {each.name for each in self.vectors.values()} | set(self.other_vectors)
        other |= self._planes
        key = self.key.name if self.key else ""
        return {e.name: e for e in self.columns if e.name not in other and e.name != key}

    def indexes_of(self, column: str) -> list[Index]:
        """The vector indexes of a column."""
        return [each for each in self.indexes if each.column == column]

    def index_of(self, column: str) -> Index | None:
        """The index that a search uses: the last one (docs/engines/clickhouse.md#evidence)."""
        found = self.indexes_of(column)
        return found[-1] if found else None

    def metric_of(self, column: str) -> Metric | None:
        """The metric of an index or in the settings; None if unknown."""
        for index in reversed(self.indexes_of(column)):
            if index.function in METRICS:
                return METRICS[index.function]
        saved = (self.settings.get("metrics") or {}).get(column)
        return Metric.of(saved) if saved else None

    def dim_of(self, column: Column) -> int:
        """Dimensions by the index, the codec, the settings or the first row; 0 if unknown."""
        index = self.index_of(column.name)
        if index is not None:
            return index.dim
        if column.codec is not None:
            return column.codec.dim
        saved = (self.settings.get("dims") or {}).get(column.name)
        return int(saved or self.lengths.get(column.name, 0))

    def column_of(self, name: str) -> Column:
        """The column of a vector.

        Raises:
            NotFoundError, UnsupportedError
        """
        hint = "search a column of the type Array(Float32)"
        found: Column = checks.vector_column(self, name, hint)
        return found

    def vector(self, name: str, assumed: Metric = Metric.COSINE) -> Vector:
        """Dimensions, metric and datatype of a vector."""
        column = self.column_of(name)
        metric = self.metric_of(column.name) or assumed
        datatype: Any = DATATYPES[column.type]
        return Vector(max(1, self.dim_of(column)), metric, datatype)
