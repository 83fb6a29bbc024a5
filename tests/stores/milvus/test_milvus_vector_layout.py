"""Conversion of vectors to Milvus' values and back. No engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from qadapt.errors import InputError
from qadapt.model import Metric, Vector
from qadapt.stores.milvus import vector_layout

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
rows_of_8 = arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.just(8)), elements=finite)


@given(rows_of_8)
def test_bfloat16_rounds_to_nearest(rows: np.ndarray) -> None:
    vector = Vector(8, datatype="bfloat16")
    back = vector_layout.floats([[value] for value in vector_layout.stored(rows, vector)], vector)
    assert np.isfinite(back).all()
    low = (rows.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32).astype(np.float64)
    high = ((rows.view(np.uint32) & np.uint32(0xFFFF0000)) + np.uint32(0x10000)).view(np.float32)
    wide, above = rows.astype(np.float64), np.where(np.isfinite(high), high, low).astype(np.float64)
    best = np.minimum(np.abs(wide - low), np.abs(wide - above))
    assert (np.abs(wide - back) == best).all()


@given(rows_of_8)
def test_float16_and_float32_round_trip(rows: np.ndarray) -> None:
    half = Vector(8, datatype="float16")
    with np.errstate(over="ignore"):
        expected = np.clip(rows, -65504, 65504).astype(np.float16).astype(np.float32)
    values = [value.tobytes() for value in vector_layout.stored(rows, half)]
    assert vector_layout.floats(values, half).tobytes() == expected.tobytes()
    assert (
        vector_layout.floats(vector_layout.stored(rows, Vector(8)), Vector(8)).tobytes()
        == rows.tobytes()
    )


def test_int8_keeps_the_direction_with_cosine_and_refuses_other_metrics() -> None:
    rows = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
    held = vector_layout.to_int8(rows, Metric.COSINE).astype(np.float64)
    assert (np.abs(held).max(axis=1) == 127).all()
    cosines = (
        (held * rows).sum(axis=1) / np.linalg.norm(held, axis=1) / np.linalg.norm(rows, axis=1)
    )
    assert cosines.min() > 0.9999
    for metric in (Metric.DOT, Metric.EUCLIDEAN):
        with pytest.raises(InputError, match="integers from -128 to 127"):
            vector_layout.to_int8(rows, metric)
    whole = np.array([[-128, 0, 127]], dtype=np.float32)
    vector = Vector(3, Metric.DOT, "int8")
    assert (
        vector_layout.floats(vector_layout.stored(whole, vector), vector).tolist() == whole.tolist()
    )


def test_sign_bits_start_with_the_first_dimension() -> None:
    rows = np.array([[1, -1, 0, 2, -0.0, 1, 1, 1, 3]], dtype=np.float32)
    columns = vector_layout.columns("v", Vector(9), vector_layout.ARRAY, rows)
    assert columns == {"v": rows.tolist(), "qadapt_bits_v": [b"\x97\x80"]}
    assert vector_layout.fields("v", Vector(9), vector_layout.ARRAY)[1]["params"] == {"dim": 16}
