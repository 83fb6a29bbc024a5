"""Search results and how they were found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.model.arrays import Floats
from qadapt.model.found_rows import FoundRows
from qadapt.model.hit_rows import HitRows, id_column
from qadapt.model.ids import Id
from qadapt.model.serializable import Serializable


@dataclass(frozen=True)
class SearchProvenance(Serializable):
    """How a search was executed: searcher, rescorer, candidates and precision.

    Attributes:
        searcher: ``"store"`` (index of the database), ``"qadapt"`` (client-side codes) or
            ``"store exact"`` (no index).
        rescorer: ``"store"``, ``"qadapt"`` or ``"none"``.
        oversampling: requested or default factor.
        candidates: number of rescored candidates per query; 0 for none. It is a lower bound for a
            database that oversamples per segment.
        rescored_on: ``"originals"``, ``"codes"`` or ``"none"``.
        scores: ``"exact"``, or ``"approximate"`` if they were computed from codes or from vectors
            that the database stores with less precision than float32 (see notes).
        rescore_from: origin of the setting: ``"call"``, ``"collection"`` or ``"store default"``.
        notes: remarks about the results.
    """

    searcher: str
    rescorer: str
    oversampling: float
    candidates: int
    rescored_on: str
    scores: Literal["exact", "approximate"]
    rescore_from: str = "store default"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class HitsDocument(Serializable):
    """JSON form of ``Hits``; padding is null."""

    ids: tuple[tuple[Id | None, ...], ...]
    scores: tuple[tuple[float | None, ...], ...]
    how: SearchProvenance
    payloads: tuple[tuple[dict[str, Any] | None, ...], ...] | None = None


@dataclass(frozen=True, eq=False)
class Hits(HitRows):
    """Search results, best first.

    Iterating yields ``Hit(id, score, payload, query)``, query by query; ``len`` counts them.

    Attributes:
        ids: ``(nq, k)``: int64 (uint64 from 2**63) if every query has ``k`` results with integer
            ids; otherwise objects, padded with None.
        scores: float32 ``(nq, k)``, higher is better (cosine similarity, dot product, negative
            squared L2); padded with NaN.
        how: how the search was executed.
        payloads: ``nq`` lists of dicts (padded with None), or None if not requested.
    """

    ids: npt.NDArray[Any]
    scores: Floats
    how: SearchProvenance
    # Not a default: a class attribute would hide that the payloads are not decoded yet.
    payloads: list[list[dict[str, Any] | None]] | None = dataclasses.field(
        default_factory=lambda: None
    )

    @classmethod
    def of_rows(cls, rows: FoundRows, how: SearchProvenance) -> Hits:
        """Create hits that convert what the client returned when it is first read."""
        made = object.__new__(cls)
        # An entry of the instance hides the class attribute.
        fields = made.__dict__
        fields["how"], fields["_rows"] = how, rows
        if not rows.with_payload:
            fields["payloads"] = None
        return made

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            rows = self.__dict__.get("_rows")
            if rows is None or name not in ("ids", "scores", "payloads"):
                raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
            if name == "payloads":
                self.__dict__["payloads"] = rows.payloads()
            else:
                ids, scores = rows.arrays()
                self.__dict__.update(ids=ids, scores=scores)
            return self.__dict__[name]

    def __getstate__(self) -> dict[str, Any]:
        names = ("ids", "scores", "how", "payloads")
        return {name: getattr(self, name) for name in names}

    def described(
        self, how: SearchProvenance, *, clip: bool = False, typed_ids: bool = False
    ) -> Hits:
        """Copy with another provenance.

        Args:
            clip: limit scores to the range of a cosine, -1 to 1.
            typed_ids: integer ids become an array of integers, if no result is missing.
        """
        rows = self._rows
        if rows is not None:
            return Hits.of_rows(rows.changed(clip=clip, typed_ids=typed_ids), how)
        scores = np.clip(self.scores, -1, 1) if clip else self.scores
        return Hits(id_column(self.ids) if typed_ids else self.ids, scores, how, self.payloads)

    def finish(self, how: SearchProvenance, clip: bool) -> Hits:
        """Set the provenance and conversions of hits that nothing has read yet, in place."""
        rows = self._rows
        if rows is None:
            return self.described(how, clip=clip, typed_ids=True)
        if clip:
            rows.clip = True
        rows.typed_ids = True
        self.__dict__["how"] = how
        return self

    def with_note(self, note: str) -> Hits:
        """Copy with another note on how the search was executed."""
        how = self.how.replace(notes=(*self.how.notes, note))
        return Hits(self.ids, self.scores, how, self.payloads)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types; padding and non-finite scores become null."""
        result: dict[str, Any] = {
            "ids": self.ids.tolist(),
            "scores": [
                [score if math.isfinite(score) else None for score in row]
                for row in self.scores.tolist()
            ],
            "how": self.how.to_dict(),
        }
        if self.payloads is not None:
            result["payloads"] = self.payloads
        return result

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[tuple[Id, float]]],
        k: int,
        how: SearchProvenance,
        payloads: list[list[dict[str, Any] | None]] | None = None,
    ) -> Hits:
        """Create hits from ``nq`` lists of (id, score), padded to ``k`` columns."""
        ids = np.full((len(rows), k), None, dtype=object)
        scores = np.full((len(rows), k), np.nan, dtype=np.float32)
        for at, row in enumerate(rows):
            found = min(len(row), k)
            ids[at, :found] = [item[0] for item in row[:k]]
            scores[at, :found] = [item[1] for item in row[:k]]
        if payloads is not None:
            payloads = [(row + [None] * k)[:k] for row in payloads]
        return cls(ids, scores, how, payloads)
