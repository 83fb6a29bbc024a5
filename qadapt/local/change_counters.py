"""The store's change counter as it was when our codes last described all rows.

It is kept in a file beside the index. ``moved`` compares it with the counter now: when a write of
another client moved it, a sample of rows is not enough.
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
    """What the counter tells about the time since the codes last described all rows."""

    NO_COUNTER = "the store has no change counter"
    NOT_RECORDED = "not recorded"
    UNCHANGED = "unchanged"
    CHANGED = "changed"


def _path(store: Store, collection: str, name: str) -> Path:
    place = index_dir(store.address, collection, name)
    return place.with_name(place.name + ".counter")


def recorded(store: Store, collection: str, name: str) -> ChangeCounter | None:
    """The counter that was recorded; None where there is none that can be read."""
    try:
        document = json.loads(_path(store, collection, name).read_bytes())
    except (FileNotFoundError, ValueError):
        # All rows are compared where nothing is recorded, so a damaged file costs time only.
        return None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    counter, value = document.get("counter"), document.get("value")
    if not isinstance(counter, str) or not isinstance(value, str):
        return None
    return ChangeCounter(counter, value)


def record(store: Store, collection: str, name: str, counter: ChangeCounter | None) -> None:
    """Record that the codes describe all rows as of ``counter``."""
    if counter is None:
        forget(store, collection, name)
        return
    document = {"format": FORMAT, "counter": counter.name, "value": counter.value}
    write_state_file(_path(store, collection, name), json.dumps(document))


def forget(store: Store, collection: str, name: str) -> None:
    """The codes are gone, or were replaced."""
    _path(store, collection, name).unlink(missing_ok=True)


def since(former: ChangeCounter | None, now: ChangeCounter | None) -> Since:
    """What two states of a counter tell."""
    if now is None:
        return Since.NO_COUNTER
    if former is None:
        return Since.NOT_RECORDED
    same = (former.name, former.value) == (now.name, now.value)
    return Since.UNCHANGED if same else Since.CHANGED
