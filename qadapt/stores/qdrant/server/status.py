"""The status of a vector's quantization, derived from the server's responses without I/O.

Scalar and product codes exist only in indexed segments; binary and rotational codes also in growing
segments since 1.16. A segment is indexed when its vectors reach ``indexing_threshold`` KB.
``status`` may be green too early, stays grey after a kill, and does not cover codes; the segments
do (docs/engines/qdrant.md#status).

Binary codes of 1.5 and 2 bits require statistics of the rows, which are collected when a segment is
built. Rows that are later added to a segment that was created empty are compared by 1 bit (observed
on 1.16.3 and 1.19.0: recall 0.270 with 1 and with 2 bits, 0.394 after indexing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qadapt.model import Evidence, State, Status, Vector
from qadapt.model.capabilities import older
from qadapt.stores.qdrant import indexing_threshold
from qadapt.stores.qdrant.mapping import from_native, same_config
from qadapt.stores.qdrant.memory import IN_GROWING_SEGMENTS, code_bytes, kilobytes
from qadapt.stores.qdrant.server.memory import CodeBytes
from qadapt.stores.qdrant.server.optimizations import Optimizations
from qadapt.stores.qdrant.server.telemetry import Segment, Telemetry

GREEN, YELLOW, GREY, RED = "green", "yellow", "grey", "red"
SINCE_GROWING = "1.16"

VERIFY = "run `qadapt verify`: recall with and without rescoring shows which codes are used"
APPLY = "run `qadapt apply`, which triggers the optimizer (PATCH optimizers_config: {}) and waits"
STALLED = "optimizations are queued but none is running"
WIDE = ("two_bits", "one_and_half_bits")


@dataclass(frozen=True)
class Observation:
    """The evidence for one vector.

    Attributes:
        vector: dimensions, metric, datatype.
        count: number of rows with it.
        target: its effective ``quantization_config``; None for none.
        threshold: KB from which a segment is indexed; 0 for never.
        colour: the collection's ``status``.
        optimizer_error: the optimizer's error, if it has one.
        version: of the server.
        name: of the vector.
        telemetry: the state of the segments; None if it is not available.
        unobserved: why it is not available.
        optimizations: running and queued optimizations; None if the server does not report them.
        widest: KB of the widest vector of each segment, in the order of the telemetry.
        note: a note on the versions of client and server.
        built: the rows from which segments were built, by their uuid.
        bytes_of: the memory of the codes, as the server reports it.
        graph_bytes: the size of the graph, as the server reports it.
        config_conflict: why the configuration contradicts itself; empty if it does not.
    """

    name: str
    vector: Vector
    count: int
    target: Mapping[str, Any] | None
    threshold: int
    colour: str
    optimizer_error: str
    version: str | None
    telemetry: Telemetry | None
    unobserved: str = ""
    optimizations: Optimizations | None = None
    widest: Sequence[float] = ()
    note: str | None = None
    built: Mapping[str, int] = field(default_factory=dict)
    bytes_of: CodeBytes | None = None
    graph_bytes: int | None = None
    config_conflict: str = ""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of the vector."""
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
        """KB of the widest vector of each growing segment, which the server compares with the
        threshold.
        """
        pairs = zip(self.segments, self.widest, strict=True)
        return [size for each, size in pairs if not each.indexed and each.present]

    @property
    def expected(self) -> list[Segment]:
        """Segments that must hold codes by the engine's own rules."""
        return self.indexed + (self.growing if self.codes_while_growing else [])

    @property
    def codes_while_growing(self) -> bool:
        """Whether codes of this kind are also built without an index."""
        return codes_while_growing(self.target, self.version)

    @property
    def obeying(self) -> list[Segment]:
        """The expected segments with the configured codes."""
        return [each for each in self.expected if matches(each, self.target)]

    @property
    def unmeasured(self) -> list[Segment]:
        """Segments whose wider codes are compared by 1 bit, as far as known: those with rows and
        without an index that were not built from rows.
        """
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
        """Whether optimizations wait for a trigger."""
        if self.optimizations is not None and self.optimizations.queued is not None:
            return self.optimizations.stalled and self.colour != YELLOW
        return self.colour == GREY

    @property
    def waiting(self) -> list[float]:
        """KB of the growing segments that will be indexed."""
        return [size for size in self.growing_sizes if 0 < self.threshold <= size]


