"""The file of ids beside an array, when it does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qadapt.errors import InputError
from qadapt.files.arrays import ids_of, pages


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.npy"
    np.save(path, np.ones((3, 4), "f4"))
    return path


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("1\n2\n", "ends after 2 ids"),
        ("1\n2\n3\n4\n", "more ids than the 3 rows"),
        ("1\nx\n3\n", "line 2"),
        ("1\n" + "[" * 100_000 + "\n3\n", "line 2"),
    ],
)
def test_ids_that_do_not_fit(rows: Path, lines: str, problem: str) -> None:
    ids_of(rows).write_text(lines)
    with pytest.raises(InputError, match=problem):
        list(pages(rows, 2))


def test_ids_that_are_a_folder(rows: Path) -> None:
    ids_of(rows).mkdir()
    with pytest.raises(InputError, match=r"cannot read the ids .*rows\.npy\.ids"):
        list(pages(rows, 2))


def test_a_blank_line_at_the_end_is_no_id(rows: Path) -> None:
    ids_of(rows).write_text("1\n2\n3\n\n")
    assert [key for page in pages(rows, 2) for key in page.ids] == [1, 2, 3]
