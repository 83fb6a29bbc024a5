"""Mapping ids to ids that the target accepts, and back.

An id that the target does not accept becomes a UUID: version 5, of the id with its type as a
prefix, so that ``1`` and ``"1"`` map to two UUIDs (weaviate-client's ``generate_uuid5`` maps both
to one). The payload keeps the original id as JSON text, because some stores keep numbers as floats.
A row with this field is identified by its original id in all later reads. Copied to a
store that accepts it, the row gets the original id again, and the payload field is removed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from qadapt.migration.plan import SOURCE_ID
from qadapt.model import Id

# The namespace of the UUIDs. Another one would map the same ids to other UUIDs.
_NAMESPACE = uuid.UUID("5f0d6c1e-3a0b-5d9e-9a43-7b1d7c0e9a11")


def typed_text(key: Id) -> str:
    """The id as text with its type as a prefix."""
    return f"int:{key}" if isinstance(key, int) else f"str:{key}"


def to_uuid(key: Id) -> str:
    """The UUID that an id maps to.

    Raises:
        UnicodeEncodeError: the id contains a lone surrogate.
    """
    return str(uuid.uuid5(_NAMESPACE, typed_text(key)))


def encode_source_id(key: Id) -> str:
    """The payload value that keeps an original id."""
    return json.dumps(key, ensure_ascii=False)


def source_id(key: Id, payload: Mapping[str, Any] | None) -> Id | None:
    """The original id of a row, from its payload; None where the payload has none.

    A value that does not map to this row's id is a field of the user.
    """
    text = (payload or {}).get(SOURCE_ID)
    if not isinstance(text, str):
        return None
    try:
        original = json.loads(text)
    except ValueError:
        return None
    if type(original) is not int and type(original) is not str:
        return None
    return original if to_uuid(original) == key else None


def is_valid(key: Id) -> bool:
    """Whether an id can be copied: whether it is valid Unicode."""
    try:
        str(key).encode()
    except UnicodeEncodeError:
        return False
    return True


def target_id(key: Id, accepts: Callable[[Id], bool]) -> Id:
    """The id in the target: unchanged if accepted, else the UUID it maps to."""
    return key if accepts(key) else to_uuid(key)
