"""Recall of a copy: only comparable searches are compared."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from migration_help import DIM, rows

import qadapt as qa
from qadapt.cli import main
from qadapt.migration import remedies
from qadapt.migration.text import migration_lines

ROWS = 400
CODES = "binary:rescore=off"  # recall of about .34


def run(command: str) -> None:
    """Run a command that a check printed."""
    assert main([*shlex.split(command)[1:], "--yes"]) == 0, command


def filled(folder: Path, quantization: str, vectors: np.ndarray) -> str:
    """A collection of edge with the given quantization."""
    address = f"edge:{folder}"
    with qa.open(address) as database:
        made = database.create("a", dim=DIM)
        made.write(qa.Batch(range(len(vectors)), {"": vectors}))
        made.plan(quantization).apply(yes=True)
    return f"{address}#a"


@pytest.mark.parametrize(
    ("here", "there"), [("none", CODES), (CODES, "none"), ("rotational:bits=4", CODES)]
)
def test_a_correct_copy_passes_with_any_quantization(tmp_path: Path, here: str, there: str) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", here), ("t", there)))  # fmt: skip
    found = qa.check(source, target)
    (recall,) = found.recalls
    assert found.passed, recall.requirement
    assert (recall.exact_recall, recall.source_exact_recall) == (1.0, 1.0)
    assert "exact search" in recall.requirement
    if there == CODES:
        assert recall.recall < 0.95, "its own recall is reported"


def test_exact_searches_of_a_copy_with_other_ids_are_compared(tmp_path: Path) -> None:
    """Edge has no text ids, so the copy has UUIDs, which are mapped back before the comparison."""
    with (
        qa.open(f"sqlite-vec:{tmp_path / 'v.db'}") as here,
        qa.open(f"edge:{tmp_path / 'e'}") as there,
    ):
        made = here.create("a", dim=DIM)
        made.write(qa.Batch([f"row {at}" for at in range(ROWS)], {"": rows(ROWS)}))
        done = qa.migrate(made, (there, "a"), quantization=CODES)
    assert done.check is not None
    assert done.check.recalls[0].exact_recall == 1.0
    assert done.check.recalls[0].recall < 0.95


def test_without_quantization_default_searches_are_compared(tmp_path: Path) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, "none", vectors) for name in "st")
    (recall,) = qa.check(source, target).recalls
    assert recall.passed
    assert (recall.exact_recall, recall.source_exact_recall) == (None, None)
    assert "exact search" not in recall.requirement


def test_equal_quantization_is_compared_by_both_searches_and_a_wrong_copy_fails(
    tmp_path: Path,
) -> None:
    vectors = rows(ROWS)
    source = filled(tmp_path / "s", CODES, vectors)
    target = filled(tmp_path / "t", CODES, vectors)
    (recall,) = qa.check(source, target).recalls
    assert recall.passed
    assert recall.requirement.count("(source ") == 2
    wrong = vectors.copy()
    wrong[: ROWS // 2] = rows(ROWS, seed=1)[: ROWS // 2]
    found = qa.check(source, filled(tmp_path / "w", CODES, wrong))
    assert not found.passed
    assert not found.recalls[0].passed
    assert found.recalls[0].exact_recall is not None and found.recalls[0].exact_recall < 0.9


def test_a_gate_applies_to_the_default_search_of_the_target(tmp_path: Path) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", "none"), ("t", CODES)))  # fmt: skip
    (recall,) = qa.check(source, target, gate="recall@10>=0.99").recalls
    assert not recall.passed
    assert recall.exact_recall is None


def test_a_missed_gate_names_the_rescoring_that_meets_it(tmp_path: Path) -> None:
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", "none"), ("t", CODES)))  # fmt: skip
    gate = "recall@10>=0.9"
    (missed,) = qa.check(source, target, gate=gate).recalls
    remedy = missed.remedy
    assert remedy is not None and remedy.recall is not None
    assert (remedy.measured_on, remedy.recall >= 0.9) == ("target", True)
    assert remedy.setting.startswith("binary:rescore=")
    run(remedy.command)
    found = qa.check(source, target, gate=gate)
    assert found.passed
    assert found.recalls[0].remedy is None


def test_a_missed_gate_names_the_codes_that_meet_it_if_rescoring_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remedies, "FACTORS", (1.5, 2))
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", "none"), ("t", CODES)))  # fmt: skip
    (missed,) = qa.check(source, target, gate="recall@10>=0.99").recalls
    remedy = missed.remedy
    assert remedy is not None and remedy.recall is not None
    assert remedy.measured_on == "copy"
    assert remedy.setting == "rotational:bits=4,rescore=2"
    run(remedy.command)
    assert qa.check(source, target, gate="recall@10>=0.99").passed


def test_a_missed_gate_that_nothing_meets_lists_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remedies, "FACTORS", (1.5, 2))
    monkeypatch.setattr(remedies, "_quantizations", lambda *_: iter(()))
    vectors = rows(ROWS)
    source, target = (filled(tmp_path / name, codes, vectors) for name, codes in
                      (("s", "none"), ("t", CODES)))  # fmt: skip
    (missed,) = qa.check(source, target, gate="recall@10>=0.99").recalls
    assert missed.remedy is not None and missed.remedy.recall is None
    assert missed.remedy.reason.startswith("no setting of the target that was measured meets it: ")
    assert "live:rescore=2 0." in missed.remedy.reason


def test_a_migration_to_coarse_quantization_reports_both_recalls(tmp_path: Path) -> None:
    source = filled(tmp_path / "s", "none", rows(ROWS))
    target = f"edge:{tmp_path / 't'}#a"
    done = qa.migrate(source, target, quantization="binary")
    assert done.state == "done"
    reported = dict(migration_lines(done))
    assert "exact search 1.000" in reported["recall"]
