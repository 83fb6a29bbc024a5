"""Exact row counts in constant memory."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.stores.qdrant.edge import row_counts, segment_files

edge = pytest.importorskip("qdrant_edge")
ROWS, DIM = 2_500, 4


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Requests for the engine's own exact count, which holds the ids of all rows that it counts."""
    found: list[Any] = []
    whole = edge.CountRequest

    def count_request(*, exact: bool, filter: Any = None) -> Any:
        if exact:
            found.append(filter)
        return whole(exact=exact, filter=filter)

    monkeypatch.setattr(edge, "CountRequest", count_request)
    return found


@pytest.fixture
def docs(tmp_path: Path) -> Any:
    """Two vectors, of which every third row has only one."""
    with qa.open(f"edge:{tmp_path}") as database:
        wide, narrow = qa.Vector(DIM, qa.Metric.DOT), qa.Vector(2, qa.Metric.DOT)
        made = database.create("docs", vectors={"wide": wide, "narrow": narrow})
        made.write(batch(range(ROWS)))
        yield made


def batch(ids: range) -> qa.Batch:
    rows = np.random.default_rng(0).random((len(ids), DIM)).astype(np.float32)
    lacking = np.asarray(ids) % 3 == 0
    return qa.Batch(ids, {"wide": rows, "narrow": rows[:, :2]}, missing={"narrow": lacking})


def counts(docs: Any) -> tuple[int, ...]:
    info = docs.info()
    return docs.count(), info.count, info.vectors["narrow"].count, info.vectors["wide"].count


def expected(ids: Any) -> tuple[int, ...]:
    return len(ids), len(ids), sum(key % 3 > 0 for key in ids), len(ids)


def test_counts_stay_exact_through_deletes_overwrites_and_a_rebuild(
    docs: Any, requests: list[Any]
) -> None:
    left = set(range(ROWS))
    assert counts(docs) == expected(left)
    docs.delete(range(1_000))
    left -= set(range(1_000))
    assert counts(docs) == expected(left)
    docs.write(batch(range(1_500, 3_000)))
    left |= set(range(1_500, 3_000))
    assert counts(docs) == expected(left)
    docs.plan("binary", vector="wide").apply(yes=True)
    assert counts(docs) == expected(left)
    docs.delete(range(2_900, 3_000))
    docs.write(batch(range(1_600, 1_700)))
    left -= set(range(2_900, 3_000))
    assert counts(docs) == expected(left)
    assert requests == []


def test_read_only_commands_do_not_use_the_exact_count_of_the_engine(
    docs: Any, requests: list[Any]
) -> None:
    docs.info()
    docs.plan("binary", vector="wide")
    docs.verify(vector="wide", queries=5)
    docs.doctor()
    docs.search(np.ones(DIM), k=3, vector="wide")
    docs.write(batch(range(10)))
    docs.sample(5)
    assert requests == []


def test_row_in_two_segments_counts_once(tmp_path: Path) -> None:
    """An interrupted rebuild can leave both the old segment and the new one."""
    with qa.open(f"edge:{tmp_path}") as database:
        made = database.create("docs", dim=DIM, metric="dot")
        made.write(qa.Batch(range(ROWS), {"": np.ones((ROWS, DIM))}))
    segments = tmp_path / "docs" / "segments"
    (first,) = segments.iterdir()
    shutil.copytree(first, segments / str(uuid.uuid4()))
    assert segment_files.populated(tmp_path / "docs") == 2
    with qa.open(f"edge:{tmp_path}") as database:
        info = database["docs"].info()
        assert (database["docs"].count(), info.count, info.vectors[""].count) == (ROWS,) * 3


def test_empty_appendable_segment_holds_no_rows(docs: Any, tmp_path: Path) -> None:
    assert segment_files.populated(tmp_path / "docs") == 1
    with qa.open(f"edge:{tmp_path}") as database:
        database.create("empty", dim=DIM)
        assert segment_files.populated(tmp_path / "empty") == 0
        assert database["empty"].count() == 0


def test_count_in_pages_reaches_the_last_page(docs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_files, "populated", lambda _: 2)
    for page in (1, 7, ROWS - 1, ROWS, ROWS + 1):
        monkeypatch.setattr(row_counts, "PAGE", page)
        assert counts(docs) == expected(range(ROWS))
