"""Change counters: an engine's own evidence of writes by any client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from qadapt.model import Id


@dataclass(frozen=True)
class ChangeCounter:
    """The value of an engine's change counter for one collection.

    Attributes:
        name: what is counted, for messages: ``"segment versions"``.
        value: changes with each write, update or deletion by any client, and not with reads.
            Compared only for equality.
        complete: whether an equal value proves that nothing changed. If False, randomly sampled
            rows are compared as well.
        number: increases by one for each row written; None if the engine has none.
        deletion: what increases ``number`` in a deletion: each existing ``row``, or each ``call``.
    """

    name: str
    value: str
    complete: bool = True
    number: int | None = None
    deletion: Literal["row", "call"] = "row"

    def accounted(self, before: ChangeCounter, *, written: int = 0, deleted: int = 0) -> bool:
        """Whether one call that wrote and deleted these numbers of rows explains the change since
        ``before``.

        Args:
            deleted: deleted rows that existed.
        """
        if self.number is None or before.number is None:
            return False
        gone = deleted if self.deletion == "row" else int(not written)
        return self.number - before.number == written + gone


class Counted:
    """The part of a store that detects whether a collection was changed."""

    def change_counter(self, collection: str) -> ChangeCounter | None:
        """The engine's change counter; None if it has none that can be read."""
        return None

    def changed_since(
        self, collection: str, counter: ChangeCounter
    ) -> Iterator[Sequence[Id]] | None:
        """Ids of rows written since ``counter`` was read, in pages; may include rows written
        shortly before. None if the engine does not provide them.
        """
        return None

    @contextmanager
    def exclusive(self, collection: str) -> Iterator[bool]:
        """Yields whether no other client can change the collection inside the block."""
        yield False
