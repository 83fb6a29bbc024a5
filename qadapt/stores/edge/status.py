"""Whether a vector's quantization is in force: a judgement from files alone, no I/O.

Scalar and product codes exist in indexed segments only; binary and rotational codes in growing
ones too. A segment is indexed when its widest vector reaches ``indexing_threshold`` KB and the
optimizer ran, which in this engine happens when it is told to and not by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.model import Evidence, State, Status, Vector
from qadapt.stores.edge.files import SegmentVector
from qadapt.stores.qdrant import thresholds
from qadapt.stores.qdrant.sizes import IN_GROWING_SEGMENTS

NO_ROWS = "the collection has no such vectors yet, so there is nothing to see"
ONE_BIT = "its codes have no statistics to tell wider bits by and are compared by one bit"
APPLY = "`qadapt apply` lets the engine build them"


@dataclass(frozen=True)
class Seen:
    """What is known of one vector.

    Attributes:
        vector: dimensions, metric, datatype.
        count: rows that have it.
        target: its ``quantization_config`` in force; None for none.
        threshold: KB from which a segment is indexed; 0 for never.
        segments: as their files show them.
        widest: KB of the widest vector of each growing segment, by the segment's name.
    """

    vector: Vector
    count: int
    target: Mapping[str, Any] | None
    threshold: int
    segments: Sequence[SegmentVector]
    widest: Mapping[str, float]

    @property
    def indexed(self) -> list[SegmentVector]:
        """Segments with an index and a live row.

        One whose rows were all deleted or replaced stays until the engine optimizes.
        """
        return [item for item in self.segments if item.indexed and not item.empty]

    @property
    def growing(self) -> list[SegmentVector]:
        """Segments with live rows and no index."""
        return [item for item in self.segments if not item.indexed and not item.empty]

    @property
    def growing_sizes(self) -> list[float]:
        """KB of the widest vector of each growing segment: what the engine compares."""
        return [self.widest.get(each.segment, 0.0) for each in self.growing]

    @property
    def expected(self) -> list[SegmentVector]:
        """Segments that must hold codes by the engine's own rules."""
        return self.indexed + (self.growing if codes_while_growing(self.target) else [])

    @property
    def waiting(self) -> list[SegmentVector]:
        """Growing segments that the optimizer would index if it ran now."""
        if self.threshold == 0:
            return []
        return [s for s in self.growing if self.widest.get(s.segment, 0) >= self.threshold]

    @property
    def unmeasured(self) -> int:
        """Rows with wider codes that the engine compares by one bit."""
        return sum(segment.present for segment in self.growing if segment.unmeasured)

    @property
    def unseen(self) -> bool:
        """Whether perhaps no live row is in an indexed segment: nothing shows those deleted."""
        uncounted = any(segment.live is None for segment in self.indexed)
        return uncounted and sum(segment.present for segment in self.growing) >= self.count

    @property
    def all_unmeasured(self) -> bool:
        """Whether no row has its wider code."""
        return self.unmeasured > 0 and all(segment.unmeasured for segment in self.expected)


def codes_while_growing(target: Mapping[str, Any] | None) -> bool:
    """Whether the engine gives this kind to segments without an index too."""
    return any(kind in (target or {}) for kind in IN_GROWING_SEGMENTS)


def judge(seen: Seen) -> Status:
    """The state, its reason and the evidence for it."""
    evidence = _evidence(seen)
    if not seen.target:
        return _without_target(seen, evidence)
    if seen.count == 0:
        return Status(
            State.UNKNOWN,
            NO_ROWS,
            evidence=evidence,
        )
    wrong = [segment for segment in seen.expected if not segment.obeys(seen.target)]
    if wrong:
        return _building(
            f"{len(wrong)} of {len(seen.expected)} segments have other codes or none",
            _share(seen),
            evidence,
        )
    if not seen.expected and not seen.waiting:
        return Status(
            State.IGNORED,
            thresholds.why_ignored(seen.target, seen.threshold, seen.growing_sizes, seen.count),
            evidence=evidence,
            advice=thresholds.how_to_index(seen.growing_sizes, "builds"),
        )
    if seen.waiting:
        rows = sum(segment.present for segment in seen.waiting)
        return _building(
            f"up to {rows:,} of {seen.count:,} rows were written since the engine last optimized",
            _share(seen),
            evidence,
        )
    if seen.all_unmeasured:
        return Status(
            State.IGNORED,
            f"all {seen.unmeasured:,} rows were added to a segment that was empty when it was set "
            f"up: {ONE_BIT}",
            evidence=evidence,
            advice="`qadapt apply` builds the codes again, from these rows",
        )
    if seen.unseen and not codes_while_growing(seen.target):
        return Status(
            State.UNKNOWN,
            "nothing shows which rows of indexed segments were deleted or replaced: perhaps all",
            evidence=evidence,
            advice="compare recall: qadapt verify",
        )
    return Status(State.ACTIVE, _apart(seen), evidence=evidence)