def codes_while_growing(target: Mapping[str, Any] | None, version: str | None) -> bool:
    """Whether the engine also builds codes of this kind in segments without an index."""
    if version is not None and older(version, SINCE_GROWING):
        return False
    return any(kind in (target or {}) for kind in IN_GROWING_SEGMENTS)


def wide(target: Mapping[str, Any] | None) -> bool:
    """Whether these are binary codes of more than 1 bit."""
    return ((target or {}).get("binary") or {}).get("encoding") in WIDE


def matches(segment: Segment, target: Mapping[str, Any] | None) -> bool:
    """Whether a segment holds exactly the configured codes."""
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


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(observation)
    if observation.telemetry is None:
        return _unseen(observation, evidence)
    if not observation.target:
        return _without_target(observation, evidence)
    if observation.count == 0:
        return Status(
            State.UNKNOWN,
            "no row has this vector yet, so there is nothing to verify",
            evidence=evidence,
        )
    if observation.config_conflict and observation.colour == YELLOW:
        return _building(observation, observation.config_conflict, evidence)
    missing = len(observation.expected) - len(observation.obeying)
    if observation.colour == RED and missing:
        return Status(
            State.IGNORED,
            f"the optimizer failed and stopped: {observation.optimizer_error}",
            evidence=evidence,
            advice="free disk space or RAM on the server, then run `qadapt apply`",
        )
    if missing:
        reason = (
            f"{missing} of {len(observation.expected)} segments have no codes or different codes"
        )
        return _building(observation, reason, evidence)
    if observation.telemetry.rebuilding:
        return _building(observation, "segments are being rebuilt for a changed setting", evidence)
    if not observation.expected or observation.waiting:
        return _without_index(observation, evidence)
    if observation.all_unmeasured:
        return _one_bit(observation, evidence)
    if observation.telemetry.elsewhere:
        return Status(
            State.UNKNOWN,
            f"active on this node; {observation.telemetry.elsewhere} shards or replicas are on "
            "other nodes and could not be verified",
            evidence=evidence,
            advice=VERIFY,
        )
    reported = [
        _apart(observation),
        f"{STALLED} (status {observation.colour})" if observation.stalled else "",
    ]
    return Status(State.ACTIVE, "; ".join(filter(None, reported)), evidence=evidence)


