"""Recall of a copy: like compared with like, so that codes are not taken for faults of the copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mig_help import DIM, rows

import qadapt as qa
from qadapt.migration.text import migration_lines

ROWS = 400
CODES = "binary:rescore=off"  # recall of about .34


def filled(folder: Path, quantization: str, vectors: np.ndarray) -> str:
    """A collection of edge with codes in force, or none."""
    address = f"edge:{folder}"
    with qa.open(address) as database:
        made = database.create("a", dim=DIM)
        made.write(qa.Batch(range(len(vectors)), {"": vectors}))
        made.plan(quantization).apply(yes=True)
    return f"{address}#a"


@pytest.mark.parametrize(
    ("here", "there"), [("none", CODES), (CODES, "none"), ("rotational:bits=4", CODES)]
)
def test_a_faultless_copy_passes_whatever_codes_either_side_has(
    tmp_path: Path, here: str, there: str
) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", here), ("t", there)))  # fmt: skip
    found = qa.check(source, target)
    (recall,) = found.recalls
    assert found.passed, recall.gate
    assert (recall.exact, recall.source_exact) == (1.0, 1.0)
    assert "exact search" in recall.gate
    if there == CODES:
        assert recall.recall < 0.95, "and its own recall is told"


def test_without_codes_both_sides_are_compared_as_they_are(tmp_path: Path) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, "none", vectors) for name in "st")
    (recall,) = qa.check(source, target).recalls
    assert recall.passed
    assert (recall.exact, recall.source_exact) == (None, None)
    assert "exact search" not in recall.gate


def test_the_same_codes_are_compared_by_both_and_a_wrong_copy_still_fails(tmp_path: Path) -> None:
    vectors = rows(ROWS)
    source = filled(tmp_path / "s", CODES, vectors)
    target = filled(tmp_path / "t", CODES, vectors)
    (recall,) = qa.check(source, target).recalls
    assert recall.passed
    assert recall.gate.count("of the source") == 2
    wrong = vectors.copy()
    wrong[: ROWS // 2] = rows(ROWS, seed=1)[: ROWS // 2]
    found = qa.check(source, filled(tmp_path / "w", CODES, wrong))
    assert not found.passed
    assert not found.recalls[0].passed
    assert found.recalls[0].exact is not None and found.recalls[0].exact < 0.9


def test_a_gate_is_for_the_targets_own_search(tmp_path: Path) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", "none"), ("t", CODES)))  # fmt: skip
    (recall,) = qa.check(source, target, gate="recall@10>=0.99").recalls
    assert not recall.passed
    assert recall.exact is None


def test_a_migration_to_coarse_codes_is_done_and_says_both(tmp_path: Path) -> None:
    source = filled(tmp_path / "s", "none", rows(ROWS))
    target = f"edge:{tmp_path / 't'}#a"
    done = qa.migrate(source, target, quantization="binary")
    assert done.state == "done"
    told = dict(migration_lines(done))
    assert "by exact search 1.000" in told["recall"]
