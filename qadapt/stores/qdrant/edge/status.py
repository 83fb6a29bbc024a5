"""The status of a vector's quantization, derived from files without I/O.

Scalar and product codes exist only in indexed segments; binary and rotational codes also in growing
ones. A segment is indexed when its widest vector reaches ``indexing_threshold`` KB and the
optimizer runs, which in this engine happens only on request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.model import Evidence, State, Status, Vector
from qadapt.stores.qdrant import indexing_threshold
from qadapt.stores.qdrant.edge.segment_files import SegmentVector
from qadapt.stores.qdrant.memory import IN_GROWING_SEGMENTS

NO_ROWS = "no row has this vector yet, so there is nothing to verify"
ONE_BIT = "its codes lack the statistics for more than 1 bit and are compared by 1 bit"
APPLY = "run `qadapt apply` to build them"


@dataclass(frozen=True)
class Observation:
    """The evidence for one vector.

    Attributes:
        vector: dimensions, metric, datatype.
        count: number of rows with it.
        target: its effective ``quantization_config``; None for none.
        threshold: KB from which a segment is indexed; 0 for never.
        segments: the segments, according to their files.
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

        A segment whose rows were all deleted or replaced remains until the engine optimizes.
        """
        return [item for item in self.segments if item.indexed and not item.empty]

    @property
    def growing(self) -> list[SegmentVector]:
        """Segments with live rows and no index."""
        return [item for item in self.segments if not item.indexed and not item.empty]

    @property
    def growing_sizes(self) -> list[float]:
        """KB of the widest vector of each growing segment, which the engine compares with the
        threshold.
        """
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
        """Number of rows with wider codes that the engine compares by 1 bit."""
        return sum(segment.present for segment in self.growing if segment.unmeasured)

    @property
    def unobserved(self) -> bool:
        """Whether the indexed segments may have no live row: the files do not show deleted ones."""
        uncounted = any(segment.live is None for segment in self.indexed)
        return uncounted and sum(segment.present for segment in self.growing) >= self.count

    @property
    def all_unmeasured(self) -> bool:
        """Whether no row has its wider code."""
        return self.unmeasured > 0 and all(segment.unmeasured for segment in self.expected)


def codes_while_growing(target: Mapping[str, Any] | None) -> bool:
    """Whether the engine also builds codes of this kind in segments without an index."""
    return any(kind in (target or {}) for kind in IN_GROWING_SEGMENTS)


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(observation)
    if not observation.target:
        return _without_target(observation, evidence)
    if observation.count == 0:
        return Status(
            State.UNKNOWN,
            NO_ROWS,
            evidence=evidence,
        )
    wrong = [segment for segment in observation.expected if not segment.matches(observation.target)]
    if wrong:
        return _building(
            f"{len(wrong)} of {len(observation.expected)} segments have no codes or different "
            "codes",
            _share(observation),
            evidence,
        )
    if not observation.expected and not observation.waiting:
        return Status(
            State.IGNORED,
            indexing_threshold.why_ignored(
                observation.target,
                observation.threshold,
                observation.growing_sizes,
                observation.count,
            ),
            evidence=evidence,
            advice=indexing_threshold.how_to_index(observation.growing_sizes, "builds"),
        )
    if observation.waiting:
        rows = sum(segment.present for segment in observation.waiting)
        return _building(
            f"up to {rows:,} of {observation.count:,} rows were written since the engine "
            "last optimized",
            _share(observation),
            evidence,
        )
    if observation.all_unmeasured:
        return Status(
            State.IGNORED,
            f"all {observation.unmeasured:,} rows were added to a segment that was created empty: "
            f"{ONE_BIT}",
            evidence=evidence,
            advice="run `qadapt apply` to rebuild the codes from these rows",
        )
    if observation.unobserved and not codes_while_growing(observation.target):
        return Status(
            State.UNKNOWN,
            "the files do not show which rows of indexed segments were deleted or replaced; it "
            "may be all of them",
            evidence=evidence,
            advice="run `qadapt verify` to measure recall",
        )
    return Status(State.ACTIVE, _apart(observation), evidence=evidence)


def _without_target(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    holding = [segment for segment in observation.segments if segment.code_config is not None]
    if not holding and observation.vector.datatype == "float16":
        return _half(observation, evidence)
    if not holding:
        return Status(State.ABSENT, evidence=evidence)
    total = len(observation.segments)
    return _building(
        f"configured as none, but {len(holding)} of {total} segments still hold codes",
        1 - len(holding) / total,
        evidence,
    )


def _half(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    """The status of float16 vectors: active if the segments store them."""
    half = sum(segment.datatype == "float16" for segment in observation.segments)
    evidence = (*evidence, Evidence("segments with float16 vectors", half))
    if half < len(observation.segments) or not observation.segments:
        return Status(State.UNKNOWN, "segments report a different datatype", None, evidence)
    if observation.count == 0:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)


def _building(reason: str, progress: float, evidence: tuple[Evidence, ...]) -> Status:
    advice = f"this engine builds codes only on request; {APPLY}"
    return Status(State.BUILDING, reason, progress, evidence, advice)


def _share(observation: Observation) -> float:
    """The share of rows with the configured codes."""
    return round(min(1.0, _coded(observation) / max(1, observation.count)), 4)


def _coded(observation: Observation) -> int:
    return sum(segment.present for segment in _good(observation))


def _good(observation: Observation) -> list[SegmentVector]:
    return [
        s
        for s in observation.segments
        if s.code_config is not None and s.matches(observation.target)
    ]


def _places(observation: Observation) -> int:
    return sum(segment.rows or 0 for segment in _good(observation))


def _apart(observation: Observation) -> str:
    """Describe the rows that an active quantization does not cover."""
    rows = sum(segment.present for segment in observation.growing)
    if not rows:
        return ""
    if observation.unmeasured:
        return (
            f"up to {observation.unmeasured:,} of {observation.count:,} rows were added to a "
            f"segment that was created empty: {ONE_BIT} until they are indexed"
        )
    if codes_while_growing(observation.target):
        return f"up to {rows:,} rows are in segments without an index but have codes"
    return (
        f"up to {rows:,} of {observation.count:,} rows are in segments below the indexing "
        f"threshold of {observation.threshold:,} KB and are compared by their original vectors"
    )


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    return (
        Evidence("edge_config.json: effective quantization", observation.target),
        Evidence("edge_config.json: indexing_threshold (KB)", observation.threshold),
        Evidence("segments", len(observation.segments)),
        Evidence("segments indexed", len(observation.indexed)),
        Evidence("segments expected to hold codes", len(observation.expected)),
        Evidence(
            "segments with the configured codes",
            sum(segment.matches(observation.target) for segment in observation.expected),
        ),
        Evidence("rows", observation.count),
        Evidence(
            "rows in codes, including deleted rows",
            _places(observation) if observation.target else 0,
        ),
        Evidence("live rows in codes, at most", _coded(observation) if observation.target else 0),
        Evidence("rows with wider codes compared by 1 bit", observation.unmeasured),
        Evidence("bytes of codes on disk", sum(s.code_bytes for s in observation.segments)),
    )
