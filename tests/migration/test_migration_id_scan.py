"""The pass over all ids of a source, with a source and a target in memory."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from qadapt.errors import InputError
from qadapt.migration.id_scan import Scan, highest, scan_source
from qadapt.migration.partitions import RoutedBatch
from qadapt.model import Batch, Id
from qadapt.stores.base import silent


def batch(ids: list[Any], payloads: list[dict[str, Any]] | None = None) -> Batch:
    return Batch(ids, {}, payloads)


def scan(
    pages: list[list[Any]],
    *,
    target_id: Callable[[Id], Id] = lambda key: key,
    stored: list[list[Any]] | None = None,
    partitions: list[str] | None = None,
    per_partition: bool = False,
    count: int | None = None,
    hidden: tuple[int, list[Id]] = (0, []),
) -> Scan:
    """Scan pages of ids; ``target_id`` maps them, ``stored`` are those before they are decoded."""
    read = sum(map(len, pages))
    store = SimpleNamespace(
        count=lambda _: read if count is None else count,
        hidden_rows=lambda _: hidden,
        ids_unique_per_partition=per_partition,
    )
    end: Any = SimpleNamespace(name="docs", store=store)
    names: list[str | None] = [*(partitions or [])] or [None] * len(pages)
    routed = [
        RoutedBatch(name, name, name, end, batch((stored or pages)[at]), batch(page))
        for at, (page, name) in enumerate(zip(pages, names, strict=True))
    ]
    router: Any = SimpleNamespace(
        source=end,
        codec=SimpleNamespace(target_id=target_id),
        needs_payload=lambda: False,
        sources=lambda: [(name, end) for name in dict.fromkeys(names)],
        scan=lambda *, payload: iter(routed),
    )
    return scan_source(router, updated_at=None, progress=silent)


def test_ids_are_counted_as_unchanged_mapped_or_restored() -> None:
    found = scan(
        [[1, 2, "a"], ["b"]],
        target_id=lambda key: f"#{key}" if isinstance(key, str) else key,
        stored=[[1, 2, "a"], ["stored-b"]],
    )
    assert (found.ids.unchanged, found.ids.mapped, found.ids.restored) == (2, 2, 1)
    assert found.ids.examples == (("a", "#a"), ("b", "#b"))
    assert found.count == 4
    assert (found.ids.duplicate_count, found.ids.invalid_count) == (0, 0)


def test_ids_that_become_one_in_the_target_are_reported() -> None:
    found = scan([[1, 2, 3], [4, 1]], target_id=lambda key: int(key) % 3)
    assert found.ids.duplicates == (1, 4)
    assert found.ids.duplicate_count == 2


def test_an_id_of_two_partitions_is_a_duplicate_only_where_ids_are_unique_in_the_target() -> None:
    pages = [[1, 2], [2, 3]]
    merged = scan(pages, partitions=["red", "blue"])
    assert merged.ids.duplicates == (2,)
    assert merged.partitions == {"red": 2, "blue": 2}
    kept = scan(pages, partitions=["red", "blue"], per_partition=True)
    assert kept.ids.duplicates == ()


def test_ids_that_are_not_valid_unicode_are_invalid() -> None:
    found = scan([[1, "\ud800", 2]])
    assert (found.ids.invalid_count, found.ids.invalid, found.ids.unchanged) == (1, ("\ud800",), 2)


def test_rows_that_are_counted_but_not_read_are_duplicates() -> None:
    found = scan([[1, 2]], count=4, hidden=(2, [1, 2]))
    assert (found.ids.duplicate_count, found.ids.duplicates) == (2, (1, 2))
    assert scan([[1, 2]], count=2, hidden=(2, [1, 2])).ids.duplicate_count == 0


def test_the_watermark_is_the_highest_value_of_the_field() -> None:
    rows = batch([1, 2, 3], [{"at": 3}, {}, {"at": 5}])
    assert highest(rows, "at", None) == 5
    assert highest(rows, "at", 9) == 9
    with pytest.raises(InputError, match="numbers or sortable text"):
        highest(batch([1], [{"at": True}]), "at", None)
    with pytest.raises(InputError, match="text in some rows and numbers in others"):
        highest(batch([1], [{"at": "x"}]), "at", 3)
