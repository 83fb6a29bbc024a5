"""``qadapt report``: from the output of eval on a live collection to a page, and in the
terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


@pytest.fixture
def evaluated(cli: Cli, articles: str, tmp_path: Path) -> Path:
    """A live evaluation, as saved by ``qadapt eval -o``."""
    place = tmp_path / "eval.json"
    words = ("--queries", "20", "--concurrency", "1", "--seconds", "0.1", "-o", place)
    ran = cli("eval", articles, "articles", "binary:rescore=4", "scalar", *words)
    assert ran.code == 0, ran.err
    return place


def test_from_eval_to_a_page(cli: Cli, articles: str, evaluated: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    doctor = tmp_path / "doctor.json"
    doctor.write_text(cli("doctor", articles, "--json").out, encoding="utf-8")
    verified = tmp_path / "verify.json"
    words = ("verify", articles, "articles", "--queries", "10", "--json")
    verified.write_text(cli(*words).out, encoding="utf-8")
    page = tmp_path / "report.html"
    ran = cli("report", evaluated, doctor, verified, "-o", page, "--title", "Before we decide")
    assert ran.code == 0 and "written:" in ran.out, ran.err
    html = page.read_text(encoding="utf-8")
    assert "Before we decide" in html and "binary:rescore=4" in html
    assert "Verification" in html and "Doctor" in html
    assert "qadapt eval" in html, "the command that made it"


def test_in_the_terminal_and_as_json(cli: Cli, evaluated: Path) -> None:
    pytest.importorskip("plotext")
    ran = cli("report", evaluated)
    assert ran.code == 0
    assert "recall by bytes" in ran.out and "■" in ran.out
    told = cli("report", evaluated, "--json", "--after", "binary:rescore=4").json
    assert told["format"] == "qadapt.report/1"
    assert told["after"]["setting"] == "binary:rescore=4"
    assert {point["role"] for point in told["points"]} == {"before", "after", "candidate"}


@pytest.mark.parametrize("words", [("-o", "report.pdf"), ("--after", "binray")])
def test_usage_errors(cli: Cli, evaluated: Path, words: tuple[str, ...]) -> None:
    ran = cli("report", evaluated, *words)
    assert ran.code == 2 and "Traceback" not in ran.err


def test_a_missing_file_is_an_error(cli: Cli, tmp_path: Path) -> None:
    ran = cli("report", tmp_path / "none.json")
    assert ran.code == 2 and "qadapt eval" in ran.err
