"""Dates of every written form are found by ranges, or the range is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.errors import UnsupportedError
from qadapt.model.filters import matches, parse_filter
from qadapt.stores.qdrant import date_ranges

DATES: list[Any] = [
    "2025-03-28",
    "2025-03-28T10:00",
    "2025-03-28 10:00",
    "2025-03-28T10:00Z",
    "2025-03-28T10:00z",
    "2025-03-28T10:00+0200",
    "2025-03-28 10:00-02:00",
    "2025-03-28T10:00:00",
    "2025-03-28T10:00:00Z",
    "2025-03-28t10:00:00z",
    "2025-03-28T10:00:00+0200",
    "2025-03-28 10:00:00+02:00",
    "2025-03-28T10:00:00.25",
    "2025-03-28T10:00:00.123456Z",
    "0001-01-01",
    "9999-12-31T23:59Z",
    ["2024-01-01T00:00:00Z", "2025-03-28T10:00Z"],
    ["2025-03-28T10:00Z", "words"],
    "words",
    7,
    None,
    [],
]


@pytest.fixture(params=["edge", "local"])
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "edge":
        opened = qa.open(f"edge:{tmp_path}")
    else:
        opened = qa.wrap(pytest.importorskip("qdrant_client").QdrantClient(":memory:"))
    with opened as database:
        made = database.create("a", dim=2, metric="dot")
        payloads = [{"day": date} for date in DATES]
        made.write(qa.Batch(range(len(DATES)), {"": np.ones((len(DATES), 2))}, payloads))
        yield made


def found(collection: Any, filter: Any) -> list[int]:
    """Rows that reads, counts and searches select, which must be equal."""
    read = [key for page in collection.read(filter=filter) for key in page.ids]
    hits = collection.search([1, 1], k=len(DATES), filter=filter).ids[0].tolist()
    assert sorted(key for key in hits if key is not None) == read
    assert collection.count(filter) == len(read)
    return read


@pytest.mark.slow
@pytest.mark.parametrize("word", ["gt", "gte", "lt", "lte"])
def test_date_ranges_match_the_common_syntax(collection: Any, word: str) -> None:
    bounds = [each for each in DATES if isinstance(each, str) and each != "words"]
    for at, bound in enumerate(some(bounds, 6)):
        leaf = {"day": {word: bound}}
        # One bound of four is also combined with other conditions.
        combined = ({"not": leaf}, {"any": [leaf, {"day": "words"}]}) if at % 4 == 1 else ()
        for filter in (leaf, *combined):
            tree = parse_filter(filter)
            meant = [at for at, date in enumerate(DATES) if matches(tree, {"day": date})]
            assert found(collection, filter) == meant, filter


def test_a_row_written_later_is_found(collection: Any) -> None:
    filter = {"late": {"gte": "2025-01-01"}}
    assert found(collection, filter) == []
    collection.write(qa.Batch([500], {"": [[1, 1]]}, [{"late": "2025-03-28T10:00+02:00"}]))
    assert found(collection, filter) == [500]


def test_more_dates_than_a_filter_supports_are_refused(
    collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(date_ranges, "MOST", 2)
    with pytest.raises(UnsupportedError, match="more than 2 rows have a time with a zone"):
        collection.count({"day": {"gte": "2025-01-01"}})


@pytest.mark.parametrize("bound", ["2025-02-30", "2025-03-28T25:00", "28.03.2025", "2025-03-28T10"])
def test_invalid_dates_are_refused(collection: Any, bound: str) -> None:
    with pytest.raises(qa.QadaptError, match="nor an ISO date"):
        collection.count({"day": {"gt": bound}})


def test_milvus_refuses_ranges_over_dates(tmp_path: Path) -> None:
    pytest.importorskip("milvus_lite")
    with qa.open(f"milvus:{tmp_path}/m.db") as database:
        made = database.create("a", dim=2, metric="dot")
        with pytest.raises(UnsupportedError, match="Milvus has no date type"):
            made.count({"day": {"gt": "2025-03-28T10:00"}})
