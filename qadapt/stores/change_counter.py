"""Counters of changes: what an engine tells about writes by any client since an earlier look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from qadapt.model import Id


@dataclass(frozen=True)
class ChangeCounter:
    """The state of an engine's own counter for one collection.

    Attributes:
        name: what the engine counts, for messages: ``"segment versions"``.
        value: differs after a write, an update or a deletion by any client, and is the same
            after reads. Compared for equality only.
        complete: whether an equal value proves that nothing changed. Where it is False, an equal
            value proves nothing, and rows drawn at random are compared as well.
        number: grows by one for each row that is written; None where the engine has no such
            number.
        deletion: what ``number`` grows by one for in a deletion: each ``row`` that existed, or
            each ``call``.
    """

    name: str
    value: str
    complete: bool = True
    number: int | None = None
    deletion: Literal["row", "call"] = "row"

    def accounted(self, before: ChangeCounter, *, written: int = 0, deleted: int = 0) -> bool:
        """Whether one call that wrote or deleted so many rows explains the change since ``before``.

        Args:
            deleted: rows that existed.
        """
        if self.number is None or before.number is None:
            return False
        gone = deleted if self.deletion == "row" else int(not written)
        return self.number - before.number == written + gone


class Counted:
    """The part of a store that tells whether a collection was changed."""

    def change_counter(self, collection: str) -> ChangeCounter | None:
        """The engine's change counter; None where it has none that can be read."""
        return None

    def changed_since(
        self, collection: str, counter: ChangeCounter
    ) -> Iterator[Sequence[Id]] | None:
        """Ids of rows that were written since ``counter`` was read, in pages; rows may be among
        them that were written shortly before. None where the engine does not tell which."""
        return None

    @contextmanager
    def exclusive(self, collection: str) -> Iterator[bool]:
        """Yields whether no other client can change the collection inside the block."""
        yield False
