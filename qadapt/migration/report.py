"""What a comparison and a migration found, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qadapt.evaluation.recall import Proof
from qadapt.migration.compare import Difference
from qadapt.migration.plan import MigrationPlan
from qadapt.model import Id, Plain, Status


@dataclass(frozen=True)
class RecallCheck(Plain):
    """Recall@k of the target against the exact truth of the source.

    Attributes:
        vector: its name.
        recall, low, high: of the target's own search, with its codes: mean over the queries, and
            its 95 % interval.
        source_recall: of the source's own search, by the same queries.
        gate: the least that passes, in words.
        k, queries: of how many results, over how many vectors of the source.
        passed: whether the gate was reached; a gate that was given is not reached by a figure that
            proves nothing.
        exact, source_exact: of exact searches, which use no codes; None where neither side has
            codes, or exact searches are switched off.
        ground_truth: the vectors that exact scores were computed from.
        proof: how much the figure proves.
    """

    vector: str
    recall: float
    low: float
    high: float
    source_recall: float
    gate: str
    k: int
    queries: int
    passed: bool
    exact: float | None = None
    source_exact: float | None = None
    ground_truth: str = ""
    proof: Proof = field(default_factory=Proof)


@dataclass(frozen=True)
class Check(Plain):
    """A target compared with its source.

    Attributes:
        source, target: with collections.
        source_count, target_count: rows.
        missing: rows of the source that the target lacks, but for those left out on purpose.
        extra: rows of the target that the source lacks.
        left_out: rows that the migration left out on purpose.
        compared: rows whose vectors and payloads were compared.
        how: ``all`` or ``sample``.
        different: of those compared, rows that differ.
        bound: the share of rows that may still differ, at 95 % certainty; 0 when all were compared.
        differences: the first of them.
        recalls: one for each vector; none when it was not measured.
        seconds: that it took.
        passed: all of it.
        notes: what the comparison does not show.
    """

    source: str
    target: str
    source_count: int
    target_count: int
    missing: int
    extra: int
    left_out: int
    compared: int
    how: Literal["all", "sample"]
    different: int
    bound: float
    differences: tuple[Difference, ...]
    recalls: tuple[RecallCheck, ...]
    seconds: float
    passed: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaughtUp(Plain):
    """What a pass carried after the copy.

    Attributes:
        added, changed, deleted: rows.
        by: how changes were found.
        seconds: that it took.
    """

    added: int
    changed: int
    deleted: int
    by: str
    seconds: float


@dataclass(frozen=True)
class Metrics(Plain):
    """What it took.

    Attributes:
        rows, bytes: written by this run; bytes of vectors.
        already: rows that earlier runs had written.
        left_out: rows of this run that the target cannot hold.
        writes: batches.
        copy_seconds, build_seconds, check_seconds: of the three stages.
        rate: rows a second of the copy.
        megabytes_rate: megabytes of vectors a second.
        write_share: share of the lanes' time spent in writes of the target.
    """

    rows: int = 0
    bytes: int = 0
    already: int = 0
    left_out: int = 0
    writes: int = 0
    copy_seconds: float = 0.0
    build_seconds: float = 0.0
    check_seconds: float = 0.0
    rate: float = 0.0
    megabytes_rate: float = 0.0
    write_share: float = 0.0


@dataclass(frozen=True)
class Cutover(Plain):
    """An alias that was switched.

    Attributes:
        alias: its name.
        before: the collection that it stood at; None when it is new.
        now: where it stands.
        rollback: what to type to take it back.
    """

    alias: str
    before: str | None
    now: str
    rollback: str


@dataclass(frozen=True)
class Migration(Plain):
    """What became of a migration.

    Attributes:
        plan: what was to be done.
        state: ``done``, or ``check failed``.
        resumed: whether an earlier run's journal was gone on with.
        status: what was seen of each vector's quantization.
        metrics: what it took.
        left_out: the first rows that were left out, and why.
        check, caught_up, cutover: None where it was not asked for.
    """

    plan: MigrationPlan
    state: Literal["done", "check failed"]
    resumed: bool
    status: Mapping[str, Status]
    metrics: Metrics
    left_out: tuple[tuple[Id, str], ...] = ()
    check: Check | None = None
    caught_up: CaughtUp | None = None
    cutover: Cutover | None = None
