"""Ids of documents, which are any text, as ids of rows."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable

from qadapt.errors import InputError
from qadapt.model.ids import Id

# The namespace of all ids that are derived from text. Stored rows depend on it.
NAMESPACE = uuid.UUID("6f1c9c1e-6a5d-5d0e-8c0f-2d1f6f0b7a11")
# At most 18 digits: every database stores such an integer.
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch


class RowIds:
    """Converts ids of documents to ids of rows.

    The text of an integer (``"7"``) is that integer. Other text is stored unchanged if the database
    accepts it, else as a UUID that is derived from it (version 5, RFC 9562); the row then keeps the
    text in its payload.

    Args:
        accepts: whether the database can store an id; None if it can store every id.
    """

    def __init__(self, accepts: Callable[[Id], bool] | None) -> None:
        self._accepts = accepts

    def key(self, text: str) -> Id:
        """The id of the row of a document.

        Raises:
            InputError: the id is not a string, or is empty.
        """
        return self.lookups(text)[0]

    def lookups(self, text: str) -> tuple[Id, ...]:
        """All ids of rows that may hold a document, the one that is written first.

        A collection that was copied from a database with other ids holds derived UUIDs.
        """
        if not isinstance(text, str) or not text:
            raise InputError(
                f"the id of a document must be a nonempty string; got {text!r:.60}",
                hint="pass str(id), or no id for a random UUID",
            )
        found: list[Id] = [int(text)] if _INTEGER(text) else []
        if self._accepts is None or self._accepts(text):
            found.append(text)
        return (*found, str(uuid.uuid5(NAMESPACE, text)))

    def all_lookups(self, texts: Iterable[str]) -> list[Id]:
        """``lookups`` of several documents, without duplicates."""
        return list(dict.fromkeys(key for text in texts for key in self.lookups(text)))
