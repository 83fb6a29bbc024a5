"""Progress on standard error: live bars on a terminal, lines with percentages elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from qadapt.cli import rendering

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Live
    from rich.progress import TaskID

    from qadapt.stores.base import Progress

BAR = 20
EVERY = 5.0  # seconds between two lines of a stage without a terminal
STAGE = 30  # width of a stage's name, which aligns the bars


class ProgressOutput(Protocol):
    """Interface of ``qadapt.cli.output.Output`` that a reporter uses."""

    json: bool
    log_json: bool
    quiet: bool
    verbose: int

    @property
    def err(self) -> Console: ...

    @property
    def live(self) -> bool: ...

    def mask(self, text: str) -> str: ...

    def note(self, text: str) -> None: ...


class Reporter:
    """A progress callback; use it as a context manager.

    Bars are drawn only if standard error is a terminal. Each stage keeps its line with its
    duration. Elsewhere, each stage gets a line when it begins, and a line every 5 seconds with the
    percentage and the remaining time.
    """

    def __init__(self, out: ProgressOutput) -> None:
        self._out = out
        self._live: Live | None = None
        self._task: TaskID | None = None
        self._stage: str | None = None
        self._since = self._printed = 0.0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.rest(finished=kind is None)

    def rest(self, *, finished: bool = True) -> None:
        """Stop drawing, so that something else can be printed; the next event starts again."""
        self._end_stage(finished=finished)
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, progress: Progress) -> None:
        """Show the progress."""
        if self._out.quiet:
            return
        if progress.unit == "steps":
            self._heading(progress)
            return
        if progress.stage != self._stage:
            self._end_stage(finished=True)
            self._begin(progress)
        if self._live is not None and self._task is not None:
            self._live.update(
                self._task,
                completed=progress.done,
                total=progress.total,
                count=_count(progress),
                whole=_whole(progress),
            )
        elif not self._out.live:
            self._line(progress)

    def _line(self, progress: Progress) -> None:
        """Print a line about a stage, at most every 5 seconds."""
        now = time.monotonic()
        if now - self._printed < EVERY:
            return
        self._printed = now
        parts = [_count(progress), _whole(progress) or _rest(progress, now - self._since)]
        self._out.note(f"  {progress.stage}: {', '.join(filter(None, parts))}")

    def _heading(self, progress: Progress) -> None:
        """Print a line for a step of a plan, above the stages of the step."""
        self.rest()
        of = f"step {progress.done + 1:.0f} of {progress.total:.0f}: " if progress.total else ""
        self._out.note(of + progress.stage)

    def _begin(self, progress: Progress) -> None:
        self._stage, self._since = progress.stage, time.monotonic()
        if not self._out.live:
            self._printed = self._since
            whole = _whole(progress)
            self._out.note(f"{progress.stage} ({whole})" if whole else progress.stage)
            return
        if self._live is None:
            self._live = _bars(self._out)
            self._live.start()
        self._task = self._live.add_task(
            self._out.mask(progress.stage), total=progress.total, count=_count(progress),
            whole=_whole(progress),
        )  # fmt: skip

    def _end_stage(self, *, finished: bool) -> None:
        if self._live is not None and self._task is not None:
            task = self._live.tasks[self._live.task_ids.index(self._task)]
            if finished:
                total = task.total or task.completed or 1
                self._live.update(self._task, total=total, completed=total)
            self._live.stop_task(self._task)
        elif self._stage is not None and finished and self._out.verbose:
            self._out.note(f"  done in {rendering.seconds(time.monotonic() - self._since)}")
        self._task = self._stage = None


def _count(progress: Progress) -> str:
    """``1,234/5,183 rows``; nothing for a stage that does not count."""
    if not progress.done and progress.total is None:
        return ""
    if progress.unit == "share":
        return f"{progress.done:.0%}"
    tell = rendering.size if progress.unit == "bytes" else rendering.number
    unit = "" if progress.unit == "bytes" else f" {progress.unit}"
    if progress.rate is not None:
        unit += f", {tell(round(progress.rate))}/s"
    if progress.lag and progress.total is None:
        unit += f", {tell(progress.lag)} behind"
    if progress.total is None:
        return f"{tell(progress.done)}{unit}"
    return f"{tell(progress.done)}/{tell(progress.total)}{unit}"


def _whole(progress: Progress) -> str:
    """``34 % of all, 40 s left``; empty if it is unknown how much of the whole call is done."""
    if progress.share is None:
        return ""
    left = "" if progress.left is None else f", {rendering.seconds(progress.left)} left"
    return f"{100 * progress.share:.0f} % of all{left}"


def _rest(progress: Progress, elapsed: float) -> str:
    """The percentage of a stage and its remaining time, extrapolated; else how long it has run."""
    if not progress.done:
        return f"running for {rendering.seconds(elapsed)}"
    if not progress.total:
        return ""
    share = min(1.0, progress.done / progress.total)
    return f"{100 * share:.0f} %, {rendering.seconds(elapsed * (1 - share) / share)} left"


def _bars(out: ProgressOutput) -> Live:
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
    )
    from rich.progress import Progress as Live
    from rich.table import Column
    from rich.text import Text

    class Clock(ProgressColumn):
        """Elapsed time and, while the stage runs, the remaining time."""

        def render(self, task: Task) -> Text:
            elapsed = task.finished_time if task.finished else task.elapsed
            text = rendering.seconds(max(elapsed or 0.0, 0.0))
            if task.fields["whole"] and not task.finished:
                return Text(f"{text}; {task.fields['whole']}", style="dim")
            left = None if task.finished else task.time_remaining
            return Text(f"{text}, {rendering.seconds(left)} left" if left else text, style="dim")

    return Live(
        SpinnerColumn(finished_text="✓", style="cyan"),
        TextColumn("{task.description}", markup=False, table_column=Column(min_width=STAGE)),
        BarColumn(bar_width=BAR, complete_style="cyan", finished_style="green"),
        TextColumn("{task.fields[count]}", markup=False, table_column=Column(no_wrap=True)),
        Clock(table_column=Column(no_wrap=True)),
        console=out.err,
        refresh_per_second=8,
    )
