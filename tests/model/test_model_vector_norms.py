"""Rows with a direction in float32, and ranges of datatypes."""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.errors import InputError, ZeroVectorError
from qadapt.model import Batch, ExtraVector, RaggedArray, Vector, check_vectors, vector_norms
from qadapt.model.arrays import as_vectors
from qadapt.model.metric import Metric

SIZES = [3e38, 1e30, 1e20, 1e19, 1e10, 1.0, 1e-3, 1e-10, 1e-19, 1e-25, 1e-38, 1e-44]


def floats(rows: object) -> np.ndarray:
    return np.asarray(rows, dtype=np.float32)


@pytest.mark.parametrize(
    "lengths", [vector_norms.STORED_AS_GIVEN, vector_norms.NORMALIZED, vector_norms.HALF]
)
def test_rows_of_any_size_keep_their_direction(lengths: vector_norms.NormRange) -> None:
    rows = floats([[0.6 * size, -0.8 * size, 0] for size in SIZES])
    found = vector_norms.rescaled(rows, lengths)
    assert vector_norms.norm_within(found, lengths).all()
    wide = found.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    assert np.abs(wide[:-1] - [0.6, -0.8, 0]).max() < 1e-6
    assert np.abs(wide[-1] - [0.6, -0.8, 0]).max() < 0.1, (
        "seven steps of the smallest number remain"
    )


def test_other_rows_are_the_same_bits() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    assert vector_norms.rescaled(rows, vector_norms.STORED_AS_GIVEN) is rows
    rows[7] *= np.float32(1e25)
    found = vector_norms.rescaled(rows, vector_norms.STORED_AS_GIVEN)
    others = np.arange(50) != 7
    assert found[others].tobytes() == rows[others].tobytes()
    assert np.isclose(np.linalg.norm(found[7]), 1)
    absent = np.ones(50, dtype=np.bool_)
    absent[7] = False
    assert vector_norms.rescaled(rows, vector_norms.STORED_AS_GIVEN, present=absent) is rows


@pytest.mark.parametrize(
    ("datatype", "held", "refused"),
    [
        ("float16", [[65519, 1], [6e-8, 0], [0, 0], [1e-9, 1]], [[65520, 1], [-7e4, 1], [1e-9, 0]]),
        ("bfloat16", [[1e19, 1], [1e-40, 0]], [[3.4e38, 1], [1e-42, 0]]),
        ("uint8", [[255, 0], [0, 0]], [[256, 0], [-1, 0], [0.5, 0]]),
        ("int8", [[127, -128]], [[128, 0], [-129, 0], [0.5, 0]]),
        ("turbo8", [[1e19, 1]], [[3e38, 3e38]]),
        ("float32", [[1e19, 1e19], [1e-45, 0]], []),
    ],
)
def test_values_beyond_a_datatype_are_named(
    datatype: str, held: list[list[float]], refused: list[list[float]]
) -> None:
    vector = Vector(2, "dot", datatype)  # type: ignore[arg-type]
    check_vectors(floats(held), vector)
    for row in refused:
        rows = floats([held[0], row, held[-1]])
        with pytest.raises(InputError, match=f"'title': the datatype {datatype} .*rows: 1") as told:
            Batch(["a", "b", "c"], {"title": rows}).check({"title": vector})
        assert "(ids 'b')" in str(told.value) and "nothing was written" in str(told.value)


@pytest.mark.parametrize(("metric", "largest"), [("dot", 1.8e19), ("euclidean", 9e18)])
def test_scores_of_the_largest_norms_are_finite(metric: str, largest: float) -> None:
    vector = Vector(2, Metric(metric))
    held = floats([[largest * 0.999, 0], [-largest * 0.999, 0]])
    check_vectors(held, vector)
    one, other = held
    assert np.isfinite(one @ other if metric == "dot" else ((one - other) ** 2).sum())
    with pytest.raises(InputError, match=f"rows: 1\n.*{metric} allows norms of at most"):
        check_vectors(floats([[1, 1], [largest, largest]]), vector)
    absent = np.array([True, False])
    check_vectors(floats([[1, 1], [largest, largest]]), vector, present=absent)
    parts = Batch([4, 5], {}, extras={"parts": multi([[1, 0]], [[1, 1], [2e19, 0]])})
    with pytest.raises(InputError, match="overflows float32 in vector 'parts', rows: 1"):
        parts.check({}, {"parts": ExtraVector("multi", 2, Metric(metric))})


def test_float16_limits_match_numpy() -> None:
    with np.errstate(over="ignore"):
        assert np.isinf(np.float16(65520)) and np.float16(65519.996) == 65504
    assert np.float16(2.0**-25) == 0 < np.float16(2.0**-25 * 1.01)


def test_under_cosine_a_float_datatype_holds_every_direction() -> None:
    rows = floats([[70000, 1], [1e-9, 1e-9], [3e38, 3e38]])
    vector = Vector(2, "cosine", "float16")
    ready = Batch(range(3), {"": rows}).ready({"": vector}, normalizes_cosine=False).vectors[""]
    kept = ready.astype(np.float16).astype(np.float32)
    cosines = (kept * floats([[1, 0], [0.5**0.5] * 2, [0.5**0.5] * 2])).sum(axis=1)
    assert np.allclose(cosines / np.linalg.norm(kept, axis=1), 1, atol=1e-3)


def test_numbers_too_small_for_float32_are_named() -> None:
    with pytest.raises(InputError, match=r"float32 can store .*rows: 1"):
        as_vectors(np.array([[0.0, 0.0], [1e-60, 0], [1e-60, 1]]))


def multi(*rows: list[list[float]]) -> RaggedArray:
    offsets = np.cumsum([0, *map(len, rows)])
    return RaggedArray(offsets, floats([each for row in rows for each in row]))


def test_each_row_of_a_multivector_is_checked() -> None:
    cosine = ExtraVector("multi", 2, Metric.COSINE)
    batch = Batch([4, 5], {}, extras={"parts": multi([[1, 0], [3e30, 4e30]], [[0, 1e-30]])})
    found = batch.ready({}, {"parts": cosine}, normalizes_cosine=True).extras["parts"].values
    assert np.allclose(found, [[1, 0], [0.6, 0.8], [0, 1]])
    zero = Batch([4, 5], {}, extras={"parts": multi([[1, 0]], [[1, 1], [0, 0]])})
    with pytest.raises(ZeroVectorError, match="'parts', rows: 1"):
        zero.check({}, {"parts": cosine})
    zero.check({}, {"parts": ExtraVector("multi", 2, Metric.DOT)})
    large = Batch([4], {}, extras={"parts": multi([[1, 0], [70000, 0]])})
    with pytest.raises(InputError, match="float16"):
        large.check({}, {"parts": ExtraVector("multi", 2, Metric.DOT, "float16")})
    large.check({}, {"parts": cosine.replace(datatype="float16")})
