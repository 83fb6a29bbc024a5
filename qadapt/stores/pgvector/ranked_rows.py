"""Rows of a search, converted when they are read."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import Any

from qadapt.model.found_rows import Columns, FoundRows, Payloads, clip
from qadapt.stores import distances
from qadapt.stores.pgvector import payload
from qadapt.stores.pgvector.schema import ID_TYPES
from qadapt.stores.pgvector.statements import Source


class RankedRows(FoundRows):
    """Rows of each query as the client returned them: id, payload as JSON text, distance."""

    __slots__ = ("_found", "_source")

    def __init__(self, found: list[list[Any]], source: Source, k: int, with_payload: bool) -> None:
        # One is made for each search: everything else is left for when the results are read.
        self._found: list[Any] = found
        self._source = source
        self._lists = None
        self.k = k
        self.with_payload = with_payload
        self.clip = self.typed_ids = False

    def lists(self) -> Columns:
        """Ids and scores of each query."""
        if self._lists is None:
            self._found = columns = list(map(ranked, self._found))
            convert = distances.SCORES[self._source.vector.metric]
            ids, scores = [], []
            for each in columns:
                ids.append(list(each[0]))
                scores.append(convert(each[-1]))
            if ID_TYPES[self._source.table.require_key().type] != "int":
                ids = [list(map(str, row)) for row in ids]
            self._lists = (ids, clip(scores) if self.clip else scores)
        return self._lists

    def payload_lists(self) -> Payloads:
        """Payloads of each query."""
        self.lists()
        return [payload.from_texts(each[1], self._source.table) for each in self._found]


def ranked(rows: list[Any]) -> list[tuple[Any, ...]]:
    """The columns of the rows that have a distance, nearest first; zero vectors have none.

    An iterative scan in relaxed order may return a nearer row late.
    """
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    far = columns[-1]
    try:
        total = sum(far)
    except TypeError:  # None
        total = math.nan
    if total != total:
        return ranked([row for row in rows if row[-1] is not None and not math.isnan(row[-1])])
    if list(far) == sorted(far):
        return columns
    return list(zip(*sorted(rows, key=itemgetter(-1)), strict=True))
