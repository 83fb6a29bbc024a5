"""Whether a vector's quantization is in force: a judgement from what the server shows, no I/O.

Facts section 3: scalar and product codes exist in indexed segments only; binary and rotational
ones in growing segments too since 1.16. A segment is indexed when its vectors reach
``indexing_threshold`` KB. ``status`` may say green too early, stays grey for ever after a kill,
and says nothing of codes; segments do.

Binary codes of 1.5 and 2 bits need statistics of the rows, which are taken when a segment is
built. Rows that are added to a segment that was empty then are compared by one bit (seen on 1.16.3
and 1.19.0: recall .270 with 1 and with 2 bits, .394 once indexed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, State, Status, Vector
from qadapt.model.capabilities import older
from qadapt.stores.qdrant import thresholds
from qadapt.stores.qdrant.mapping import code_bytes, from_native, same_config
from qadapt.stores.qdrant.memory import CodeBytes
from qadapt.stores.qdrant.optimizations import Optimizations
from qadapt.stores.qdrant.sizes import IN_GROWING_SEGMENTS, kilobytes
from qadapt.stores.qdrant.telemetry import Segment, Telemetry

GREEN, YELLOW, GREY, RED = "green", "yellow", "grey", "red"
SINCE_GROWING = "1.16"

VERIFY = "`qadapt verify` measures recall with and without rescoring, which shows what is in use"
APPLY = "`qadapt apply` wakes the optimizer (PATCH optimizers_config: {}) and waits"
STALLED = "optimizations are queued and none runs"
WIDE = ("two_bits", "one_and_half_bits")


@dataclass(frozen=True)
class Seen:
    """What is known of one vector.

    Attributes:
        vector: dimensions, metric, datatype.
        count: rows that have it.
        target: its ``quantization_config`` in force; None for none.
        threshold: KB from which a segment is indexed; 0 for never.
        colour: the collection's ``status``.
        trouble: the optimizer's error, if it has one.
        version: of the server.
        name: of the vector.
        telemetry: what segments hold; None where it cannot be seen.
        unseen: why not.
        optimizations: what runs and what is queued; None where the server does not tell.
        widest: KB of the widest vector of each segment, in the order of the telemetry.
        note: a line on versions of client and server.
        built: rows that segments were built from, by their uuid.
        bytes_of: what the codes take, as the server reports it.
        clash: why the configuration contradicts itself; empty where it does not.
    """

    name: str
    vector: Vector
    count: int
    target: Mapping[str, Any] | None
    threshold: int
    colour: str
    trouble: str
    version: str | None
    telemetry: Telemetry | None
    unseen: str = ""
    optimizations: Optimizations | None = None
    widest: Sequence[float] = ()
    note: str | None = None
    built: Mapping[str, int] = field(default_factory=dict)
    bytes_of: CodeBytes | None = None
    clash: str = ""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Its segments."""
        return () if self.telemetry is None else self.telemetry.segments.get(self.name, ())

    @property
    def indexed(self) -> list[Segment]:
        """Segments with an index and a live row."""
        return [each for each in self.segments if each.indexed and each.present]

    @property
    def growing(self) -> list[Segment]:
        """Segments with live rows and no index."""
        return [each for each in self.segments if not each.indexed and each.present]

    @property
    def growing_sizes(self) -> list[float]:
        """KB of the widest vector of each growing segment: what the server compares."""
        pairs = zip(self.segments, self.widest, strict=True)
        return [size for each, size in pairs if not each.indexed and each.present]

    @property
    def expected(self) -> list[Segment]:
        """Segments that must hold codes by the engine's own rules."""
        return self.indexed + (self.growing if self.codes_while_growing else [])

    @property
    def codes_while_growing(self) -> bool:
        """Whether this kind is built without an index too."""
        return codes_while_growing(self.target, self.version)

    @property
    def obeying(self) -> list[Segment]:
        """The expected segments whose codes are those configured."""
        return [each for each in self.expected if obeys(each, self.target)]

    @property
    def unmeasured(self) -> list[Segment]:
        """Segments whose wider codes are compared by one bit, as far as can be told: those with
        rows and no index that were not built from rows."""
        if not wide(self.target):
            return []
        return [each for each in self.growing if not self.built.get(each.uuid or "")]

    @property
    def all_unmeasured(self) -> bool:
        """Whether no row is known to have its wider code."""
        return bool(self.unmeasured) and len(self.unmeasured) == sum(
            each.rows > 0 for each in self.expected
        )

    @property
    def stalled(self) -> bool:
        """Whether optimizations wait for something that starts the optimizer."""
        if self.optimizations is not None and self.optimizations.queued is not None:
            return self.optimizations.stalled and self.colour != YELLOW
        return self.colour == GREY

    @property
    def waiting(self) -> list[float]:
        """KB of growing segments that are to be indexed."""
        return [size for size in self.growing_sizes if 0 < self.threshold <= size]


