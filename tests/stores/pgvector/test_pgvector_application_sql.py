"""The SQL that applications must send, in the plan of a change and in its result."""

from __future__ import annotations

from typing import Any

import pytest

from qadapt.cli import main
from qadapt.testing.data import Sample


@pytest.mark.parametrize("setting", ["binary:rescore=4", "float16", "none:dims=24"])
def test_apply_prints_the_sql_of_applications_once(
    articles: Any, raw: Any, url: str, sample: Sample, capsys: Any, setting: str
) -> None:
    plan = articles.plan(setting)
    assert plan.clients is not None
    statement = plan.clients.statement
    for line in statement.splitlines():
        assert line in str(plan)
    capsys.readouterr()
    assert main(["apply", url, articles.name, setting, "--yes"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("SQL of applications:") == shown.count("BEGIN;") == 1
    assert statement == articles.client_params(k=10).code["sql"]

    *settings, query = [line for line in statement.split("\n") if line[:6] in ("SET LO", "SELECT")]
    vector = str(sample.queries[0].tolist())
    with raw.transaction():
        for each in settings:
            raw.execute(each)
        rows = raw.execute(query.replace("$1", "%(q)s"), {"q": vector}).fetchall()
    assert [row[0] for row in rows] == articles.search(sample.queries[0], 10).ids[0].tolist()


def test_without_an_index_any_sql_will_do(articles: Any) -> None:
    articles.plan("float16").apply(yes=True)
    plan = articles.plan("none")
    assert plan.clients is None or not plan.clients.statement
