"""Search results as rows."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from qadapt.model import Hits, SearchProvenance
from qadapt.model.found_rows import FoundRows
from qadapt.model.hit_rows import Hit, id_column

HOW = SearchProvenance("store", "none", None, None, "none", "exact")


def hits(ids: list[list[Any]], payloads: Any = None) -> Hits:
    scores = np.arange(len(ids) * len(ids[0]), 0, -1, dtype=np.float32).reshape(len(ids), -1)
    return Hits(id_column(ids), scores, HOW, payloads)


def test_hits_iterate_as_rows_without_padding() -> None:
    found = hits([["a", None], ["b", "c"]], [[{"x": 1}, None], [{"x": 2}, {}]])
    assert list(found) == [
        Hit("a", 4.0, {"x": 1}, 0),
        Hit("b", 2.0, {"x": 2}, 1),
        Hit("c", 1.0, {}, 1),
    ]
    assert len(found) == 3


def test_hits_without_rows_are_true() -> None:
    assert hits([[None]])
    assert len(hits([[None]])) == 0


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [
        ([[1, -2]], np.int64),
        ([[1, 2**63]], np.uint64),
        ([[-1, 2**63]], object),
        ([[1, None]], object),
        ([["a", "b"]], object),
        ([[1, "b"]], object),
        ([[2**64, 1]], object),
    ],
)
def test_integer_ids_without_padding_become_integers(ids: Any, dtype: Any) -> None:
    found = id_column(ids)
    assert found.dtype == dtype
    assert found.tolist() == ids


def test_data_frame_has_one_row_per_result() -> None:
    frame = hits([[1, 2]], [[{"a": 1}, {}]]).to_pandas()
    assert frame["id"].dtype == np.int64
    assert frame.to_dict("list") == {
        "query": [0, 0],
        "id": [1, 2],
        "score": [2.0, 1.0],
        "payload": [{"a": 1}, {}],
    }


@pytest.mark.parametrize(
    ("ids", "kind"), [([[1, 2]], "int64"), ([["a", "b"]], "string"), ([[1, 2**63]], "uint64")]
)
def test_arrow_table_keeps_the_type_of_ids(ids: Any, kind: str) -> None:
    table = hits(ids, [[{"a": 1}, {}]]).to_arrow()
    assert str(table.schema.field("id").type) == kind
    assert table["id"].to_pylist() == ids[0]
    assert table["payload"].to_pylist() == ['{"a": 1}', "{}"]


def test_arrow_table_without_rows_keeps_its_columns() -> None:
    assert hits([[None]]).to_arrow().column_names == ["query", "id", "score"]


def test_long_payloads_are_shortened_in_print() -> None:
    text = str(hits([[1]], [[{"text": "x" * 500}]]))
    assert len(text.split("\n")[-1]) < 90
    assert text.endswith("...")


def test_hits_of_a_search_are_named_tuples() -> None:
    rows = FoundRows(lambda: ([["a"]], [[4.0]]), 1, lambda: [[{"x": 1}]])
    (hit,) = Hits.of_rows(rows, HOW)
    made = Hit("a", 4.0, {"x": 1}, 0)
    assert isinstance(hit, Hit)
    assert hit == made
    assert repr(hit) == repr(made) == "Hit(id='a', score=4.0, payload={'x': 1}, query=0)"
    assert hit._asdict() == {"id": "a", "score": 4.0, "payload": {"x": 1}, "query": 0}
    for each in (hit, made):
        assert type(pickle.loads(pickle.dumps(each))) is Hit
        assert copy.deepcopy(each) == made
        assert each._replace(query=2) == Hit(id="a", score=4.0, payload={"x": 1}, query=2)
        key, score, payload, query = each
        assert (key, score, payload, query) == (each.id, each.score, each.payload, each.query)
    with pytest.raises(TypeError):
        Hit("a")  # type: ignore[call-arg]