def _without_target(seen: Seen, evidence: tuple[Evidence, ...]) -> Status:
    holding = [segment for segment in seen.segments if segment.code_config is not None]
    if not holding and seen.vector.datatype == "float16":
        return _half(seen, evidence)
    if not holding:
        return Status(State.ABSENT, evidence=evidence)
    total = len(seen.segments)
    return _building(
        f"set to none, but {len(holding)} of {total} segments still hold codes",
        1 - len(holding) / total,
        evidence,
    )


def _half(seen: Seen, evidence: tuple[Evidence, ...]) -> Status:
    """16-bit floats in place of the 32-bit ones: in force where rows are kept so."""
    half = sum(segment.datatype == "float16" for segment in seen.segments)
    evidence = (*evidence, Evidence("segments whose originals are float16", half))
    if half < len(seen.segments) or not seen.segments:
        return Status(State.UNKNOWN, "segments say that they hold other floats", None, evidence)
    if seen.count == 0:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)


def _building(reason: str, progress: float, evidence: tuple[Evidence, ...]) -> Status:
    advice = f"this engine builds only when told to; {APPLY}"
    return Status(State.BUILDING, reason, progress, evidence, advice)


def _share(seen: Seen) -> float:
    """Share of rows whose codes are those of the target."""
    return round(min(1.0, _coded(seen) / max(1, seen.count)), 4)


def _coded(seen: Seen) -> int:
    return sum(segment.present for segment in _good(seen))


def _good(seen: Seen) -> list[SegmentVector]:
    return [s for s in seen.segments if s.code_config is not None and s.obeys(seen.target)]


def _places(seen: Seen) -> int:
    return sum(segment.rows or 0 for segment in _good(seen))


def _apart(seen: Seen) -> str:
    """What an active quantization leaves out, in words."""
    rows = sum(segment.present for segment in seen.growing)
    if not rows:
        return ""
    if seen.unmeasured:
        return (
            f"up to {seen.unmeasured:,} of {seen.count:,} rows were added to a segment that was "
            f"empty when it was set up: {ONE_BIT} until they are indexed"
        )
    if codes_while_growing(seen.target):
        return f"up to {rows:,} rows are in segments without an index, with codes all the same"
    return (
        f"up to {rows:,} of {seen.count:,} rows are in a segment under the indexing threshold "
        f"of {seen.threshold:,} KB and are compared by their floats"
    )


def _evidence(seen: Seen) -> tuple[Evidence, ...]:
    return (
        Evidence("edge_config.json: quantization in force", seen.target),
        Evidence("edge_config.json: indexing_threshold (KB)", seen.threshold),
        Evidence("segments", len(seen.segments)),
        Evidence("segments indexed", len(seen.indexed)),
        Evidence("segments expected to hold codes", len(seen.expected)),
        Evidence(
            "segments whose codes are those configured",
            sum(segment.obeys(seen.target) for segment in seen.expected),
        ),
        Evidence("rows", seen.count),
        Evidence("rows in codes, with those deleted since", _places(seen) if seen.target else 0),
        Evidence("live rows in codes, at most", _coded(seen) if seen.target else 0),
        Evidence("rows with wider codes compared by one bit", seen.unmeasured),
        Evidence("bytes of codes on disk", sum(s.code_bytes for s in seen.segments)),
    )