def _unseen(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    configured = "configured" if observation.target else "not configured"
    return Status(
        State.UNKNOWN,
        f"quantization is {configured}, but the codes of the segments cannot be read: "
        f"{observation.unobserved}",
        evidence=evidence,
        advice=VERIFY,
    )


def _one_bit(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    rows = sum(each.present for each in observation.unmeasured)
    return Status(
        State.UNKNOWN,
        f"{rows:,} of {observation.count:,} rows are in segments without an index: rows added to "
        "a segment that was created empty are compared by 1 bit, and no optimization is known to "
        "have built these segments from their rows",
        evidence=evidence,
        advice=indexing_threshold.how_to_index(observation.growing_sizes, "waiting for the index"),
    )


def _without_target(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    holding = sum(each.codes is not None for each in observation.segments)
    if not holding and observation.vector.datatype == "float16":
        datatype = Evidence("GET /collections: datatype, fixed at creation", "float16")
        return Status(
            State.ACTIVE, "the original vectors are 16-bit floats", None, (*evidence, datatype)
        )
    if not holding:
        return Status(
            State.ABSENT,
            observation.config_conflict,
            evidence=evidence,
            advice=_advice_on_conflict(observation),
        )
    total = len(observation.segments)
    reason = f"configured as none, but {holding} of {total} segments still hold codes"
    return Status(State.BUILDING, reason, 1 - holding / total, evidence, _advice(observation))


def _without_index(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    if observation.waiting or (not observation.expected and observation.colour in (YELLOW, GREY)):
        return _building(observation, "rows are not indexed yet", evidence)
    return Status(
        State.IGNORED,
        indexing_threshold.why_ignored(
            observation.target, observation.threshold, observation.growing_sizes, observation.count
        ),
        evidence=evidence,
        advice=indexing_threshold.how_to_index(observation.growing_sizes, "waiting for the index"),
    )


def _building(observation: Observation, reason: str, evidence: tuple[Evidence, ...]) -> Status:
    total = len(observation.expected)
    share = round(len(observation.obeying) / total, 4) if total else None
    if observation.stalled:
        reason += f"; {STALLED} (status {observation.colour})"
    elif observation.colour == GREY:
        reason += "; the optimizer is idle (status grey)"
    elif observation.colour == GREEN:
        reason += "; the collection's status is green nevertheless"
    return Status(State.BUILDING, reason, share, evidence, _advice(observation))


def _advice(observation: Observation) -> str:
    return _advice_on_conflict(observation) or ("" if observation.colour == YELLOW else APPLY)


def _advice_on_conflict(observation: Observation) -> str:
    return (
        "run `qadapt apply`, which sets both fields to the same placement"
        if observation.config_conflict
        else ""
    )


def _apart(observation: Observation) -> str:
    """Describe the rows that an active quantization does not cover."""
    one_bit = sum(each.present for each in observation.unmeasured)
    if one_bit:
        return (
            f"{one_bit:,} of {observation.count:,} rows are in segments without an index and are "
            "compared by 1 bit until they are indexed"
        )
    rows = sum(each.present for each in observation.growing)
    if not rows or observation.codes_while_growing:
        return ""
    return (
        f"{rows:,} of {observation.count:,} rows are in segments below the indexing threshold of "
        f"{observation.threshold:,} KB and are compared by their original vectors"
    )


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    reported = [
        Evidence("GET /collections: effective quantization", observation.target),
        Evidence("GET /collections: status", observation.colour),
        Evidence("GET /collections: optimizer_status", observation.optimizer_error or "ok"),
        Evidence("GET /collections: indexing_threshold (KB)", observation.threshold),
        Evidence("rows", observation.count),
    ]
    if observation.optimizations is not None:
        reported.append(Evidence("GET /optimizations: running", observation.optimizations.running))
        if observation.optimizations.queued is not None:
            reported.append(
                Evidence("GET /optimizations: queued", observation.optimizations.queued)
            )
    if observation.telemetry is None:
        reported.append(Evidence("GET /telemetry", observation.unobserved))
    else:
        reported += [
            Evidence("telemetry: segments", len(observation.segments)),
            Evidence("telemetry: segments indexed", len(observation.indexed)),
            Evidence("telemetry: segments expected to hold codes", len(observation.expected)),
            Evidence("telemetry: segments with the configured codes", len(observation.obeying)),
            Evidence("telemetry: optimizations running", observation.telemetry.optimizing),
            Evidence(
                "telemetry: shards and replicas on other nodes", observation.telemetry.elsewhere
            ),
        ]
    if wide(observation.target) and observation.telemetry is not None:
        rows = sum(each.present for each in observation.unmeasured)
        reported.append(Evidence("rows in segments not known to be built from rows", rows))
    if observation.bytes_of is not None:
        reported += [
            Evidence("GET /memory: bytes of codes on disk", observation.bytes_of.disk),
            Evidence("GET /memory: bytes of codes in RAM", observation.bytes_of.ram),
            Evidence("GET /memory: bytes of codes in the page cache", observation.bytes_of.cached),
        ]
    elif observation.target:
        reported.append(
            Evidence(
                "bytes of codes, computed",
                code_bytes(observation.target, observation.vector, observation.count),
            )
        )
    if observation.note:
        reported.append(Evidence("client and server", observation.note))
    return tuple(reported)
