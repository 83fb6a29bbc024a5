"""Stores of one process share shards, which the engine can open only once."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np

import qadapt as qa

ROWS = np.random.default_rng(0).standard_normal((300, 32)).astype(np.float32)


def address(folder: Path) -> str:
    return f"edge:{folder / 'db'}"


def test_two_databases_see_the_same_rows(tmp_path: Path) -> None:
    with qa.open(address(tmp_path)) as one, qa.open(address(tmp_path)) as two:
        one.create("articles", dim=32, metric="dot")
        two["articles"].write(qa.Batch(range(300), {"": ROWS}))
        assert one["articles"].count() == 300
        two.close()
        assert one["articles"].search(ROWS[7], k=1, exact=True).ids.shape == (1, 1)


def test_undo_works_while_another_database_is_open(tmp_path: Path) -> None:
    with qa.open(address(tmp_path)) as db:
        col = db.create("articles", dim=32)
        col.write(qa.Batch(range(300), {"": ROWS}))
        col.plan("binary").apply(yes=True)
        assert col.info().vectors[""].status.state is qa.State.ACTIVE
        assert qa.undo().state == "undone"
        assert col.info().vectors[""].status.state is qa.State.ABSENT
        assert col.count() == 300


def test_collection_recreated_by_another_store(tmp_path: Path) -> None:
    with qa.open(address(tmp_path)) as one, qa.open(address(tmp_path)) as two:
        col = one.create("articles", dim=32, metric="dot")
        col.write(qa.Batch(range(300), {"": ROWS}))
        assert two["articles"].count() == 300
        one.drop("articles")
        one.create("articles", dim=8, metric="dot").write(qa.Batch([1], {"": ROWS[:1, :8]}))
        assert two["articles"].count() == 1


def test_unreferenced_database_releases_its_folders(tmp_path: Path) -> None:
    qa.open(address(tmp_path)).create("articles", dim=32).write(qa.Batch(range(300), {"": ROWS}))
    gc.collect()
    code = f"import qadapt as qa; print(qa.open({address(tmp_path)!r})['articles'].count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("300", 0), done.stderr
