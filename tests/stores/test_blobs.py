"""Vectors in a column of binary values."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.stores.blobs import packed, unpacked


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_a_column_is_restored_bit_for_bit(dtype: type) -> None:
    rows = np.random.default_rng(1).integers(-100, 100, (7, 5)).astype(dtype)
    missing = np.asarray([False, True, False, False, True, False, False])
    cells = packed(rows, missing)
    assert [cell is None for cell in cells] == missing.tolist()
    back, absent = unpacked(cells, 5, dtype)
    assert absent.tolist() == missing.tolist()
    assert back[~missing].tobytes() == rows[~missing].tobytes()
    assert not back[missing].any()


def test_rows_that_are_not_contiguous() -> None:
    rows = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    assert (unpacked(packed(rows), 3)[0] == rows).all()


def test_no_rows() -> None:
    assert packed(np.zeros((0, 3), dtype=np.float32)) == []
    rows, missing = unpacked([], 3)
    assert rows.shape == (0, 3) and missing.shape == (0,)
