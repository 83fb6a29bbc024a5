"""Models of the codecs: codes and results are those of the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from clickhouse_helpers import WIDE, Raw

import qadapt as qa
from qadapt.api import Database
from qadapt.model import Metric
from qadapt.quantizers import Model
from qadapt.stores.clickhouse import mapping
from qadapt.stores.clickhouse.product_model import ROUNDS, TrainedProducts
from qadapt.stores.clickhouse.quantizer_models import (
    BitPlanes,
    Int8,
    PrefixInt8,
    RaBitQ,
    TurboQuant,
)
from qadapt.stores.clickhouse.rotation import RESIDUALS, rotation

MODELS: dict[str, Callable[[Metric], Model]] = {
    "rabitq": RaBitQ,
    "turboquant": TurboQuant,
    "int8": Int8,
}
COUNT, QUERIES, K = 400, 12, 10
# A Hadamard matrix of order 12, zeros up to the next power of 2, and a power of 2.
DIMENSIONS = [96, 104, 64]


def drawn(dim: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Rows of different lengths whose dimensions differ in scale, and queries near to them."""
    random = np.random.default_rng(dim)
    rows = random.normal(size=(COUNT, dim)) * random.lognormal(sigma=0.5, size=dim)
    queries = rows[:QUERIES] + random.normal(size=(QUERIES, dim)) / 2
    return rows.astype(np.float32), queries.astype(np.float32)


def create(raw: Raw, codec: str, settings: str = WIDE) -> None:
    raw.run(
        f"CREATE TABLE {{t}}coded (id Int64, v Array(Float32) CODEC(Quantized({codec}))) "
        f"ENGINE = MergeTree ORDER BY id {settings}, enable_quantized_codec = 1"
    )


@pytest.mark.parametrize("dim", DIMENSIONS)
@pytest.mark.parametrize(
    ("method", "metric"),
    [("rabitq", "cosine"), ("turboquant", "cosine"), ("int8", "cosine"), ("int8", "euclidean")],
)
def test_a_codec_selects_the_rows_of_its_model(
    raw: Raw, method: str, metric: str, dim: int
) -> None:
    """Without oversampling, the results are the best rows by the codes."""
    rows, queries = drawn(dim)
    create(raw, f"'{method}', {dim}")
    raw.insert("coded", rows)
    model = MODELS[method](Metric(metric)).fit(rows)
    scores = model.rows(rows).scores(model.queries(queries))
    function = {"cosine": "cosineDistance", "euclidean": "L2Distance"}[metric]
    text = (
        f"SELECT id FROM {{t}}coded ORDER BY {function}(v, {{q:Array(Float32)}}) LIMIT {K} "
        "SETTINGS vector_search_use_quantized_codes = 1, vector_search_index_fetch_multiplier = 1"
    )
    expected = [set(np.argsort(-each, kind="stable")[:K].tolist()) for each in scores]
    found = [{row[0] for row in raw.rows(text, query)} for query in queries]
    same = [len(one & other) / K for one, other in zip(found, expected, strict=True)]
    assert np.mean(same) > 0.99  # rounding may exchange rows of almost equal scores


