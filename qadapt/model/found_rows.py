"""Results as the client of a database returned them, converted when they are first read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.model.hit_rows import id_column
from qadapt.model.ids import Id

Payloads = list[list[dict[str, Any] | None]]
Columns = tuple[list[list[Id]], list[list[float]]]


class FoundRows:
    """Results of a search whose ids, scores and payloads are not converted yet.

    Args:
        read: returns the ids and scores of each query, best first, without padding; at most ``k``
            of each. Scores are exact in float32 (``float32_values``).
        k: number of columns.
        read_payloads: returns the payloads, not padded; None if they were not requested.
        clip: limit scores to the range of a cosine, -1 to 1.
        typed_ids: ids become an array of integers if no result is missing.
    """

    __slots__ = ("_lists", "clip", "k", "read", "read_payloads", "typed_ids", "with_payload")

    def __init__(
        self,
        read: Callable[[], Columns],
        k: int,
        read_payloads: Callable[[], Payloads] | None = None,
        *,
        clip: bool = False,
        typed_ids: bool = False,
    ) -> None:
        self.read = read
        self.k = k
        self.read_payloads = read_payloads
        self.with_payload = read_payloads is not None
        self.clip = clip
        self.typed_ids = typed_ids
        self._lists: Columns | None = None

    def changed(self, *, clip: bool, typed_ids: bool) -> FoundRows:
        """Copy with conversions added."""
        made = copy.copy(self)
        made._lists = None
        made.clip, made.typed_ids = clip or self.clip, typed_ids or self.typed_ids
        return made

    def lists(self) -> Columns:
        """Ids and scores of each query."""
        if self._lists is None:
            ids, scores = self.read()
            self._lists = (ids, clip(scores) if self.clip else scores)
        return self._lists

    def arrays(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
        """Ids and scores, ``(nq, k)``, padded with None and NaN; ids are objects unless typed."""
        found, numbers = self.lists()
        if found and all(len(row) == self.k for row in found):
            keys = id_column(found) if self.typed_ids else np.array(found, dtype=object)
            return keys, np.array(numbers, dtype=np.float32)
        ids = np.full((len(found), self.k), None, dtype=object)
        scores = np.full((len(found), self.k), np.nan, dtype=np.float32)
        for at, (row, values) in enumerate(zip(found, numbers, strict=True)):
            ids[at, : len(row)] = row
            scores[at, : len(row)] = values
        return ids, scores

    def payload_lists(self) -> Payloads:
        """Payloads of each query, not padded."""
        assert self.read_payloads is not None
        return self.read_payloads()

    def payloads(self) -> Payloads | None:
        """Payloads of each query, padded with None."""
        if not self.with_payload:
            return None
        found = self.payload_lists()
        if len(found) == 1 and len(found[0]) == self.k:
            return found
        return [row if len(row) == self.k else row + [None] * (self.k - len(row)) for row in found]


def float32_values(scores: list[float]) -> list[float]:
    """The scores rounded to float32."""
    found: list[float] = np.asarray(scores, dtype=np.float32).tolist()
    return found


def clip(scores: list[list[float]]) -> list[list[float]]:
    """Limit the scores of each query, best first, to the range of a cosine, -1 to 1."""
    for at, row in enumerate(scores):
        if row and (row[0] > 1.0 or row[-1] < -1.0):
            scores[at] = [min(1.0, max(-1.0, score)) for score in row]
    return scores
