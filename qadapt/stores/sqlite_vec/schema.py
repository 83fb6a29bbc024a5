"""Tables of vec0, parsed from the statements that created them.

``sqlite_master`` keeps the text of ``CREATE VIRTUAL TABLE``; there is no other description of the
columns (docs/engines/sqlite-vec.md#tables).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from qadapt.model import Metric, Vector
from qadapt.stores import checks

# The column of the unnamed vector, the JSON column of payload fields, the primary key.
UNNAMED_COLUMN, PAYLOAD_COLUMN, ID_COLUMN = "embedding", "payload", "id"
METRICS = {"cosine": Metric.COSINE, "l2": Metric.EUCLIDEAN}
WORDS = {metric: word for word, metric in METRICS.items()}
_KINDS = {"float": "float", "f32": "float", "int8": "int8", "i8": "int8", "bit": "bit"}
_TYPES = {
    "text": "text", "integer": "integer", "int": "integer", "float": "float", "double": "float",
    "boolean": "boolean", "bool": "boolean", "blob": "blob",
}  # fmt: skip
_CREATE = re.compile(
    r"\s*CREATE\s+VIRTUAL\s+TABLE\s+.*?\bUSING\s+vec0\s*\((?P<body>.*)\)\s*;?\s*$", re.I | re.S
)
_VECTOR = re.compile(r"(\w+)\s+(\w+)\s*\[\s*(\d+)\s*\]\s*(.*)", re.S)
_METRIC = re.compile(r"distance_metric\s*=\s*(\w+)", re.I)
_PLAIN = re.compile(r"(\w+)\s+(\w+)\s*(.*)", re.S)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        role: ``vector``, ``key``, ``partition``, ``metadata`` or ``auxiliary``.
        type: ``float``, ``int8`` or ``bit`` of a vector; otherwise ``text``, ``integer``,
            ``float``, ``boolean`` or ``blob``.
        dim: dimensions of a vector, otherwise 0.
        metric: ``cosine``, ``l2``, ``l1`` or ``hamming`` of a vector, otherwise empty.
        place: number among the columns of the same role.
        written_metric: whether the statement names the metric.
    """

    name: str
    role: str
    type: str
    dim: int = 0
    metric: str = ""
    place: int = 0
    written_metric: bool = True


@dataclass(frozen=True)
class Codes:
    """Codes of a vector column.

    Attributes:
        vector: the column of the original vectors.
        table: the table that holds the codes: a separate one, or that of the vectors.
        column: the column of the codes.
        kind: ``bit`` or ``int8``.
        scale: the value of one step of int8 codes under ``l2``; None for codes without one.
        ready: whether all codes were written.
        separate: whether qadapt created the table of the codes.
        exists: whether the table still exists.
    """

    vector: str
    table: str
    column: str
    kind: str
    scale: float | None = None
    ready: bool = True
    separate: bool = True
    exists: bool = True


