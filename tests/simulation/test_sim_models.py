"""Compare models with faiss (for equal quantizers), numpy, and scores of the live engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embeddings import DIM

import qadapt as qa
from qadapt.engines.exact import exact_scores
from qadapt.model import Metric, Quantization, Rescore, Vector
from qadapt.quantizers import shared
from qadapt.quantizers.base import Codes, Exact, Model
from qadapt.quantizers.centroids import assign, kmeans
from qadapt.quantizers.rotation import blocked, gaussian, turbo
from qadapt.simulation.rank_recall import ranks
from qadapt.simulation.registry import candidates, mapped_to, model_of
from qadapt.stores.milvus import quantizer_models as milvus
from qadapt.stores.qdrant import quantizer_models as qdrant
from qadapt.stores.weaviate import quantizer_models as weaviate

K, QUERIES = 10, 150


@pytest.fixture(scope="module")
def rows(embeddings: Any) -> np.ndarray:
    return embeddings.docs


@pytest.fixture(scope="module")
def queries(embeddings: Any) -> np.ndarray:
    return embeddings.queries[:QUERIES]


@pytest.fixture(scope="module")
def truth(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :K].astype(np.int64)


def predicted(
    model: Model, rows: np.ndarray, queries: np.ndarray, truth: np.ndarray, count: int = K
) -> float:
    model.fit(rows)
    found = ranks(model.rows(rows), model.queries(queries), truth)
    return float(found.recall(count, K).mean())


def seen(ids: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(ids, truth, strict=True)]))


# -- rotations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 5, 24, 100, 384, 768])
def test_the_turboquant_rotation_keeps_norms_and_angles(dim: int) -> None:
    matrix = turbo(dim)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dim), atol=1e-5)


@pytest.mark.parametrize("dim", [64, 256, 384, 832])
def test_the_weaviate_rotation_keeps_norms_and_angles(dim: int) -> None:
    matrix = blocked(dim)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(dim), atol=1e-5)
    assert np.abs(gaussian(dim) @ gaussian(dim).T - np.eye(dim)).max() < 1e-5


# -- models --------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", list(Metric))
def test_the_exact_model_scores_as_exact_search(metric: Metric) -> None:
    random = np.random.default_rng(1)
    x, q = random.standard_normal((50, 12)).astype("f4"), random.standard_normal((7, 12))
    q = q.astype(np.float32)
    model = Exact(metric)
    mine = model.rows(x).scores(model.queries(q))
    right = exact_scores(q, x, metric)
    # Model scores omit terms that are equal for all rows of a query.
    np.testing.assert_allclose(mine - mine[:, :1], right - right[:, :1], atol=1e-4)


ALL: list[Callable[[Metric], Model]] = [
    lambda m: qdrant.Scalar(m),
    lambda m: qdrant.Scalar(m, 0.99),
    lambda m: qdrant.Turbo(m, 30, 1),
    lambda m: qdrant.Turbo(m, 30, 1.5),
    lambda m: qdrant.Turbo(m, 30, 2),
    lambda m: qdrant.Turbo(m, 30, 4),
    lambda m: qdrant.Turbo(m, 30, 8),
    lambda m: shared.Product(m, 30, 2),
    lambda m: weaviate.Rotational8(m, 30),
    lambda m: weaviate.Rotational4(m, 30),
    lambda m: weaviate.Rotational1(m, 30),
    lambda m: weaviate.Scalar(m),
    lambda m: shared.Product(m, 30, 2, 16),
    lambda m: milvus.Scalar(m, 8),
    lambda m: milvus.Scalar(m, 6),
    lambda m: milvus.Scalar(m, 4),
    lambda m: milvus.Product(m, 30, 15),
    lambda m: milvus.Product(m, 30, 15, 8),
    lambda m: milvus.RaBitQ(m, 30, 1, 8),
    lambda m: milvus.RaBitQ(m, 30, 4, 8),
]


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("made", ALL)
def test_model_scores_correlate_with_exact_scores(
    made: Callable[[Metric], Model], metric: Metric
) -> None:
    random = np.random.default_rng(2)
    x = (random.standard_normal((700, 30)) * random.uniform(0.5, 2, (700, 1))).astype("f4")
    q = random.standard_normal((20, 30)).astype(np.float32)
    model = made(metric).fit(x)
    mine, right = model.rows(x).scores(model.queries(q)), exact_scores(q, x, metric)
    # The best correlation of one bit with a normal distribution is sqrt(2 / pi).
    for row, exact in zip(mine, right, strict=True):
        assert np.corrcoef(row, exact)[0, 1] > 0.6


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_more_bits_increase_recall(
    bits: float, rows: np.ndarray, queries: np.ndarray, truth: np.ndarray
) -> None:
    coarse = predicted(qdrant.Turbo(Metric.COSINE, DIM, bits), rows, queries, truth)
    least = {1: 0.65, 2: 0.8, 4: 0.93, 8: 0.98}[int(bits)]
    assert least < coarse <= 1.0


def test_a_constant_dimension_does_not_break_a_model() -> None:
    x = np.random.default_rng(3).standard_normal((300, 30)).astype(np.float32)
    x[:, 7] = 0.25
    for made in ALL:
        for metric in Metric:
            model = made(metric).fit(x)
            assert np.isfinite(model.rows(x).scores(model.queries(x[:5]))).all()


@pytest.mark.parametrize("made", ALL)
def test_the_code_of_a_row_does_not_depend_on_the_rows_coded_with_it(
    made: Callable[[Metric], Model],
) -> None:
    random = np.random.default_rng(4)
    x = (random.standard_normal((300, 30)) * random.uniform(0.5, 2, (300, 1))).astype("f4")
    model = made(Metric.EUCLIDEAN).fit(x)
    queries = model.queries(x[:3])
    together, alone = model.rows(x).scores(queries), model.rows(x[5:7]).scores(queries)
    np.testing.assert_allclose(together[:, 5:7], alone, rtol=1e-4, atol=1e-4)


def test_a_quantile_counts_vectors_and_not_values(engine: Any, rows: np.ndarray) -> None:
    """docs/engines/qdrant.md#quantile: the range is read from the file of the engine."""
    engine.plan("scalar:quantile=0.99").apply(yes=True)
    (meta,) = Path(engine._store.address.path).rglob("quantized.meta.json")
    alpha = json.loads(meta.read_text(encoding="utf-8"))["alpha"]
    model = qdrant.Scalar(Metric.COSINE, 0.99).fit(rows)
    assert float(model._step) == pytest.approx(alpha, rel=0.05)
    true = np.subtract(*np.quantile(rows, [0.995, 0.005]))
    assert 127 * alpha > 1.5 * true