def codes_while_growing(target: Mapping[str, Any] | None, version: str | None) -> bool:
    """Whether the engine gives this kind to segments without an index too."""
    if version is not None and older(version, SINCE_GROWING):
        return False
    return any(kind in (target or {}) for kind in IN_GROWING_SEGMENTS)


def wide(target: Mapping[str, Any] | None) -> bool:
    """Whether these are binary codes of more than one bit."""
    return ((target or {}).get("binary") or {}).get("encoding") in WIDE


def obeys(segment: Segment, target: Mapping[str, Any] | None) -> bool:
    """Whether a segment holds just the codes that are configured."""
    if not target or not segment.codes:
        return not target and not segment.codes
    if same_config(segment.codes, target):
        return True
    wanted = from_native({"quantization_config": target})
    return from_native({"quantization_config": segment.codes}) == wanted


def widest(telemetry: Telemetry | None, vectors: Mapping[str, Vector], name: str) -> list[float]:
    """KB of the widest vector of each segment, in the order of ``telemetry.segments[name]``."""
    if telemetry is None:
        return []
    sizes = [0.0] * len(telemetry.segments.get(name, ()))
    for other, vector in vectors.items():
        for at, segment in enumerate(telemetry.segments.get(other, ())):
            if at < len(sizes):
                sizes[at] = max(sizes[at], kilobytes(segment.rows, vector))
    return sizes


def judge(seen: Seen) -> Status:
    """The state, its reason and the evidence for it."""
    evidence = _evidence(seen)
    if seen.telemetry is None:
        return _unseen(seen, evidence)
    if not seen.target:
        return _without_target(seen, evidence)
    if seen.count == 0:
        return Status(
            State.UNKNOWN,
            "the collection has no such vectors yet, so there is nothing to see",
            evidence=evidence,
        )
    if seen.clash and seen.colour == YELLOW:
        return _building(seen, seen.clash, evidence)
    missing = len(seen.expected) - len(seen.obeying)
    if seen.colour == RED and missing:
        return Status(
            State.IGNORED,
            f"the optimizer failed and stopped: {seen.trouble}",
            evidence=evidence,
            advice="free disk or RAM on the server, then `qadapt apply`",
        )
    if missing:
        reason = f"{missing} of {len(seen.expected)} segments have other codes or none"
        return _building(seen, reason, evidence)
    if seen.telemetry.rebuilding:
        return _building(seen, "segments are being rebuilt for a changed setting", evidence)
    if not seen.expected or seen.waiting:
        return _without_index(seen, evidence)
    if seen.all_unmeasured:
        return _one_bit(seen, evidence)
    if seen.telemetry.elsewhere:
        return Status(
            State.UNKNOWN,
            f"active on this node; {seen.telemetry.elsewhere} shards or replicas are on other "
            "nodes, whose segments this node does not show",
            evidence=evidence,
            advice=VERIFY,
        )
    told = [_apart(seen), f"{STALLED} (status {seen.colour})" if seen.stalled else ""]
    return Status(State.ACTIVE, "; ".join(filter(None, told)), evidence=evidence)


def _unseen(seen: Seen, evidence: tuple[Evidence, ...]) -> Status:
    configured = "configured" if seen.target else "not configured"
    return Status(
        State.UNKNOWN,
        f"quantization is {configured}, but what the segments hold cannot be seen: {seen.unseen}",
        evidence=evidence,
        advice=VERIFY,
    )


def _one_bit(seen: Seen, evidence: tuple[Evidence, ...]) -> Status:
    rows = sum(each.present for each in seen.unmeasured)
    return Status(
        State.UNKNOWN,
        f"{rows:,} of {seen.count:,} rows are in segments without an index: rows added to a "
        "segment that was empty when it was set up are compared by one bit, and no optimization "
        "is known to have built these segments from their rows",
        evidence=evidence,
        advice=thresholds.how_to_index(seen.growing_sizes, "waits for the index"),
    )


