"""Progress of a whole call: the share that is done and the time left, from the first event.

A call consists of parts with expected durations. They come from the size of the collection and
figures of one machine (docs/benchmarks.md), and are scaled by the time that the call has taken.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qadapt.stores.base import OnProgress, Progress

if TYPE_CHECKING:
    from qadapt.evaluation.options import EvaluationOptions
    from qadapt.evaluation.settings import Setting
    from qadapt.model import Quantization, VectorInfo

# Seconds, per number of a vector: on two cores with qdrant-edge-py 0.9.0.
READ = 3e-8  # read and converted
SCORED = 6e-11  # compared with one query
SIMULATED = 1.2e-7  # encoded by the model of a quantizer, and ranked
BUILT = 2e-7  # codes and graph of a copy
LISTED = 8e-6  # per row: listing of ids for a sample
SEARCHED = 1.0  # searches with one setting
MOST = 0.95  # share of a part without a counter that passes with its expected time
QUERY_COUNT = 200  # queries of a file that was not read yet
TRUSTED = 3.0  # seconds of a call that count as much as the expectation


class Meter:
    """A progress callback that adds the share of the whole call and the time left.

    Args:
        on: the callback that gets the events.
        parts: expected seconds of each part, in order.
    """

    def __init__(self, on: OnProgress, parts: Mapping[str, float]) -> None:
        self._on = on
        self._parts = dict(parts)
        self._begun = self._since = time.monotonic()
        self._done = 0.0  # expected seconds of the parts that ended
        self._part: str | None = None
        self._share = 0.0

    def start(self, part: str) -> Meter:
        """Begin the first part and report it; returns the meter."""
        self.begin(part)
        self(Progress(part))
        return self

    def begin(self, part: str, seconds: float = 0.0) -> None:
        """Begin a part, which ends the one before.

        Args:
            seconds: expected duration of a part that was not announced.
        """
        if self._part is not None:
            self._done += self._parts[self._part]
        self._parts.setdefault(part, seconds)
        self._part, self._since = part, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Pass an event on. An event of another meter counts with its share."""
        total = max(sum(self._parts.values()), 1e-9)
        expected = self._done + self._parts.get(self._part or "", 0) * self._fraction(progress)
        self._share = min(max(self._share, expected / total), 1.0)
        elapsed = time.monotonic() - self._begun
        pace = (elapsed + TRUSTED) / (expected + TRUSTED)
        left = max(0.0, total * (1 - self._share) * pace)
        self._on(dataclasses.replace(progress, share=self._share, left=left))

    def _fraction(self, progress: Progress) -> float:
        """The share of the current part that is done."""
        if progress.share is not None:
            return progress.share
        if progress.total:
            return min(1.0, progress.done / progress.total)
        return self._by_time()

    def _by_time(self) -> float:
        seconds = self._parts.get(self._part or "", 0)
        passed = time.monotonic() - self._since
        return min(MOST, passed / seconds) if seconds else 0.0


class Steps(Meter):
    """A meter whose parts have several stages: within a part, the share grows with time."""

    def _fraction(self, progress: Progress) -> float:
        return self._by_time()


# -- expected durations --------------------------------------------------------------------------

QUERIES, TRUTH, SAMPLE = "reading queries", "ground truth", "sample"
SIMULATION, SETTINGS, REACHED = "simulation", "settings", "reachability"


def numbered(part: str, number: int) -> str:
    """The name of a part that is repeated for each subset of the rows; ``number`` counts from 0."""
    return f"{part} {number + 1}" if number else part


def for_subsets(part: str, seconds: float, subsets: int) -> dict[str, float]:
    """Expected seconds of a part that is repeated for each subset of the rows."""
    return {numbered(part, number): seconds for number in range(subsets)}


def of_reading(
    vector: VectorInfo, options: EvaluationOptions, subsets: int = 1
) -> dict[str, float]:
    """Seconds to draw queries, and to read all rows and compute exact neighbors.

    Args:
        subsets: number of filters, each of which needs exact neighbors.
    """
    queries = options.queries if isinstance(options.queries, int) else QUERY_COUNT
    rows = vector.count if options.rows is None else min(vector.count, options.rows)
    return {
        QUERIES: 0.2 + LISTED * vector.count,
        **for_subsets(TRUTH, rows * vector.dim * (READ + SCORED * queries), subsets),
    }


def of_simulation(
    vector: VectorInfo, settings: Sequence[Setting], options: EvaluationOptions
) -> dict[str, float]:
    """Seconds to read a sample and to simulate settings."""
    rows = min(vector.count, options.sample_rows)
    kinds = {setting.quantization for setting in settings}
    return {
        SAMPLE: 0.2 + LISTED * vector.count + rows * vector.dim * READ,
        SIMULATION: len(kinds) * rows * vector.dim * SIMULATED,
    }


def of_evaluation(
    vector: VectorInfo, settings: Sequence[Setting], options: EvaluationOptions, subsets: int = 1
) -> dict[str, float]:
    """Seconds to read a sample, and to measure settings on the live collection and a copy."""
    rows = min(vector.count, options.copy_rows)
    return {
        SAMPLE: 0.2 + LISTED * vector.count + rows * vector.dim * READ,
        SETTINGS: sum(of_settings(vector, settings, options, subsets).values()),
    }


def of_searches(settings: Sequence[Setting]) -> dict[str, float]:
    """Seconds to search with each setting, without timings."""
    return {setting.text: SEARCHED for setting in settings}


def of_settings(
    vector: VectorInfo, settings: Sequence[Setting], options: EvaluationOptions, subsets: int = 1
) -> dict[str, float]:
    """Seconds to measure each setting, in order; the first setting with some codes builds them.

    Settings of the live collection are measured subset by subset, the others for all subsets of a
    copy.
    """
    rows = min(vector.count, options.copy_rows)
    searched = SEARCHED + sum(options.seconds for _ in options.concurrency)
    found: dict[str, float] = {}
    built: set[Quantization | None] = {None}
    for setting in settings:
        if setting.quantization is None:
            found |= for_subsets(setting.text, searched, subsets)
            continue
        build = 0.0 if setting.quantization in built else 1 + rows * vector.dim * BUILT
        built.add(setting.quantization)
        found[setting.text] = subsets * searched + build
    return found
