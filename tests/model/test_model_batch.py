"""Batch, arrays, their checks, and Hits."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_strategies import json_objects, provenances
from slow import examples

from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    SpecError,
    ZeroVectorError,
)
from qadapt.model import Batch, Hits, SearchProvenance, Vector
from qadapt.model.hits import HitsDocument

X = np.arange(12, dtype=np.float32).reshape(4, 3) + 1
PROVENANCE = SearchProvenance("store", "store", 4.0, 40, "originals", "exact")


def _batch() -> Batch:
    return Batch(
        ids=[1, 2, "a", "b"],
        vectors={"": X, "title": X[:, :2]},
        payloads=[{"n": n} for n in range(4)],
        missing={"title": np.array([False, True, False, False])},
    )


# -- batches -------------------------------------------------------------------------------------


def test_batch_keeps_columns() -> None:
    batch = _batch()
    assert len(batch) == 4 and batch.ids == [1, 2, "a", "b"]
    assert batch.nbytes == 4 * (12 + 8)
    assert batch.vectors[""].dtype == np.float32
    assert batch.payloads is not None and batch.payloads[3] == {"n": 3}


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (np.array([3, 1]), [3, 1]),
        (np.array([3, 1], dtype=np.uint64), [3, 1]),
        (np.array(["b", "a"]), ["b", "a"]),
        (np.array([3, "a"], dtype=object), [3, "a"]),
        (range(2), [0, 1]),
        (("x", 5), ["x", 5]),
    ],
)
def test_ids(ids: Any, kept: list[int | str]) -> None:
    found = Batch(ids=ids, vectors={"": X[:2]}).ids
    assert found == kept and [type(key) for key in found] == [type(key) for key in kept]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([True, 2], "got True of type bool"),
        (np.array([True, False]), "of type bool"),
        ([1.0, 2.0], "of type float"),
        (np.array([1.0, 2.0]), "of type float"),
        ([b"a", b"b"], "of type bytes"),
        ([None, 1], "of type NoneType"),
        ([1, 1], "1 ids are duplicated in the batch: 1"),
        (["a", "a"], "are duplicated in the batch: a"),
        (np.array([7, 7]), "are duplicated in the batch: 7"),
        ([1], "1 ids but 2 rows in the unnamed vector"),
        ([1, 2, 3], "3 ids but 2 rows in the unnamed vector"),
    ],
)
def test_ids_that_are_refused(ids: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        Batch(ids=ids, vectors={"": X[:2]})
    assert says in str(caught.value)


def test_the_int_1_and_the_text_1_are_two_ids() -> None:
    assert Batch(ids=[1, "1"]).ids == [1, "1"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"vectors": {"t": X[:3]}}, "4 ids but 3 rows in vector 't'"),
        ({"vectors": {"": [[1, 2], [3]]}}, "the unnamed vector must have rows of equal length"),
        ({"payloads": [{}]}, "4 ids but 1 payloads"),
        ({"vectors": {"t": X}, "missing": {"t": np.zeros(3, dtype=bool)}}, "missing['t']"),
        ({"vectors": {"t": X}, "missing": {"u": np.zeros(4, dtype=bool)}}, "missing['u']"),
    ],
)
def test_columns_that_do_not_fit(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        Batch(ids=[1, 2, 3, 4], **parts)
    assert says in str(caught.value)


def test_check_names_the_vector_and_the_row() -> None:
    wanted = {"": Vector(3), "title": Vector(2)}
    _batch().check(wanted)
    with pytest.raises(SpecError, match="unknown vector 'title'"):
        _batch().check({"": Vector(3)})
    with pytest.raises(DimensionError) as caught:
        _batch().check({**wanted, "title": Vector(5)})
    assert (caught.value.expected, caught.value.got) == (5, 2)
    assert "vector 'title': 2 dimensions, expected 5" in str(caught.value)
    spoiled = _batch()
    spoiled.vectors["title"][3] = np.nan
    with pytest.raises(
        NonFiniteError, match=r"NaN or infinite values in vector 'title', rows: 3\n"
    ):
        spoiled.check(wanted)


def test_rows_that_are_missing_are_not_checked() -> None:
    batch = _batch()
    batch.vectors["title"][1] = 0
    batch.check({"": Vector(3), "title": Vector(2)})
    batch.vectors["title"][2] = 0
    with pytest.raises(ZeroVectorError) as caught:
        batch.check({"": Vector(3), "title": Vector(2)})
    assert caught.value.rows == [2]


def test_messages_about_the_unnamed_vector() -> None:
    """One vector of many rows: the verb must fit singular and plural."""
    wanted = {"": Vector(3), "title": Vector(2)}
    said = []
    for value in (np.nan, 0):
        batch = _batch()
        batch.vectors[""][1] = value
        with pytest.raises(InputError) as caught:
            batch.check(wanted)
        said.append(caught.value.message)
    with pytest.raises(DimensionError) as other:
        _batch().check({**wanted, "": Vector(5)})
    assert [*said, other.value.message] == [
        "NaN or infinite values in the unnamed vector, rows: 1",
        "zero vectors cannot be normalized (metric cosine), in the unnamed vector, rows: 1",
        "the unnamed vector: 3 dimensions, expected 5",
    ]


def test_rows_are_views() -> None:
    part = _batch().rows(1, 3)
    assert part.ids == [2, "a"] and len(part) == 2
    assert part.payloads == [{"n": 1}, {"n": 2}]
    assert part.missing["title"].tolist() == [True, False]
    batch = _batch()
    assert np.shares_memory(batch.rows(1, 3).vectors[""], batch.vectors[""])
    assert len(batch.rows(3, 99)) == 1 and len(batch.rows(4, 9)) == 0
    assert Batch(ids=[1, 2]).rows(0, 1).payloads is None


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, 4), max_size=4))
def test_concat_reverses_split(cuts: list[int]) -> None:
    batch, edges = _batch(), [0, *sorted(cuts), 4]
    whole = Batch.concat([batch.rows(a, b) for a, b in pairwise(edges)])
    assert whole.ids == batch.ids and whole.payloads == batch.payloads
    for name in batch.vectors:
        np.testing.assert_array_equal(whole.vectors[name], batch.vectors[name])
    np.testing.assert_array_equal(whole.missing["title"], batch.missing["title"])


def test_concat_fills_missing_columns() -> None:
    plain = Batch(ids=[9], vectors={"": X[:1], "title": X[:1, :2]})
    whole = Batch.concat([plain, _batch()])
    assert whole.missing["title"].tolist() == [False, False, True, False, False]
    assert whole.payloads is not None and whole.payloads[:2] == [{}, {"n": 0}]
    assert Batch.concat([plain]).payloads is None
    assert len(Batch.concat([])) == 0


@pytest.mark.parametrize("other", [{}, {"": X[:1]}, {"": X[:1, :2], "title": X[:1, :2]}])
def test_concat_of_different_vectors_is_refused(other: dict[str, Any]) -> None:
    for batches in ([_batch(), Batch([9], other)], [Batch([9], other), _batch()]):
        with pytest.raises(InputError, match="batches have different vectors"):
            Batch.concat(batches)


# -- hits ----------------------------------------------------------------------------------------


def test_short_rows_are_padded() -> None:
    hits = Hits.from_rows([[(1, 0.5), ("b", 0.25)], []], 3, PROVENANCE, [[{"a": 1}, {"a": 2}], []])
    assert hits.ids.tolist() == [[1, "b", None], [None, None, None]]
    assert hits.ids.dtype == object and hits.scores.dtype == np.float32
    assert np.isnan(hits.scores[0, 2]) and np.isnan(hits.scores[1]).all()
    assert hits.payloads == [[{"a": 1}, {"a": 2}, None], [None, None, None]]
    assert hits.to_dict() == {
        "ids": [[1, "b", None], [None, None, None]],
        "scores": [[0.5, 0.25, None], [None, None, None]],
        "how": PROVENANCE.to_dict(),
        "payloads": [[{"a": 1}, {"a": 2}, None], [None, None, None]],
    }


def test_long_rows_are_cut() -> None:
    hits = Hits.from_rows(
        [[(n, -n) for n in range(5)]], 2, PROVENANCE, [[{"n": n} for n in range(5)]]
    )
    assert hits.ids.tolist() == [[0, 1]] and hits.payloads == [[{"n": 0}, {"n": 1}]]


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2**63) | st.text(max_size=5), st.floats(width=32)), max_size=4
        ),
        max_size=3,
    ),
    st.integers(1, 5),
    provenances,
    json_objects,
)
def test_hits_are_valid_json(
    rows: Any, k: int, how: SearchProvenance, payload: dict[str, Any]
) -> None:
    payloads: Any = [[payload for _ in row] for row in rows]
    document = Hits.from_rows(rows, k, how, payloads).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert all(len(row) == k for key in ("ids", "scores", "payloads") for row in document[key])
    assert HitsDocument.from_dict(document).to_dict() == document
    assert "payloads" not in Hits.from_rows(rows, k, how).to_dict()


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"vectors": np.ones((2, 3))}, "vectors must be a mapping"),
        ({"vectors": [[1.0], [2.0]]}, "vectors must be a mapping"),
        ({"vectors": "x"}, "vectors must be a mapping"),
        ({"vectors": {0: np.ones((2, 3))}}, "name of a vector must be a string"),
        ({"payloads": {"a": [1, 2]}}, "payloads must be a list"),
        ({"payloads": 5}, "payloads must be a list"),
        ({"payloads": "ab"}, "payloads must be a list"),
        ({"missing": []}, "missing must be a mapping"),
        ({"extras": [1]}, "extras must be a mapping"),
        ({"ids": 5}, "ids must be a list"),
        ({"ids": "ab"}, "ids must be a list"),
        ({"ids": None}, "ids must be a list"),
    ],
)
def test_columns_of_another_kind_are_refused(columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Batch(**{"ids": [1, 2], **columns})


def test_a_data_frame_as_payloads_is_refused_with_a_hint() -> None:
    class Frame:
        def __len__(self) -> int:
            return 2

        def __bool__(self) -> bool:
            raise ValueError("The truth value of a DataFrame is ambiguous.")

    with pytest.raises(
        InputError, match="payloads must be a list of mappings; got a Frame"
    ) as error:
        Batch([1, 2], payloads=Frame())  # type: ignore[arg-type]
    assert 'to_dict("records")' in str(error.value.hint)


@pytest.mark.parametrize("dim", ["x", "4", 1.5, None, float("nan"), [4], True])
def test_fractional_dimensions_are_refused(dim: Any) -> None:
    with pytest.raises(SpecError, match="dim must be a whole number"):
        Vector(dim)


@pytest.mark.parametrize(
    "parts", [{"vectors": {"": X[:3]}}, {"vectors": {"": [[[1, 2]]]}}, {"payloads": [{}]}]
)
def test_columns_of_different_length_are_refused_with_a_hint(parts: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        Batch(ids=[1, 2, 3, 4], **parts)
    assert caught.value.hint
