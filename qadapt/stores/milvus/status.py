"""Whether a vector's quantization is in force: a judgement from what was read, no I/O.

On a server the truth is what the query nodes have loaded: a sealed segment with an index name.
"Finished" of ``describe_index`` is not enough, since searches went over unindexed data for 11 s
after it, and segments under 1,024 rows are never indexed while it says Finished too
(docs/engines/milvus.md#finished-is-not-used). In Lite the truth is an index file beside each data
file.

A segment's own row count includes rows that were deleted or replaced since it was sealed: after an
upsert of every row it still tells all of them, and none is found there. So live rows are counted by
the engine (``count(*)`` without growing segments, on 2.3.5 exact at consistency level Strong), and
what the segments without the index hold at most is subtracted.
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
# Signals that findings read.
IN_SEGMENTS = "rows in segments that use it, with those deleted since"
LEAST, MOST = "live rows in codes, at least", "live rows in codes, at most"
GROWING = "rows in growing segments"


@dataclass(frozen=True)
class Segment:
    """One segment that query nodes (or Lite) have.

    Attributes:
        rows: with those deleted or replaced since; None where it can't be told.
        index: the name of the index in use (in Lite its type); None for none.
    """

    rows: int | None
    index: str | None


@dataclass(frozen=True)
class Observation:
    """What is known of one vector's index.

    Attributes:
        count: rows.
        quantization: of the index, in common words.
        index: type, name and parameters; None where there is none.
        loaded: whether searches run at all.
        segments: None where the deployment does not show them.
        sealed: live rows in these segments, counted by the engine (in Lite: rows less those in
            memory); None where it can't be told.
        several: vectors in the collection: a loaded segment tells one index name.
        scalars: names of the indexes of scalar fields: where there are some, a segment tells any of
            all of them, and now this one, now that (seen on 2.3.5).
        reported: what ``describe_index`` says, for the evidence.
        lite: whether this is Milvus Lite.
        index_bytes: of index files, where they can be seen.
    """

    count: int
    quantization: Quantization
    index: Mapping[str, Any] | None
    loaded: bool
    segments: Sequence[Segment] | None
    sealed: int | None = None
    several: int = 1
    scalars: frozenset[str] = frozenset()
    reported: Mapping[str, Any] = field(default_factory=dict)
    lite: bool = False
    index_bytes: int | None = None

    @property
    def name(self) -> str:
        """What a segment that uses this index is marked by."""
        index = self.index or {}
        return str(index["index_type"] if self.lite else index["index_name"])


@dataclass(frozen=True)
class Live:
    """How many live rows are where.

    Attributes:
        growing: in growing segments, in Lite in memory: not flushed, or not indexed yet.
        least, most: bounds of those in segments that use the index. They differ only where a
            segment without the index holds rows that were deleted or replaced.
    """

    growing: int
    least: int
    most: int


def live_rows(observation: Observation) -> Live | None:
    """Bounds of the rows that are searched by codes; None where they cannot be told."""
    if observation.segments is None or observation.index is None or observation.sealed is None:
        return None
    using = sum(each.rows or 0 for each in observation.segments if each.index == observation.name)
    others = sum(each.rows or 0 for each in observation.segments if each.index != observation.name)
    # A segment may tell the index of a scalar field instead of this one (see ``Seen.scalars``).
    silent = sum(
        each.rows or 0 for each in observation.segments if each.index in observation.scalars
    )
    sealed = min(observation.sealed, observation.count)
    return Live(
        growing=observation.count - sealed,
        least=min(using, max(0, sealed - others)),
        most=min(using + silent, sealed),
    )


def status_of(observation: Observation) -> Status:
    """The state, its reason and the evidence for it."""
    evidence = _evidence(observation)
    if observation.quantization.kind is Kind.NONE:
        return Status(State.ABSENT, _about_floats(observation), evidence=evidence)
    # Lite loads a collection when qadapt first reads or searches it, in each process anew.
    if not observation.loaded and not observation.lite:
        return Status(
            State.IGNORED,
            "the collection is not loaded: no search runs",
            evidence=evidence,
            advice="`qadapt apply` loads it",
        )
    if observation.count == 0:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    live = live_rows(observation)
    if observation.segments is None or live is None:
        reason = "this deployment does not show which segments use the index"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    return _judge_segments(observation, observation.segments, live, evidence)


def _judge_segments(
    observation: Observation,
    segments: Sequence[Segment],
    live: Live,
    evidence: tuple[Evidence, ...],
) -> Status:
    using = [each for each in segments if each.index == observation.name]
    others = [each for each in segments if each.index not in (None, observation.name)]
    if observation.several > 1 and others and not using:
        reason = (
            "a loaded segment tells the name of one index, and this collection has "
            f"{observation.several} vectors"
        )
        return Status(State.UNKNOWN, reason, evidence=evidence)
    silent = [each for each in segments if each.index in observation.scalars]
    if silent and not using:
        reason = (
            "a loaded segment tells the name of one index, and now that is the one of a scalar "
            f"field: {silent[0].index}"
        )
        return Status(State.UNKNOWN, reason, evidence=evidence, advice="look again")
    segments = [each for each in segments if each not in silent]
    smallest = 0 if observation.lite else SMALLEST
    waiting = [
        s for s in segments if s.index != observation.name and (s.rows or SMALLEST) >= smallest
    ]
    share = round(live.least / observation.count, 4)
    if waiting:
        reason = f"{len(waiting)} of {len(segments)} segments do not use {observation.name} yet"
        return Status(State.BUILDING, reason, share, evidence, APPLY)
    if using and live.growing > live.least:
        return Status(State.BUILDING, _mostly_growing(observation, live), share, evidence, APPLY)
    if live.least:
        return Status(State.ACTIVE, _apart(observation, live), evidence=evidence)
    if live.most:
        reason = (
            f"at most {live.most:,} of {observation.count:,} rows are in codes, perhaps "
            "none: segments "
            "hold rows that were deleted or replaced, and Milvus does not show which"
        )
        return Status(
            State.UNKNOWN,
            reason,
            evidence=evidence,
            advice="look again once Milvus has compacted them (client.compact)",
        )
    if observation.lite:
        reason = "all rows are in memory, where Milvus Lite compares floats"
        return Status(State.BUILDING, reason, 0.0, evidence, APPLY)
    if live.growing >= SMALLEST:
        reason = f"{live.growing:,} of {observation.count:,} rows are in growing segments"
        return Status(State.BUILDING, reason, 0.0, evidence, APPLY)
    small = [each.rows or 0 for each in segments if each.index != observation.name]
    largest = max(small, default=live.growing)
    return Status(
        State.IGNORED,
        f"Milvus indexes no segment under {SMALLEST:,} rows; the largest has about {largest:,}",
        evidence=evidence,
        advice=f"write at least {SMALLEST:,} rows; until then searches compare floats",
    )


def _mostly_growing(observation: Observation, live: Live) -> str:
    reason = (
        f"{live.growing:,} of {observation.count:,} rows are {_place(observation)}, "
        "compared by their floats"
    )
    if not live.most:
        reason += "; the rows in segments that use the index were deleted or replaced"
    return reason


def _about_floats(observation: Observation) -> str:
    if observation.index is None:
        return "there is no index"
    return "" if observation.loaded else "the collection is not loaded: no search runs"


def _place(observation: Observation) -> str:
    return "in memory" if observation.lite else "in growing segments"


def _apart(observation: Observation, live: Live) -> str:
    """What an active quantization leaves out, in words."""
    small = observation.count - live.growing - live.least
    parts = []
    if small:
        parts.append(f"up to {small:,} rows are in segments under {SMALLEST:,} rows")
    if live.growing:
        parts.append(f"{live.growing:,} rows are {_place(observation)}")
    return f"{' and '.join(parts)}, and compared by their floats" if parts else ""


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    index = observation.index or {}
    found = [
        Evidence("describe_index: index_type", index.get("index_type")),
        Evidence("describe_index: params", dict(index.get("params") or {})),
        Evidence("describe_index: state (not enough by itself)", observation.reported.get("state")),
        Evidence("describe_index: indexed_rows", observation.reported.get("indexed_rows")),
        Evidence("loaded", observation.loaded),
        Evidence("rows", observation.count),
    ]
    if observation.segments is None or observation.index is None:
        return tuple(found)
    where = (
        "data files with an index file" if observation.lite else "list_loaded_segments: sealed with"
    )
    using = [each for each in observation.segments if each.index == observation.name]
    found += [
        Evidence(f"{where} {observation.name}", len(using)),
        Evidence("segments", len(observation.segments)),
        Evidence(IN_SEGMENTS, sum(s.rows or 0 for s in using)),
    ]
    live = live_rows(observation)
    if live is not None:
        signal = "rows in memory (write-ahead log)" if observation.lite else GROWING
        found.append(Evidence(signal, live.growing))
        found.append(Evidence(LEAST, live.least))
        found.append(Evidence(MOST, live.most))
    if observation.lite:
        found.append(Evidence("bytes of index files", observation.index_bytes))
    return tuple(found)
