"""Ranges over lists in Milvus: a row matches if any of its elements is in the range."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from milvus_helpers import NAME

from qadapt.errors import UnsupportedError
from qadapt.model import Batch, Vector
from qadapt.model.filters import matches, parse_filter
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.milvus import json_existence
from qadapt.stores.milvus.list_ranges import FIRST
from qadapt.stores.milvus.store import MilvusStore

VALUES: list[Any] = [
    None, [], [1], [1, 5], [5, 1], ["a", 5], [[5]], 5, 1, -3, "5", {"x": 5}, [{"x": 5}], [None, 5],
    [2**60], [2**60 + 1], [1.5, 4.2], list(range(20)), [0] * 12 + [5], ["b"] * 9, [-1, -2], [7, -7],
    [0] * FIRST + ["x", None, 5],
]  # fmt: skip
# After more elements that are null than are compared by an expression.
LATE: list[Any] = [[None] * (FIRST + 1) + [5]]
RANGES: list[dict[str, Any]] = [
    {"gt": 2}, {"gte": 1, "lt": 3}, {"lt": 0}, {"gt": 2**60}, {"gte": 2**60, "lte": 2**60},
    {"gt": 4.1, "lt": 4.5}, {"gt": 6}, {"lte": -7}, {"gt": 2, "lt": 1},
]  # fmt: skip


def ask(store: MilvusStore, ranges: list[dict[str, Any]]) -> None:
    """The filters return the rows of the definition, in reads, counts and searches."""
    payloads: list[dict[str, Any]] = [{}]
    payloads += [{"a": value, "o": {"b": value}} for value in [*VALUES, *LATE]]
    rows = np.ones((len(payloads), 4), dtype=np.float32)
    store.create(NAME, {"": Vector(4)}, {})
    store.write(NAME, Batch(range(len(payloads)), {"": rows}, payloads))
    wrong = []
    for field, bounds in itertools.product(("a", "o.b"), ranges):
        leaf = {field: bounds}
        for each in (leaf, {"not": leaf}, {"not": {"any": [leaf, {field: "5"}]}}):
            meant = [at for at, item in enumerate(payloads) if matches(parse_filter(each), item)]
            pages = store.read(NAME, ReadRequest(filter=each, vectors=()))
            found = sorted(int(key) for page in pages for key in page.ids)
            if found != meant:
                wrong.append((each, meant, found))
    assert not wrong
    assert store.count(NAME, {"a": {"gt": 4}}) == sum(
        matches(parse_filter({"a": {"gt": 4}}), item) for item in payloads
    )
    wanted = SearchRequest(k=len(payloads), filter={"a": {"gt": 4}})
    hits = store.search(NAME, rows[:1], wanted).ids[0].tolist()
    meant = [at for at, item in enumerate(payloads) if matches(parse_filter(wanted.filter), item)]
    assert sorted(int(key) for key in hits if key is not None) == meant


def test_a_range_matches_elements_of_lists_on_a_server(server: MilvusStore) -> None:
    ask(server, RANGES[:3])


def test_a_range_matches_elements_of_lists_in_lite(lite: MilvusStore) -> None:
    ask(lite, RANGES)


def ask_typed(store: MilvusStore) -> None:
    """The same for fields of the type ARRAY."""
    from pymilvus import DataType

    client = store.connection.client
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("n", DataType.ARRAY, element_type=DataType.INT64, max_capacity=32)
    params = client.prepare_index_params()
    params.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(NAME, schema=schema, index_params=params)
    arrays = [[], [1], [1, 5], [0] * 12 + [5], list(range(20, 29)), [-1] * 20]
    data = [{"id": at, "v": [1.0] * 4, "n": each} for at, each in enumerate(arrays)]
    client.insert(NAME, data)
    client.load_collection(NAME)
    for bounds in ({"gt": 2}, {"gte": 1, "lt": 3}, {"gt": 4, "lt": 21}, {"lt": 0}):
        for each in ({"n": bounds}, {"not": {"n": bounds}}):
            meant = [at for at, n in enumerate(arrays) if matches(parse_filter(each), {"n": n})]
            assert store.count(NAME, each) == len(meant), each


def test_a_range_matches_elements_of_arrays_on_a_server(server: MilvusStore) -> None:
    ask_typed(server)


def test_a_range_matches_elements_of_arrays_in_lite(lite: MilvusStore) -> None:
    ask_typed(lite)


def test_too_many_long_lists_are_refused(
    lite: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_existence, "MOST", 2)
    lite.create(NAME, {"": Vector(4)}, {})
    short, long = [{"a": [1]}] * 4, [{"a": [0] * FIRST + [5]}] * 3
    lite.write(NAME, Batch(range(7), {"": np.ones((7, 4), dtype=np.float32)}, [*short, *long]))
    assert lite.count(NAME, {"a": {"gt": 5}}) == 0
    assert lite.count(NAME, {"a": {"gte": 1, "lt": 5}}) == 4
    with pytest.raises(UnsupportedError, match="more than 2 rows have lists of more than 8") as got:
        lite.count(NAME, {"a": {"gt": 4}})
    assert "smallest and the largest element" in str(got.value.hint)


def test_too_many_values_of_other_types_are_refused_in_lite(
    lite: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To Lite, `not` of a comparison with another type is null, which matches no row."""
    lite.create(NAME, {"": Vector(4)}, {})
    rows = np.ones((5, 4), dtype=np.float32)
    payloads = [{"a": 1}, {"a": 9}, {"a": "x"}, {"a": "y"}, {"a": "z"}]
    lite.write(NAME, Batch(range(5), {"": rows}, payloads))
    unlike = {"not": {"a": {"gt": 5}}}
    assert lite.count(NAME, unlike) == 4
    monkeypatch.setattr(json_existence, "MOST", 2)
    assert lite.count(NAME, {"a": {"gt": 5}}) == 1
    with pytest.raises(UnsupportedError, match="more than 2 rows have values of other types"):
        lite.count(NAME, unlike)
