"""Code indexes of rotational and scalar codes: the promises of every index, and quality."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embeddings import Embeddings

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration, Codebook
from qadapt.codecs.estimates import factors
from qadapt.codecs.rotation import rotation
from qadapt.codecs.rotational import encode, unpacked
from qadapt.errors import CalibrationError, IntegrityError, SpecError, UnsupportedError

BITS = (1, 2, 4)
KINDS: list[dict[str, Any]] = [
    *({"codes": "rotational", "bits": bits} for bits in BITS),
    {"codes": "scalar", "bits": 4},
]
each_kind = pytest.mark.parametrize(
    "kind", KINDS, ids=lambda kind: f"{kind['codes']}-{kind['bits']}"
)
Make = Callable[..., CodeIndex]


def expected_scores(vectors: np.ndarray, queries: np.ndarray, bits: int, metric: str) -> np.ndarray:
    """Estimates of all pairs by float queries, from the formula of the papers."""
    x, q = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        q /= np.linalg.norm(q, axis=1, keepdims=True)
    turn = rotation(x.shape[1])
    codes = encode(turn(x.astype(np.float32)), bits)
    level = unpacked(codes, bits).astype(np.float64) - (2**bits - 1) / 2
    dot: np.ndarray = turn(q.astype(np.float32)) @ level.T * factors(codes)[:, 0]
    if metric != "euclidean":
        return dot
    far: np.ndarray = np.minimum(2 * dot - (q**2).sum(axis=1)[:, None] - (x**2).sum(axis=1), 0)
    return far


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """float32 (420, 37): enough to learn a rotation."""
    found: np.ndarray = np.random.default_rng(5).standard_normal((420, 37)).astype(np.float32)
    return found


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("bits", BITS)
def test_rescoring_by_the_codes_ranks_by_the_estimate(
    make: Make, vectors: np.ndarray, queries: np.ndarray, bits: int, metric: str
) -> None:
    index = make(codes="rotational", bits=bits, metric=metric, rescore_codes=None)
    hits = index.search(queries, k=300)  # all rows, so that the first stage leaves out none
    assert hits.rescored_on == "bits"
    wanted = expected_scores(vectors, queries, bits, metric)
    if metric == "cosine":
        wanted = np.clip(wanted, -1, 1)
    found = np.take_along_axis(wanted, hits.ids.astype(int), axis=1)
    np.testing.assert_allclose(hits.scores, found, rtol=1e-4, atol=1e-4)
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    index.save()
    index.close()


@each_kind
def test_changes_saves_and_merges_give_the_index_of_the_remaining_rows(
    tmp_path: Path, vectors: np.ndarray, queries: np.ndarray, ranges: Calibration, kind: Any
) -> None:
    options: dict[str, Any] = {**kind, "calibration": ranges}
    if kind["codes"] == "scalar":
        options["codebook"] = Codebook.fit(vectors / np.linalg.norm(vectors, axis=1)[:, None])
    with CodeIndex.create(tmp_path / "a", vectors.shape[1], **options) as index:
        index.add(np.arange(150), vectors[:150])
        index.save()
        for start in range(150, 290, 10):  # more than ten segments, so that some are merged
            index.add(np.arange(start, start + 10), vectors[start : start + 10])
            index.save()
        index.delete(np.arange(20, 60))
        index.save()
        index.upsert([3, 4, 500], vectors[290:293])
    left = [one for one in range(290) if one not in range(20, 60) and one not in (3, 4)]
    rows = np.concatenate([vectors[left], vectors[290:293]])
    with CodeIndex.create(tmp_path / "b", vectors.shape[1], **options) as plain:
        plain.add([*left, 3, 4, 500], rows)
    with CodeIndex.open(tmp_path / "a") as index, CodeIndex.open(tmp_path / "b") as plain:
        for source in ("off", "bits", "codes"):
            one, two = (each.search(queries, 20, source=source) for each in (index, plain))
            np.testing.assert_array_equal(one.ids, two.ids)
            np.testing.assert_array_equal(one.scores, two.scores)
        before = index.search(queries, 20, source="off").ids
        index.compact()
        np.testing.assert_array_equal(index.search(queries, 20, source="off").ids, before)
        index.verify()


@each_kind
def test_masks_ids_and_ties(make: Make, queries: np.ndarray, kind: Any) -> None:
    index = make(**kind, rescore_codes=None)
    everything = index.search(queries, 300, source="off")
    for engine in ("numpy", "numba"):
        same = index.search(queries, 300, source="off", engine=engine)
        assert same.searcher.startswith(engine)
        np.testing.assert_array_equal(same.ids, everything.ids)
        np.testing.assert_array_equal(same.scores, everything.scores)
    mask = np.zeros(300, dtype=bool)
    mask[::3] = True
    some = index.search(queries, 300, source="off", mask=mask)
    for row in range(len(queries)):
        kept = [one for one in everything.ids[row] if mask[one]]
        assert some.ids[row][:100].tolist() == kept
        assert some.ids[row][100:].tolist() == [None] * 200
    named = index.search(queries, 300, source="off", ids=np.flatnonzero(mask).tolist())
    np.testing.assert_array_equal(named.ids, some.ids)
    index.add(np.arange(1000, 1100), np.repeat(queries[:1], 100, axis=0))
    for source in ("off", "bits"):
        tied = index.search(queries, 100, source=source)
        assert tied.ids[0].tolist() == list(range(1000, 1100))
        alone = index.search(queries[0], 100, source=source)
        assert alone.ids[0].tolist() == list(range(1000, 1100))
    index.save()
    index.close()


def test_a_code_has_the_documented_size(make: Make) -> None:
    for bits in BITS:
        index = make(f"{bits}", codes="rotational", bits=bits, rescore_codes=None)
        size = index.nbytes
        assert size["ram"] - size["ids"] == 300 * (bits * 64 // 8 + 8)
        index.save()
        index.close()
    index = make("scalar", codes="scalar", rescore_codes=None)
    size = index.nbytes
    # 19 bytes for 37 dimensions, 8 of factors, in words of 8 bytes; and 16 levels per dimension.
    assert size["ram"] - size["ids"] == 300 * 32 + 37 * 16 * 4
    index.save()
    assert index.nbytes["disk"] >= 300 * (19 + 8) + 37 * 16 * 4
    index.close()


@each_kind
def test_a_flipped_bit_is_found_before_a_search(make: Make, kind: Any) -> None:
    with make(**kind, rescore_codes=None) as index:
        folder = index.folder
    (path,) = folder.glob("rows.*.bin")
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged"):
        CodeIndex.open(folder)


@each_kind
def test_releases_without_these_codes_refuse_the_folder_by_its_version(
    make: Make, kind: Any
) -> None:
    with make(**kind) as index:
        folder = index.folder
    assert json.loads((folder / "index.json").read_text())["version"] == 3
    with make("plain") as index:
        folder = index.folder
    assert json.loads((folder / "index.json").read_text())["version"] == 2


@each_kind
def test_vectors_that_differ_from_their_codes(make: Make, vectors: np.ndarray, kind: Any) -> None:
    with make(**kind, rescore_codes=None) as index:
        wide = vectors.astype(np.float64)
        scaled = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        assert index.differing(np.arange(300), scaled) == []
        changed = vectors.copy()
        changed[7], changed[11] = vectors[8], -vectors[11]
        assert index.differing(np.arange(300), changed) == [7, 11]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": "rotational", "bits": 3}, "3"),
        ({"codes": "rotational", "query_bits": 32}, "query_bits"),
        ({"codes": "rotational", "rotation": "pca"}, "pca"),
        ({"codes": "scalar", "bits": 8}, "8"),
        ({"codes": "scalar", "query_bits": 4}, "query_bits"),
        ({"bits": 2}, "a setting of rotational and scalar codes"),
        ({"codes": "int8", "rotation": "random"}, "a setting of rotational codes"),
        ({"codes": "scalar", "rotation": "random"}, "a setting of rotational codes"),
        ({"codebook": Codebook(np.zeros((8, 16)))}, "a setting of scalar codes"),
    ],
)
def test_settings_that_do_not_exist(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        CodeIndex.create(tmp_path / "index", 8, **options)
    assert not (tmp_path / "index").exists()


@each_kind
def test_packed_bits_and_engines_of_sign_bits_are_refused(
    make: Make, queries: np.ndarray, kind: Any
) -> None:
    index = make(**kind, rescore_codes=None)
    with pytest.raises(SpecError, match=f"{kind['codes']} codes, which cannot be made"):
        index.add(["x"], codes=np.zeros((1, 5), np.uint8), kind="ubinary")
    with pytest.raises(UnsupportedError, match=f"does not scan {kind['codes']} codes"):
        index.search(queries, engine="usearch")
    named = index.search(queries, engine="numpy").searcher
    assert named.endswith(f":{kind['codes']}{kind['bits']}")
    index.save()
    index.close()


@pytest.mark.parametrize(
    ("kind", "least"), list(zip(KINDS, (0.1, 0.2, 0.3, 0.3), strict=True)), ids=str
)
def test_candidates_are_better_than_those_of_sign_bits(
    embeddings: Embeddings, tmp_path: Path, kind: Any, least: float
) -> None:
    docs, queries = embeddings.docs, embeddings.queries[:100]
    exact = np.argsort(-(queries @ docs.T), axis=1)[:, :10]

    def recall(**options: Any) -> float:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        with CodeIndex.create(folder, docs.shape[1], rescore_codes=None, **options) as index:
            index.add(np.arange(len(docs)), docs)
            found = index.search(queries, 10, source="off").ids.tolist()
        return sum(len({*a} & {*b}) for a, b in zip(found, exact.tolist(), strict=True)) / 1000

    assert recall(**kind) > recall() + least


@pytest.mark.parametrize("bits", BITS)
def test_a_learned_rotation_is_saved_once_and_used_for_later_rows(
    tmp_path: Path, many: np.ndarray, queries: np.ndarray, ranges: Calibration, bits: int
) -> None:
    options: dict[str, Any] = {"codes": "rotational", "bits": bits, "rotation": "learned"}
    index = CodeIndex.create(tmp_path / "a", many.shape[1], calibration=ranges, **options)
    index.add(np.arange(400), many[:400])
    index.save()
    (path,) = (tmp_path / "a").glob("learned.*.bin")
    matrix = np.frombuffer(path.read_bytes(), "<f4").reshape(64, 64).astype(np.float64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-5)
    index.add(np.arange(400, 420), many[400:])
    index.delete([5])
    index.save()
    assert list((tmp_path / "a").glob("learned.*.bin")) == [path]
    before = index.search(queries, 50, source="off")
    index.close()
    with CodeIndex.open(tmp_path / "a") as index:
        after = index.search(queries, 50, source="off")
        np.testing.assert_array_equal(before.ids, after.ids)
        np.testing.assert_array_equal(before.scores, after.scores)
        kept = [one for one in range(420) if one != 5]
        assert index.differing(kept, many[kept]) == []
        index.verify()
        assert index.nbytes["disk"] > 64 * 64 * 4
    wide = many.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    turned = rotation(37)(wide.astype(np.float32)).astype(np.float64) @ matrix
    best = np.sort(rotational_estimate(turned, queries, matrix, bits)[:, kept], axis=1)[:, ::-1]
    # Queries of 4 or 8 bits, so scores are close to those of float32 queries.
    assert np.abs(best[:, :50] - before.scores).max() < 0.15


def rotational_estimate(
    turned: np.ndarray, queries: np.ndarray, matrix: np.ndarray, bits: int
) -> np.ndarray:
    """Estimated cosines of rotated vectors with queries (nq, 37)."""
    codes = encode(turned.astype(np.float32), bits)
    level = unpacked(codes, bits).astype(np.float64) - (2**bits - 1) / 2
    wide = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    found: np.ndarray = (rotation(37)(wide) @ matrix) @ level.T * factors(codes)[:, 0]
    return np.clip(found, -1, 1)


def test_a_learned_rotation_needs_enough_vectors_at_first(tmp_path: Path, many: np.ndarray) -> None:
    with CodeIndex.create(
        tmp_path / "a", 37, codes="rotational", rotation="learned", rescore_codes=None
    ) as index:
        with pytest.raises(CalibrationError, match="383 are too few \\(at least 384\\)"):
            index.add(np.arange(383), many[:383])
        assert len(index) == 0
        index.add(np.arange(384), many[:384])
        index.add([384], many[384:385])


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_rotation_is_refused(tmp_path: Path, many: np.ndarray, damage: str) -> None:
    folder = tmp_path / "index"
    with CodeIndex.create(
        folder, 37, codes="rotational", rotation="learned", rescore_codes=None
    ) as index:
        index.add(np.arange(len(many)), many)
    (path,) = folder.glob("learned.*.bin")
    content = bytearray(path.read_bytes())
    content[77] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-4])
    with pytest.raises(IntegrityError, match=path.name):
        CodeIndex.open(folder)


def test_a_rotation_learned_from_all_vectors_finds_more(
    embeddings: Embeddings, tmp_path: Path
) -> None:
    docs, queries = embeddings.docs, embeddings.queries
    exact = np.argsort(-(queries @ docs.T), axis=1)[:, :10].tolist()
    found = {}
    for name in ("random", "learned"):
        with CodeIndex.create(
            tmp_path / name,
            docs.shape[1],
            codes="rotational",
            rotation=name,
            rescore_codes=None,  # type: ignore[arg-type]
        ) as index:
            index.add(np.arange(len(docs)), docs)
            ids = index.search(queries, 10, source="off").ids.tolist()
        found[name] = sum(len({*a} & {*b}) for a, b in zip(ids, exact, strict=True))
    assert found["learned"] > found["random"]
