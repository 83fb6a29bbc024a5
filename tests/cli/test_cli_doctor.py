"""``qadapt doctor`` on a live collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import qadapt as qa

Cli = Callable[..., Any]


def test_findings_contain_fix_commands(cli: Cli, articles: str) -> None:
    with qa.open(articles) as db:
        db["articles"].plan("binary").apply(yes=True)
    ran = cli("doctor", articles, "articles")
    assert ran.code == 0
    assert "originals-in-ram" in ran.out and "fix: qadapt apply" in ran.out
    assert "source" not in ran.out and "source" in cli("doctor", articles, "articles", "-v").out
    told = cli("doctor", articles, "--json").json
    (one,) = told["collections"]
    assert one["collection"] == "articles" and one["findings"] and told["missed"] is False


def test_fail_on(cli: Cli, articles: str) -> None:
    assert cli("doctor", articles, "articles", "--fail-on", "info").code == 0
    assert "no findings" in cli("doctor", articles, "articles").out
    with qa.open(articles) as db:
        db["articles"].plan("binary").apply(yes=True)
    assert cli("doctor", articles, "articles", "--fail-on", "warning").code == 3
    params = '{"quantization": {"oversampling": 3, "rescore": false}}'
    words = ("doctor", articles, "articles", "--fail-on", "error")
    assert cli(*words).code == 0
    assert cli(*words, "--search-params", params).code == 3
    assert cli(*words, "--search-params", params, "--json").json["missed"] is True
    skipped = ("--skip", "oversampling-without-rescoring")
    assert cli(*words, "--search-params", params, *skipped).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--fail-on", "warnings"),
        ("--search-params", "["),
        ("--search-params", "[]"),
        ("--check", "no-efect"),
        ("--sample", "1"),
        ("--model-metric", "cosin"),
    ],
)
def test_usage_errors(cli: Cli, articles: str, words: tuple[str, ...]) -> None:
    ran = cli("doctor", articles, "articles", *words)
    assert ran.code == 2 and "error:" in ran.err and "Traceback" not in ran.err


def test_a_missing_collection_is_an_error(cli: Cli, articles: str) -> None:
    assert cli("doctor", articles, "article").code == 1
