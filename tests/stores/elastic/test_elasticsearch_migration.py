"""Copies between Elasticsearch and the embedded engine, in both directions, and evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main


def test_rows_are_copied_to_the_embedded_engine_and_back(
    database: Database, url: str, articles: Collection, name: str, tmp_path: Path, capsys: Any
) -> None:
    local = f"edge:{tmp_path / 'edge'}"
    assert main(["migrate", f"{url}#{name}", f"{local}#articles"]) == 0, capsys.readouterr()
    assert main(["check", f"{url}#{name}", f"{local}#articles"]) == 0
    back = f"{name}_back"
    command = ["migrate", f"{local}#articles", f"{url}#{back}", "--quantize", "binary"]
    assert main(command) == 0, capsys.readouterr()
    assert main(["check", f"{local}#articles", f"{url}#{back}"]) == 0
    found = database[back]
    assert found.info().vectors[""].status.state is qa.State.ACTIVE
    both = [each.fetch(list(range(1500))) for each in (articles, found)]
    assert both[0].payloads == both[1].payloads
    assert abs(both[0].vectors[""] - both[1].vectors[""]).max() < 1e-6  # edge normalizes cosine


def test_candidates_are_measured_on_copies_that_are_removed(
    database: Database, articles: Collection, sample: Any
) -> None:
    report = articles.evaluate("binary:rescore=10", queries=sample.queries, k=10, live=False)
    (found,) = report.results
    assert found.recall is not None
    assert found.recall.value > 0.9
    assert not [each for each in database.collections() if each.startswith("qadapt_eval_")]
