"""Ranges of the first rows are checked against later ones, and can be measured again."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration, CalibrationWarning
from qadapt.errors import CalibrationError, InputError, NotFoundError, SpecError

DIM = 32


def sorted_rows() -> np.ndarray:
    """float32 (2200, 32): the values of the first 200 rows are a fifth of those of the others."""
    rows = np.random.default_rng(3).standard_normal((2200, DIM)).astype(np.float32)
    rows[:200] *= 0.2
    return rows


def recall(index: CodeIndex, rows: np.ndarray) -> float:
    """Recall@10 of int8 scores, by exact dot products."""
    queries = np.random.default_rng(4).standard_normal((50, DIM)).astype(np.float32)
    exact = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
    found = index.search(queries, 10).ids
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]))


def filled(folder: Path, rows: np.ndarray) -> tuple[CodeIndex, str]:
    index = CodeIndex.create(folder, DIM, metric="dot", codes="int8")
    index.add(range(200), rows[:200])
    with pytest.warns(CalibrationWarning) as caught:
        index.add(range(200, 2200), rows[200:])
    assert len(caught) == 1 and caught[0].filename == __file__
    return index, str(caught[0].message)


def test_sorted_input_warns_with_the_share_and_originals_repair_it(tmp_path: Path) -> None:
    rows = sorted_rows()
    index, message = filled(tmp_path / "i", rows)
    with index:
        lo, hi = rows[:200].min(axis=0), rows[:200].max(axis=0)
        share = np.mean((rows[200:] < lo) | (rows[200:] > hi))
        assert float(re.findall(r"([\d.]+)%", message)[0]) == pytest.approx(share * 100, abs=0.06)
        assert "2,000 added vectors" in message and "first added vectors, 200" in message
        before = recall(index, rows)
        index.delete([5, 7])
        index.recalibrate(lambda ids: rows[ids])
        kept = np.setdiff1d(np.arange(2200), [5, 7])
        assert index.calibration == Calibration.fit(rows[kept], source="all vectors")
        assert index.ids == kept.tolist()
        after = recall(index, rows)
    assert before < 0.7 and after > 0.95
    with CodeIndex.open(index.folder, verify="full") as again:
        assert recall(again, rows) == after
        assert len(list(index.folder.glob("calibration.*"))) == 1


def test_a_warning_is_given_once_and_single_rows_are_counted_together(tmp_path: Path) -> None:
    rows = sorted_rows()
    with CodeIndex.create(tmp_path / "i", DIM, metric="dot") as index:
        index.add(range(200), rows[:200])
        with pytest.warns(CalibrationWarning, match="last 100 added vectors") as caught:
            for at in range(200, 450):
                index.upsert([at], rows[at][None])
        assert len(caught) == 1


def test_vectors_like_the_first_ones_cause_no_warning(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).standard_normal((2200, DIM)).astype(np.float32)
    with warnings.catch_warnings(), CodeIndex.create(tmp_path / "i", DIM) as index:
        warnings.simplefilter("error")
        index.add(range(1000), rows[:1000])
        index.add(range(1000, 2000), rows[1000:2000])
        for at in range(2000, 2200):
            index.add([at], rows[at][None])


def test_ranges_are_widened_from_the_codes_for_later_vectors(tmp_path: Path) -> None:
    rows = sorted_rows()
    index, _ = filled(tmp_path / "i", rows)
    with index, warnings.catch_warnings():
        warnings.simplefilter("error")
        index.recalibrate()
        assert index.calibration is not None
        np.testing.assert_array_equal(index.calibration.lo, rows.min(axis=0))
        np.testing.assert_array_equal(index.calibration.hi, rows.max(axis=0))
        index.upsert(range(200, 2200), rows[200:])  # adding them again stores them whole
        assert recall(index, rows) > 0.95
        with pytest.raises(CalibrationError, match="no vector that was added"):
            index.recalibrate()
        ranges = Calibration.from_ranges([[-9.0] * DIM, [9.0] * DIM])
        index.recalibrate(calibration=ranges)
        assert index.calibration == ranges


@pytest.mark.parametrize(
    ("fetch", "error"),
    [
        (lambda ids: np.full((len(ids), DIM), np.nan), NotFoundError),
        (lambda ids: {}, NotFoundError),
        (lambda ids: np.ones((3, DIM)), InputError),
    ],
)
def test_a_failed_recalibration_changes_nothing(
    tmp_path: Path, fetch: Callable[[list[object]], object], error: type[Exception]
) -> None:
    rows = sorted_rows()
    index, _ = filled(tmp_path / "i", rows)
    with index:
        before, ranges = recall(index, rows), index.calibration
        with pytest.raises(error):
            index.recalibrate(fetch)
        assert recall(index, rows) == before and index.calibration == ranges
        index.save()
    assert len(list(index.folder.glob("rows.*"))) == 1


def test_an_index_without_int8_codes_has_no_ranges(tmp_path: Path) -> None:
    with CodeIndex.create(tmp_path / "i", DIM, rescore_codes=None) as index:
        index.add(range(3), sorted_rows()[:3])
        with pytest.raises(SpecError, match="no int8 codes"):
            index.recalibrate()
