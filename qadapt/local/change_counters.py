"""Change counter of the database at the last time when the codes matched all rows.

It is stored next to the index. ``moved`` compares it with the current counter: after a write by
another client, comparing a sample of rows is not sufficient.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

from qadapt.local.state import index_dir, write_state_file
from qadapt.stores.base import Store
from qadapt.stores.change_counter import ChangeCounter

FORMAT = 1


class Since(Enum):
    """Changes of the counter since the codes last matched all rows."""

    NO_COUNTER = "the database has no change counter"
    NOT_RECORDED = "not recorded"
    UNCHANGED = "unchanged"
    CHANGED = "changed"


def _path(store: Store, collection: str, name: str) -> Path:
    place = index_dir(store.address, collection, name)
    return place.with_name(place.name + ".counter")


def recorded(store: Store, collection: str, name: str) -> ChangeCounter | None:
    """Recorded counter; None if there is none or it is unreadable."""
    try:
        document = json.loads(_path(store, collection, name).read_bytes())
    except (FileNotFoundError, ValueError):
        # Without a record all rows are compared, so a damaged file only costs time.
        return None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    counter, value = document.get("counter"), document.get("value")
    if not isinstance(counter, str) or not isinstance(value, str):
        return None
    return ChangeCounter(counter, value)


def record(store: Store, collection: str, name: str, counter: ChangeCounter | None) -> None:
    """Record that the codes match all rows at ``counter``."""
    if counter is None:
        forget(store, collection, name)
        return
    document = {"format": FORMAT, "counter": counter.name, "value": counter.value}
    write_state_file(_path(store, collection, name), json.dumps(document))


def forget(store: Store, collection: str, name: str) -> None:
    """Delete the record, because the codes were deleted or replaced."""
    _path(store, collection, name).unlink(missing_ok=True)


def since(former: ChangeCounter | None, now: ChangeCounter | None) -> Since:
    """Compare two states of a counter."""
    if now is None:
        return Since.NO_COUNTER
    if former is None:
        return Since.NOT_RECORDED
    same = (former.name, former.value) == (now.name, now.value)
    return Since.UNCHANGED if same else Since.CHANGED
