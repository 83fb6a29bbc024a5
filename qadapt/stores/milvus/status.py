"""Derive the status of a vector's quantization from an observation, without I/O.

On a server the evidence is the index name of each sealed segment that the query nodes have loaded.
The state "Finished" of ``describe_index`` is not sufficient: searches read unindexed data for 11 s
after it, and it is also reported for segments under 1,024 rows, which are never indexed
(docs/engines/milvus.md#finished-is-not-used). In Lite the evidence is an index file for each data
file.

The row count of a segment includes rows deleted or replaced since it was sealed: after an upsert of
every row it still counts all of them, although none is live. Live rows are therefore counted with
``count(*)`` without growing segments (exact at Strong on 2.3.5), and the rows that segments without
the index contain at most are subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, Kind, Quantization, State, Status

# The smallest segment that a server indexes, in rows (rootCoord.minSegmentSizeToEnableIndex).
SMALLEST = 1024

NO_ROWS = "the collection is empty"
APPLY = "run `qadapt apply` to flush and wait until searches use the index"
# Evidence that `diagnostics` reads.
IN_SEGMENTS = "rows in segments that use the index, including rows deleted since"
LEAST, MOST = "live rows in codes, at least", "live rows in codes, at most"
GROWING = "rows in growing segments"


@dataclass(frozen=True)
class Segment:
    """A segment that the query nodes (or Lite) have loaded.

    Attributes:
        rows: including rows deleted or replaced since; None if unknown.
        index: the name of the index in use (in Lite its type); None without one.
    """

    rows: int | None
    index: str | None


@dataclass(frozen=True)
class Observation:
    """The state of one vector's index as read from the server.

    Attributes:
        count: the number of rows of the collection.
        quantization: the quantization of the index.
        index: type, name and parameters; None without an index.
        loaded: whether the collection is loaded.
        segments: the loaded segments; None if the deployment does not list them.
        sealed: live rows in these segments (in Lite: rows minus rows in memory); None if unknown.
        several: the number of vectors; a loaded segment reports only one index name.
        scalars: names of the indexes of scalar fields. If there are any, a segment reports the name
            of any index of the collection, and it changes over time (run on 2.3.5).
        reported: the result of ``describe_index``, for the evidence.
        lite: whether this is Milvus Lite.
        index_bytes: the size of the index files; None if unknown.
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
        """The name that a segment using this index reports."""
        index = self.index or {}
        return str(index["index_type"] if self.lite else index["index_name"])


@dataclass(frozen=True)
class Live:
    """The numbers of live rows with and without codes.

    Attributes:
        growing: rows in growing segments, or in memory in Lite: not flushed or not indexed yet.
        least, most: bounds of the rows in segments that use the index. They differ only if a
            segment without the index contains deleted or replaced rows.
    """

    growing: int
    least: int
    most: int


def live_rows(observation: Observation) -> Live | None:
    """Bounds of the number of rows that are searched with codes; None if unknown."""
    if observation.segments is None or observation.index is None or observation.sealed is None:
        return None
    using = sum(each.rows or 0 for each in observation.segments if each.index == observation.name)
    others = sum(each.rows or 0 for each in observation.segments if each.index != observation.name)
    # A segment may report the index of a scalar field instead (see ``Observation.scalars``).
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
    """The status with its reason and evidence."""
    evidence = _evidence(observation)
    if observation.quantization.kind is Kind.NONE:
        return Status(State.ABSENT, _reason_without_codes(observation), evidence=evidence)
    # In Lite, each process loads a collection when it first reads or searches it.
    if not observation.loaded and not observation.lite:
        return Status(
            State.IGNORED,
            "the collection is not loaded and cannot be searched",
            evidence=evidence,
            advice="run `qadapt apply` to load it",
        )
    if observation.count == 0:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    live = live_rows(observation)
    if observation.segments is None or live is None:
        reason = "this deployment does not report which segments use the index"
        return Status(State.UNKNOWN, reason, evidence=evidence)
    return _status_of_segments(observation, observation.segments, live, evidence)


def _status_of_segments(
    observation: Observation,
    segments: Sequence[Segment],
    live: Live,
    evidence: tuple[Evidence, ...],
) -> Status:
    using = [each for each in segments if each.index == observation.name]
    others = [each for each in segments if each.index not in (None, observation.name)]
    if observation.several > 1 and others and not using:
        reason = (
            "a loaded segment reports the name of one index only, and this collection has "
            f"{observation.several} vectors"
        )
        return Status(State.UNKNOWN, reason, evidence=evidence)
    silent = [each for each in segments if each.index in observation.scalars]
    if silent and not using:
        reason = (
            "a loaded segment reports the name of one index only, currently that of a scalar "
            f"field: {silent[0].index}"
        )
        return Status(State.UNKNOWN, reason, evidence=evidence, advice="run `qadapt info` again")
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
            f"at most {live.most:,} of {observation.count:,} rows have codes, possibly "
            "none: segments "
            "contain rows that were deleted or replaced, and Milvus does not report which"
        )
        return Status(
            State.UNKNOWN,
            reason,
            evidence=evidence,
            advice="compact the segments with client.compact(name), then run `qadapt info` again",
        )
    if observation.lite:
        reason = "all rows are in memory, where Milvus Lite compares original vectors"
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
        advice=f"write at least {SMALLEST:,} rows; until then searches compare original vectors",
    )


def _mostly_growing(observation: Observation, live: Live) -> str:
    reason = (
        f"{live.growing:,} of {observation.count:,} rows are {_place(observation)}, "
        "where searches compare original vectors"
    )
    if not live.most:
        reason += "; the rows in segments that use the index were deleted or replaced"
    return reason


def _reason_without_codes(observation: Observation) -> str:
    if observation.index is None:
        return "the vector has no index"
    # In Lite, each process loads a collection when it first reads or searches it.
    searchable = observation.loaded or observation.lite
    return "" if searchable else "the collection is not loaded and cannot be searched"


def _place(observation: Observation) -> str:
    return "in memory" if observation.lite else "in growing segments"


def _apart(observation: Observation, live: Live) -> str:
    """A description of the rows that an active quantization does not cover."""
    small = observation.count - live.growing - live.least
    parts = []
    if small:
        parts.append(f"up to {small:,} rows are in segments under {SMALLEST:,} rows")
    if live.growing:
        parts.append(f"{live.growing:,} rows are {_place(observation)}")
    return f"{' and '.join(parts)}: searches compare their original vectors" if parts else ""


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    index = observation.index or {}
    found = [
        Evidence("describe_index: index_type", index.get("index_type")),
        Evidence("describe_index: params", dict(index.get("params") or {})),
        Evidence("describe_index: state (not sufficient)", observation.reported.get("state")),
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
        found.append(Evidence("size of index files (bytes)", observation.index_bytes))
    return tuple(found)
