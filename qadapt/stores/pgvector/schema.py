"""Tables with vectors, as the system catalogs describe them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import Metric, Vector
from qadapt.stores.pgvector.connection import Extension

# The column of the unnamed vector, and the jsonb column whose keys are payload fields.
UNNAMED_COLUMN, PAYLOAD_COLUMN, ID_COLUMN = "embedding", "payload", "id"
DATATYPES = {"vector": "float32", "halfvec": "float16"}
OPCLASS_METRICS = {"cosine": Metric.COSINE, "ip": Metric.DOT, "l2": Metric.EUCLIDEAN}
# A line of the comment on a table holds the settings of qadapt; other lines are the user's.
SETTINGS = "qadapt: "
ID_TYPES = {
    "int2": "int", "int4": "int", "int8": "int", "uuid": "uuid", "text": "text",
    "varchar": "text", "bpchar": "text",
}  # fmt: skip
NUMBER_TYPES = ("int2", "int4", "int8", "float4", "float8", "numeric")
TEXT_TYPES = ("text", "varchar")
_TABLE, _PARTITIONED, _VIEW, _MATERIALIZED, _FOREIGN = "r", "p", "v", "m", "f"
KINDS = {
    _TABLE: "table", _PARTITIONED: "partitioned table", _VIEW: "view",
    _MATERIALIZED: "materialized view", _FOREIGN: "foreign table",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        number: ``attnum``.
        type: name of the type, such as ``vector`` or ``int8``.
        dim: dimensions of a vector; None if the column has none or is no vector.
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
        codes: ``vector`` for the column itself, ``halfvec`` or ``bit`` for an expression of it;
            ``other`` for another expression.
        method: ``hnsw``, ``ivfflat``, or the access method of another extension.
        opclass: such as ``vector_cosine_ops``.
        options: storage parameters, such as ``{"m": 16}``.
        valid: whether queries may use it; false while it is built, and if a build was cut off.
        predicate: the condition of a partial index; ``""`` for all rows.
        size: bytes on disk, with partitions.
        expression: as the server prints it; ``""`` for a column.
        parts: names of the indexes of the partitions.
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

    def serves(self, names: Sequence[str]) -> bool:
        """Whether the names of indexes in a plan include this one or one of its parts."""
        return any(each in names for each in (self.name, *self.parts))

    @property
    def metric(self) -> Metric | None:
        """The metric of the operator class; None for codes that have none."""
        found = re.search(r"_(cosine|ip|l2)_ops$", self.opclass)
        return OPCLASS_METRICS[found[1]] if found else None


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
        return self.kind == _PARTITIONED

    @property
    def is_indexable(self) -> bool:
        """Whether it can have indexes."""
        return self.kind in (_TABLE, _PARTITIONED, _MATERIALIZED)

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

    def vector(self, name: str, assumed: Metric = Metric.COSINE) -> Vector:
        """Dimensions, metric and datatype of a vector.

        Args:
            assumed: the metric if neither a comment nor an index has one.

        Raises:
            NotFoundError: the vector does not exist.
            UnsupportedError: the column has no dimensions.
        """
        if name in self.without_dimensions:
            raise UnsupportedError(
                f"the column {name or UNNAMED_COLUMN!r} was declared without dimensions",
                hint="ALTER TABLE ... ALTER COLUMN ... TYPE vector(n)",
            )
        column = self.vectors.get(name)
        if column is None:
            raise NotFoundError.missing("vector", name, self.vectors)
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


# -- reading -------------------------------------------------------------------------------------

_COLUMNS = """
SELECT a.attname, a.attnum, t.typname, a.atttypmod, a.attgenerated = '' AND a.attidentity <> 'a',
       tn.nspname
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_namespace tn ON tn.oid = t.typnamespace
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_INDEXES = """
SELECT i.indexrelid, c.relname, i.indkey[0], am.amname, o.opcname, c.reloptions,
       i.indisvalid AND i.indisready AND i.indislive,
       coalesce(pg_get_expr(i.indexprs, i.indrelid), ''),
       coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
       CASE WHEN c.relkind = 'I' THEN
         (SELECT coalesce(sum(pg_relation_size(p.relid)), 0) FROM pg_partition_tree(c.oid) p)
       ELSE pg_relation_size(c.oid) END,
       ARRAY(SELECT r.relname FROM pg_partition_tree(c.oid) p JOIN pg_class r ON r.oid = p.relid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
JOIN pg_opclass o ON o.oid = i.indclass[0]
WHERE i.indrelid = %s AND am.amname NOT IN ('btree', 'hash', 'gin', 'gist', 'spgist', 'brin')
ORDER BY c.relname
"""
_TABLE_SQL = """
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,
       coalesce(obj_description(c.oid, 'pg_class'), ''),
       pg_relation_size(c.oid), coalesce(pg_relation_size(c.reltoastrelid), 0),
       (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal),
       row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = coalesce(%s, current_schema()) AND c.relname = %s
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_KEY = """
SELECT k.indkey::int2[] FROM pg_index k WHERE k.indrelid = %s AND k.indisprimary
"""
_LEAVES = """
SELECT n.nspname, c.relname, pg_relation_size(c.oid),
       coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0)
