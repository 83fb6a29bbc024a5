"""Rows that the target rejects are named by id and payload field before anything is copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import qadapt as qa
from qadapt.errors import InputError

LONG = "x" * 70_000


@pytest.fixture
def source(live: Callable[[str], str], tmp_path: Path) -> Callable[..., str]:
    """The address of a collection of three rows with these payloads."""
    live("edge")

    def make(*payloads: dict[str, str]) -> str:
        address = f"edge:{tmp_path / 'source'}"
        with qa.open(address) as database:
            collection = database.create("texts", dim=2)
            rows = [[1, 0], [0, 1], [1, 1]][: len(payloads)]
            collection.write(qa.Batch(range(1, len(payloads) + 1), {"": rows}, list(payloads)))
        return f"{address}#texts"

    return make


def test_an_error_names_a_row_when_all_rows_are_rejected(
    source: Callable[..., str], live: Callable[[str], str]
) -> None:
    """Texts over 64 KiB in the dynamic field of Milvus."""
    target = live("milvus-lite")
    address = source({"title": "a", "text": LONG}, {"text": LONG}, {"text": LONG})
    with pytest.raises(InputError, match=r"row 1: .*'text': 70,002.*3 of 3 rows") as caught:
        qa.migrate(address, f"{target}#texts")
    assert "--allow rejected-rows" in str(caught.value.hint)
    with qa.open(target) as database:
        assert not database.collections(), "the scratch collection is dropped"
    done = qa.migrate(address, f"{target}#texts", allow=["rejected-rows"])
    assert (done.metrics.rows, done.metrics.skipped) == (0, 3)


def test_the_plan_notes_rejected_rows(
    source: Callable[..., str], live: Callable[[str], str]
) -> None:
    target = live("milvus-lite")
    address = source({"text": "a"}, {"text": LONG}, {"text": "c"})
    plan = qa.plan_migration(address, f"{target}#texts")
    assert any("row 2" in note and "1 of 3 rows" in note for note in plan.notes)
    with pytest.raises(InputError, match="the target rejects row 2: the payload has"):
        qa.migrate(address, f"{target}#texts")
