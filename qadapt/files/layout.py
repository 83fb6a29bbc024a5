"""Layout of a Parquet file of qadapt or of another program: ids, vectors and payload."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.errors import InputError, SpecError
from qadapt.files import extra_vectors, id_and_vector_columns
from qadapt.files.payload_values import is_list, is_text
from qadapt.model import ExtraVector

ID, PAYLOAD = "id", "payload"
_ENTRY = "payload."
_VECTOR = "vector"
_NAMED = "vector:"
# Name that pandas gives to an unnamed index of a DataFrame.
_INDEX = re.compile(r"__index_level_\d+__")

VectorColumns = str | Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """Roles of the columns.

    Attributes:
        id: column of the ids; None if rows are numbered.
        vectors: column of each vector, by name.
        extras: column of each sparse vector and multivector, by name.
        document: column of whole payloads, as JSON text or as a struct; None if there is none.
        entries: column of each payload field.
    """

    id: str | None
    vectors: Mapping[str, str]
    extras: Mapping[str, str]
    document: str | None
    entries: Mapping[str, str]

    @property
    def wanted(self) -> list[str]:
        """Names of all columns to read."""
        single = [each for each in (self.id, self.document) if each is not None]
        return [*single, *self.vectors.values(), *self.extras.values(), *self.entries.values()]


@dataclass(frozen=True)
class ColumnChoice:
    """Roles of columns given by the caller.

    Attributes:
        id: column of the ids.
        vectors: columns of vectors: one, several, or ``{vector name: column}``.
        number_rows: use row numbers as ids.
    """

    id: str | None = None
    vectors: VectorColumns | None = None
    number_rows: bool = False


def layout_of(
    arrow: Any,
    path: Path,
    schema: Any,
    asked: ColumnChoice,
    known: Iterable[str] = (),
    more: Mapping[str, ExtraVector] | None = None,
    *,
    ours: bool,
    document: bool,
) -> Layout:
    """Determine the roles of the columns.

    Args:
        known: names of the vectors in the metadata.
        more: sparse vectors and multivectors.
        ours: the file has qadapt's metadata.
        document: the column ``payload`` contains whole payloads.

    Raises:
        InputError: ids or vectors are missing or ambiguous.
    """
    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path} has duplicate column names: {', '.join(twice)}",
            hint="rename the columns in the program that wrote the file",
        )
    index = _index_columns(schema)
    key = _id_column(path, schema, asked, index)
    if key is not None:
        id_and_vector_columns.check_id_type(arrow, schema.field(key).type, key)
    collection_schema = {
        name: extra_vectors.column(name, each) for name, each in (more or {}).items()
    }
    free = [name for name in names if name != key and name not in collection_schema.values()]
    if asked.vectors is not None:
        vectors = _chosen(arrow, path, schema, asked.vectors)
    elif ours:
        vectors = {name: column_of(name, names) for name in known}
    else:
        vectors = _guessed(arrow, path, schema, free)
    rest = [name for name in free if name not in vectors.values()]
    return Layout(
        key,
        vectors,
        collection_schema,
        PAYLOAD if document and PAYLOAD in rest else None,
        _entries(arrow, path, schema, rest, index, document=document, ours=ours),
    )


def column_of(name: str, there: Sequence[str]) -> str:
    """Column of a vector in the metadata."""
    label = f"{_NAMED}{name}" if name else _VECTOR
    return label if label in there else name


def vector_name(column: str) -> str:
    """Name of the vector in a column: ``vector`` is the unnamed one."""
    return "" if column == _VECTOR else column.removeprefix(_NAMED)


# -- ids -----------------------------------------------------------------------------------------


def _index_columns(schema: Any) -> list[str]:
    """Columns that contain the index of a DataFrame."""
    raw = (schema.metadata or {}).get(b"pandas")
    if raw is None:
        return []
    try:
        found = json.loads(raw)["index_columns"]
    except (ValueError, KeyError, TypeError):
        return []  # optional metadata of other programs
    return [each for each in found if isinstance(each, str) and each in schema.names]


def _id_column(path: Path, schema: Any, asked: ColumnChoice, index: Sequence[str]) -> str | None:
    if asked.id is not None:
        if asked.id not in schema.names:
            raise SpecError.unknown("column", asked.id, schema.names, where=str(path))
        return asked.id
    if asked.number_rows:
        return None
    if ID in schema.names:
        return ID
    if len(index) == 1:
        return index[0]
    raise InputError(
        f"{path} has no column {ID!r}; its columns are {', '.join(schema.names) or 'none'}",
        hint="use --id COLUMN to name the column of ids, or --number-rows to use row numbers",
    )


# -- vectors -------------------------------------------------------------------------------------


def _chosen(arrow: Any, path: Path, schema: Any, given: VectorColumns) -> dict[str, str]:
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, Mapping):
        listed = dict([_pair(each, schema.names) for each in listed])
    if not listed:
        raise InputError("`vectors` is empty", hint="name at least one")
    for column in listed.values():
        if column not in schema.names:
            raise SpecError.unknown("column", column, schema.names, where=str(path))
        if id_and_vector_columns.numbers_of(arrow, schema.field(column).type) is None:
            raise InputError(
                f"column {column!r} of {path} has the type {schema.field(column).type} "
                "and cannot contain vectors (lists of numbers)",
                hint="use --vectors COLUMN to name a column of lists of numbers",
            )
    return dict(listed)


def _pair(given: str, names: Sequence[str]) -> tuple[str, str]:
    """Split ``COLUMN`` or ``NAME=COLUMN`` into a vector name and its column."""
    name, equals, column = given.partition("=")
    if given in names or not equals:
        return vector_name(given), given
    return name, column


def _guessed(arrow: Any, path: Path, schema: Any, free: Sequence[str]) -> dict[str, str]:
    """Find vectors by name, or by type: fixed-size lists, or the only column of lists of floats."""
    lists = {
        name: kind
        for name in free
        if (kind := id_and_vector_columns.numbers_of(arrow, schema.field(name).type)) is not None
    }
    named = [name for name in lists if name == _VECTOR or name.startswith(_NAMED)]
    floats = [name for name, kind in lists.items() if arrow.types.is_floating(kind)]
    fixed = [
        name
        for name in floats
        if id_and_vector_columns.dim_of(arrow, schema.field(name).type) is not None
    ]
    found = list(dict.fromkeys([*named, *fixed])) or floats
    if not found:
        raise InputError(
            f"{path} has no column of vectors (lists of floats); its columns are "
            f"{', '.join(f'{each.name} ({each.type})' for each in schema) or 'none'}",
            hint="use --vectors COLUMN to name a column of lists of numbers",
        )
    if len(found) > 1 and not named and not fixed:
        raise InputError(
            f"{path} has several columns of lists of floats: {', '.join(found)}",
            hint=f"name the vectors with --vectors {found[0]} (can be repeated); the others "
            "become payload fields",
        )
    return {vector_name(name): name for name in found}


# -- payload -------------------------------------------------------------------------------------


def is_document(arrow: Any, kind: Any) -> bool:
    """Whether a column ``payload`` of this type can contain whole payloads."""
    return bool(is_text(arrow, kind) or arrow.types.is_struct(kind))


def _entries(
    arrow: Any,
    path: Path,
    schema: Any,
    rest: Sequence[str],
    index: Sequence[str],
    *,
    document: bool,
    ours: bool,
) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in rest:
        if document and (column == PAYLOAD or column.startswith(_ENTRY)):
            continue  # copies for other readers that qadapt writes in addition to ``payload``
        if column in index and _INDEX.fullmatch(column):
            continue  # row numbers of a DataFrame, not data
        if (
            ours
            and (column == _VECTOR or column.startswith(_NAMED))
            and is_list(arrow, schema.field(column).type)
        ):
            continue  # a vector that was not requested
        entry = column.removeprefix(_ENTRY)
        if entry in found:
            raise InputError(
                f"{path} has two columns for the payload field {entry!r}: "
                f"{found[entry]!r} and {column!r}",
                hint="rename or remove one of them",
            )
        found[entry] = column
    return found
