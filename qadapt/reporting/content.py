"""What a report contains: settings before and after, the points of the plots, the documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qadapt.costing import Cost
from qadapt.diagnosis import Diagnosis
from qadapt.evaluation.documents import Advice, Evaluation, Simulation, Verification
from qadapt.evaluation.results import Figure, Result
from qadapt.model import MemoryChange, Serializable
from qadapt.model.engine_memory import EngineMemory

Axis = Literal["bytes", "latency"]
# With more predicted settings than this, plots show them small and tables list them separately.
CROWD = 20


@dataclass(frozen=True)
class Point(Serializable):
    """One setting in the plots.

    Attributes:
        number: number in plots and tables.
        setting: requested setting; see ``label``.
        role: ``before``, ``after``, ``candidate`` or ``predicted``.
        recall: mean and interval.
        bytes: bytes of codes per vector; None if unknown.
        latency: 95th percentile of warm single queries in ms; None if not measured.
    """

    number: int
    setting: str
    role: Literal["before", "after", "candidate", "predicted"]
    recall: Figure
    bytes: float | None
    latency: float | None

    def at(self, axis: Axis) -> float | None:
        """The value on an axis."""
        return self.bytes if axis == "bytes" else self.latency


@dataclass(frozen=True)
class ReportContent(Serializable):
    """Everything that a report shows, as plain data.

    Attributes:
        title, created: title and time of creation.
        before, after: live setting before, and live or proposed setting after the change.
        after_is: origin of ``after``.
        points: all settings with a recall.
        pareto_bytes, pareto_latency: numbers of the points on the Pareto fronts.
        commands: the commands that produced the documents, in order.
        evaluations ... verification: the documents.
        memory: RAM and disk before and after; None if no document contains them.
    """

    title: str
    created: str
    before: Result | None
    after: Result | None
    after_is: str
    points: tuple[Point, ...]
    pareto_bytes: tuple[int, ...]
    pareto_latency: tuple[int, ...]
    commands: tuple[str, ...]
    evaluations: tuple[Evaluation, ...] = ()
    simulation: Simulation | None = None
    advice: Advice | None = None
    cost: Cost | None = None
    diagnoses: tuple[Diagnosis, ...] = ()
    verification: Verification | None = None
    memory: MemoryChange | None = None
    format: str = "qadapt.report/1"

    @property
    def subject(self) -> Evaluation | Simulation | None:
        """The measurement that describes the collection."""
        return self.evaluations[-1] if self.evaluations else self.simulation

    @property
    def engine_memory(self) -> EngineMemory | None:
        """Measured memory of the engine, everything included; None if no document has it.

        ``verify`` measures the collection alone; the others may have made copies of it.
        """
        documents = (self.verification, *reversed(self.evaluations), self.advice, self.cost)
        known = (each.engine_memory for each in documents if each is not None)
        return next((each for each in known if each is not None), None)

    @property
    def crowded(self) -> bool:
        """Whether there are too many predictions to number in a plot."""
        return sum(point.role == "predicted" for point in self.points) > CROWD

    def pareto(self, axis: Axis) -> tuple[Point, ...]:
        """The Pareto front, in ascending order."""
        numbers = self.pareto_bytes if axis == "bytes" else self.pareto_latency
        return tuple(point for number in numbers for point in self.points if point.number == number)

    def placed(self, axis: Axis) -> list[tuple[float, Point]]:
        """Points with a value on an axis, with the value."""
        return [(at, point) for point in self.points if (at := point.at(axis))]


def label(result: Result) -> str:
    """The requested setting, with its filter; for the live collection, with its quantization."""
    setting = result.setting
    if setting == "live":
        setting = f"live: {result.quantization.replace(native={})}"
    return f"{setting} {result.filter}" if result.filter else setting


def latency_of(result: Result) -> float | None:
    """95th percentile of one query, warm, one at a time, in ms."""
    warm = [each for each in result.latency if each.phase == "warm"]
    return min(warm, key=lambda each: each.concurrency).p95 if warm else None
