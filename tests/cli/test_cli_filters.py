"""--filter and --by of the measuring commands, and the filters of a guard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import qadapt as qa
from qadapt.testing import clustered

ROWS, DIM = 400, 32
FEW = ("--queries", "30")


@pytest.fixture
def docs(live: Callable[[str], str]) -> Iterator[str]:
    url = live("edge")
    with qa.open(url) as database:
        made = database.create("docs", dim=DIM)
        tenants = [{"tenant": "a" if at < 250 else "b"} for at in range(ROWS)]
        made.write(qa.Batch(range(ROWS), {"": clustered(ROWS, DIM).rows}, tenants))
        made.plan("binary:rescore=off").apply(yes=True)
    yield url


def test_verify_shows_each_tenant_and_judges_the_worst(cli: Any, docs: str) -> None:
    ran = cli("verify", docs, "docs", *FEW, "--by", "tenant", "--gate", "recall@10>=0.999")
    assert ran.code == 3
    assert "Filter" in ran.out and '{"tenant": "a"}' in ran.out and "150" in ran.out
    assert 'with {"tenant"' in ran.out.split("gate missed")[1]
    document = cli("verify", docs, "docs", *FEW, "--by", "tenant", "--json").json
    values = [each["recall"]["value"] for each in document["results"]]
    assert values[0] == min(values) and {each["filter"] for each in document["truths"]} == {
        '{"tenant": "a"}',
        '{"tenant": "b"}',
    }


def test_filters_can_be_repeated(cli: Any, docs: str) -> None:
    words = ("--filter", '{"tenant": "a"}', "--filter", '{"tenant": {"missing": true}}')
    refused = cli("verify", docs, "docs", *FEW, *words)
    assert refused.code == 2 and "so nothing can be measured" in refused.err
    words = ("--filter", '{"tenant": "a"}', "--filter", '{"not": {"tenant": "a"}}')
    ran = cli("eval", docs, "docs", "binary:rescore=off", *FEW, *words, "--concurrency", "0")
    assert ran.code == 0 and '{"not": {"tenant": "a"}}' in ran.out


def test_invalid_filters_are_usage_errors(cli: Any, docs: str) -> None:
    for words, says in (
        (("--filter", "{"), "--filter is not JSON"),
        (("--filter", "[1]"), "--filter must be a JSON object"),
        (("--filter", '{"exists": "a"}'), '{"a": {"exists": true}}'),
        (("--filter", '{"a": 1}', "--filter", '{"a": 2}', "--by", "a"), "conflicts with by"),
        (("--by-limit", "3"), "without by (--by)"),
    ):
        ran = cli("verify", docs, "docs", *words)
        assert ran.code == 2 and says in " ".join(ran.err.split())


def test_a_guard_of_plan_and_apply_has_filters(cli: Any, docs: str) -> None:
    guard = ("--guard", "recall@10>=0.999")
    planned = cli("plan", docs, "docs", "none", *guard, "--guard-by", "tenant").out
    assert "each value of tenant" in " ".join(planned.split())
    document = cli(
        "plan", docs, "docs", "none", *guard, "--guard-filter", '{"tenant": "b"}', "--json"
    ).json
    assert document["guard"]["filter"] == {"tenant": "b"}
    alone = cli("plan", docs, "docs", "none", "--guard-by", "tenant")
    assert alone.code != 0 and "--guard-by has no effect without --guard" in alone.err
