"""Primary keys that several rows share: ``insert`` of a server looks at no key that is there.

``count(*)`` counts every row, while reading, searching and fetching give one row for each key (run
on 2.3.5), so a copy would lose the others without a word. A span of keys that counts more rows than
it has keys is halved until the keys are found. Lite 3 replaces rows by key in both calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qadapt.errors import StoreError
from qadapt.model import Id
from qadapt.stores.milvus import rows
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import Layout

SHOWN = 5


@dataclass(frozen=True)
class Duplicates:
    """What was found.

    Attributes:
        hidden: rows beyond the first of each key.
        snapshot: keys that were looked at.
        ids: some of the ids that several rows have, at most ``SHOWN``.
    """

    hidden: int
    rows_checked: int
    ids: tuple[Id, ...]


def find(connection: Connection, layout: Layout, most: int | None = None) -> Duplicates:
    """Count rows against keys, in the order of keys.

    Args:
        most: keys to look at; None for all.
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
            # More rows than keys may also be rows that somebody writes now: no key has several.
            some = _among(connection, layout, keys, max(1, SHOWN - len(found)))
            hidden += more if some else 0
            found += some
        if most is not None and snapshot >= most:
            break
    return Duplicates(hidden, snapshot, tuple(map(layout.keys.from_native, found[:SHOWN])))


def refuse(connection: Connection, layout: Layout) -> None:
    """Refuse to copy rows whose keys other rows have.

    Raises:
        StoreError: there are such rows.
    """
    found = find(connection, layout)
    if found.hidden:
        keys = ", ".join(map(repr, found.ids))
        raise StoreError(
            f"{found.hidden:,} rows of {layout.name!r} share the primary key of another row, and "
            f"reads give one row for each key; keys: {keys}",
            hint=f"keep the rows that reads give, collection.write(collection.fetch([{keys}])), "
            "then apply again",
        )


def _more(connection: Connection, layout: Layout, keys: list[Any]) -> int:
    """Rows from the first to the last of sorted keys, beyond one for each."""
    span = rows.span(layout.keys.field, keys[0], keys[-1], closed=True)
    return max(0, rows.count(connection, layout, span) - len(keys))


def _among(connection: Connection, layout: Layout, keys: list[Any], most: int) -> list[Any]:
    """Keys of several rows, of a span that is known to have some; ``most`` of them at most."""
    if len(keys) == 1:
        return keys
    middle = len(keys) // 2
    found: list[Any] = []
    for half in (keys[:middle], keys[middle:]):
        if len(found) < most and _more(connection, layout, half):
            found += _among(connection, layout, half, most - len(found))
    return found
