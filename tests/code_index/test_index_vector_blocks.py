"""Shapes of given vectors, and the sizes of blocks."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.code_index import stages
from qadapt.code_index.vector_blocks import BLOCK_BYTES, block_rows
from qadapt.errors import DimensionError, InputError
from qadapt.model.arrays import as_matrix


def test_no_vectors_of_any_shape_are_an_empty_table() -> None:
    for empty in ([], np.empty((0, 4)), np.empty((0, 7)), np.empty(0)):
        assert as_matrix(empty, dim=4, strict=True).shape == (0, 4)


def test_rows_without_values_and_further_axes_are_refused() -> None:
    with pytest.raises((DimensionError, InputError)):
        as_matrix(np.empty((2, 0)), dim=4, strict=True)
    with pytest.raises(InputError, match=r"shape \(n, d\)"):
        as_matrix(np.ones((1, 2, 4)), dim=4, strict=True)


def test_a_block_has_at_least_one_row() -> None:
    assert block_rows(BLOCK_BYTES) == 1
    assert block_rows(64) == BLOCK_BYTES // 256
    assert stages.query_step(1 << 20, 1 << 10, originals=True) == 1
    assert stages.query_step(100, 64, originals=True) == 2 * BLOCK_BYTES // 25_600
