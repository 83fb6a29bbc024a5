"""Reads tables and their indexes from the system catalogs of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qadapt.stores.pgvector.schema import DATATYPES, PARTITIONED, Column, Index, Table, split_name
from qadapt.stores.pgvector.version import Extension
from qadapt.stores.table_comment import split_comment

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
_SCHEMA = r"(?:[^\s().]+\.)?"
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
    if kind == PARTITIONED:
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
        column, codes, dims = number, "vector", None
        if not number:
            column, codes, dims = recognize(expression, columns)
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
                dims,
            )
        )
    return found


def recognize(expression: str, columns: Sequence[Column]) -> tuple[int, str, int | None]:
    """The column, the codes and the first dimensions of an index expression.

    Returns:
        The number of the column, its codes (``halfvec``, ``bit`` or ``subvector``) and the number
        of first dimensions (None for all); ``(number, "other", None)`` for another expression of
        one vector column, ``(0, "other", None)`` for anything else.
    """
    for column in columns:
        if column.type not in DATATYPES or column.dim is None:
            continue
        name = re.escape(_identifier(column.name))
        first = rf"{_SCHEMA}subvector\({name}, 1, (?P<first>\d+)\)"
        value = rf"(?:{name}|{first})"
        for codes, form in (
            ("bit", rf"\(?{_SCHEMA}binary_quantize\({value}\)\)?::bit\((?P<dim>\d+)\)"),
            ("halfvec", rf"\(?{value}\)?::{_SCHEMA}halfvec\((?P<dim>\d+)\)"),
            ("subvector", rf"\(?{first}\)?::{_SCHEMA}vector\((?P<dim>\d+)\)"),
        ):
            found = re.fullmatch(form, expression)
            if found is None:
                continue
            dims = None if found["first"] is None else int(found["first"])
            if int(found["dim"]) != (dims or column.dim):
                return column.number, "other", None
            if codes == "halfvec" and dims is not None and column.type == "halfvec":
                codes = "subvector"
            return column.number, codes, dims
        if re.search(rf"(?<![\w\"]){name}(?![\w\"])", expression):
            return column.number, "other", None
    return 0, "other", None


def _identifier(name: str) -> str:
    """A name as the server prints it."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'
