"""Find primary keys that several rows have, because ``insert`` does not check for existing keys.

``count(*)`` counts every row, but reads and searches return one row per key (run on 2.3.5), so a
copy would lose the other rows silently. A range with more rows than keys is halved until the keys
are found. In Milvus Lite 3, ``insert`` and ``upsert`` both replace the row of an existing key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qadapt.errors import StoreError
from qadapt.model import Id
from qadapt.stores.milvus import filters, rows
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import Layout

SHOWN = 5


@dataclass(frozen=True)
class Duplicates:
    """Result of the check.

    Attributes:
        hidden: the number of rows that reads do not return.
        rows_checked: the number of keys checked.
        ids: ids that several rows have, at most ``SHOWN``.
    """

    hidden: int
    rows_checked: int
    ids: tuple[Id, ...]


def find(connection: Connection, layout: Layout, most: int | None = None) -> Duplicates:
    """Compare the number of rows with the number of keys, in key order.

    Args:
        most: the number of keys to check; None for all.
    """
    field = layout.keys.field
    hidden = snapshot = 0
    found: list[Any] = []
    size = rows.WINDOW if most is None else min(most, rows.WINDOW)
    for page in rows.pages(connection, layout, [field], "", size):
        keys = [row[field] for row in page]
        more = _more(connection, layout, keys)
        snapshot += len(keys)
        if more:
            # Another client may be writing: the difference is real only if a key has several rows.
            some = _among(connection, layout, keys, max(1, SHOWN - len(found)))
            hidden += more if some else 0
            found += some
        if most is not None and snapshot >= most:
            break
    return Duplicates(hidden, snapshot, tuple(map(layout.keys.from_native, found[:SHOWN])))


def refuse(connection: Connection, layout: Layout) -> None:
    """Refuse to copy a collection with duplicate primary keys.

    Raises:
        StoreError: several rows have the same key.
    """
    found = find(connection, layout)
    if found.hidden:
        keys = ", ".join(map(repr, found.ids))
        raise StoreError(
            f"{found.hidden:,} rows of {layout.name!r} have the primary key of another row, "
            "and reads "
            f"return only one row per key; keys: {keys}",
            hint="to keep the rows that reads return, run "
            f"collection.write(collection.fetch([{keys}])), then run `qadapt apply` again",
        )


def _more(connection: Connection, layout: Layout, keys: list[Any]) -> int:
    """The number of rows in a range of sorted keys, minus the number of keys."""
    span = filters.span(layout.keys.field, keys[0], keys[-1], closed=True)
    return max(0, rows.count(connection, layout, span) - len(keys))


def _among(connection: Connection, layout: Layout, keys: list[Any], most: int) -> list[Any]:
    """At most ``most`` duplicate keys of a range that is known to have some."""
    if len(keys) == 1:
        return keys
    middle = len(keys) // 2
    found: list[Any] = []
    for half in (keys[:middle], keys[middle:]):
        if len(found) < most and _more(connection, layout, half):
            found += _among(connection, layout, half, most - len(found))
    return found
