"""The results of a check and of a migration, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qadapt.evaluation.proof import Proof
from qadapt.migration.plan import MigrationPlan
from qadapt.model import Id, Serializable, Status
from qadapt.model.table import Table, Tabular, pair_table

SLACK = 0.02  # recall that the target may lose without a gate


@dataclass(frozen=True)
class Difference(Serializable):
    """One difference between source and target.

    Attributes:
        id: the row's id in the source (in the target, where ``kind`` is ``unexpected``).
        kind: ``missing``, ``unexpected``, ``id``, ``payload``, ``vector`` or ``vector 'NAME'``.
        detail: both values, or the reason.
    """

    id: Id
    kind: str
    detail: str


@dataclass(frozen=True)
class Remedy(Serializable):
    """A setting of the target that meets the recall that the check missed.

    Attributes:
        setting: the quantization with its rescoring; empty if none was found.
        recall, low, high: of that setting, with the 95 % confidence interval.
        partition: the partition whose rows were measured, the one with the most rows; empty without
            partitions.
        measured_on: the ``target`` with other search parameters, or a temporary ``copy`` of up to
            20,000 of its rows.
        command: applies the setting.
        reason: why no setting was found.
    """

    setting: str = ""
    recall: float | None = None
    low: float | None = None
    high: float | None = None
    measured_on: Literal["target", "copy"] | None = None
    command: str = ""
    reason: str = ""
    partition: str = ""


@dataclass(frozen=True)
class RecallCheck(Serializable):
    """Recall@k of the target, by exact scores of the source's vectors.

    Attributes:
        vector: its name.
        recall, low, high: of the target's own search, with its codes: mean over the queries and
            95 % confidence interval.
        source_recall: of the source's own search, for the same queries.
        requirement: the minimum to pass.
        k, queries: number of results for each query, and number of queries.
        passed: whether the requirement is met. A gate is not met by a figure that proves nothing.
        exact_recall, source_exact_recall: of exact searches, which use no codes; None where neither
            side has codes or exact search is disabled.
        ground_truth: the vectors that exact scores were computed from.
        proof: how much the figure proves.
        least: minimum recall of the target's own search; None if only exact search is compared.
        remedy: a setting that meets ``least``; None where it is met.
    """

    vector: str
    recall: float
    low: float
    high: float
    source_recall: float
    requirement: str
    k: int
    queries: int
    passed: bool
    exact_recall: float | None = None
    source_exact_recall: float | None = None
    ground_truth: str = ""
    proof: Proof = field(default_factory=Proof)
    least: float | None = None
    remedy: Remedy | None = None

    @property
    def too_low(self) -> bool:
        """Whether the target's own search finds too little, although its rows may be correct."""
        exact, source = self.exact_recall, self.source_exact_recall
        rows_missing = exact is not None and source is not None and exact < source - SLACK
        return (
            not self.passed
            and self.proof.level != "none"
            and self.least is not None
            and self.recall < self.least
            and not rows_missing
        )


@dataclass(frozen=True)
class Check(Tabular, Serializable):
    """The result of comparing a target with its source.

    Attributes:
        source, target: addresses with collections.
        source_count, target_count: number of rows.
        missing: rows of the source that the target lacks, without skipped rows.
        unexpected: rows of the target that the source lacks.
        skipped: rows that the migration skipped, as allowed.
        compared: rows whose vectors and payloads were compared.
        scope: ``all`` rows or a ``sample``.
        different: number of compared rows that differ.
        max_different_share: upper bound of the share of all rows that differ, with 95 % confidence;
            0 where all rows were compared.
        differences: the first differences.
        recalls: one result for each vector; empty where recall was not measured.
        seconds: duration.
        passed: whether ids, rows and recall all passed.
        notes: limits of the comparison.
    """

    source: str
    target: str
    source_count: int
    target_count: int
    missing: int
    unexpected: int
    skipped: int
    compared: int
    scope: Literal["all", "sample"]
    different: int
    max_different_share: float
    differences: tuple[Difference, ...]
    recalls: tuple[RecallCheck, ...]
    seconds: float
    passed: bool
    notes: tuple[str, ...] = ()

    def table(self) -> Table:
        """Rows, ids and recall: a label and a value per row."""
        from qadapt.migration.text import check_lines

        return pair_table(check_lines(self), "equal" if self.passed else "different")


@dataclass(frozen=True)
class CatchUp(Serializable):
    """Changes of the source that were applied to the target after the copy.

    Attributes:
        added, changed, deleted: number of rows.
        detected_by: how changed rows were found.
        seconds: duration.
    """

    added: int
    changed: int
    deleted: int
    detected_by: str
    seconds: float


@dataclass(frozen=True)
class Metrics(Serializable):
    """Throughput and durations of a migration.

    Attributes:
        rows, bytes: written by this run; bytes of vectors.
        rows_before: written by earlier runs.
        skipped: rows of this run that the target rejected.
        writes: number of batches.
        copy_seconds, build_seconds, check_seconds: duration of each stage.
        rows_per_second: of the copy.
        megabytes_per_second: of the copy, vectors only.
        write_share: share of the workers' time spent in writes to the target.
    """

    rows: int = 0
    bytes: int = 0
    rows_before: int = 0
    skipped: int = 0
    writes: int = 0
    copy_seconds: float = 0.0
    build_seconds: float = 0.0
    check_seconds: float = 0.0
    rows_per_second: float = 0.0
    megabytes_per_second: float = 0.0
    write_share: float = 0.0


@dataclass(frozen=True)
class Cutover(Serializable):
    """An alias that was switched to the target.

    Attributes:
        alias: its name.
        previous: the collection that it pointed to; None for a new alias.
        current: the collection that it points to.
        rollback: the command that switches it back.
    """

    alias: str
    previous: str | None
    current: str
    rollback: str


@dataclass(frozen=True)
class Migration(Tabular, Serializable):
    """The result of a migration.

    Attributes:
        plan: the plan that was carried out.
        state: ``done`` or ``check failed``.
        resumed: whether an earlier run was resumed.
        status: quantization status of each vector of the target.
        metrics: throughput and durations.
        skipped: the first skipped rows, each with the reason.
        check, catch_up, cutover: None where not requested.
    """

    plan: MigrationPlan
    state: Literal["done", "check failed"]
    resumed: bool
    status: Mapping[str, Status]
    metrics: Metrics
    skipped: tuple[tuple[Id, str], ...] = ()
    check: Check | None = None
    catch_up: CatchUp | None = None
    cutover: Cutover | None = None

    def table(self) -> Table:
        """What was copied and checked: a label and a value per row."""
        from qadapt.migration.text import migration_lines

        return pair_table(migration_lines(self), self.state)
