"""Tables: created, and given the type of their first ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qadapt.model import Id, Vector
from qadapt.stores.lancedb import schema
from qadapt.stores.lancedb.connection import Connection
from qadapt.stores.lancedb.errors import translated
from qadapt.stores.lancedb.ids import check_kind
from qadapt.stores.lancedb.schema import Table, note_of


def create(connection: Connection, name: str, vectors: Mapping[str, Vector]) -> None:
    """Create a table with an id, the vectors and a column of JSON payloads.

    Raises:
        AlreadyExistsError
    """
    with translated(f"create {name!r}"):
        connection.client.create_table(name, schema=schema.new_schema(vectors))


def choose_key(connection: Connection, table: Table, ids: Sequence[Id]) -> bool:
    """Give the id column of a new, empty table the type of the first ids; whether it changed.

    The engine cannot convert integers to texts, so the column is dropped and added again.

    Raises:
        InputError: the ids have both types.
    """
    texts = isinstance(ids[0], str)
    field = table.arrow.field(table.key)
    if texts == table.text_key or note_of(field).get("role") != schema.OURS:
        return False
    check_kind(ids)
    with translated(f"write to {table.name!r}"):
        handle = connection.open_table(table.name)
        if handle.count_rows():
            return False
        handle.drop_columns([table.key])
        handle.add_columns(schema.id_field(texts, note_of(field)))
    return True
