"""Status of a quantization, from the catalogs and from the plan of the search that is sent.

An index in the catalog is no proof: its build may have been cut off, the planner may prefer a
sequential scan or another index, and the expression of a query may not match that of the index
(docs/engines/pgvector.md#planner).
"""

from __future__ import annotations

from dataclasses import dataclass

from qadapt.model import Evidence, Quantization, State, Status
from qadapt.stores.pgvector.schema import Index

NO_ROWS = "the table has no rows with this vector, so nothing can be verified"
APPLY = "run `qadapt apply` again, which drops the remains and builds the index"


@dataclass(frozen=True)
class Used:
    """Names of the indexes that the planner uses.

    Attributes:
        forced: for a search of qadapt, which disables sequential scans.
        natural: for the same search of a client without settings.
    """

    forced: tuple[str, ...]
    natural: tuple[str, ...]


@dataclass(frozen=True)
class Build:
    """An index build in progress.

    Attributes:
        phase: as the server names it.
        done, total: tuples or blocks; total is 0 if unknown.
        locker: process id of a session that the build waits for; None if it does not wait.
        pid: process id of the session that builds.
    """

    phase: str
    done: int
    total: int
    locker: int | None
    pid: int


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        count: number of rows.
        present: number of rows with the vector.
        index: the index that determines the quantization; None if there is none.
        quantization: that of its codes.
        used: the indexes in the plan of a search; None if it was not asked.
        build: the build of the index; None if none is running.
        siblings: other indexes of the column.
        kind: of the relation, such as ``table``.
        row_security: whether policies filter rows for the current role.
        unlogged: whether the table is empty after a crash of the server.
    """

    count: int
    present: int
    index: Index | None
    quantization: Quantization
    used: Used | None = None
    build: Build | None = None
    siblings: tuple[str, ...] = ()
    kind: str = "table"
    row_security: bool = False
    unlogged: bool = False

    @property
    def coded(self) -> bool:
        """Whether the index has codes, and not the vectors of the column."""
        return self.index is not None and self.index.codes != "vector"


def status_of(observation: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(observation)
    index = observation.index
    if index is None or not observation.coded:
        return _without_codes(observation, evidence)
    if observation.build is not None:
        return _building(observation.build, evidence)
    if not index.valid:
        return Status(
            State.IGNORED,
            f"the index {index.name!r} is invalid, because its build was cut off",
            evidence=evidence,
            advice=APPLY,
        )
    if not observation.present or observation.used is None:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    used = observation.used
    if not index.serves(used.forced):
        return Status(State.IGNORED, _why_not(used.forced, observation), evidence=evidence)
    if not index.serves(used.natural):
        return _planner_prefers(used, observation, evidence)
    return Status(State.ACTIVE, _remarks(observation), evidence=evidence)


def _without_codes(observation: Observation, evidence: tuple[Evidence, ...]) -> Status:
    index = observation.index
    if index is None:
        return Status(State.ABSENT, "no index: a search compares all rows", evidence=evidence)
    if observation.build is not None:
        return _building(observation.build, evidence)
    if not index.valid:
        why = f"the index {index.name!r} is invalid, because its build was cut off"
        return Status(State.IGNORED, why, evidence=evidence, advice=APPLY)
    return Status(State.ABSENT, evidence=evidence)


def _building(build: Build, evidence: tuple[Evidence, ...]) -> Status:
    words = build.phase
    if build.locker is not None:
        words += f" (waits for the transaction of process {build.locker})"
    progress = round(build.done / build.total, 4) if build.total else None
    advice = (
        f"end the transaction: SELECT pg_terminate_backend({build.locker})"
        if build.locker is not None
        else "`qadapt apply` waits for the build"
    )
    return Status(State.BUILDING, words, progress, evidence, advice)


def _why_not(names: tuple[str, ...], observation: Observation) -> str:
    index = observation.index
    assert index is not None
    if names:
        return f"the planner uses the index {names[0]!r} instead of {index.name!r}"
    return f"the planner cannot use the index {index.name!r} for a search"


def _planner_prefers(
    used: Used, observation: Observation, evidence: tuple[Evidence, ...]
) -> Status:
    index = observation.index
    assert index is not None
    if used.natural:
        return Status(
            State.IGNORED,
            f"clients without settings use the index {used.natural[0]!r}, which the planner "
            f"considers cheaper than {index.name!r}",
            evidence=evidence,
            advice=f"DROP INDEX CONCURRENTLY {used.natural[0]}",
        )
    return Status(
        State.IGNORED,
        f"the planner considers a sequential scan of {observation.present:,} rows cheaper than "
        f"the index {index.name!r}, so clients without settings compare all rows exactly",
        evidence=evidence,
        advice="write more rows, or send SET LOCAL enable_seqscan = off as "
        "`qadapt client-params` shows",
    )


def _remarks(observation: Observation) -> str:
    remarks = []
    if observation.row_security:
        remarks.append("policies of row-level security filter the results of this role")
    if observation.unlogged:
        remarks.append("the table is unlogged: it is empty after a crash of the server")
    return "; ".join(remarks)


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    index = observation.index
    found = [
        Evidence("count(*): rows", observation.count),
        Evidence("rows with the vector", observation.present),
    ]
    if index is not None:
        found += [
            Evidence("pg_index: index", index.name),
            Evidence("pg_index: valid, ready and live", index.valid),
            Evidence(
                "pg_index: access method and operator class", f"{index.method} {index.opclass}"
            ),
            Evidence("pg_get_expr: expression", index.expression or "the column"),
            Evidence("pg_relation_size: bytes", index.size),
        ]
    if observation.used is not None:
        found += [
            Evidence("EXPLAIN, sequential scans disabled: indexes", list(observation.used.forced)),
            Evidence("EXPLAIN, no settings: indexes", list(observation.used.natural)),
        ]
    if observation.siblings:
        found.append(Evidence("other indexes of the column", list(observation.siblings)))
    return tuple(found)
