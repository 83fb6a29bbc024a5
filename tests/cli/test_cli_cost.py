"""``qadapt cost`` on plain numbers and on a live collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_cost_of_a_collection(cli: Cli, articles: str) -> None:
    words = ("cost", articles, "articles", "binary:originals=disk,codes=ram", "--price", "3.8")
    ran = cli(*words)
    assert ran.code == 0
    assert "current" in ran.out and "requested" in ran.out
    for store in ("qdrant", "weaviate", "milvus"):
        assert store in ran.out
    assert "RAM only" in ran.out
    told = cli(*words, "--json").json
    assert told["before"]["scales"][0]["ram"] > told["after"]["scales"][0]["ram"]
    assert told["after"]["scales"][2]["factor"] == 100


def test_cost_of_row_and_dimension_counts(cli: Cli) -> None:
    ran = cli("cost", "--rows", "1000000", "--dim", "768", "--setting", "binary", "-v")
    assert ran.code == 0 and "16 B per 128 bits" in ran.out
    assert "no prices given" in ran.out and "A month" not in ran.out
    told = cli("cost", "--rows", "10", "--dim", "8", "--scales", "1,3", "--json").json
    assert told["before"] is None and len(told["lines"][0]["scales"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--rows", "10"),
        ("edge:./x", "--rows", "10", "--dim", "3"),
        ("--rows", "10", "--dim", "8", "--scales", "a"),
        ("--rows", "10", "--dim", "8", "--price", "-1"),
        ("--rows", "10", "--dim", "8", "--setting", "bynary"),
    ],
)
def test_usage_errors(cli: Cli, words: tuple[str, ...]) -> None:
    ran = cli("cost", *words)
    assert ran.code == 2 and "error:" in ran.err and "Traceback" not in ran.err
