"""Adding, replacing, deleting: an index is a dict that can be searched."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration
from qadapt.errors import (
    CalibrationError,
    DimensionError,
    InputError,
    NonFiniteError,
    SpecError,
    ZeroVectorError,
)

Make = Callable[..., CodeIndex]

_DIM = 8
_RANGES = Calibration.from_ranges(np.array([[-1.0] * _DIM, [1.0] * _DIM], dtype=np.float32))
_ID = st.one_of(st.integers(0, 5), st.sampled_from(["0", "1", "a"]))
_STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(_ID, unique_by=lambda one: (type(one), one))),
    st.tuples(st.just("upsert"), st.lists(_ID, unique_by=lambda one: (type(one), one))),
    st.tuples(st.just("delete"), st.lists(_ID)),
    st.tuples(st.sampled_from(["save", "reopen"]), st.just([])),
)


@settings(max_examples=examples(60), deadline=None)
@given(steps=st.lists(_STEP, max_size=14), codes=st.sampled_from(["binary", "int8"]))
def test_any_sequence_of_changes_equals_a_dict(
    steps: list[tuple[str, list[int | str]]], codes: str
) -> None:
    """A dict from id to vector, replaced ids moved to the end, and searched by brute force."""
    rng = np.random.default_rng(1)
    model: dict[int | str, np.ndarray] = {}
    with TemporaryDirectory() as folder:
        index = CodeIndex.create(Path(folder, "i"), _DIM, codes=codes, calibration=_RANGES)  # type: ignore[arg-type]
        for what, ids in steps:
            x = rng.choice([-0.5, 0.5], (len(ids), _DIM)).astype(np.float32)
            if what == "add":
                if any(one in model for one in ids):
                    with pytest.raises(InputError, match="already exist in the index"):
                        index.add(ids, x)
                    continue
                index.add(ids, x)
                model.update(zip(ids, x, strict=True))
            elif what == "upsert":
                index.upsert(ids, x)
                for one, vector in zip(ids, x, strict=True):
                    model.pop(one, None)
                    model[one] = vector
            elif what == "delete":
                there = {one for one in ids if one in model}
                assert index.delete(ids) == len(there)
                for one in there:
                    del model[one]
            else:
                index.save()
                if what == "reopen":
                    index.close()
                    index = CodeIndex.open(Path(folder, "i"))
            assert index.ids == list(model) and len(index) == len(model)
        query = rng.choice([-0.5, 0.5], _DIM).astype(np.float32)
        hits = index.search(query, 6, source="off")
        if model and codes == "binary":
            keys = list(model)
            scores = np.array([(vector * query).sum() for vector in model.values()])
            expected = [keys[i] for i in np.argsort(-scores, kind="stable")][:6]
            assert hits.lists()[0] == [
                (one, pytest.approx((model[one] * query).sum() / 2)) for one in expected
            ]
        assert len(hits.lists()[0]) == min(6, len(model))
        index.save()
        index.close()


def test_int_and_str_ids_of_the_same_digits_are_two(tmp_path: Path, ranges: Calibration) -> None:
    text = str(uuid.UUID(int=7))
    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        index.add([1, "1", text, 2**63, -5, "Ω\ud800"], np.eye(6, 37) + 0.1)
        assert index.delete([1]) == 1
    with CodeIndex.open(tmp_path / "i") as index:
        assert index.ids == ["1", text, 2**63, -5, "Ω\ud800"]
        assert "1" in index and 1 not in index


def test_numpy_ids_are_converted(tmp_path: Path, ranges: Calibration) -> None:
    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        index.add(np.array([3, 4], dtype=np.uint32), np.eye(2, 37))
        index.add([np.int64(5), np.str_("x")], np.eye(2, 37))
        assert index.ids == [3, 4, 5, "x"]
        assert [type(one) for one in index.ids] == [int, int, int, str]


@pytest.mark.parametrize("bad", [True, 1.0, None, b"a", uuid.UUID(int=1), (1,)])
def test_other_ids_are_refused(tmp_path: Path, ranges: Calibration, bad: object) -> None:
    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        with pytest.raises(InputError, match="must be int or str"):
            index.add([1, bad], np.eye(2, 37))
        with pytest.raises(InputError, match="must be a list"):
            index.add("ab", np.eye(2, 37))
        assert len(index) == 0


def test_existing_and_duplicate_ids_are_named(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        with pytest.raises(
            InputError, match=r"2 of 3 ids already exist in the index: 7, 9\s+use upsert"
        ):
            index.add([7, 1000, 9], vectors[:3])
        for change in (index.add, index.upsert):
            with pytest.raises(InputError, match="duplicate ids in one call: 'a', 500"):
                change(["a", 500, "a", 500, "a", "b"], vectors[:6])
        with pytest.raises(InputError, match="2 ids for 3 vectors"):
            index.add(["a", "b"], vectors[:3])
        assert len(index) == 300


def test_bad_vectors_are_named_and_nothing_is_added(make: Make, vectors: np.ndarray) -> None:
    bad = vectors[:5].copy()
    bad[2, 0] = np.nan
    zero = vectors[:5].copy()
    zero[[1, 4]] = 0
    huge = vectors[:5].astype(np.float64)
    huge[3] *= 1e300
    with make() as index, make("dot", metric="dot") as dots:
        for one in (index, dots):
            names = ["a", "b", "c", "d", "e"]
            with pytest.raises(NonFiniteError, match="rows: 2"):
                one.add(names, bad)
            with pytest.raises(NonFiniteError, match="rows: 3"):
                one.upsert(names, huge)
            with pytest.raises(DimensionError, match="36 dimensions, expected 37"):
                one.add(names, vectors[:5, 1:])
            with pytest.raises(InputError, match="must be an array of numbers"):
                one.add(["a"], [["x"] * 37])
            with pytest.raises(InputError, match="rows of equal length"):
                one.add(["a", "b"], [[1.0], [1.0, 2.0]])
            with pytest.raises(InputError, match="shape"):
                one.add(["a"], np.zeros((1, 1, 37)))
            assert len(one) == 300
        with pytest.raises(ZeroVectorError, match="rows: 1, 4"):
            index.add(names, zero)
        dots.add(names, zero)
        assert len(dots) == 305


def test_float16_float64_and_lists_are_accepted(make: Make, vectors: np.ndarray) -> None:
    with make() as index:
        index.add(["a"], vectors[:1].astype(np.float16))
        index.add(["b"], vectors[:1].astype(np.float64))
        index.add(["c"], vectors[:1].tolist())
        index.add(["d"], np.ones((1, 37), dtype=np.int32))
        index.add([], [])
        hits = index.search(vectors[:1], 4, source="off")
    assert {"b", "c", 0} <= set(hits.ids[0])


def test_calibration_comes_from_the_first_rows_or_from_the_caller(
    tmp_path: Path, vectors: np.ndarray, ranges: Calibration
) -> None:
    with CodeIndex.create(tmp_path / "a", 37, metric="dot") as index:
        with pytest.raises(CalibrationError, match="99 are too few"):
            index.add(range(99), vectors[:99])
        assert index.calibration is None and len(index) == 0
        index.add(range(100), vectors[:100])
        assert index.calibration == Calibration.fit(vectors[:100], source="first added vectors")
        index.add([500], vectors[200:201])  # later rows are coded by the same ranges
    with CodeIndex.open(tmp_path / "a") as index:
        assert index.calibration == Calibration.fit(vectors[:100], source="first added vectors")
    with CodeIndex.create(tmp_path / "b", 37, calibration=ranges) as index:
        index.add([1], vectors[:1])
        assert index.calibration == ranges
    with pytest.raises(CalibrationError, match="37 dimensions, but the index has 38"):
        CodeIndex.create(tmp_path / "c", 38, calibration=ranges)
    assert not (tmp_path / "c").exists()


def test_a_failed_write_adds_no_rows(
    make: Make, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a call are added, or none after a failure between them."""
    from qadapt.code_index import contents

    real = contents.pack_bits
    calls: list[int] = []

    def full_disk(x: np.ndarray) -> np.ndarray:
        calls.append(len(x))
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(x)

    with make() as index:
        before = index.search(vectors[:5], 10)
        monkeypatch.setattr("qadapt.code_index.vector_blocks.BLOCK_BYTES", 4000)
        monkeypatch.setattr(contents, "pack_bits", full_disk)
        with pytest.raises(OSError, match="No space"):
            index.upsert(range(100, 400), -vectors)
        monkeypatch.undo()
        assert len(index) == 300
        after = index.search(vectors[:5], 10)
        assert after.ids.tolist() == before.ids.tolist()
        index.upsert(range(100, 400), vectors)
        assert len(index) == 400
        saved = index.search(vectors[:5], 10)
    with CodeIndex.open(index.folder) as again:
        found = again.search(vectors[:5], 10)
        assert found.ids.tolist() == saved.ids.tolist()
        assert found.scores.tolist() == saved.scores.tolist()


