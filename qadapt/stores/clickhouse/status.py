"""Status of a quantization, from the system tables and from the plan of the search that is sent.

A declared index is no proof: it may not be built for a part, and a search may not use it
(docs/engines/clickhouse.md#evidence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qadapt.model import Evidence, Quantization, State, Status
from qadapt.stores.clickhouse.schema import Codec, Column, Index

NO_ROWS = "the table has no rows, so nothing can be verified"
APPLY = "`qadapt apply` builds the index for all parts"
SEND = (
    "clients without settings compare all rows exactly: the codes are used only with "
    "vector_search_use_quantized_codes = 1, as `qadapt client-params` shows"
)

SEPARATE = (
    "; {parts} parts have separate centroids, whose distances differ: a copy of the table to one "
    "part (INSERT ... SELECT with max_insert_threads = 1) trains one set"
)
CALL = (
    "clients that call cosineDistance compare all vectors exactly: the codes are used only by "
    "cosineDistanceTransposedQuantized, as `qadapt client-params` shows"
)


@dataclass(frozen=True)
class Part:
    """An active part.

    Attributes:
        index_bytes: compressed bytes of all its skip indexes together.
        deleted: whether a lightweight DELETE left rows in it.
    """

    name: str
    rows: int
    index_bytes: int
    deleted: bool = False


@dataclass(frozen=True)
class Mutation:
    """A mutation that is not done.

    Attributes:
        parts: number of parts to do.
        failed: the last error; empty for none.
    """

    id: str
    command: str
    parts: int
    failed: str = ""


@dataclass(frozen=True)
class Plan:
    """What EXPLAIN shows of a search.

    Attributes:
        indexes: names of skip indexes.
        shortlist: whether the codes of a codec select candidates.
        planes: whether bit planes are compared.
    """

    indexes: tuple[str, ...] = ()
    shortlist: bool = False
    planes: bool = False


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        count: number of rows.
        index: the index that a search uses; None if there is none.
        codec: the codec of the column.
        quantization: of its codes.
        parts: active parts of the table.
        mutations: those that are not done.
        sent: the plan of a search of qadapt; None without rows.
        plain: the plan of a search without settings; None without rows.
        width: bytes of the codes of a row, by the type of the subcolumn ``quantized``.
        siblings: other indexes of the column.
        planes: the column with bit planes; None without.
        precision: the number of planes that a search reads.
        unbuilt: rows of parts without that column.
    """

    count: int
    index: Index | None
    codec: Codec | None
    quantization: Quantization
    parts: Sequence[Part] = ()
    mutations: Sequence[Mutation] = ()
    sent: Plan | None = None
    plain: Plan | None = None
    width: int = 0
    siblings: tuple[str, ...] = ()
    planes: Column | None = None
    precision: int = 0
    unbuilt: int = 0

    @property
    def coded(self) -> bool:
        """Whether the index or the column has codes."""
        return self.quantization.kind.value != "none"

    @property
    def unindexed(self) -> list[Part]:
        """Parts with rows that are not in the index."""
        return [each for each in self.parts if each.rows and not each.index_bytes]


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(observation)
    if observation.planes is not None:
        return _of_planes(observation, observation.planes, evidence)
    if observation.index is not None:
        return _of_index(observation, observation.index, evidence)
    if observation.codec is None or not observation.coded:
        why = "no index and no codec: a search compares all rows"
        return Status(State.ABSENT, why, evidence=evidence)
    return _of_codec(observation, observation.codec, evidence)


def _of_index(observation: Observation, index: Index, evidence: tuple[Evidence, ...]) -> Status:
    building = _building(observation, index, evidence)
    if building is not None:
        return building
    if not observation.coded:
        return Status(State.ABSENT, evidence=evidence)
    if not observation.count or observation.sent is None:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    if index.name not in observation.sent.indexes:
        why = f"EXPLAIN shows that a search does not use the index {index.name!r}"
        return Status(State.IGNORED, why, evidence=evidence)
    return Status(State.ACTIVE, evidence=evidence)