@dataclass(frozen=True)
class Table:
    """A table of vec0.

    Attributes:
        name: without quotes.
        columns: in order, without those that sqlite-vec hides.
        settings: settings of qadapt.
        renamed: the table was renamed, and its data is under the former name.
        unreadable: why this version of sqlite-vec cannot read it; empty if it can.
        missing: names of recorded tables of codes that do not exist.
    """

    name: str
    columns: tuple[Column, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    renamed: bool = False
    unreadable: str = ""
    missing: frozenset[str] = frozenset()

    def of(self, role: str) -> list[Column]:
        """The columns of a role."""
        return [each for each in self.columns if each.role == role]

    @cached_property
    def key(self) -> Column:
        """The primary key; the rowid without one."""
        found = self.of("key")
        return found[0] if found else Column("rowid", "key", "integer")

    @property
    def text_key(self) -> bool:
        """Whether ids are texts."""
        return self.key.type == "text"

    @cached_property
    def vectors(self) -> dict[str, Column]:
        """Columns of original vectors with a supported metric, by the name of the vector."""
        found = [e for e in self.of("vector") if e.type == "float" and e.metric in METRICS]
        return {"" if each.name == UNNAMED_COLUMN else each.name: each for each in found}

    @cached_property
    def other_vectors(self) -> dict[str, str]:
        """Vector columns that are not vectors of the collection, with the reason."""
        codes = {each.column for each in self.codes if not each.separate}
        found = {}
        for each in self.of("vector"):
            if each in self.vectors.values() or each.name in codes:
                continue
            if each.type == "float":
                found[each.name] = f"has the metric {each.metric}, which qadapt does not support"
            else:
                found[each.name] = f"has {each.type} codes without original vectors"
        return found

    @property
    def has_document(self) -> bool:
        """Whether an auxiliary column holds the payload as JSON."""
        return bool(self.settings.get("json"))

    @cached_property
    def fields(self) -> dict[str, Column]:
        """Columns that are payload fields, by name."""
        roles = ("partition", "metadata", "auxiliary")
        return {
            each.name: each
            for each in self.columns
            if each.role in roles and not (self.has_document and each.name == PAYLOAD_COLUMN)
        }

    @cached_property
    def document(self) -> Column | None:
        """The auxiliary column with the payload as JSON; None if there is none."""
        if not self.has_document:
            return None
        return next((e for e in self.of("auxiliary") if e.name == PAYLOAD_COLUMN), None)

    @cached_property
    def codes(self) -> tuple[Codes, ...]:
        """All codes: separate tables by age, the oldest first, then bit columns of this table.

        A bit column belongs to the only column of original vectors with as many dimensions.
        """
        recorded = self.settings.get("codes") or {}
        found = [
            Codes(
                column, each["table"], "codes", each["kind"], each.get("scale"),
                bool(each.get("ready")), exists=each["table"] not in self.missing,
            )
            for column, kinds in recorded.items()
            for each in kinds
        ]  # fmt: skip
        for each in self.of("vector"):
            owners = [e for e in self.vectors.values() if e.dim == each.dim]
            if each.type == "bit" and len(owners) == 1:
                found.append(Codes(owners[0].name, self.name, each.name, "bit", separate=False))
        return tuple(found)

    def codes_of(self, column: Column) -> list[Codes]:
        """The codes of a vector column."""
        return [each for each in self.codes if each.vector == column.name]

    def chosen(self, column: Column) -> Codes | None:
        """The codes that a search uses: the newest complete table, or a column of this table."""
        if (self.settings.get("use") or {}).get(column.name) == "none":
            return None
        found = self.codes_of(column)
        order = sorted(found, key=lambda each: (each.separate, each.separate and each.ready))
        return order[-1] if order else None

    def place_of(self, column: str) -> int:
        """The number of a vector column in the names of shadow tables."""
        return next(each.place for each in self.of("vector") if each.name == column)

    def column_of(self, name: str) -> Column:
        """The column of a vector.

        Raises:
            NotFoundError, UnsupportedError
        """
        hint = "search the original vectors, in a float column"
        found: Column = checks.vector_column(self, name, hint)
        return found

    def vector(self, name: str) -> Vector:
        """Dimensions and metric of a vector.

        Raises:
            NotFoundError, UnsupportedError: as ``column_of``.
        """
        column = self.column_of(name)
        return Vector(column.dim, METRICS[column.metric])


# -- parsing and writing -------------------------------------------------------------------------


def body_of(sql: str) -> str | None:
    """The arguments of ``vec0(...)``; None for another statement."""
    found = _CREATE.match(sql or "")
    return found["body"] if found else None


def parse(body: str) -> tuple[Column, ...]:
    """The columns of the arguments of ``vec0``.

    Raises:
        ValueError: an argument that this version of qadapt does not know.
    """
    places: dict[str, int] = {}
    found = []
    for text in (each.strip() for each in body.split(",")):
        if not text or re.match(r"\w+\s*=", text):
            continue
        column = _column(text)
        place = places.setdefault(column.role, 0)
        places[column.role] += 1
        found.append(replace(column, place=place))
    return tuple(found)


def _column(text: str) -> Column:
    vector = _VECTOR.match(text)
    if vector:
        name, kind, dim, rest = vector.groups()
        kind = _KINDS.get(kind.lower(), "")
        metric = _METRIC.search(rest)
        if not kind or _METRIC.sub("", rest).strip():
            raise ValueError(text)
        word = metric[1].lower() if metric else ("hamming" if kind == "bit" else "l2")
        written = metric is not None or kind == "bit"
        return Column(name, "vector", kind, int(dim), word, written_metric=written)
    auxiliary = text.startswith("+")
    plain = _PLAIN.match(text.lstrip("+ "))
    if plain is None or plain[2].lower() not in _TYPES:
        raise ValueError(text)
    kind, rest = _TYPES[plain[2].lower()], " ".join(plain[3].lower().split())
    roles = {"": "metadata", "primary key": "key", "partition key": "partition"}
    if rest not in roles:
        raise ValueError(text)
    return Column(plain[1], "auxiliary" if auxiliary else roles[rest], kind)


def statement(name: str, columns: list[Column] | tuple[Column, ...]) -> str:
    """The statement that creates a table."""
    return f"CREATE VIRTUAL TABLE {quoted(name)} USING vec0({', '.join(map(_words, columns))})"


def _words(column: Column) -> str:
    if column.role == "vector":
        metric = "" if column.type == "bit" else f" distance_metric={column.metric}"
        return f"{column.name} {column.type}[{column.dim}]{metric}"
    sign = "+" if column.role == "auxiliary" else ""
    suffix = {"key": " primary key", "partition": " partition key"}.get(column.role, "")
    return f"{sign}{column.name} {column.type}{suffix}"


def quoted(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def sql_name(column: str) -> str:
    """A column in SQL: vec0 accepts keywords as names. SQLite reads a quoted rowid as a text."""
    return column if column == "rowid" else quoted(column)


def shadow(table: str, part: str) -> str:
    """A shadow table, such as ``articles_rowids``, in double quotes."""
    return quoted(f"{table}_{part}")
