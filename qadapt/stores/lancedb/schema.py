"""The columns of a table: id, vectors, payload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from qadapt.errors import InputError, NotFoundError
from qadapt.model import Metric, Vector
from qadapt.stores import checks
from qadapt.stores.lancedb import mapping

ID_COLUMN, UNNAMED_COLUMN, PAYLOAD_COLUMN = "id", "vector", "payload"
# The key of qadapt in the metadata of fields, and the word for a table that it created.
METADATA, OURS = b"qadapt", "qadapt"
_DATATYPES = {"float": "float32", "halffloat": "float16"}
_ARROW = {"float32": pa.float32, "float16": pa.float16}
# Names that the engine uses in results.
_RESERVED = (ID_COLUMN, PAYLOAD_COLUMN, UNNAMED_COLUMN)


@dataclass(frozen=True)
class Column:
    """A column of vectors.

    Attributes:
        name: in the table.
        vector: dimensions, metric and datatype.
        metric_from: what the metric was taken from: ``index``, ``metadata``, ``address`` or
            ``default``.
    """

    name: str
    vector: Vector
    metric_from: str


@dataclass(frozen=True)
class Table:
    """A table as qadapt uses it.

    Attributes:
        name: of the table.
        key: the column with the ids.
        text_key: whether ids are texts, not integers.
        vectors: the columns of vectors by the name of the vector.
        other_vectors: columns of vectors that qadapt does not use, with reasons.
        fields: columns of payloads with a type.
        document: whether there is a column of JSON payloads that qadapt created.
        settings: settings of qadapt that are stored with the table.
        arrow: the schema.
    """

    name: str
    key: str
    text_key: bool
    vectors: Mapping[str, Column]
    other_vectors: Mapping[str, str]
    fields: Mapping[str, pa.Field]
    document: bool
    settings: Mapping[str, Any]
    arrow: Any = field(repr=False)

    @cached_property
    def wanted(self) -> dict[str, Vector]:
        """The vectors by name."""
        return {name: each.vector for name, each in self.vectors.items()}

    @property
    def least_id(self) -> int:
        """The least integer of the id column."""
        kind = self.arrow.field(self.key).type
        return -(1 << kind.bit_width - 1) if pa.types.is_signed_integer(kind) else 0

    @property
    def largest_id(self) -> int:
        """The largest integer of the id column."""
        kind = self.arrow.field(self.key).type
        bits: int = kind.bit_width - pa.types.is_signed_integer(kind)
        return (1 << bits) - 1

    def column_of(self, vector: str) -> Column:
        """The column of a vector.

        Raises:
            NotFoundError, UnsupportedError
        """
        hint = "qadapt does not support this vector"
        found: Column = checks.vector_column(self, vector, hint)
        return found


# -- reading -------------------------------------------------------------------------------------


def read_table(
    name: str,
    arrow: pa.Schema,
    metrics: Mapping[str, str],
    options: Mapping[str, str],
) -> Table:
    """The table of an Arrow schema.

    Args:
        metrics: the metric of the index of a column, such as ``cosine``.
        options: ``id`` and ``metric`` of the address.

    Raises:
        InputError: no column can be the id.
    """
    notes = {each.name: note_of(each) for each in arrow}
    document = PAYLOAD_COLUMN in notes and notes[PAYLOAD_COLUMN].get("role") == OURS
    vectors: dict[str, Column] = {}
    others: dict[str, str] = {}
    rest = {}
    for each in arrow:
        if not is_vector(each.type):
            rest[each.name] = each
            continue
        why = _unsupported_type(each.type)
        if why is not None:
            others[each.name] = why
            continue
        vectors[each.name] = _column(each, notes[each.name], metrics.get(each.name), options)
    key = key_of(name, rest, options.get("id"))
    keyed = rest.pop(key)
    if document:
        rest.pop(PAYLOAD_COLUMN, None)
    named = {"" if column == UNNAMED_COLUMN else column: each for column, each in vectors.items()}
    settings = notes[key].get("settings")
    return Table(
        name,
        key,
        not pa.types.is_integer(keyed.type),
        named,
        others,
        rest,
        document,
        settings if isinstance(settings, dict) else {},
        arrow,
    )


def is_vector(kind: Any) -> bool:
    """Whether a column has vectors: lists of a fixed number of numbers."""
    if not pa.types.is_fixed_size_list(kind):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _unsupported_type(kind: Any) -> str | None:
    word = str(kind.value_type)
    if word in _DATATYPES and kind.list_size > 0:
        return None
    return f"has vectors of {word}, which qadapt does not read"


def _column(
    each: pa.Field, note: Mapping[str, Any], index: str | None, options: Mapping[str, str]
) -> Column:
    found = [
        (index, "index"),
        (note.get("metric"), "metadata"),
        (_known(options.get("metric")), "address"),
        ("l2", "default"),
    ]
    word, origin = next((word, origin) for word, origin in found if word in mapping.METRICS)
    datatype: Any = _DATATYPES[str(each.type.value_type)]
    vector = Vector(each.type.list_size, mapping.METRICS[str(word)], datatype)
    return Column(each.name, vector, origin)


def _known(text: str | None) -> str | None:
    return None if text is None else mapping.WORDS[Metric.of(text)]


def note_of(each: pa.Field) -> dict[str, Any]:
    """What qadapt recorded in the metadata of a field."""
    text = (each.metadata or {}).get(METADATA)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def key_of(name: str, columns: Mapping[str, pa.Field], chosen: str | None) -> str:
    """The column of the ids: the chosen one, or ``id``.

    Raises:
        NotFoundError: the chosen column does not exist.
        InputError: no column was chosen and there is no ``id``, or its type cannot be an id.
    """
    possible = [each.name for each in columns.values() if is_key(each.type)]
    if chosen is not None and chosen not in columns:
        raise NotFoundError.missing("column", chosen, possible)
    found = chosen or ID_COLUMN
    if found not in columns:
        listed = ", ".join(possible) or "none"
        raise InputError(
            f"the table {name!r} has no column 'id', and LanceDB has no primary keys",
            hint=f"name the column with the ids: ?id=COLUMN in the address; possible: {listed}",
        )
    if found not in possible:
        raise InputError(
            f"the column {found!r} of {name!r} has the type {columns[found].type}, which cannot be "
            "an id",
            hint="choose a column of integers or texts: ?id=COLUMN in the address",
        )
    return found


def is_key(kind: Any) -> bool:
    """Whether a column of this type can have ids."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or pa.types.is_integer(kind))


