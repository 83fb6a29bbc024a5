"""Free disk space is checked before the engine needs it, and the number of open shards is
limited."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import ApplyError, StoreError
from qadapt.stores.qdrant.edge import connection, disk_space, optimize

pytest.importorskip("qdrant_edge")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the bytes that the disk has free."""

    def set_free(bytes: int) -> None:
        usage = shutil.disk_usage("/")
        reported = usage._replace(free=bytes)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: reported)

    return set_free


def filled(folder: Path) -> None:
    with qa.open(f"edge:{folder}") as database:
        made = database.create("docs", dim=4, metric="dot")
        made.write(qa.Batch(range(10), {"": np.ones((10, 4))}))


def test_full_disk_error_names_folder_and_bytes(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    filled(tmp_path)
    free(100_000)
    with qa.open(f"edge:{tmp_path}") as database:
        for work in (
            lambda: database["docs"].count(),
            lambda: database["docs"].info(),
            lambda: database["docs"].search(np.ones(4), k=1),
            lambda: database.create("more", dim=4),
        ):
            with pytest.raises(StoreError, match="not enough disk space") as reported:
                work()
            assert str(tmp_path) in str(reported.value)
            assert "bytes are required" in str(reported.value)
            assert "100,000 are free" in str(reported.value)
        assert database.collections() == ["docs"]
    free(10 << 30)
    with qa.open(f"edge:{tmp_path}") as database:
        assert database["docs"].count() == 10


def test_write_without_disk_space_changes_nothing(
    tmp_path: Path, free: Callable[[int], None]
) -> None:
    filled(tmp_path)
    with qa.open(f"edge:{tmp_path}") as database:
        docs = database["docs"]
        assert docs.count() == 10
        rows = qa.Batch(range(100, 1100), {"": np.ones((1000, 4))}, [{"t": "x" * 5000}] * 1000)
        free(disk_space.SPARE + disk_space.FACTOR * rows.nbytes + 1000)
        with pytest.raises(StoreError, match="not enough disk space to write to 'docs'"):
            docs.write(rows)
        assert docs.count() == 10
        free(100_000)
        with pytest.raises(StoreError, match="not enough disk space to delete from 'docs'"):
            docs.delete([1])
        assert docs.count() == 10


def test_holes_of_mapped_files_count_on_memory_file_systems(
    tmp_path: Path, free: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    free(20 << 20)
    monkeypatch.setattr(disk_space, "_in_memory", lambda _: True)
    with (
        qa.open(f"edge:{tmp_path}") as database,
        pytest.raises(StoreError, match="not enough disk space to open 'docs'"),
    ):
        database["docs"].count()
    monkeypatch.setattr(disk_space, "_in_memory", lambda _: False)
    with qa.open(f"edge:{tmp_path}") as database:
        assert database["docs"].count() == 10


def test_number_of_open_shards_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_OPEN", 3)
    filled(tmp_path)
    names = [f"docs{no}" for no in range(8)]
    for name in names:
        shutil.copytree(tmp_path / "docs", tmp_path / name)
    most: list[int] = []

    def is_open(shard: Any) -> bool:
        return shard._open is not None

    with qa.open(f"edge:{tmp_path}") as database:
        for _ in range(2):
            for name in names:
                assert database[name].info().count == 10
                shards: Any = database._store
                most.append(sum(map(is_open, shards._shards.values())))
        assert max(most) == 3
        # A closed shard is opened again, also during a read.
        pages = database["docs0"].read(page=4)
        seen = len(next(pages))
        for name in names[1:]:
            database[name].count()
        assert seen + sum(map(len, pages)) == 10


def test_a_shard_in_use_is_not_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST_OPEN", 1)
    filled(tmp_path)
    shutil.copytree(tmp_path / "docs", tmp_path / "other")
    first, second = (connection.open_shard(tmp_path / name) for name in ("docs", "other"))
    try:
        with first.use("read from") as opened:
            with second.use("read from"):
                pass
            assert opened.info().points_count == 10
            assert first._open is not None
        with second.use("read from"):
            assert first._open is None
    finally:
        connection.release(first)
        connection.release(second)


def test_a_rebuild_without_space_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = "Not enough space available for optimization, needed: 68.60 MiB"
    with qa.open(f"edge:{tmp_path}") as database:
        made = database.create("docs", dim=64, metric="dot")
        made.write(qa.Batch(range(100), {"": np.random.default_rng(0).random((100, 64))}))
        with monkeypatch.context() as patch:
            patch.setattr(optimize, "_outcome", lambda _: {"ok": False, "error": reported})
            with pytest.raises(ApplyError, match="Not enough space") as caught:
                made.plan("scalar").apply(yes=True)
        assert f"free space on the disk of {tmp_path / 'docs'}" in str(caught.value.hint)
        assert made.count() == 100
        assert made.plan("scalar").apply(yes=True).state == "applied"
        assert made.info().vectors[""].status.state is qa.State.ACTIVE
