"""The base class of stores that only store rows by id."""

from __future__ import annotations

import numpy as np

from qadapt.model import Batch, Hits, SearchProvenance
from qadapt.stores.row_batches import in_order, with_payloads


def batch(*, payloads: bool = True) -> Batch:
    return Batch(
        ["a", "b", "c"],
        {"": np.arange(6, dtype=np.float32).reshape(3, 2)},
        [{"n": 1}, {"n": 2}, {"n": 3}] if payloads else None,
        {"": np.array([False, True, False])},
    )


def test_rows_are_put_in_the_order_of_the_ids_and_unknown_ids_are_omitted() -> None:
    found = in_order(batch(), ["c", "x", "a"])
    assert list(found.ids) == ["c", "a"]
    assert found.vectors[""].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert found.payloads is not None
    assert list(found.payloads) == [{"n": 3}, {"n": 1}]
    assert found.missing[""].tolist() == [False, False]
    assert in_order(batch(), ["b", "a"]).missing[""].tolist() == [True, False]


def test_rows_without_payloads_stay_without_payloads() -> None:
    assert in_order(batch(payloads=False), ["c", "a"]).payloads is None


def test_a_batch_in_order_is_returned_unchanged() -> None:
    rows = batch()
    assert in_order(rows, ["a", "b", "c"]) is rows


def test_payloads_are_returned_in_the_order_of_the_hits() -> None:
    ids = np.array([["b", "a"], ["a", None]], dtype=object)
    how = SearchProvenance("store", "none", 1.0, 0, "none", "exact")
    asked: list[list[object]] = []

    def fetch(keys: object) -> Batch:
        asked.append(list(keys))  # type: ignore[call-overload]
        return Batch(["a", "b"], {}, [{"n": 1}, {"n": 2}])

    hits = with_payloads(Hits(ids, np.zeros((2, 2), np.float32), how), fetch)
    assert hits.payloads == [[{"n": 2}, {"n": 1}], [{"n": 1}, None]]
    assert asked == [["b", "a"]], "each row is fetched once"
