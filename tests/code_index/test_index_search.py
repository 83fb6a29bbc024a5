"""Results of a search: order, scores, padding, filters, original vectors."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.code_index import CodeHits, CodeIndex
from qadapt.codecs import Calibration, dequantize, hamming, pack_bits, pad_words, quantize
from qadapt.engines import NumpyEngine
from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    SpecError,
    ZeroVectorError,
)
from qadapt.model import Rescore

Make = Callable[..., CodeIndex]
METRICS = ["cosine", "dot", "euclidean"]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def float_scores(q: np.ndarray, x: np.ndarray, metric: str) -> np.ndarray:
    q, x = q.astype(np.float64), x.astype(np.float64)
    if metric == "cosine":
        return unit(q) @ unit(x).T
    if metric == "dot":
        return q @ x.T
    return -((q[:, None, :] - x[None, :, :]) ** 2).sum(-1)


def ranked(scores: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def fetcher(vectors: np.ndarray) -> Callable[[list[int]], np.ndarray]:
    return lambda ids: vectors[ids]


# -- scores of each source, for every metric ------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_originals_give_exact_scores_and_with_all_candidates_the_exact_order(
    make: Make, vectors: np.ndarray, queries: np.ndarray, metric: str
) -> None:
    with make(metric=metric) as index:
        hits = index.search(queries, 10, rescore=30, fetch=fetcher(vectors))
    scores = float_scores(queries, vectors, metric)
    order = ranked(scores, 10)
    assert hits.ids.tolist() == order.tolist()
    np.testing.assert_allclose(
        hits.scores, np.take_along_axis(scores, order, 1), rtol=1e-4, atol=1e-5
    )
    assert (hits.scores_kind, hits.rescored_on, hits.candidates) == ("exact", "originals", 300)
    assert re.fullmatch(r"(numpy|numba|faiss) [\d.]+:hamming", hits.searcher)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codes", ["binary", "int8"])
def test_codes_give_the_scores_of_the_decoded_vectors(
    make: Make, vectors: np.ndarray, queries: np.ndarray, metric: str, codes: str
) -> None:
    with make(metric=metric, codes=codes) as index:
        hits = index.search(queries, 10, rescore=30, source="codes")
        stored = unit(vectors) if metric == "cosine" else vectors
        cal = index.calibration
        assert cal is not None
    decoded = dequantize(quantize(stored.astype(np.float32), "int8", calibration=cal), cal)
    q = unit(queries) if metric == "cosine" else queries
    scores = float_scores(q, decoded, "dot" if metric == "cosine" else metric)
    picked = np.take_along_axis(scores, hits.ids.astype(int), 1)
    np.testing.assert_allclose(hits.scores, picked, rtol=1e-4, atol=1e-4)
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    assert hits.scores_kind == "approximate"
    assert hits.rescored_on == ("codes" if codes == "binary" else "nothing")
    truth = ranked(float_scores(queries, vectors, metric), 10)
    shared = [len(set(a) & set(b)) for a, b in zip(hits.ids.tolist(), truth.tolist(), strict=True)]
    assert np.mean(shared) > 9.5


def test_off_ranks_by_hamming_distance_and_then_by_row(
    make: Make, vectors: np.ndarray, queries: np.ndarray
) -> None:
    with make() as index:
        hits = index.search(queries, 20, source="off")
    distances = hamming(pad_words(pack_bits(queries)), pad_words(pack_bits(vectors)))
    order = ranked(-distances, 20)
    assert hits.ids.tolist() == order.tolist()
    expected = 1 - 2 * np.take_along_axis(distances, order, 1) / 37
    np.testing.assert_allclose(hits.scores, expected, rtol=1e-6)
    assert (hits.rescored_on, hits.scores_kind) == ("nothing", "approximate")


def test_bits_score_the_float_query_against_signs(
    make: Make, vectors: np.ndarray, queries: np.ndarray
) -> None:
    signs = np.where(vectors > 0, 1.0, -1.0)
    scores = float_scores(queries, signs, "cosine")
    with make(rescore_codes=None) as index:
        hits = index.search(queries, 10, rescore=30)
        assert index.calibration is None
    order = ranked(scores, 10)
    assert hits.ids.tolist() == order.tolist()
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, order, 1), rtol=1e-4)
    assert hits.rescored_on == "bits"


@pytest.mark.parametrize("query_bits", [4, 8, 32])
def test_more_query_bits_find_better_candidates_than_hamming(
    make: Make, vectors: np.ndarray, queries: np.ndarray, query_bits: int
) -> None:
    truth = ranked(float_scores(queries, vectors, "cosine"), 10).tolist()

    def found(index: CodeIndex) -> int:
        hits = index.search(queries, 30, source="off")
        return sum(len(set(a) & set(b)) for a, b in zip(hits.ids.tolist(), truth, strict=True))

    with make("one") as one, make("more", query_bits=query_bits) as more:
        assert found(more) > found(one)
        hits = more.search(queries, 10)
        assert re.fullmatch(rf"(numpy|numba) [\d.]+:bits{query_bits}", hits.searcher)


def test_cosine_does_not_depend_on_lengths(
    make: Make, vectors: np.ndarray, queries: np.ndarray, tmp_path: Path
) -> None:
    with make() as index, CodeIndex.create(tmp_path / "b", 37) as scaled:
        lengths = 10.0 ** np.arange(-20, 20, 40 / 300)[:, None]
        scaled.add(range(300), vectors.astype(np.float64) * lengths)
        a, b = index.search(queries, 10), scaled.search(queries * 1e-3, 10)
    assert a.ids.tolist() == b.ids.tolist()
    np.testing.assert_allclose(a.scores, b.scores, atol=2e-2)


# -- bugs of sentence-transformers that must not occur ----------------------------------


def test_scores_belong_to_their_ids_after_rescoring(
    make: Make, vectors: np.ndarray, queries: np.ndarray
) -> None:
    """https://github.com/huggingface/sentence-transformers/pull/2558"""
    scores = float_scores(queries, vectors, "cosine")
    with make() as index:
        hits = index.search(queries, 10, rescore=4, fetch=fetcher(vectors))
    picked = np.take_along_axis(scores, hits.ids.astype(int), 1)
    np.testing.assert_allclose(hits.scores, picked, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("source", ["codes", "originals", "bits", "off"])
def test_too_few_rows_pad_with_none_and_never_with_the_last_document(
    tmp_path: Path, vectors: np.ndarray, ranges: Calibration, source: str
) -> None:
    """https://github.com/huggingface/sentence-transformers/issues/3887"""
    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        index.add(["a", "b", "c"], vectors[:3])
        place = {"a": vectors[0], "b": vectors[1], "c": vectors[2]}
        hits = index.search(vectors[:2], 5, source=source, fetch=lambda ids: place)  # type: ignore[arg-type]
    assert hits.ids.shape == hits.scores.shape == (2, 5)
    for row in hits.ids.tolist():
        assert sorted(row[:3]) == ["a", "b", "c"] and row[3:] == [None, None]
    assert np.isnan(hits.scores[:, 3:]).all() and np.isfinite(hits.scores[:, :3]).all()
    assert [len(one) for one in hits.lists()] == [3, 3]


def test_padding_never_repeats_a_document(make: Make, queries: np.ndarray) -> None:
    """https://github.com/huggingface/sentence-transformers/issues/3956"""
    with make() as index:
        index.delete(range(4, 300))
        hits = index.search(queries, 8)
    for row in hits.ids.tolist():
        assert sorted(row[:4]) == [0, 1, 2, 3] and row[4:] == [None] * 4


@pytest.mark.parametrize("metric", METRICS)
def test_every_path_ranks_by_the_same_metric(
    make: Make, vectors: np.ndarray, queries: np.ndarray, metric: str
) -> None:
    """https://github.com/huggingface/sentence-transformers/issues/4022"""
    truth = ranked(float_scores(queries, vectors, metric), 10).tolist()
    with make("b", metric=metric) as bits, make("i", metric=metric, codes="int8") as ints:
        answers = [
            bits.search(queries, 10, rescore=30),
            bits.search(queries, 10, rescore=30, fetch=fetcher(vectors)),
            bits.search(queries, 10, rescore=30, engine=NumpyEngine()),
            ints.search(queries, 10),
            ints.search(queries, 10, rescore=30, fetch=fetcher(vectors)),
        ]
    for hits in answers:
        pairs = zip(hits.ids.tolist(), truth, strict=True)
        assert np.mean([len(set(a) & set(b)) for a, b in pairs]) > 9.5


def test_one_query_can_be_a_vector(make: Make, queries: np.ndarray) -> None:
    """https://github.com/huggingface/sentence-transformers/pull/2572"""
    with make() as index:
        one, all_ = index.search(queries[0], 5), index.search(queries, 5)
    assert one.ids.shape == (1, 5) and len(one) == 1
    assert one.ids[0].tolist() == all_.ids[0].tolist()


def test_padding_bits_do_not_count(tmp_path: Path, ranges: Calibration) -> None:
    """https://github.com/huggingface/sentence-transformers/pull/3948"""
    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        index.add([1, 2], np.stack([-np.ones(37), np.ones(37)]))
        for source in ("bits", "off"):
            hits = index.search(np.ones(37), 2, source=source)  # type: ignore[arg-type]
            assert hits.ids.tolist() == [[2, 1]]
            np.testing.assert_allclose(hits.scores, [[1, -1]], atol=1e-6)


# -- order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["codes", "originals", "bits", "off"])
def test_equal_vectors_are_in_row_order(
    tmp_path: Path, vectors: np.ndarray, ranges: Calibration, source: str
) -> None:
    same = np.repeat(vectors[:1], 40, axis=0)

    def search(k: int) -> list[list[int]]:
        hits = index.search(
            vectors[:1],
            k,
            rescore=2,
            source=source,  # type: ignore[arg-type]
            fetch=lambda ids: same[: len(ids)],
        )
        return hits.ids.tolist()  # type: ignore[no-any-return]

    with CodeIndex.create(tmp_path / "i", 37, calibration=ranges) as index:
        index.add(range(100, 60, -1), same)
        assert search(7) == [[100, 99, 98, 97, 96, 95, 94]]
        index.delete([100, 98])
        assert search(3) == [[99, 97, 96]]


def test_batches_of_any_size_give_the_same(
    make: Make, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make() as index:
        whole = index.search(vectors, 10)
        off = index.search(vectors, 10, source="off")
        for module in ("stages", "vector_blocks"):
            monkeypatch.setattr(f"qadapt.code_index.{module}.BLOCK_BYTES", 4000)
        parts = index.search(vectors, 10)
        assert parts.ids.tolist() == whole.ids.tolist()
        assert index.search(vectors, 10, source="off").ids.tolist() == off.ids.tolist()
        calls: list[list[int]] = []

        def fetch(ids: list[int]) -> np.ndarray:
            calls.append(ids)
            return vectors[ids]

        some = index.search(vectors[:20], 10, fetch=fetch)
    assert len(calls) == 20 and all(len(set(c)) == len(c) == 40 for c in calls)
    assert some.scores_kind == "exact"


def test_temporary_memory_is_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    docs = rng.standard_normal((40_000, 128), dtype=np.float32)
    queries = rng.standard_normal((500, 128), dtype=np.float32)
    for codes in ("binary", "int8"):
        with CodeIndex.create(tmp_path / codes, 128, codes=codes) as index:  # type: ignore[arg-type]
            tracemalloc.start()
            index.add(range(40_000), docs)
            _, adding = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            base, _ = tracemalloc.get_traced_memory()
            index.search(queries, 100, rescore=4)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak - base < 64 << 20
            assert adding < 64 << 20


# -- invalid options ----------------------------------------------------------------------------


def test_queries_are_checked(make: Make, queries: np.ndarray) -> None:
    bad = queries.copy()
    bad[3, 5] = np.inf
    with make() as index:
        with pytest.raises(NonFiniteError, match="NaN or infinite values in queries, rows: 3"):
            index.search(bad)
        with pytest.raises(ZeroVectorError, match="rows: 0"):
            index.search(np.zeros(37))
        with pytest.raises(DimensionError, match="queries: 36 dimensions, expected 37"):
            index.search(queries[:, 1:])


def test_options_are_checked(make: Make, queries: np.ndarray) -> None:
    with make("b", rescore_codes=None) as bits, make("i", codes="int8") as ints:
        for k in (0, -1, 2.5, True, "3"):
            with pytest.raises(InputError, match="must be an integer"):
                bits.search(queries, k)  # type: ignore[arg-type]
        for factor in (0.9, float("nan"), float("inf"), "4", True):
            with pytest.raises(SpecError, match="rescore must be"):
                bits.search(queries, 3, rescore=factor)  # type: ignore[arg-type]
        with pytest.raises(SpecError, match="requires fetch"):
            bits.search(queries, 3, source="originals")
        with pytest.raises(SpecError, match="has no int8 codes"):
            bits.search(queries, 3, source="codes")
        with pytest.raises(SpecError, match="has no sign bits"):
            ints.search(queries, 3, source="bits")
        with pytest.raises(SpecError, match="unknown source 'code'\n  did you mean 'codes'"):
            bits.search(queries, 3, source="code")  # type: ignore[arg-type]
        with pytest.raises(SpecError, match="unknown engine"):
            bits.search(queries, 3, engine="fais")


@pytest.mark.parametrize(("factor", "k", "candidates"), [(1.1, 10, 11), (1, 7, 7), (2.5, 3, 8)])
def test_candidates_are_the_ceiling_of_factor_times_k(
    make: Make, queries: np.ndarray, factor: float, k: int, candidates: int
) -> None:
    with make() as index:
        hits = index.search(queries, k, rescore=factor)
        same = index.search(queries, k, candidates=candidates)
    assert isinstance(hits, CodeHits) and hits.candidates == same.candidates == candidates


@pytest.mark.parametrize("oversampling", [1.0000000001, 1.1, 3.3])
def test_codes_and_databases_count_candidates_alike(
    make: Make, queries: np.ndarray, oversampling: float
) -> None:
    with make() as index:
        found = index.search(queries, 10, rescore=oversampling).candidates
    assert found == Rescore(oversampling).count(10)
