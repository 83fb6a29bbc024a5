"""Rows that lack a named vector, in embedded stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from migration_help import rows

import qadapt as qa
from qadapt import migration


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("edge:{}/one", "edge:{}/two"),
        ("edge:{}/one", "qdrant::memory:"),
        ("lancedb:{}/one", "edge:{}/two"),
        pytest.param("qdrant::memory:", "edge:{}/two", marks=pytest.mark.long),
        pytest.param("edge:{}/one", "lancedb:{}/two", marks=pytest.mark.long),
    ],
)
def test_check_finds_a_vector_that_one_row_lacks(
    source: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "state"))
    pytest.importorskip("qdrant_client")
    pytest.importorskip("qdrant_edge")
    gaps = np.ones(300, dtype=bool)
    gaps[[250, 299]] = False
    with qa.open(source.format(tmp_path)) as here, qa.open(target.format(tmp_path)) as there:
        made = here.create("articles", vectors={"a": qa.Vector(16), "b": qa.Vector(16)})
        floats = {"a": rows(300), "b": rows(300, seed=1)}
        made.write(qa.Batch(list(range(300)), floats, None, {"b": gaps}))
        assert made.info().vectors["b"].dim == 16
        assert migration.migrate((here, "articles"), (there, "copy")).state == "done"
        copy = there["copy"].fetch(list(range(300)))
        assert copy.missing["b"].tolist() == gaps.tolist()
        lost = gaps.copy()
        lost[250] = True
        there["copy"].write(qa.Batch(copy.ids, copy.vectors, None, {"b": lost}))
        found = migration.check((here, "articles"), (there, "copy"))
        assert not found.passed
        assert [(each.id, each.kind) for each in found.differences] == [(250, "vector 'b'")]