# -- creating ------------------------------------------------------------------------------------


def check_name(name: str) -> None:
    """Check the name of a new table.

    Raises:
        InputError
    """
    allowed = name.replace("_", "").replace("-", "").replace(".", "")
    if not (allowed.isascii() and allowed.isalnum()) or name.startswith(".") or len(name) > 200:
        raise InputError(
            f"{name!r:.80} is not a valid table name",
            hint="use 1 to 200 letters, digits, '_', '-' and '.', such as 'articles'",
        )


def unsupported(vectors: Mapping[str, Vector]) -> str | None:
    """Why a table cannot have these vectors; None if it can."""
    for vector in vectors.values():
        if vector.datatype not in _ARROW:
            return f"LanceDB indexes float32 and float16, not {vector.datatype}"
    return None


def column_name(vector: str) -> str:
    """The column of a vector of a new table.

    Raises:
        InputError: a name that cannot be a column.
    """
    if not vector:
        return UNNAMED_COLUMN
    if vector.lower() in _RESERVED or vector.startswith("_") or "." in vector or "`" in vector:
        raise InputError(
            f"a vector cannot have the name {vector!r:.80}: it is reserved, or contains '.' or '`'",
            hint="choose another name, such as 'title'",
        )
    return vector


def new_schema(vectors: Mapping[str, Vector], text_key: bool = False) -> pa.Schema:
    """The schema of a new table."""
    fields = [id_field(text_key)]
    for name, vector in vectors.items():
        kind = pa.list_(_ARROW[vector.datatype](), vector.dim)
        note = {"metric": mapping.WORDS[vector.metric]}
        fields.append(pa.field(column_name(name), kind, metadata=noted(note)))
    fields.append(pa.field(PAYLOAD_COLUMN, pa.json_(), metadata=noted({"role": OURS})))
    return pa.schema(fields)


def id_field(text_key: bool, note: Mapping[str, Any] | None = None) -> pa.Field:
    """The field of the ids of a new table."""
    kind = pa.string() if text_key else pa.int64()
    return pa.field(ID_COLUMN, kind, metadata=noted(note or {"role": OURS}))


def noted(note: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Metadata of a field."""
    return {METADATA: json.dumps(note, sort_keys=True, ensure_ascii=False).encode()}


# -- SQL -----------------------------------------------------------------------------------------


def sql_name(column: str) -> str:
    """The name of a column in a condition."""
    return f"`{column}`"


def sql_text(value: str) -> str:
    """A text in a condition: conditions have no parameters, and text behind a ``;`` is ignored."""
    return "'" + value.replace("'", "''") + "'"


def sql_id(key: Any) -> str:
    """An id in a condition."""
    return sql_text(key) if isinstance(key, str) else str(int(key))


def sql_ids(column: str, ids: Any) -> str:
    """The condition that a row has one of these ids."""
    return f"{sql_name(column)} IN ({', '.join(map(sql_id, ids))})"