def test_options_of_create_are_checked(tmp_path: Path) -> None:
    for options in (
        {"metric": "manhattan"},
        {"codes": "int4"},
        {"query_bits": 2},
        {"rescore_codes": "uint8"},
    ):
        with pytest.raises(SpecError, match="unknown"):
            CodeIndex.create(tmp_path / "i", 37, **options)  # type: ignore[arg-type]
    for dim in (0, -1, 2.5, True):
        with pytest.raises(InputError, match="dim must be"):
            CodeIndex.create(tmp_path / "i", dim)  # type: ignore[arg-type]
    assert not (tmp_path / "i").exists()


def test_rows_beyond_one_block_of_memory(
    tmp_path: Path, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qadapt.code_index.bit_blocks.BLOCK_ROWS", 64)
    ranges = Calibration.fit(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        index.add(range(150), vectors[:150])
        index.add(range(150, 300), vectors[150:])
        for source in ("codes", "bits", "off"):
            hits = index.search(vectors, 1, rescore=5, source=source)  # type: ignore[arg-type]
            assert (hits.ids[:, 0] == np.arange(300)).mean() > 0.99
        index.delete(range(0, 300, 3))
        index.save()
        hits = index.search(vectors, 1)
        kept = np.arange(300) % 3 != 0
        assert (hits.ids[kept, 0] == np.arange(300)[kept]).mean() > 0.99
