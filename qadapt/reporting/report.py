"""Reports: choose the compared settings, and write HTML, Markdown or JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.costing import Cost
from qadapt.costing.footprints import change_between
from qadapt.errors import InputError, SpecError, advice_for
from qadapt.evaluation.documents import Advice, Evaluation, Simulation, now
from qadapt.evaluation.results import Result
from qadapt.model import MemoryChange, Prices
from qadapt.model.cli_commands import cli_command
from qadapt.model.table import Table
from qadapt.reporting import tables
from qadapt.reporting.content import Axis, Point, ReportContent, label, latency_of
from qadapt.reporting.documents import gather

FORMATS = ("html", "md", "json")
# A chosen setting may be this much below the best measured recall.
LOSS = 0.01


@dataclass(frozen=True)
class Report(ReportContent):
    """A report that can be written to a file; its content is described in ``ReportContent``."""

    def __str__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return self._table()._repr_html_()

    def _table(self) -> Table:
        found = tables.settings(self)
        notes = [
            found.note,
            "" if self.memory is None else f"memory: {self.memory}",
            "" if self.engine_memory is None else str(self.engine_memory),
        ]
        rows = tuple(tuple(row) for row in found.rows)
        return Table(tuple(found.columns), rows, self.title, tuple(filter(None, notes)))

    def to_html(self) -> str:
        """Render a self-contained HTML page.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from qadapt.reporting.html import page

        return page(self)

    def to_markdown(self) -> str:
        """Render the tables as Markdown."""
        from qadapt.reporting.markdown import text

        return text(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as ``.html``, ``.md`` or ``.json``, depending on the suffix.

        Raises:
            SpecError: an unknown suffix.
            InputError: the file cannot be written.
        """
        place = Path(path)
        kind = place.suffix.lstrip(".").lower()
        if kind not in FORMATS:
            raise SpecError.unknown("report format", kind or str(place), FORMATS)
        content = {"html": self.to_html, "md": self.to_markdown, "json": self.to_json}[kind]()
        try:
            place.write_text(content, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"cannot write the report {str(place)!r}: {error.strerror}",
                hint=advice_for(error, "choose another path"),
            ) from None
        return place


def report(
    *documents: Any,
    after: str | None = None,
    path: str | os.PathLike[str] | None = None,
    title: str | None = None,
    prices: Prices | None = None,
) -> Report:
    """Create a report of evaluations and other documents.

    Args:
        documents: Evaluation, Simulation, Advice, Cost, Diagnosis, Verification, or paths of
            files of them. Of two evaluations the last is "after".
        after: the setting to compare with; by default the live one of a second evaluation,
        otherwise that of advise, otherwise the smallest within 0.01 of the best recall.
        path: where to save it, as ``.html``, ``.md`` or ``.json``.
        title: of the page.
        prices: of RAM and disk per GiB and month; default: those of the cost or the evaluations.

    Raises:
        InputError: no document contains a recall, or the setting does not exist.
        MissingExtraError: an HTML page was requested and matplotlib is not installed.
    """
    found = gather(documents)
    if not found.evaluations and found.simulation is None:
        raise InputError(
            "a report needs an evaluation or a simulation",
            hint="`qadapt eval URL COLLECTION SETTING... -o eval.json` writes one",
        )
    before = _live(found.evaluations[0]) if found.evaluations else None
    chosen, why = _after(found.evaluations, found.advice, before, after)
    points = _points(found.evaluations, found.simulation, before, chosen)
    subject = found.evaluations[-1] if found.evaluations else found.simulation
    name = subject.collection if subject is not None and subject.collection else "vectors"
    made = Report(
        title=title or f"{name}: recall, size and latency",
        created=now(),
        before=before,
        after=chosen,
        after_is=why,
        points=points,
        pareto_bytes=_pareto(points, "bytes"),
        pareto_latency=_pareto(points, "latency"),
        commands=_commands(found),
        evaluations=found.evaluations,
        simulation=found.simulation,
        advice=found.advice,
        cost=found.cost,
        diagnoses=found.diagnoses,
        verification=found.verification,
        memory=_memory(before, chosen, found.cost, prices),
    )
    if path is not None:
        made.save(path)
    return made


def _memory(
    before: Result | None, after: Result | None, cost: Cost | None, prices: Prices | None
) -> MemoryChange | None:
    """RAM and disk of the live setting before, and of the setting after the change."""
    known = [each.memory for each in (before, after) if each is not None and each.memory]
    if not known:
        was, now = (None, None) if cost is None else (cost.before, cost.after)
        if was is None or now is None or was.footprint is None or now.footprint is None:
            return None
        known = [change_between(was.footprint, now.footprint)]
    if prices is None or not prices.given:
        prices = cost.prices if cost is not None else known[0].prices
    first, last = known[0], known[-1]
    return first.replace(ram_after=last.ram_after, disk_after=last.disk_after).priced(prices)


def _live(evaluation: Evaluation) -> Result | None:
    return next((each for each in evaluation.results if each.where == "live"), None)


def _after(
    evaluations: tuple[Evaluation, ...],
    advice: Advice | None,
    before: Result | None,
    asked: str | None,
) -> tuple[Result | None, str]:
    results = [each for evaluation in evaluations for each in evaluation.results]
    good = [each for each in results if each.recall is not None and each is not before]
    if asked is not None:
        found = next((each for each in good if each.setting == asked), None)
        if found is None:
            known = [each.setting for each in good]
            raise SpecError.unknown("setting", asked, known, where="the evaluations")
        return found, "chosen for this report"
    if len(evaluations) > 1 and (later := _live(evaluations[-1])) is not None:
        return later, "live setting after the change"
    if advice is not None and advice.best is not None:
        best = advice.best.setting
        return next((r for r in good if r.setting == best), None), "recommended by advise"
    return _smallest(good, before)


def _smallest(good: list[Result], before: Result | None) -> tuple[Result | None, str]:
    """The smallest setting with nearly the best recall; none if that is the one before."""
    known = [*([before] if before is not None else []), *good]
    sized = [each for each in known if each is before or each.bytes_per_vector is not None]
    best = max(map(_recall, sized), default=0.0)
    near = [each for each in sized if _recall(each) >= best - LOSS]
    found = min(near, key=lambda each: each.bytes_per_vector or 0, default=None)
    if found is None or found is before:
        return None, ""
    return found, f"smallest measured setting within {LOSS:g} of the best recall"


def _recall(result: Result) -> float:
    return result.recall.value if result.recall is not None else 0.0


def _points(
    evaluations: tuple[Evaluation, ...],
    simulation: Simulation | None,
    before: Result | None,
    after: Result | None,
) -> tuple[Point, ...]:
    points: list[Point] = []
    seen: set[str] = set()

    def add(result: Result, role: Any) -> None:
        if result.recall is None:
            return
        seen.add(label(result))
        size, time = result.bytes_per_vector, latency_of(result)
        points.append(Point(len(points) + 1, label(result), role, result.recall, size, time))

    for evaluation in evaluations:
        for result in evaluation.results:
            known = result is before or result is after
            role = "before" if result is before else "after" if result is after else "candidate"
            if known or label(result) not in seen:
                add(result, role)
    for result in simulation.results if simulation is not None else ():
        if label(result) not in seen:
            add(result, "predicted")
    return tuple(points)


def _pareto(points: tuple[Point, ...], axis: Axis) -> tuple[int, ...]:
    """Numbers of the measured points on the Pareto front, in ascending order."""
    placed = [(at, p) for p in points if p.role != "predicted" and (at := p.at(axis))]
    line: list[Point] = []
    for _, point in sorted(placed, key=lambda pair: (pair[0], -pair[1].recall.value)):
        if not line or point.recall.value > line[-1].recall.value:
            line.append(point)
    return tuple(point.number for point in line)


def _commands(found: Any) -> tuple[str, ...]:
    """The commands that produced the documents."""
    made = [each.command for each in found.evaluations]
    made += [each.command for each in (found.simulation, found.advice) if each is not None]
    if found.cost is not None and found.cost.address:
        cost, prices = found.cost, found.cost.prices
        after = [cost.after.setting] if cost.after is not None else []
        made.append(
            cli_command(
                "cost", cost.address, cost.collection, *after,
                price=_shown(prices.ram), disk_price=_shown(prices.disk),
            )
        )  # fmt: skip
    made += [cli_command("doctor", each.address, each.collection) for each in found.diagnoses]
    return tuple(dict.fromkeys(command for command in made if command))


def _shown(price: float | None) -> str:
    return "" if price is None else f"{price:g}"
