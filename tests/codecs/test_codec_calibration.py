"""Calibration: ranges, streams, saving, damage."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from slow import examples

from qadapt.codecs import Calibration, CalibrationWarning
from qadapt.codecs import calibration as module
from qadapt.errors import (
    CalibrationError,
    DimensionError,
    InputError,
    IntegrityError,
    NonFiniteError,
)

quick = settings(max_examples=examples(50), deadline=None)


def test_fit_takes_minimum_and_maximum(vectors):
    fitted = Calibration.fit(vectors, source="the test")
    np.testing.assert_array_equal(fitted.lo, vectors.min(axis=0))
    np.testing.assert_array_equal(fitted.hi, vectors.max(axis=0))
    assert (fitted.count, fitted.dim, fitted.quantile) == (500, 37, None)
    assert (fitted.source, fitted.version) == ("the test", 1)


def test_a_quantile_keeps_the_central_share(vectors, monkeypatch):
    monkeypatch.setattr(module, "_COLUMN_BYTES", 500 * 4 * 5)  # several groups of columns
    fitted = Calibration.fit(vectors, quantile=0.9)
    lo, hi = np.quantile(vectors, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(fitted.lo, lo, rtol=1e-6)
    np.testing.assert_allclose(fitted.hi, hi, rtol=1e-6)
    assert fitted.quantile == 0.9


def test_the_whole_quantile_is_minimum_and_maximum(vectors):
    fitted = Calibration.fit(vectors, quantile=1)
    np.testing.assert_array_equal(fitted.lo, vectors.min(axis=0))
    np.testing.assert_array_equal(fitted.hi, vectors.max(axis=0))


@pytest.mark.parametrize("quantile", [0, -0.1, 1.01, float("nan")])
def test_an_invalid_quantile_is_refused(vectors, quantile):
    with pytest.raises(InputError, match="quantile"):
        Calibration.fit(vectors, quantile=quantile)


@quick
@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=100, max_side=120),
        elements=st.floats(-100, 100, width=16),
    ),
    st.integers(1, 50),
)
def test_a_stream_has_the_ranges_of_the_batch(x, step):
    stream = Calibration.from_stream(x[a : a + step] for a in range(0, len(x), step))
    batch = Calibration.fit(x)
    assert stream.checksum == batch.checksum
    assert stream.count == batch.count == len(x)


def test_a_stream_may_hold_single_vectors_and_empty_blocks(vectors):
    blocks = [vectors[0], vectors[:0], vectors[1:]]
    assert Calibration.from_stream(blocks).checksum == Calibration.fit(vectors).checksum


def test_a_stream_refuses_other_dimensions(vectors):
    with pytest.raises(DimensionError, match="36 dimensions, expected 37"):
        Calibration.from_stream([vectors, vectors[:, :36]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named_from_the_start_of_the_stream(vectors, value):
    bad = vectors.copy()
    bad[[3, 77], 5] = value
    for quantile in (None, 0.9):
        with pytest.raises(NonFiniteError) as caught:
            Calibration.fit(bad, quantile=quantile)
        assert caught.value.rows == [3, 77]
    with pytest.raises(NonFiniteError) as caught:
        Calibration.from_stream([vectors, bad])
    assert caught.value.rows == [503, 577]


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_vectors_for_any_range_are_refused(vectors, rows):
    with pytest.raises(CalibrationError, match=f"{rows} vector"):
        Calibration.fit(vectors[:rows])


@pytest.mark.parametrize("make", [Calibration.fit, lambda x: Calibration.from_stream([x])])
def test_fewer_than_100_vectors_cause_a_warning_at_the_call(vectors, make):
    with pytest.warns(CalibrationWarning, match="99 vectors") as caught:
        make(vectors[:99])
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(vectors[:100])


def test_steps_are_bucket_widths_and_1_for_constant_dimensions():
    fitted = Calibration.from_ranges(np.float64([[0, 2, -1], [255, 2, 0]]))
    np.testing.assert_array_equal(fitted.steps, np.float32([1, 1, np.float32(1) / 255]))
    assert fitted.steps.dtype == np.float32
    np.testing.assert_array_equal(fitted.half, [0.5, 0, 0.5])


@pytest.mark.parametrize(
    "ranges",
    [
        [[0.0, np.nan], [1, 1]],
        [[0.0, 0], [1, np.inf]],
        [[0.0, 2], [1, 1]],
        [[-3e38], [3e38]],
        [[0.0], [1e39]],
        [[0.0], [1], [2]],
        [0.0, 1],
        [[], []],
        [["a"], ["b"]],
    ],
)
def test_ranges_that_cannot_be_used_are_refused(ranges):
    with pytest.raises(CalibrationError):
        Calibration.from_ranges(ranges)


def test_another_version_is_refused(calibration):
    with pytest.raises(CalibrationError, match="version 2"):
        Calibration(calibration.lo, calibration.hi, 1, None, "x", version=2)


def test_it_cannot_be_changed_by_accident(vectors):
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    fitted = Calibration.from_ranges(ranges)
    before = fitted.checksum
    ranges[:] = 0
    assert Calibration(fitted.lo, fitted.hi, 0, None, "ranges").checksum == before
    for array in (fitted.lo, fitted.hi, fitted.steps, fitted.half):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        fitted.count = 3


def test_the_checksum_depends_on_the_ranges_and_equality_on_everything(calibration):
    lo = calibration.lo.copy()
    lo[0] = np.nextafter(lo[0], np.float32(-np.inf))
    other = Calibration(lo, calibration.hi, calibration.count, None, calibration.source)
    assert other.checksum != calibration.checksum
    assert other != calibration
    renamed = Calibration(calibration.lo, calibration.hi, calibration.count, None, "other")
    assert renamed.checksum == calibration.checksum
    assert renamed != calibration
    same = Calibration.from_json(calibration.to_json())
    assert same == calibration
    assert len({same, calibration, other}) == 2
    assert calibration != "calibration"


finite32 = st.floats(-(2.0**126), 2.0**126, width=32)


@quick
@given(
    hnp.arrays(np.float32, st.tuples(st.just(2), st.integers(1, 20)), elements=finite32),
    st.integers(0, 10**9),
    st.none() | st.floats(0.01, 1),
    st.text(),
)
def test_json_preserves_all_bits(ranges, count, quantile, source):
    ranges.sort(axis=0)
    given_one = Calibration.from_ranges(ranges, count=count, quantile=quantile, source=source)
    back = Calibration.from_json(given_one.to_json())
    assert back == given_one
    assert back.lo.tobytes() == given_one.lo.tobytes()
    assert back.hi.tobytes() == given_one.hi.tobytes()


def test_save_and_load(calibration, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text("old")
    calibration.save(path)
    assert Calibration.load(path) == calibration
    assert Calibration.load(str(path)) == calibration
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


def test_a_failed_save_keeps_the_old_file(calibration, tmp_path, monkeypatch):
    path = tmp_path / "calibration.json"
    calibration.save(path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    other = Calibration.from_ranges([[0.0], [1.0]])
    with pytest.raises(OSError, match="No space"):
        other.save(path)
    assert Calibration.load(path) == calibration
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


def test_a_missing_calibration_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Calibration.load(tmp_path / "none.json")


def changed(calibration, **fields):
    return json.dumps({**json.loads(calibration.to_json()), **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lo": [-9.0] * 37}, "checksum"),
        ({"checksum": "sha256:00"}, "checksum"),
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "format"),
        ({"hi": [1.0]}, "damaged"),
        ({"hi": ["a"] * 37}, "damaged"),
        ({"hi": [[1.0]] * 37}, "damaged"),
        ({"hi": [10**400] * 37}, "damaged"),
        ({"lo": None}, "damaged"),
        ({"count": "many"}, "damaged"),
    ],
)
def test_a_changed_file_is_refused_and_named(calibration, tmp_path, fields, words):
    path = tmp_path / "tampered.json"
    path.write_text(changed(calibration, **fields))
    with pytest.raises(IntegrityError, match=words) as caught:
        Calibration.load(path)
    assert "tampered.json" in str(caught.value)


def test_a_file_without_a_field_is_refused(calibration):
    data = json.loads(calibration.to_json())
    del data["count"]
    with pytest.raises(IntegrityError, match="count"):
        Calibration.from_json(json.dumps(data))


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(calibration, tmp_path, cut):
    path = tmp_path / "torn.json"
    path.write_text(calibration.to_json()[:cut])
    with pytest.raises(IntegrityError, match=r"torn\.json"):
        Calibration.load(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1, 2]", b"null"])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="not a calibration"):
        Calibration.load(path)
