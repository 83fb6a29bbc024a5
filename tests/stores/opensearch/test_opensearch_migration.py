"""Copies between OpenSearch and another database, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from stores.opensearch.conftest import ROWS

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main


def test_rows_are_copied_to_another_database_and_back(
    database: Database, url: str, articles: Collection, name: str, tmp_path: Path, capsys: Any
) -> None:
    assert articles.count() == ROWS
    local = f"sqlite-vec:{tmp_path / 'copy.db'}"
    assert main(["migrate", f"{url}#{name}", f"{local}#articles"]) == 0
    assert main(["check", f"{url}#{name}", f"{local}#articles"]) == 0
    back = f"{name}-back"
    command = ["migrate", f"{local}#articles", f"{url}#{back}", "--quantize", "binary"]
    assert main(command) == 0, capsys.readouterr()
    assert main(["check", f"{local}#articles", f"{url}#{back}"]) == 0
    found = database[back]
    assert found.info().vectors[""].status.state is qa.State.ACTIVE
    both = [each.fetch(list(range(ROWS))) for each in (articles, found)]
    assert np.array_equal(both[0].vectors[""], both[1].vectors[""])
    assert both[0].payloads == both[1].payloads