# -- faiss has the same quantizers as Milvus -----------------------------------------------------


@pytest.fixture(scope="module")
def faiss() -> Any:
    found = pytest.importorskip("faiss")
    found.omp_set_num_threads(1)
    return found


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_scalar_codes_match_faiss(
    faiss: Any, bits: int, rows: np.ndarray, queries: np.ndarray
) -> None:
    kinds = {8: "QT_8bit", 6: "QT_6bit", 4: "QT_4bit_uniform"}
    kind = getattr(faiss.ScalarQuantizer, kinds[bits])
    index = faiss.IndexScalarQuantizer(DIM, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    scores, ids = index.search(queries, 50)
    model = milvus.Scalar(Metric.DOT, bits).fit(rows)
    mine = np.take_along_axis(model.rows(rows).scores(model.queries(queries)), ids, axis=1)
    # A value on a border can round either way, which is one step of one dimension.
    assert np.quantile(np.abs(mine - scores), 0.99) < 1e-5
    assert np.abs(mine - scores).max() < (0.02 if bits == 4 else 0.001)


@pytest.mark.parametrize("lists", [16, 128])
def test_rabitq_matches_faiss(
    faiss: Any, lists: int, rows: np.ndarray, queries: np.ndarray, truth: np.ndarray
) -> None:
    text = f"RR{DIM},IVF{lists},RaBitQ"
    index = faiss.index_factory(DIM, text, faiss.METRIC_INNER_PRODUCT)
    faiss.extract_index_ivf(index).nprobe = lists
    index.train(rows)
    index.add(rows)
    _, ids = index.search(queries, K)
    mine = predicted(milvus.RaBitQ(Metric.COSINE, DIM, 1, lists), rows, queries, truth)
    assert mine == pytest.approx(seen(ids, truth), abs=0.03)


def test_product_codes_match_faiss(
    faiss: Any, rows: np.ndarray, queries: np.ndarray, truth: np.ndarray
) -> None:
    index = faiss.IndexPQ(DIM, 16, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    _, ids = index.search(queries, K)
    mine = predicted(milvus.Product(Metric.COSINE, DIM, 16), rows, queries, truth)
    assert mine == pytest.approx(seen(ids, truth), abs=0.03)


def test_kmeans_of_numbers_matches_kmeans_of_columns() -> None:
    x = np.random.default_rng(5).standard_normal((2_000, 1)).astype(np.float32)
    centroids = kmeans(x, 16, rounds=15)
    assert len(centroids) == 16
    lost = np.square(x - centroids[assign(x, centroids)]).mean()
    # The best 16 steps for a normal distribution lose 0.0095 of it (Max, 1960).
    assert 0.008 < lost < 0.014
    np.testing.assert_array_equal(assign(x, centroids), np.abs(x - centroids.T).argmin(axis=1))


# -- ranks ---------------------------------------------------------------------------------------


def slow_recall(scores: np.ndarray, truth: np.ndarray, count: int) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return seen(best, truth)


def test_recall_from_ranks_matches_a_scan() -> None:
    random = np.random.default_rng(6)
    scores = random.standard_normal((40, 500)).astype(np.float32)
    truth = random.permuted(np.tile(np.arange(500), (40, 1)), axis=1)[:, :K]
    found = ranks(Codes(scores.T), np.eye(40, dtype=np.float32), truth.astype(np.int64))
    for count in (K, 25, 100, 500):
        assert found.recall(count, K).mean() == pytest.approx(slow_recall(scores, truth, count))


def test_rows_with_equal_scores_count_by_probability() -> None:
    scores = np.array([[2.0, 1.0, 1.0, 1.0, 0.0]], dtype=np.float32)
    truth = np.array([[0, 1, 2]])
    found = ranks(Codes(scores.T), np.ones((1, 1), dtype=np.float32), truth)
    # Two ranks for three rows with equal scores: 1 and 2 are included with probability 2/3 each.
    assert found.recall(3, 3)[0] == pytest.approx((1 + 2 * 2 / 3) / 3)


def test_own_rows_and_missing_neighbors_do_not_count() -> None:
    scores = np.array([[9.0, 3.0, 2.0, 1.0]], dtype=np.float32)
    own, truth = np.array([0]), np.array([[1, -1]])
    found = ranks(Codes(scores.T), np.ones((1, 1), dtype=np.float32), truth, own=own)
    assert found.recall(1, 2)[0] == 1.0


def test_each_segment_contributes_candidates() -> None:
    scores = np.arange(10, 0, -1, dtype=np.float32)[None]
    truth = np.array([[5, 6]])
    codes, ones = Codes(scores.T), np.ones((1, 1), dtype=np.float32)
    assert ranks(codes, ones, truth).recall(2, 2)[0] == 0.0
    assert ranks(codes, ones, truth, segments=2).recall(2, 2)[0] == 1.0


def test_weights_represent_missing_rows() -> None:
    scores = np.array([[3.0, 2.0, 1.0]], dtype=np.float32)
    truth, ones = np.array([[2]]), np.ones((1, 1), dtype=np.float32)
    weight = np.array([4.0, 5.0, 1.0])
    found = ranks(Codes(scores.T), ones, truth, weight=weight)
    assert found.ahead[0, 0] == 9.0
    assert found.recall(9, 1)[0] == 0.0
    assert found.recall(10, 1)[0] == 1.0


# -- which model, how many candidates ------------------------------------------------------------


@pytest.mark.parametrize("store", ["qdrant", "edge", "weaviate", "milvus"])
def test_every_supported_quantization_has_a_model(store: str) -> None:
    vector = Vector(384)
    texts = ["none", "float16", "scalar", "scalar:bits=4", "scalar:per=collection", "binary"]
    texts += ["binary:query_bits=8", "rotational:bits=1", "rotational:bits=4", "rotational:bits=8"]
    texts += ["product:ratio=16", "product:ratio=64"]
    modelled = 0
    for text in texts:
        mapped = mapped_to(store, Quantization.parse(text), vector)
        if mapped.match.level != "unsupported":
            assert model_of(store, mapped, vector).name
            modelled += 1
    assert modelled >= 8


@pytest.mark.parametrize(
    ("store", "text", "rescore", "wanted"),
    [
        ("qdrant", "scalar", None, 10),
        ("qdrant", "binary", None, 10),
        ("qdrant", "binary", Rescore(4), 40),
        ("milvus", "scalar", None, 10),
        ("milvus", "scalar", Rescore(2), 20),
        # hnsw rescores up to rescoreLimit 20 candidates; above that, all of ef = 8 k.
        ("weaviate", "rotational:bits=8", None, 20),
        ("weaviate", "rotational:bits=8", Rescore(4), 320),
        ("weaviate", "binary", None, 100),
        ("weaviate", "rotational:bits=1", None, 100),
    ],
)
def test_candidates_follow_the_rule_of_the_store(
    store: str, text: str, rescore: Rescore | None, wanted: int
) -> None:
    mapped = mapped_to(store, Quantization.parse(text), Vector(384))
    assert candidates(store, mapped, K, rescore)[0] == wanted


# -- scores of the engine ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path_factory.mktemp('engine')}/edge") as db:
        made = db.create("rows", dim=DIM)
        made.write(qa.Batch(range(len(rows)), {"": rows}))
        yield made


# Each setting and metric has a long test.
SHORT = {("dot", "scalar"), ("euclidean", "rotational:bits=4")}


@pytest.mark.parametrize(
    ("text", "model", "apart"),
    [
        ("scalar", lambda: qdrant.Scalar(Metric.COSINE), 0.01),
        ("rotational:bits=8", lambda: qdrant.Turbo(Metric.COSINE, DIM, 8), 0.05),
        # The engine estimates quantiles from a stream, so its steps differ a little.
        ("rotational:bits=2", lambda: qdrant.Turbo(Metric.COSINE, DIM, 2), 0.5),
    ],
)
def test_engine_scores_match_the_model(
    engine: Any,
    text: str,
    model: Callable[[], Model],
    apart: float,
    rows: np.ndarray,
    queries: np.ndarray,
) -> None:
    engine.plan(text).apply(yes=True)
    hits = engine.search(queries, k=50, rescore="off")
    assert hits.how.scores == "approximate"
    mine = model().fit(rows)
    scores = mine.rows(rows).scores(mine.queries(queries))
    taken = np.take_along_axis(scores, hits.ids.astype(np.int64), axis=1)
    exact = np.take_along_axis(queries @ rows.T, hits.ids.astype(np.int64), axis=1)
    off, lost = (np.sqrt(np.square(x - hits.scores).mean()) for x in (taken, exact))
    assert off < apart * lost, "the error is smaller than the loss of the codes"
    assert np.corrcoef(taken.ravel(), hits.scores.ravel())[0, 1] > 0.98


def test_engine_bit_counts_match_the_model(
    engine: Any, rows: np.ndarray, queries: np.ndarray
) -> None:
    engine.plan("binary:query_bits=8").apply(yes=True)
    hits = engine.search(queries, k=50, rescore="off")
    model = qdrant.Binary(Metric.COSINE, 1, 8).fit(rows)
    scores = model.rows(rows).scores(model.queries(queries))
    taken = np.take_along_axis(scores, hits.ids.astype(np.int64), axis=1)
    for mine, theirs in zip(taken, hits.scores, strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.99999


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        pytest.param(metric, text, marks=() if (metric, text) in SHORT else pytest.mark.long)
        for metric in ("dot", "euclidean")
        for text in ("scalar", "binary", "rotational:bits=4", "rotational:bits=2")
    ],
)
def test_engine_recall_matches_the_model_with_other_metrics(
    engine: Any, metric: str, text: str, rows: np.ndarray, queries: np.ndarray
) -> None:
    random = np.random.default_rng(8)
    x = rows[:2_000] * random.uniform(0.7, 1.4, (2_000, 1)).astype(np.float32)
    best = np.argsort(-exact_scores(queries, x, Metric.of(metric)), axis=1, kind="stable")
    with qa.open(str(engine._store.address)) as db:
        made = db.create(f"{metric}-{text.replace(':', '-')}", dim=DIM, metric=metric)
        made.write(qa.Batch(range(len(x)), {"": x}))
        made.plan(text).apply(yes=True)
        hits = made.search(queries, k=K, rescore="off")
    said = qa.simulate(x, [f"{text}{',' if ':' in text else ':'}rescore=off"], queries=queries,
                       metric=metric)  # fmt: skip
    assert said.results[0].recall is not None
    truth = best[:, :K]
    assert said.results[0].recall.value == pytest.approx(seen(hits.ids, truth), abs=0.02)
