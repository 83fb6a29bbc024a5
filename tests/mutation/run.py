"""Change one line of the package at a time, and check that a test fails: ``make mutants``.

A mutant is killed if a test that runs its line fails, or if these tests exceed the time limit. A
mutant whose line no test runs is alive. Mutants in ``equivalent.yaml`` behave as the original and
are left out. The exit code is 1 if too few mutants are killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import yaml
from covering import Covering, environment, pytest_command
from mutants import AREAS, Mutant, sample

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.yaml")
MEMORY = 12 << 30  # bytes of address space, for a mutant that allocates without end


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant, and the test that failed."""

    mutant: Mutant
    name: str  # killed, timeout, alive or uncovered
    seconds: float
    killer: str | None = None


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qadapt-mutants-") as folder:
        copies = [_copy(Path(folder) / str(number)) for number in range(options.workers)]
        covering = Covering(copies[0], ROOT, options.workers)
        equivalent = yaml.safe_load(EQUIVALENT.read_text()) or []
        chosen = sample(copies[0], options.each, options.seed, equivalent)
        run = Run(covering, options.budget, options.resume)
        outcomes = run.all(chosen, copies)
        broken = _failing_unchanged(outcomes, covering, copies[0])
    return _report(outcomes, broken, options.least)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="make mutants")
    parser.add_argument("--each", type=int, default=40, help="mutants of each area")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the choice")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--least", type=float, default=95.0, help="percent that must be killed")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for a mutant")
    parser.add_argument("--resume", action="store_true", help="keep those killed in the last run")
    return parser.parse_args()


def _copy(folder: Path) -> Path:
    """A copy of the repository without ignored files."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


class Run:
    """Tests mutants, and saves each outcome, so that an interrupted run can be resumed.

    Args:
        budget: seconds of tests for a mutant, as measured with coverage; slower tests are left out.
        resume: keep the mutants killed in the last run.
    """

    def __init__(self, covering: Covering, budget: float, resume: bool) -> None:
        self.covering, self.budget = covering, budget
        self.file = covering.cache / "killed.json"
        self.killed = json.loads(self.file.read_text()) if resume and self.file.exists() else {}
        self.lock = threading.Lock()

    def all(self, chosen: list[Mutant], copies: list[Path]) -> list[Outcome]:
        free: queue.Queue[Path] = queue.Queue()
        for copy in copies:
            free.put(copy)

        def attempt(mutant: Mutant) -> Outcome:
            if mutant.key in self.killed:
                name, killer = self.killed[mutant.key]
                return Outcome(mutant, name, 0.0, killer)
            copy = free.get()
            try:
                outcome = self._attempt(mutant, copy)
            finally:
                free.put(copy)
            self._save(outcome)
            return outcome

        with ThreadPoolExecutor(len(copies)) as pool:
            return list(pool.map(attempt, chosen))

    def _save(self, outcome: Outcome) -> None:
        with self.lock:
            print(f"{outcome.name:9} {outcome.seconds:5.1f} s  {outcome.mutant}", flush=True)
            if not _lives(outcome):
                self.killed[outcome.mutant.key] = (outcome.name, outcome.killer)
                self.file.write_text(json.dumps(self.killed))

    def _attempt(self, mutant: Mutant, copy: Path) -> Outcome:
        """Run the tests of one mutant in a copy, which is restored after."""
        seconds = self.covering.seconds
        tests, total = [], 0.0
        for test in self.covering.tests(mutant.path, mutant.position[0]):
            total += seconds[test]
            if tests and total > self.budget:
                break
            tests.append(test)
        if not tests:
            return Outcome(mutant, "uncovered", 0.0)
        began = time.monotonic()
        _write(copy / mutant.path, mutant.code)
        try:
            code, failed = _run(tests, copy, limit=120.0 + 2 * min(total, self.budget))
        finally:
            _write(copy / mutant.path, mutant.source)
        name = "timeout" if code is None else "alive" if code in (0, 5) else "killed"
        return Outcome(mutant, name, time.monotonic() - began, failed[0] if failed else None)


def _write(path: Path, source: str) -> None:
    """Write a module, and delete its bytecode, which has the time of a second only."""
    path.write_text(source)
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _run(
    tests: list[str], copy: Path, *, limit: float, first: bool = True
) -> tuple[int | None, list[str]]:
    """pytest's exit code, None after the time limit, and the tests that failed."""
    files = sorted({test.partition("::")[0] for test in tests})
    selected, record = copy / "selected.json", copy / "record.json"
    selected.write_text(json.dumps(tests))
    record.unlink(missing_ok=True)
    process = subprocess.Popen(
        [*pytest_command(), *(["-x"] if first else []), *files],
        cwd=copy,
        env={**environment(copy, ROOT, record), "MUTATION_TESTS": str(selected)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_limit_memory,
    )
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _end(process)
    found = json.loads(record.read_text()) if record.exists() else {}
    return code, [test for test, (_, outcome) in found.items() if outcome == "failed"]


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the tests and all processes that they left."""
    with contextlib.suppress(ProcessLookupError):  # all have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failing_unchanged(outcomes: list[Outcome], covering: Covering, copy: Path) -> list[str]:
    """The tests that killed mutants but also fail without one."""
    killers = sorted({each.killer for each in outcomes if each.killer})
    seconds = sum(covering.seconds[test] for test in killers)
    code, failed = _run(killers, copy, limit=300 + 3 * seconds, first=False) if killers else (0, [])
    return failed or ([] if code == 0 else [f"pytest ended with {code}"])


def _lives(outcome: Outcome) -> bool:
    return outcome.name in ("alive", "uncovered")


def _report(outcomes: list[Outcome], broken: list[str], least: float) -> int:
    living = [each for each in outcomes if _lives(each)]
    print(f"\n{len(living)} alive:" if living else "")
    for each in living:
        print(f"{each.name}: {each.mutant}")
    print()
    for area in AREAS:
        names = Counter(each.name for each in outcomes if each.mutant.area == area)
        print(f"{area:10} " + ", ".join(f"{names[name]} {name}" for name in sorted(names)))
    share = 100 * (1 - len(living) / len(outcomes)) if outcomes else 0.0
    print(f"{share:.1f} % of {len(outcomes)} mutants killed; {least:.0f} % required")
    if broken:
        print("these tests also fail without a mutant:", *broken, sep="\n  ")
    return 1 if broken or share < least else 0


if __name__ == "__main__":
    sys.exit(main())