def _building(
    observation: Observation, index: Index, evidence: tuple[Evidence, ...]
) -> Status | None:
    """The status while rows are not in the index; None if all are."""
    unindexed = observation.unindexed
    if not observation.count or (index.size and not unindexed):
        return None
    rows = sum(each.rows for each in unindexed) if index.size else observation.count
    stored = max(1, sum(each.rows for each in observation.parts))
    done = round(1 - min(1.0, rows / stored), 4)
    for each in observation.mutations:
        if index.name not in each.command:
            continue
        if each.failed:
            why = f"the build of {index.name!r} fails: {each.failed[:200]}"
            return Status(State.IGNORED, why, evidence=evidence, advice="correct the cause")
        why = f"the index {index.name!r} is being built: {each.parts} parts to do"
        return Status(State.BUILDING, why, done, evidence, "`qadapt apply` waits for it")
    why = (
        f"{rows:,} rows in {len(unindexed) or len(observation.parts)} parts are not in the index "
        f"{index.name!r}, so a search compares them exactly"
    )
    return Status(State.BUILDING, why, done, evidence, APPLY)


def _of_planes(observation: Observation, planes: Column, evidence: tuple[Evidence, ...]) -> Status:
    if not observation.count or observation.sent is None:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    for each in observation.mutations:
        if planes.name in each.command and each.failed:
            why = f"the build of {planes.name!r} fails: {each.failed[:200]}"
            return Status(State.IGNORED, why, evidence=evidence, advice="correct the cause")
    if observation.unbuilt:
        stored = max(1, sum(each.rows for each in observation.parts))
        why = (
            f"{observation.unbuilt:,} rows are in parts without the column {planes.name!r}, so "
            "each search computes their codes"
        )
        done = round(1 - observation.unbuilt / stored, 4)
        return Status(State.BUILDING, why, done, evidence, APPLY.replace("index", "column"))
    if not observation.sent.planes:
        why = f"EXPLAIN shows that a search does not read {planes.name!r}"
        return Status(State.IGNORED, why, evidence=evidence)
    return Status(State.ACTIVE, CALL, evidence=evidence)


def _of_codec(observation: Observation, codec: Codec, evidence: tuple[Evidence, ...]) -> Status:
    if not observation.count or observation.sent is None:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    if not observation.sent.shortlist:
        why = f"EXPLAIN shows that a search does not use the codes of {codec.text}"
        return Status(State.IGNORED, why, evidence=evidence)
    parts = sum(each.rows > 0 for each in observation.parts)
    separate = SEPARATE.format(parts=parts) if codec.method == "product" and parts > 1 else ""
    return Status(State.ACTIVE, SEND + separate, evidence=evidence)


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    index, codec = observation.index, observation.codec
    found = [
        Evidence("count(): rows", observation.count),
        Evidence("system.parts: active parts", len(observation.parts)),
    ]
    if index is not None:
        found += [
            Evidence("system.data_skipping_indices: type", index.type_full),
            Evidence("system.data_skipping_indices: compressed bytes", index.size),
            Evidence("system.parts: parts without index bytes", len(observation.unindexed)),
            Evidence("system.mutations: not done", len(observation.mutations)),
        ]
    if codec is not None:
        found += [
            Evidence("system.columns: codec", codec.text),
            Evidence("toTypeName of the codes: bytes per row", observation.width),
        ]
    if observation.planes is not None:
        found += [
            Evidence("system.columns: bit planes", observation.planes.type),
            Evidence("system.parts_columns: rows of parts without them", observation.unbuilt),
            Evidence(
                "EXPLAIN: bit planes are compared",
                observation.sent is not None and observation.sent.planes,
            ),
        ]
    if observation.sent is not None and (index is not None or codec is not None):
        plain = observation.plain or Plan()
        found += [
            Evidence("EXPLAIN: indexes", list(observation.sent.indexes)),
            Evidence("EXPLAIN: codes select candidates", observation.sent.shortlist),
            Evidence("EXPLAIN without settings: indexes", list(plain.indexes)),
        ]
    if observation.siblings:
        found.append(Evidence("other indexes of the column", list(observation.siblings)))
    return tuple(found)
