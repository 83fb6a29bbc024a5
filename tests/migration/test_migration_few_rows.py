"""Collections with few rows or none are copied with their schema, settings and true status."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt import migration
from qadapt.errors import TooFewRowsError
from qadapt.migration import copy_check, plan_migration

pytest.importorskip("qdrant_edge")
DIM = 16


def filled(address: str, count: int, quantization: str | None) -> None:
    with qa.open(address) as database:
        made = database.create("docs", dim=DIM, metric="dot", quantization=quantization)
        if count:
            rows = np.random.default_rng(0).standard_normal((count, DIM))
            made.write(qa.Batch(range(count), {"": rows}, [{"n": at} for at in range(count)]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count", "asked"),
    # 15 x 16 floats are 960 bytes
    some([*product(("scalar", "product:ratio=4"), (1, 15), (False, True))], 3),
)
def test_quantization_of_few_rows_is_set_and_not_built(
    tmp_path: Path, kind: str, count: int, asked: bool
) -> None:
    source, target = f"edge:{tmp_path / 'a'}", f"edge:{tmp_path / 'b'}"
    filled(source, count, None if asked else kind)
    done = qa.migrate(f"{source}#docs", f"{target}#docs", quantization=kind if asked else None)
    assert done.check is not None
    assert done.check.passed
    assert done.status[""].state is qa.State.IGNORED
    assert f"({count:,} rows)" in done.status[""].reason
    with qa.open(target) as database:
        docs = database["docs"]
        vector = docs.info().vectors[""]
        assert vector.quantization.kind is qa.Quantization.of(kind).kind
        assert vector.status.state is qa.State.IGNORED
        # A plan still refuses it, because no step would make the engine build the codes.
        with pytest.raises(TooFewRowsError, match="indexed segment of at least 1 KB"):
            docs.plan(kind)
        # With enough rows, the setting takes effect.
        rows = np.random.default_rng(1).standard_normal((300, DIM))
        docs.write(qa.Batch(range(100, 400), {"": rows}))
        docs.plan(kind).apply(yes=True)
        assert docs.info().vectors[""].status.state is qa.State.ACTIVE


def test_an_import_of_few_rows_sets_quantization_without_building_it(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    source, target = f"edge:{tmp_path / 'a'}", f"edge:{tmp_path / 'b'}"
    filled(source, 5, "scalar")
    qa.export_file(f"{source}#docs", tmp_path / "docs.parquet")
    done = qa.import_file(tmp_path / "docs.parquet", f"{target}#docs")
    assert done.quantization[""].kind is qa.Kind.SCALAR
    assert done.status[""].state is qa.State.IGNORED


@pytest.mark.parametrize("kind", [None, "scalar", "binary"])
def test_an_empty_collection_is_copied_without_a_recall_check(
    tmp_path: Path, kind: str | None
) -> None:
    source, target = f"edge:{tmp_path / 'a'}", f"edge:{tmp_path / 'b'}"
    filled(source, 0, kind)
    done = qa.migrate(f"{source}#docs", f"{target}#docs")
    check = done.check
    assert check is not None
    assert (check.passed, check.recalls, check.source_count) == (True, (), 0)
    assert "recall was not measured" in check.notes[0]
    with qa.open(target) as database:
        vector = database["docs"].info().vectors[""]
        assert (vector.dim, vector.metric) == (DIM, qa.Metric.DOT)
        wanted = qa.State.UNKNOWN if kind else qa.State.ABSENT
        assert (vector.status.state, done.status[""].state) == (wanted, wanted)
        assert str(vector.quantization).partition(":")[0] == (kind or "none")


@pytest.mark.parametrize("ending", ["parquet", "npy", "fvecs"])
def test_files_without_rows(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("pyarrow")
    source, target = f"edge:{tmp_path / 'a'}", f"edge:{tmp_path / 'b'}"
    filled(source, 0, None)
    file = tmp_path / f"docs.{ending}"
    qa.export_file(f"{source}#docs", file)
    if ending == "fvecs":  # a file without rows has no dimension
        with pytest.raises(qa.errors.InputError, match="no rows"):
            qa.import_file(file, f"{target}#docs")
        return
    done = qa.import_file(file, f"{target}#docs")
    assert (done.rows, done.created) == (0, True)
    with qa.open(target) as database:
        assert database["docs"].info().vectors[""].dim == DIM


def test_two_workers_copy_by_default(tmp_path: Path) -> None:
    source, target = f"edge:{tmp_path / 'a'}", f"edge:{tmp_path / 'b'}"
    filled(source, 5, None)
    plan = plan_migration(f"{source}#docs", f"{target}#docs", trial_copy=False)
    assert plan.workers == 2
    assert plan.batch_bytes == 4 << 20
    assert plan_migration(f"{source}#docs", f"{target}#docs", workers=3).workers == 3


@pytest.mark.parametrize(
    ("scope", "most", "sampled"),
    [(None, 100, False), (None, 20, True), ("sample", 100, True), ("all", 20, False)],
)
def test_a_check_compares_a_sample_of_large_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Any, most: int, sampled: bool
) -> None:
    monkeypatch.setattr(copy_check, "MAX_ROWS", most)
    monkeypatch.setattr(copy_check, "SAMPLE_ROWS", 10)
    source, target = f"edge:{tmp_path / 'a'}", f"edge:{tmp_path / 'b'}"
    filled(source, 60, None)
    qa.migrate(f"{source}#docs", f"{target}#docs", check="off", trial_copy=False)
    done = migration.check(f"{source}#docs", f"{target}#docs", scope=scope)
    assert done.scope == ("sample" if sampled else "all")
    assert (done.compared == 60) == (not sampled)
    assert done.passed
