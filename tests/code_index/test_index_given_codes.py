"""Embeddings of services: packed bits, integers, base64, bfloat16, float16 and memory maps."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeIndex
from qadapt.codecs import quantize
from qadapt.errors import DimensionError, InputError, SpecError


def ids_of(index: CodeIndex, queries: np.ndarray) -> list[list[object]]:
    return index.search(queries, 5).ids.tolist()


@pytest.mark.parametrize("kind", ["ubinary", "binary"])
def test_packed_bits_equal_the_bits_of_the_vectors(
    tmp_path: Path, vectors: np.ndarray, queries: np.ndarray, kind: str
) -> None:
    packed = quantize(vectors, kind)  # type: ignore[arg-type]
    with CodeIndex.create(tmp_path / "v", 37, rescore_codes=None) as index:
        index.add(range(300), vectors)
        expected = ids_of(index, queries)
    with CodeIndex.create(tmp_path / "c", 37, rescore_codes=None) as index:
        index.add(range(200), codes=packed[:200], kind=kind)  # type: ignore[arg-type]
        index.upsert(range(100, 300), codes=packed[100:].tolist(), kind=kind)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="already exist"):
            index.add([5], codes=packed[:1], kind=kind)  # type: ignore[arg-type]
        found = index.search(queries, 5)
        assert [set(each) for each in found.ids.tolist()] == [set(each) for each in expected]
    with CodeIndex.open(index.folder, verify="full") as again:
        assert again.ids == [*range(100), *range(100, 300)]
        assert ids_of(again, queries) == found.ids.tolist()


def test_packed_bits_are_checked(tmp_path: Path, vectors: np.ndarray) -> None:
    packed = quantize(vectors, "ubinary")
    with CodeIndex.create(tmp_path / "i", 37, rescore_codes=None) as index:
        with pytest.raises(DimensionError, match="48 dimensions, expected 37"):
            index.add([1], codes=np.zeros((1, 6), np.uint8), kind="ubinary")
        with pytest.raises(InputError, match="bits of 1 after dimension 37"):
            index.add([1], codes=np.full((1, 5), 255, np.uint8), kind="ubinary")
        with pytest.raises(InputError, match="must be uint8"):
            index.add([1], codes=np.zeros((1, 5), np.int8), kind="ubinary")
        with pytest.raises(InputError, match="from 0 to 256"):
            index.add([1], codes=[[0, 0, 0, 256, 0]], kind="ubinary")
        with pytest.raises(SpecError, match="unknown kind of embeddings"):
            index.add([1], codes=packed[:1], kind="bits")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="given together"):
            index.add([1], packed[:1], kind="ubinary")
        with pytest.raises(InputError, match="2 ids for 1 vectors"):
            index.add([1, 2], codes=packed[:1], kind="ubinary")
        with pytest.raises(InputError, match=r"fits packed bits of 37.*\s+pass codes=X, kind='ub"):
            index.add([1], packed[:1])  # never taken for floats
        assert len(index) == 0
    with (
        CodeIndex.create(tmp_path / "j", 37) as index,
        pytest.raises(SpecError, match=r"cannot be made from sign bits\s+.*rescore_codes=None"),
    ):
        index.add([1], codes=packed[:1], kind="ubinary")


@pytest.mark.parametrize("kind", ["int8", "uint8", "base64", "bfloat16", "numbers"])
def test_other_kinds_equal_their_floats(
    tmp_path: Path, vectors: np.ndarray, queries: np.ndarray, kind: str
) -> None:
    whole = np.clip(np.round(vectors * 30), -128, 127)
    upper = vectors.view(np.uint32) & np.uint32(0xFFFF0000)
    codes, floats = {
        "int8": (whole.astype(np.int8), whole),
        "uint8": ((whole + 128).astype(np.uint8), whole),
        "base64": ([base64.b64encode(row.tobytes()).decode() for row in vectors], vectors),
        "bfloat16": ((upper >> 16).astype(np.uint16), upper.view(np.float32)),
        "numbers": (whole.astype(np.int32), whole),
    }[kind]
    with CodeIndex.create(tmp_path / "v", 37) as index:
        index.add(range(300), floats.astype(np.float32))
        expected = index.search(queries, 5)
    with CodeIndex.create(tmp_path / "c", 37) as index:
        index.add(range(300), codes=codes, kind=kind)  # type: ignore[arg-type]
        found = index.search(queries, 5)
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.scores.tolist() == expected.scores.tolist()


@pytest.mark.parametrize(
    ("codes", "message"),
    [(["AAAA", "!"], "row 1 is not base64"), (["AAAA"], "3 bytes"), (["AAAAAA==", ""], "0, 4")],
)
def test_invalid_base64_is_refused(tmp_path: Path, codes: list[str], message: str) -> None:
    with (
        CodeIndex.create(tmp_path / "i", 37) as index,
        pytest.raises(InputError, match=message),
    ):
        index.add(range(len(codes)), codes=codes, kind="base64")


def test_memory_maps_and_halves_are_added(tmp_path: Path, vectors: np.ndarray) -> None:
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    with CodeIndex.create(tmp_path / "i", 37) as index:
        index.add(range(300), mapped)
        whole = index.search(vectors, 1).ids.tolist()
        index.upsert(range(300), vectors.astype(np.float16))
        assert index.search(vectors, 1).ids.tolist() == whole


@pytest.mark.parametrize("kind", ["ubinary", "binary"])
def test_packed_queries_are_refused_by_name(
    tmp_path: Path, vectors: np.ndarray, queries: np.ndarray, kind: str
) -> None:
    packed = quantize(queries, kind)  # type: ignore[arg-type]
    with CodeIndex.create(tmp_path / "i", 37) as index:
        index.add(range(300), vectors)
        with pytest.raises(InputError, match="fits packed bits of 37 dimensions") as raised:
            index.search(packed, 5)
    assert "unpack_signs" in str(raised.value.hint)