def _without_target(seen: Seen, evidence: tuple[Evidence, ...]) -> Status:
    holding = sum(each.codes is not None for each in seen.segments)
    if not holding and seen.vector.datatype == "float16":
        datatype = Evidence("GET /collections: datatype, fixed at creation", "float16")
        return Status(State.ACTIVE, "the originals are 16-bit floats", None, (*evidence, datatype))
    if not holding:
        return Status(State.ABSENT, seen.clash, evidence=evidence, advice=_advice_on_clash(seen))
    total = len(seen.segments)
    reason = f"set to none, but {holding} of {total} segments still hold codes"
    return Status(State.BUILDING, reason, 1 - holding / total, evidence, _advice(seen))


def _without_index(seen: Seen, evidence: tuple[Evidence, ...]) -> Status:
    if seen.waiting or (not seen.expected and seen.colour in (YELLOW, GREY)):
        return _building(seen, "rows are waiting for their index", evidence)
    return Status(
        State.IGNORED,
        thresholds.why_ignored(seen.target, seen.threshold, seen.growing_sizes, seen.count),
        evidence=evidence,
        advice=thresholds.how_to_index(seen.growing_sizes, "waits for the index"),
    )


def _building(seen: Seen, reason: str, evidence: tuple[Evidence, ...]) -> Status:
    total = len(seen.expected)
    share = round(len(seen.obeying) / total, 4) if total else None
    if seen.stalled:
        reason += f"; {STALLED} (status {seen.colour})"
    elif seen.colour == GREY:
        reason += "; the optimizer waits (status grey)"
    elif seen.colour == GREEN:
        reason += "; the collection's status says green all the same"
    return Status(State.BUILDING, reason, share, evidence, _advice(seen))


def _advice(seen: Seen) -> str:
    return _advice_on_clash(seen) or ("" if seen.colour == YELLOW else APPLY)


def _advice_on_clash(seen: Seen) -> str:
    return "`qadapt apply` sets both fields to the same place" if seen.clash else ""


def _apart(seen: Seen) -> str:
    """What an active quantization leaves out, in words."""
    one_bit = sum(each.present for each in seen.unmeasured)
    if one_bit:
        return (
            f"{one_bit:,} of {seen.count:,} rows are in a segment without an index: they are "
            "compared by one bit until they are indexed"
        )
    rows = sum(each.present for each in seen.growing)
    if not rows or seen.codes_while_growing:
        return ""
    return (
        f"{rows:,} of {seen.count:,} rows are in a segment under the indexing threshold of "
        f"{seen.threshold:,} KB and are compared by their floats"
    )


def _evidence(seen: Seen) -> tuple[Evidence, ...]:
    told = [
        Evidence("GET /collections: quantization in force", seen.target),
        Evidence("GET /collections: status", seen.colour),
        Evidence("GET /collections: optimizer_status", seen.trouble or "ok"),
        Evidence("GET /collections: indexing_threshold (KB)", seen.threshold),
        Evidence("rows", seen.count),
    ]
    if seen.optimizations is not None:
        told.append(Evidence("GET /optimizations: running", seen.optimizations.running))
        if seen.optimizations.queued is not None:
            told.append(Evidence("GET /optimizations: queued", seen.optimizations.queued))
    if seen.telemetry is None:
        told.append(Evidence("GET /telemetry", seen.unseen))
    else:
        told += [
            Evidence("telemetry: segments", len(seen.segments)),
            Evidence("telemetry: segments indexed", len(seen.indexed)),
            Evidence("telemetry: segments expected to hold codes", len(seen.expected)),
            Evidence("telemetry: segments whose codes are those configured", len(seen.obeying)),
            Evidence("telemetry: optimizations running", seen.telemetry.optimizing),
            Evidence("telemetry: shards and replicas elsewhere", seen.telemetry.elsewhere),
        ]
    if wide(seen.target) and seen.telemetry is not None:
        rows = sum(each.present for each in seen.unmeasured)
        told.append(Evidence("rows in segments not known to be built from rows", rows))
    if seen.bytes_of is not None:
        told += [
            Evidence("GET /memory: bytes of codes on disk", seen.bytes_of.disk),
            Evidence("GET /memory: bytes of codes in RAM", seen.bytes_of.ram),
            Evidence("GET /memory: bytes of codes in the page cache", seen.bytes_of.cached),
        ]
    elif seen.target:
        told.append(
            Evidence("bytes of codes, computed", code_bytes(seen.target, seen.vector, seen.count))
        )
    if seen.note:
        told.append(Evidence("client and server", seen.note))
    return tuple(told)