FROM pg_partition_tree(%s) p JOIN pg_class c ON c.oid = p.relid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.isleaf ORDER BY 1, 2
"""
_DEFAULTS = """
SELECT DISTINCT setting FROM pg_db_role_setting s, unnest(s.setconfig) setting
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
  AND (setting LIKE 'hnsw.%%' OR setting LIKE 'ivfflat.%%')
"""
_LIST = """
SELECT n.nspname, c.relname, n.nspname = current_schema()
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\\_%%'
  AND n.nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'USAGE')
  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
              AND NOT a.attisdropped AND a.atttypid = ANY(%s))
"""


def split_name(collection: str) -> tuple[str | None, str]:
    """Schema (None for the current one) and table of a collection name."""
    schema, dot, table = collection.partition(".")
    return (schema, table) if dot and schema and table else (None, collection)


def collections(at: Any, extension: Extension) -> list[str]:
    """Tables and materialized views with vectors; those of the current schema without schema."""
    types = [extension.types[name] for name in DATATYPES if name in extension.types]
    rows = at.execute(_LIST, [types]).fetchall()
    return sorted(name if here else f"{schema}.{name}" for schema, name, here in rows)


def read_table(at: Any, extension: Extension, collection: str) -> Table | None:
    """A table by the name of its collection; None if it does not exist or has no vectors."""
    schema, name = split_name(collection)
    row = at.execute(_TABLE_SQL, [schema, name]).fetchone()
    if row is None:
        return None
    oid, schema, name, kind, persistence, comment, heap, toast, triggers, secured, owned = row
    columns = tuple(
        Column(column, number, kind_name, _dim(kind_name, typmod), writable)
        for column, number, kind_name, typmod, writable, _ in at.execute(_COLUMNS, [oid])
    )
    if not any(each.type in DATATYPES for each in columns):
        return None
    leaves: tuple[tuple[str, str], ...] = ()
    if kind == _PARTITIONED:
        found = at.execute(_LEAVES, [oid]).fetchall()
        leaves = tuple((each[0], each[1]) for each in found)
        heap, toast = sum(each[2] for each in found), sum(each[3] for each in found)
    settings, text = split_comment(comment)
    return Table(
        oid,
        str(schema),
        name,
        kind,
        persistence,
        columns,
        _key(at, oid, columns),
        tuple(_indexes(at, oid, columns)),
        settings,
        text,
        leaves,
        heap,
        toast,
        triggers,
        secured,
        owned,
        tuple(each for (each,) in at.execute(_DEFAULTS)),
    )


def _dim(kind: str, typmod: int) -> int | None:
    return typmod if kind in DATATYPES and typmod > 0 else None


def _key(at: Any, oid: int, columns: Sequence[Column]) -> Column | None:
    row = at.execute(_KEY, [oid]).fetchone()
    if row is None or len(row[0]) != 1:
        return None
    return next(each for each in columns if each.number == row[0][0])


def _indexes(at: Any, oid: int, columns: Sequence[Column]) -> list[Index]:
    found = []
    for row in at.execute(_INDEXES, [oid]).fetchall():
        index, name, number, method, opclass, options, valid, expression, predicate, size, parts = (
            row
        )
        column, codes = number, "vector"
        if not number:
            column, codes = recognize(expression, columns)
        parsed = dict(each.split("=", 1) for each in options or ())
        found.append(
            Index(
                index,
                name,
                column,
                codes,
                method,
                opclass,
                {key: int(value) for key, value in parsed.items() if value.isdigit()},
                valid,
                predicate,
                int(size),
                expression,
                tuple(each for each in parts if each != name),
            )
        )
    return found


def recognize(expression: str, columns: Sequence[Column]) -> tuple[int, str]:
    """The column and the codes of an index expression.

    Returns:
        The number of the column and ``halfvec`` or ``bit``; ``(number, "other")`` for another
        expression of one vector column, ``(0, "other")`` for anything else.
    """
    for column in columns:
        if column.type not in DATATYPES or column.dim is None:
            continue
        name = re.escape(_identifier(column.name))
        half = rf"\(?{name}\)?::(?:[^\s().]+\.)?halfvec\({column.dim}\)"
        bits = rf"\(?(?:[^\s().]+\.)?binary_quantize\({name}\)\)?::bit\({column.dim}\)"
        if re.fullmatch(half, expression):
            return column.number, "halfvec"
        if re.fullmatch(bits, expression):
            return column.number, "bit"
        if re.search(rf"(?<![\w\"]){name}(?![\w\"])", expression):
            return column.number, "other"
    return 0, "other"


def _identifier(name: str) -> str:
    """A name as the server prints it."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'


def split_comment(comment: str) -> tuple[dict[str, Any], str]:
    """The settings of qadapt in a comment, and the rest of it."""
    settings: dict[str, Any] = {}
    rest = []
    for line in comment.split("\n"):
        if not line.startswith(SETTINGS):
            rest.append(line)
            continue
        try:
            found = json.loads(line.removeprefix(SETTINGS))
        except ValueError:
            found = None
        if isinstance(found, dict):
            settings = found
        else:
            rest.append(line)
    return settings, "\n".join(rest)


def join_comment(settings: Mapping[str, Any], rest: str) -> str | None:
    """The comment with settings; None for no comment."""
    kept = {key: value for key, value in settings.items() if value}
    lines = [rest] if rest else []
    if kept:
        lines.append(SETTINGS + json.dumps(kept, sort_keys=True, ensure_ascii=False))
    return "\n".join(lines) or None
