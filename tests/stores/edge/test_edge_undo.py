"""Undo on the embedded engine: the index and the place of the original vectors are restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.stores.qdrant.edge import schema

pytest.importorskip("qdrant_edge")

ROWS, DIM = 1000, 32  # 125 KB
THRESHOLD = 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A collection whose segments the engine indexes when it optimizes, which it never did."""
    with qa.open(f"edge:{tmp_path}") as database:
        made = database.create("a", dim=DIM)
        made.write(batch(0, ROWS))
    config = schema.read(tmp_path / "a")
    config["optimizers"] = {**(config.get("optimizers") or {}), "indexing_threshold": THRESHOLD}
    schema.write(tmp_path / "a", config)
    return tmp_path


def batch(first: int, count: int) -> qa.Batch:
    draw = np.random.default_rng(first)
    return qa.Batch(range(first, first + count), {"": draw.standard_normal((count, DIM))})


def segments(folder: Path) -> dict[str, Any]:
    """The settings of the collection, and index, codes and storage of each kind of segment."""
    found = set()
    for file in (folder / "a").glob("segments/*/segment.json"):
        vector = json.loads(file.read_text())["config"]["vector_data"][""]
        parts = (vector["index"]["type"], vector.get("quantization_config"), vector["storage_type"])
        found.add(json.dumps(parts))
    return {"settings": schema.settings(schema.read(folder / "a")), "segments": sorted(found)}


def changed(collection: Collection, folder: Path, setting: str) -> None:
    """Apply a setting, which must change segments, and undo it."""
    before = segments(folder)
    change = collection.plan(setting).apply(yes=True)
    assert segments(folder) != before
    change.undo()
    assert collection.count() == ROWS


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("scalar", marks=pytest.mark.long),
        pytest.param("binary", marks=pytest.mark.long),
        "scalar:originals=disk",
        "none:originals=disk",
    ],
)
def test_undo_restores_segments_without_an_index(folder: Path, setting: str) -> None:
    before = segments(folder)
    assert before["segments"] == ['["plain", null, "InRamChunkedMmap"]']
    with qa.open(f"edge:{folder}") as database:
        changed(database["a"], folder, setting)
        assert database["a"].info().vectors[""].index == {"type": "plain"}
    assert segments(folder) == before


@pytest.mark.parametrize(
    "setting", [pytest.param("scalar", marks=pytest.mark.long), "binary:originals=disk"]
)
def test_undo_keeps_an_index_that_existed(folder: Path, setting: str) -> None:
    with qa.open(f"edge:{folder}") as database:
        database["a"].plan("rotational").apply(yes=True)
        database["a"].plan("none").apply(yes=True)
        before = segments(folder)
        index = database["a"].info().vectors[""].index
        assert index["type"] == "hnsw"
        changed(database["a"], folder, setting)
        assert database["a"].info().vectors[""].index == index
    assert segments(folder) == before


def test_an_undo_to_codes_without_an_index_restores_them(folder: Path) -> None:
    config = schema.read(folder / "a")
    config["optimizers"]["indexing_threshold"] = 0
    schema.write(folder / "a", config)
    with qa.open(f"edge:{folder}") as database:
        database["a"].plan("binary").apply(yes=True)
        before = segments(folder)
        changed(database["a"], folder, "scalar")
    assert segments(folder) == before


def test_the_plan_says_that_an_undo_keeps_the_index_of_rows_written_later(folder: Path) -> None:
    with qa.open(f"edge:{folder}") as database:
        collection = database["a"]
        collection.plan("binary").apply(yes=True)
        collection.plan("none").apply(yes=True)
        collection.write(batch(ROWS, ROWS))
        (step,) = collection.plan("scalar").steps
        assert "1,000 rows have no index yet and get one, which an undo keeps" in step.reason


def test_a_killed_undo_is_completed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second half of the undo sets the threshold; without it no segment would be indexed."""
    from qadapt.stores.qdrant.edge import changes

    before = segments(folder)
    with qa.open(f"edge:{folder}") as database:
        change = database["a"].plan("scalar").apply(yes=True)

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(changes, "_rebuild", killed)
            with pytest.raises(KeyboardInterrupt):
                change.undo()
        assert schema.threshold(schema.read(folder / "a")) == 0
        change.undo()
    assert segments(folder) == before
