"""Each check of vectors finds its problem on the live engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnosis_helpers import DIM, HEALTHY, ROWS, Make, codes, mend, one

import qadapt as qa
from qadapt.api import Collection
from qadapt.codecs import CalibrationWarning
from qadapt.model import Severity


def test_unnormalized_vectors_with_dot_are_found(make: Make, rows: np.ndarray) -> None:
    lengths = np.random.default_rng(1).uniform(0.2, 5, (ROWS, 1)).astype(np.float32)
    articles = make(HEALTHY, rows * lengths, metric="dot")
    found = one(articles, "unnormalized-dot")
    assert found.severity is Severity.WARNING
    assert "sign bits do not contain the norms" in found.message
    assert "scalar" in found.command
    articles.plan("scalar:codes=ram,originals=disk").apply(yes=True)
    assert one(articles, "unnormalized-dot").severity is Severity.INFO


def test_normalized_vectors_with_dot_have_no_findings(make: Make) -> None:
    assert codes(make(HEALTHY, metric="dot")) == []


def test_a_metric_with_another_ranking_is_found(make: Make, rows: np.ndarray) -> None:
    lengths = np.random.default_rng(1).uniform(0.2, 5, (ROWS, 1)).astype(np.float32)
    articles = make(None, rows * lengths, metric="euclidean")
    assert one(articles, "metric-mismatch").severity is Severity.WARNING
    found = one(articles, "metric-mismatch", model_metric="cosine")
    assert found.severity is Severity.ERROR and "cosine" in found.command
    assert "metric-mismatch" not in codes(articles, model_metric="euclidean")


def test_a_metric_with_the_same_ranking_is_not_a_mismatch(make: Make) -> None:
    articles = make(None, metric="euclidean")
    assert codes(articles) == codes(articles, model_metric="cosine") == []


def test_dimension_collapse_is_found(make: Make, embeddings: Any) -> None:
    """Real embeddings shifted in one direction, as with e5 models."""
    docs = embeddings.docs[:2000]
    pushed = docs + 4 * np.full(embeddings.dim, embeddings.dim**-0.5, dtype=np.float32)
    articles = make(HEALTHY, pushed)
    found = one(articles, "dimension-collapse")
    assert found.severity is Severity.ERROR
    binary = articles.verify(queries=50).recall.value
    mend(found)
    scalar = articles.verify(queries=50).recall.value
    assert binary < 0.6 < scalar, "the command helps"
    assert "dimension-collapse" not in codes(articles)


def test_low_dimensions_with_binary_codes_are_found(make: Make, rows: np.ndarray) -> None:
    narrow = np.ascontiguousarray(rows[:, :96])
    articles = make(HEALTHY, narrow)
    found = one(articles, "low-dimensions")
    assert "too few" in found.message
    mend(found)
    assert "low-dimensions" not in codes(articles)


def test_medium_dimensions_need_oversampling(make: Make, rows: np.ndarray) -> None:
    articles = make("binary:rescore=2,codes=ram,originals=disk", rows[:, :384].copy())
    mend(one(articles, "low-dimensions"))
    assert codes(articles) == []


@pytest.mark.parametrize(("scale", "severity"), [(3, Severity.ERROR), (30, Severity.WARNING)])
def test_unscaled_integers_are_found(
    make: Make, rows: np.ndarray, scale: int, severity: Severity
) -> None:
    share = (rows - rows.min()) / (rows.max() - rows.min())
    found = one(make(None, np.floor(share * scale), metric="dot", datatype="uint8"),
                "uncalibrated-int8")  # fmt: skip
    assert found.severity is severity and "without scaling" in found.message


def test_scaled_integers_have_no_findings(make: Make, rows: np.ndarray) -> None:
    share = (rows - rows.min()) / (rows.max() - rows.min())
    whole = np.floor(share * 255.999)
    assert "uncalibrated-int8" not in codes(make(None, whole, metric="dot", datatype="uint8"))


@pytest.fixture
def ours(live: Callable[[str], str], rows: np.ndarray) -> Any:
    """A collection with client-side int8 codes."""
    with qa.open(live("edge"), disabled=("native-quantization",)) as db:
        articles = db.create("articles", dim=DIM, metric="dot")
        articles.write(qa.Batch(range(50), {"": rows[:50]}))
        yield articles


def test_ranges_from_few_rows_are_measured_again(ours: Collection, rows: np.ndarray) -> None:
    ours.plan("scalar", accept="client").apply(yes=True)
    assert codes(ours, only=["uncalibrated-int8"]) == [], "there are no more rows than these"
    ours.write(qa.Batch(range(50, ROWS), {"": rows[50:]}))
    assert codes(ours, only=["uncalibrated-int8", "drifting-calibration"]) == []


def test_drifting_calibration_is_found(ours: Collection, rows: np.ndarray) -> None:
    ours.write(qa.Batch(range(50, 700), {"": rows[50:700]}))
    ours.plan("scalar", accept="client").apply(yes=True)
    assert codes(ours) == []
    with pytest.warns(CalibrationWarning, match="were cut off"):
        ours.write(qa.Batch(range(700, ROWS), {"": 3 * rows[700:]}))  # less than twice as many
    found = one(ours, "drifting-calibration")
    assert found.severity is Severity.ERROR
    ours.plan("none").apply(yes=True)
    ours.plan("scalar", accept="client").apply(yes=True)
    assert "drifting-calibration" not in codes(ours), "ranges of all rows"


def test_an_ineffective_quantile_is_found(make: Make) -> None:
    articles = make("scalar:quantile=0.99,codes=ram,originals=disk")
    mend(one(articles, "parameter-without-effect"))
    assert codes(articles) == []


# -- unusable vectors ----------------------------------------------------------------------------


def by_hand(collection: Collection, rows: dict[int, list[float]]) -> None:
    """Write rows with the engine, which does not validate them."""
    edge = pytest.importorskip("qdrant_edge")
    points = [edge.Point(key, row, None) for key, row in rows.items()]
    with collection._store.shard(collection.name).change("write to") as opened:  # type: ignore[attr-defined]
        opened.update(edge.UpdateOperation.upsert_points(points))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("metric", "row", "words"),
    [
        ("cosine", [NAN, 1, 1, 1], "1 with NaN or infinite values"),
        ("cosine", [INF, 1, 1, 1], "1 with NaN or infinite values"),
        ("cosine", [0, 0, 0, 0], "1 with all components 0"),
        ("cosine", [1e30, 1e30, 1, 1], "1 with all components 0"),
        ("cosine", [1e-30, 0, 0, 0], "1 with a norm far below 1"),
        ("dot", [NAN, 1, 1, 1], "1 with NaN or infinite values"),
        ("dot", [INF, 1, 1, 1], "1 with NaN or infinite values"),
        ("euclidean", [-INF, 1, 1, 1], "1 with NaN or infinite values"),
    ],
)
def test_stored_vectors_without_a_direction_are_found(
    make: Make, metric: str, row: list[float], words: str
) -> None:
    rows = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    collection = make(None, rows, metric=metric)
    assert "unusable-vectors" not in codes(collection)
    by_hand(collection, {1000: [float(each) for each in row]})
    found = one(collection, "unusable-vectors")
    assert found.message.startswith("1 of 61 sampled rows") and words in found.message
    assert "delete([1000])" in found.command and found.evidence[1].value == ["1000"]
    assert "unreachable-rows" not in codes(collection), "the index contains it"


def test_zero_vectors_are_valid_with_dot(make: Make) -> None:
    rows = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    rows[:20] = 0
    collection = make(None, rows, metric="dot")
    assert "unusable-vectors" not in codes(collection)
    found = one(collection, "unnormalized-dot")
    assert "inf" not in found.message and found.evidence[3].value == 20


# -- messages ------------------------------------------------------------------------------------


def shapes() -> dict[str, np.ndarray]:
    """Vectors that can make an aggregate of all rows NaN or infinite."""
    draw = np.random.default_rng(3)
    return {
        "one row": draw.standard_normal((1, 8)),
        "two rows": draw.standard_normal((2, 8)),
        "all the same": np.ones((40, 8)),
        "all zero": np.zeros((40, 8)),
        "half zero": np.repeat([[0.0], [1.0]], 30, axis=0) * draw.standard_normal((60, 8)),
        "all sizes": draw.standard_normal((60, 8)) * 10.0 ** draw.integers(-18, 18, (60, 1)),
        "large": draw.standard_normal((60, 8)) * 1e17,
        "huge": draw.standard_normal((60, 8)) * 1e37,
        "tiny": draw.standard_normal((60, 8)) * 1e-37,
    }


@pytest.mark.parametrize(
    ("metric", "shape"),
    [
        pytest.param(metric, shape, marks=pytest.mark.long if metric == "euclidean" else ())
        for metric in ("cosine", "dot", "euclidean")
        for shape in shapes()
        # Zero vectors are rejected by cosine, and scores that overflow by the others.
        if ("zero" not in shape if metric == "cosine" else shape != "huge")
    ],
)
def test_no_message_contains_nan(make: Make, metric: str, shape: str) -> None:
    rows = shapes()[shape]
    collection = make("binary:rescore=4,codes=ram,originals=disk", rows, metric=metric)
    found = collection.doctor(model_metric="dot" if metric == "cosine" else "cosine")
    told = [each.message for each in found.findings] + [each.reason for each in found.skipped]
    told += [str(piece.value) for each in found.findings for piece in each.evidence]
    for text in told:
        words = text.lower().replace("%", " %").replace("(", " ").split()
        assert not {"nan", "inf", "-inf"} & set(words), text
        assert " 0 %" not in text and not text.startswith("0 of"), text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("counts", "of information; no value is negative"),
        pytest.param("not negative", "100% of the bits are the same", marks=pytest.mark.long),
        pytest.param("few values", "no value is negative", marks=pytest.mark.long),
        ("ternary", "at most 3 distinct values"),
    ],
)
def test_uninformative_sign_bits_are_found(make: Make, kind: str, words: str) -> None:
    draw = np.random.default_rng(0)
    rows = {
        "counts": lambda: draw.poisson(0.1, (1000, DIM)) + np.eye(1, DIM),
        "not negative": lambda: draw.random((1000, DIM)),
        "few values": lambda: draw.integers(0, 3, (1000, DIM)),
        "ternary": lambda: draw.integers(-1, 2, (1000, DIM)),
    }[kind]()
    collection = make(HEALTHY, rows)
    found = one(collection, "dimension-collapse")
    assert words in found.message and "carry little information" in found.message
    mend(found)
    assert "dimension-collapse" not in codes(collection)


def test_rectified_vectors_with_high_recall_have_no_findings(make: Make) -> None:
    draw = np.random.default_rng(0)
    rows = np.maximum(draw.standard_normal((1000, 20)) @ draw.standard_normal((20, DIM)), 0)
    assert "dimension-collapse" not in codes(make(HEALTHY, rows))
