"""Every test with the mark ``slow`` runs with all of its cases in ``make test-slow``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import slow
from hypothesis import given
from hypothesis import strategies as st
from slow import examples, left_out, mark_slow, moments, some

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SLOW_TEST = re.compile(r"\bmark\.(slow|long)\b|^\s*@given\b|\bfrom slow import\b", re.MULTILINE)


def _words(target: str) -> list[str]:
    """The command line of a make target, without make's variables."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    recipe = re.search(rf"^{target}:.*\n\t(.*)", makefile, re.MULTILINE)
    assert recipe
    return shlex.split(re.sub(r"\$\(\w+\)", "", recipe[1]))


def test_every_file_with_slow_tests_is_in_a_folder_that_make_test_slow_runs() -> None:
    given = [ROOT / word for word in _words("test-slow") if word.startswith("tests")]
    folders = given or [TESTS]  # pytest runs ``testpaths`` without a folder
    files = [path for path in TESTS.rglob("test_*.py") if SLOW_TEST.search(path.read_text())]
    assert len(files) > 10
    missed = [path for path in files if not any(path.is_relative_to(each) for each in folders)]
    assert not missed


def test_make_test_slow_selects_slow_tests_with_all_cases() -> None:
    words = _words("test-slow")
    assert "QADAPT_SLOW=1" in words
    assert words[words.index("-m", words.index("pytest")) + 1] == "slow and not server"
    assert "-k" not in words and "--deselect" not in words


def test_tests_on_servers_generate_every_example() -> None:
    assert "QADAPT_EVERY_EXAMPLE=$(EVERY_EXAMPLE)" in (ROOT / "Makefile").read_text()
    assert re.search(r"^EVERY_EXAMPLE \?= 1$", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("every", [False, True])
def test_the_variable_selects_all_cases(every: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow, "SLOW", every)
    monkeypatch.setattr(slow, "EVERY_EXAMPLE", every)
    assert len(some(range(20), 3)) == (20 if every else 3)
    assert examples(200) == (200 if every else 50)
    assert examples(5) == 5
    assert len(moments(["a", "b", "a", "c"], 2)) == (4 if every else 2)


class _Item:
    """A collected test, and the marks that it got."""

    def __init__(self, obj: Any, *marks: str) -> None:
        self.obj, self.marks = obj, list(marks)

    def add_marker(self, name: str) -> None:
        self.marks.append(name)

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def plain() -> None: ...


def test_hypothesis_tests_and_long_tests_are_slow_tests() -> None:
    generated: Any = _Item(given(st.integers())(lambda number: None))
    written: Any = _Item(plain)
    long: Any = _Item(plain, "long")
    for item in (generated, written, long):
        mark_slow(item)
    assert (generated.marks, written.marks, long.marks) == (["slow"], [], ["long", "slow"])


@pytest.mark.parametrize("every", [False, True])
def test_long_tests_run_on_request_and_on_servers(
    every: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow, "SLOW", every)
    marks = ((), ("slow",), ("long",), ("long", "server"))
    left = [left_out(_Item(plain, *names)) for names in marks]  # type: ignore[arg-type]
    assert left == [False, False, not every, False]


def test_ci_runs_the_long_tests() -> None:
    words = _words("test-long")
    assert "QADAPT_SLOW=1" in words
    assert words[words.index("-m", words.index("pytest")) + 1] == "long and not server"
    assert "test-long" in (ROOT / ".ci" / "run").read_text()
