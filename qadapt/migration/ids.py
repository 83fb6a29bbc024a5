"""Ids on their way from store to store, and home again.

An id that the target has no room for becomes a UUID: version 5, of the id with its type before
it, so that ``1`` and ``"1"`` are two (weaviate-client's ``generate_uuid5`` makes them one). What
the id was is kept in the payload, as JSON text, because some stores keep numbers as floats. A row
that carries such a note is known by it, wherever it is read later: copied back it gets its own
id again, and the note is gone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from qadapt.model import Id
from qadapt.stores.uuids import usual

SOURCE_ID = "qadapt_source_id"
# Of qadapt alone; another one would make other UUIDs of the same ids.
_SPACE = uuid.UUID("5f0d6c1e-3a0b-5d9e-9a43-7b1d7c0e9a11")


def tagged(key: Id) -> str:
    """The id with its type before it."""
    return f"int:{key}" if isinstance(key, int) else f"str:{key}"


def as_uuid(key: Id) -> str:
    """The UUID that stands for an id.

    Raises:
        UnicodeEncodeError: text with a lone surrogate, which nothing can stand for.
    """
    return str(uuid.uuid5(_SPACE, tagged(key)))


def is_uuid(key: Id) -> bool:
    """Whether an id is a UUID in its usual form."""
    return isinstance(key, str) and usual(key)


def note(key: Id) -> str:
    """What the payload keeps of an id that was changed."""
    return json.dumps(key, ensure_ascii=False)


def noted(key: Id, payload: Mapping[str, Any] | None) -> Id | None:
    """What a row's id was, by the note in its payload; None without one that fits.

    A note that does not lead to this very id is somebody's own entry of that name.
    """
    text = (payload or {}).get(SOURCE_ID)
    if not isinstance(text, str):
        return None
    try:
        was = json.loads(text)
    except ValueError:
        return None
    if type(was) is not int and type(was) is not str:
        return None
    return was if as_uuid(was) == key else None


def possible(key: Id) -> bool:
    """Whether an id can be carried at all."""
    try:
        str(key).encode()
    except UnicodeEncodeError:
        return False
    return True


def target_id(key: Id, takes: Callable[[Id], bool]) -> Id:
    """The id in a target: itself where it is taken, else the UUID that stands for it."""
    return key if takes(key) else as_uuid(key)