@pytest.mark.parametrize("dim", DIMENSIONS)
def test_codes_are_those_of_the_model(raw: Raw, dim: int) -> None:
    rows, _ = drawn(dim)
    create(raw, f"'turboquant', {dim}")
    raw.insert("coded", rows)
    texts = [row[0] for row in raw.rows("SELECT hex(v.quantized) AS h FROM {t}coded ORDER BY id")]
    codes = np.array([np.frombuffer(bytes.fromhex(text), np.uint8) for text in texts])
    bits = np.unpackbits(codes[:, : dim // 4], axis=1, bitorder="little")
    spun = rows @ rotation(dim)
    spun /= np.linalg.norm(spun, axis=1, keepdims=True)
    rest = spun - np.where(spun >= 0, 1, -1) * np.sqrt(2 / np.pi / dim)
    assert np.mean(bits[:, :dim] == (spun >= 0)) > 0.999
    assert np.mean(bits[:, dim:] == (rest @ rotation(dim, RESIDUALS) >= 0)) > 0.999
    lengths = codes[:, dim // 4 :].copy().view(np.float32)[:, 0]
    assert np.allclose(lengths, np.linalg.norm(rest, axis=1), atol=1e-5)


def test_centroids_are_trained_with_the_first_granule(raw: Raw) -> None:
    """16 rows give at most 16 centroids, however many rows follow."""
    rows, _ = drawn(16)
    create(raw, "'product', 16, 8, 2", f"{WIDE}, index_granularity = 16")
    raw.insert("coded", rows)
    ((text,),) = raw.rows("SELECT hex(v.product_quantization_codebook) AS h FROM {t}coded LIMIT 1")
    centroids = np.frombuffer(bytes.fromhex(text), np.float32).reshape(2, 256, 8)
    assert [len(np.unique(each, axis=0)) for each in centroids] == [16, 16]
    assert set(map(bytes, centroids[0])) <= set(map(bytes, np.ascontiguousarray(rows[:16, :8])))


@pytest.mark.parametrize(("bits", "width"), [(4, 8), (8, 8), (12, 16)])
def test_a_segment_takes_whole_bytes(raw: Raw, database: Database, bits: int, width: int) -> None:
    rows, _ = drawn(16)
    create(raw, f"'product', 16, {bits}, 8")
    raw.insert("coded", rows)
    ((kind,),) = raw.rows("SELECT toTypeName(v.quantized) AS t FROM {t}coded LIMIT 1")
    assert kind == f"FixedString({width})"
    vector = database["coded"].info().vectors["v"]
    assert vector.code_bytes == COUNT * width
    assert vector.quantization.ratio == 64 / width
    assert mapping.code_bytes("product", (bits, 8), 16) == width


def test_centroids_are_those_of_the_engine(raw: Raw) -> None:
    """With its random numbers, some of which name the same row twice."""
    rows, _ = drawn(16)
    create(raw, "'product', 16, 6, 4")
    raw.insert("coded", rows)
    ((text,),) = raw.rows("SELECT hex(v.product_quantization_codebook) AS h FROM {t}coded LIMIT 1")
    theirs = np.frombuffer(bytes.fromhex(text), np.float32).reshape(4, 64, 4)
    ours = TrainedProducts.of(16, 4, 64, rounds=ROUNDS)
    ours.fit(rows)
    assert np.array_equal(np.array(ours.centroids), theirs)


def test_a_copy_trains_the_centroids_with_all_rows(raw: Raw, database: Database) -> None:
    """Four parts would have four sets, and a merge of them would not train with all rows."""
    rows, _ = drawn(16)
    made = database.create("parts", dim=16)
    for first in range(0, COUNT, 100):
        ids = list(range(first, first + 100))
        made.write(qa.Batch(ids, {"": rows[first : first + 100]}))
    made.plan("product:ratio=16").apply(yes=True)
    found = raw.rows("SELECT DISTINCT hex(embedding.product_quantization_codebook) FROM {t}parts")
    assert len(found) == 1
    theirs = np.frombuffer(bytes.fromhex(found[0][0]), np.float32).reshape(4, 256, 4)
    ours = TrainedProducts.of(16, 4, 256, rounds=ROUNDS)
    ours.fit(rows)
    assert np.array_equal(np.array(ours.centroids), theirs)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_distances_of_bit_planes_are_those_of_the_model(
    raw: Raw, database: Database, bits: int
) -> None:
    rows, queries = drawn(64)
    asked = qa.scalar(bits=8, native={"using": "qbit"})
    database.create("planes", dim=64, quantization=asked).write(
        qa.Batch(list(range(COUNT)), {"": rows})
    )
    model = BitPlanes(Metric.COSINE, bits)
    expected = 1 - model.rows(rows).scores(queries / np.linalg.norm(queries, axis=1)[:, None])
    text = (
        f"SELECT cosineDistanceTransposedQuantized(embedding__qbit, {{q:Array(Float32)}}, {bits}) "
        "AS d FROM {t}planes ORDER BY id"
    )
    found = [[row[0] for row in raw.rows(text, query)] for query in queries]
    np.testing.assert_allclose(np.array(found), expected, atol=0.002)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_codes_of_the_first_dimensions_select_the_rows_of_their_model(
    raw: Raw, database: Database, metric: str
) -> None:
    rows, queries = drawn(64)
    made = database.create("shortened", dim=64, metric=metric)
    made.write(qa.Batch(list(range(COUNT)), {"": rows}))
    made.plan("scalar:dims=24").apply(yes=True)
    vector = made.info().vectors[""]
    assert str(vector.quantization) == "scalar:dims=24"
    assert vector.status.state is qa.State.ACTIVE
    assert (vector.dim, vector.code_bytes) == (64, COUNT * 28)
    model = PrefixInt8(Metric(metric))
    scores = model.rows(rows[:, :24]).scores(model.queries(queries[:, :24]))
    found = made.search(queries, k=K).ids.tolist()
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :K].tolist()
    same = [len(set(one) & set(other)) / K for one, other in zip(found, expected, strict=True)]
    assert np.mean(same) > 0.99
