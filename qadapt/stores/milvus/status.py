"""Whether a vector's quantization is in force: a judgement from what was read, no I/O.

On a server the truth is what the query nodes have loaded: a sealed segment with an index name.
"Finished" of ``describe_index`` is not enough, since searches went over unindexed data for 11 s
after it, and segments under 1,024 rows are never indexed while it says Finished too (facts
section 3). In Lite the truth is an index file beside each data file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, Kind, Quantization, State, Status

# Rows of the smallest segment that a server indexes (rootCoord.minSegmentSizeToEnableIndex).
SMALLEST = 1024

NO_ROWS = "the collection has no rows yet, so there is nothing to see"
APPLY = "`qadapt apply` flushes, and waits until the index is in use"


@dataclass(frozen=True)
class Segment:
    """One segment that query nodes (or Lite) have.

    Attributes:
        rows: with those deleted since; None where it can't be told.
        index: the name of the index in use (in Lite its type); None for none.
    """

    rows: int | None
    index: str | None


@dataclass(frozen=True)
class Seen:
    """What is known of one vector's index.

    Attributes:
        count: rows.
        quantization: of the index, in common words.
        index: type, name and parameters; None where there is none.
        loaded: whether searches run at all.
        segments: None where the deployment does not show them.
        newest: rows were written that are in no segment yet; None where it can't be told.
        several: vectors in the collection: a loaded segment tells one index name.
        scalars: names of the indexes of scalar fields: where there are some, a segment tells any of
            all of them, and now this one, now that (seen on 2.3.5).
        told: what ``describe_index`` says, for the evidence.
        lite: whether this is Milvus Lite.
        index_bytes: of index files, where they can be seen.
    """

    count: int
    quantization: Quantization
    index: Mapping[str, Any] | None
    loaded: bool
    segments: Sequence[Segment] | None
    newest: bool | None = None
    several: int = 1
    scalars: frozenset[str] = frozenset()
    told: Mapping[str, Any] = field(default_factory=dict)
    lite: bool = False
    index_bytes: int | None = None

    @property
    def name(self) -> str:
        """What a segment that uses this index is marked by."""
        index = self.index or {}
        return str(index["index_type"] if self.lite else index["index_name"])


def judge(seen: Seen) -> Status:
    """The state, its reason and the evidence for it."""
    evidence = _evidence(seen)
    if seen.quantization.kind is Kind.NONE:
        return Status(State.ABSENT, _about_floats(seen), evidence=evidence)
    if not seen.loaded:
        return Status(
            State.IGNORED,
            "the collection is not loaded: no search runs",
            evidence=evidence,
            advice="`qadapt apply` loads it",
        )
    if seen.count == 0:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    if seen.segments is None:
        reason = "this deployment does not show which segments use the index"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    return _judge_segments(seen, seen.segments, evidence)


def _judge_segments(
    seen: Seen, segments: Sequence[Segment], evidence: tuple[Evidence, ...]
) -> Status:
    using = [each for each in segments if each.index == seen.name]
    others = [each for each in segments if each.index not in (None, seen.name)]
    if seen.several > 1 and others and not using:
        reason = (
            "a loaded segment tells the name of one index, and this collection has "
            f"{seen.several} vectors"
        )
        return Status(State.UNKNOWN, reason, evidence=evidence)
    silent = [each for each in segments if each.index in seen.scalars]
    if silent and not using:
        reason = (
            "a loaded segment tells the name of one index, and now that is the one of a scalar "
            f"field: {silent[0].index}"
        )
        return Status(State.UNKNOWN, reason, evidence=evidence, advice="look again")
    segments = [each for each in segments if each not in silent]
    smallest = 0 if seen.lite else SMALLEST
    waiting = [s for s in segments if s.index != seen.name and (s.rows or SMALLEST) >= smallest]
    if waiting:
        share = len(using) / len(segments)
        reason = f"{len(waiting)} of {len(segments)} segments do not use {seen.name} yet"
        return Status(State.BUILDING, reason, share, evidence, APPLY)
    growing = _growing(seen, segments)
    if using:
        coded = sum(each.rows or 0 for each in using)
        if growing >= max(SMALLEST, coded) and not seen.lite:
            reason = f"about {growing:,} of {seen.count:,} rows are not flushed yet"
            return Status(State.BUILDING, reason, coded / seen.count, evidence, APPLY)
        return Status(State.ACTIVE, _apart(seen, segments, growing), evidence=evidence)
    if seen.lite:
        reason = "all rows are in memory, where Milvus Lite compares floats"
        return Status(State.BUILDING, reason, 0.0, evidence, APPLY)
    if growing >= SMALLEST:
        reason = f"about {growing:,} of {seen.count:,} rows are not flushed yet"
        return Status(State.BUILDING, reason, 0.0, evidence, APPLY)
    largest = max((each.rows or 0 for each in segments), default=growing)
    return Status(
        State.IGNORED,
        f"Milvus indexes no segment under {SMALLEST:,} rows; the largest has about {largest:,}",
        evidence=evidence,
        advice=f"write at least {SMALLEST:,} rows; until then searches compare floats",
    )


def _growing(seen: Seen, segments: Sequence[Segment]) -> int:
    """Rows in no sealed segment, about: those deleted or replaced still count as sealed."""
    return max(0, seen.count - sum(each.rows or 0 for each in segments))


def _about_floats(seen: Seen) -> str:
    if seen.index is None:
        return "there is no index"
    return "" if seen.loaded else "the collection is not loaded: no search runs"


def _apart(seen: Seen, segments: Sequence[Segment], growing: int) -> str:
    small = sum(each.rows or 0 for each in segments if each.index != seen.name)
    parts = []
    if small:
        parts.append(f"{small:,} rows are in segments under {SMALLEST:,} rows")
    if seen.lite and seen.newest:
        parts.append("the newest rows are in memory")
    elif growing and not seen.lite:
        parts.append(f"about {growing:,} rows are not flushed")
    return f"{' and '.join(parts)}, and compared by their floats" if parts else ""


def _evidence(seen: Seen) -> tuple[Evidence, ...]:
    index = seen.index or {}
    found = [
        Evidence("describe_index: index_type", index.get("index_type")),
        Evidence("describe_index: params", dict(index.get("params") or {})),
        Evidence("describe_index: state (not enough by itself)", seen.told.get("state")),
        Evidence("describe_index: indexed_rows", seen.told.get("indexed_rows")),
        Evidence("loaded", seen.loaded),
        Evidence("rows", seen.count),
    ]
    if seen.segments is None or seen.index is None:
        return tuple(found)
    where = "data files with an index file" if seen.lite else "list_loaded_segments: sealed with"
    using = [each for each in seen.segments if each.index == seen.name]
    found += [
        Evidence(f"{where} {seen.name}", len(using)),
        Evidence("segments", len(seen.segments)),
    ]
    if seen.lite:
        found.append(Evidence("bytes of index files", seen.index_bytes))
        found.append(Evidence("rows in memory (write-ahead log not empty)", seen.newest))
    else:
        found.append(Evidence("rows in segments that use it", sum(s.rows or 0 for s in using)))
    return tuple(found)
