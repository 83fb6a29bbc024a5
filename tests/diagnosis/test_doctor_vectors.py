"""Checks of the vectors themselves find their illness on the live engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnosis_help import DIM, HEALTHY, ROWS, Make, codes, mend, one

import qadapt as qa
from qadapt.api import Collection
from qadapt.model import Severity


def test_unnormalised_vectors_under_dot(make: Make, rows: np.ndarray) -> None:
    lengths = np.random.default_rng(1).uniform(0.2, 5, (ROWS, 1)).astype(np.float32)
    articles = make(HEALTHY, rows * lengths, metric="dot")
    found = one(articles, "unnormalised-dot")
    assert found.severity is Severity.WARNING and "sign bits lose the lengths" in found.message
    assert "scalar" in found.command
    articles.plan("scalar:codes=ram,originals=disk").apply(yes=True)
    assert one(articles, "unnormalised-dot").severity is Severity.INFO


def test_normalised_vectors_under_dot_are_fine(make: Make) -> None:
    assert codes(make(HEALTHY, metric="dot")) == []


def test_a_metric_that_orders_otherwise(make: Make, rows: np.ndarray) -> None:
    lengths = np.random.default_rng(1).uniform(0.2, 5, (ROWS, 1)).astype(np.float32)
    articles = make(None, rows * lengths, metric="euclidean")
    assert one(articles, "metric-mismatch").severity is Severity.WARNING
    found = one(articles, "metric-mismatch", model_metric="cosine")
    assert found.severity is Severity.ERROR and "cosine" in found.command
    assert "metric-mismatch" not in codes(articles, model_metric="euclidean")


def test_a_metric_that_orders_alike_is_no_mismatch(make: Make) -> None:
    articles = make(None, metric="euclidean")
    assert codes(articles) == codes(articles, model_metric="cosine") == []


def test_dimension_collapse(make: Make, scifact: Any) -> None:
    """Real embeddings pushed in one direction, as those of e5 models lie."""
    docs = scifact.docs[:2000]
    pushed = docs + 4 * np.full(384, 1 / np.sqrt(384), dtype=np.float32)
    articles = make(HEALTHY, pushed)
    found = one(articles, "dimension-collapse")
    assert found.severity is Severity.ERROR
    binary = articles.verify(queries=50).recall.recall
    mend(found)
    scalar = articles.verify(queries=50).recall.recall
    assert binary < 0.6 < scalar, "the command helps"
    assert "dimension-collapse" not in codes(articles)


def test_low_dimensions_under_binary(make: Make, rows: np.ndarray) -> None:
    narrow = np.ascontiguousarray(rows[:, :96])
    articles = make(HEALTHY, narrow)
    found = one(articles, "low-dimensions")
    assert "too few" in found.message
    mend(found)
    assert "low-dimensions" not in codes(articles)


def test_middling_dimensions_need_oversampling(make: Make, rows: np.ndarray) -> None:
    articles = make("binary:rescore=2,codes=ram,originals=disk", rows[:, :384].copy())
    mend(one(articles, "low-dimensions"))
    assert codes(articles) == []


@pytest.mark.parametrize(("scale", "severity"), [(3, Severity.ERROR), (30, Severity.WARNING)])
def test_integers_that_were_not_scaled(
    make: Make, rows: np.ndarray, scale: int, severity: Severity
) -> None:
    share = (rows - rows.min()) / (rows.max() - rows.min())
    found = one(make(None, np.floor(share * scale), metric="dot", datatype="uint8"),
                "uncalibrated-int8")  # fmt: skip
    assert found.severity is severity and "were not scaled" in found.message


def test_integers_that_use_their_range_are_fine(make: Make, rows: np.ndarray) -> None:
    share = (rows - rows.min()) / (rows.max() - rows.min())
    whole = np.floor(share * 255.999)
    assert "uncalibrated-int8" not in codes(make(None, whole, metric="dot", datatype="uint8"))


@pytest.fixture
def ours(live: Callable[[str], str], rows: np.ndarray) -> Any:
    """A collection whose int8 codes are qadapt's own."""
    with qa.open(live("edge"), disabled=("native-quantization",)) as db:
        articles = db.create("articles", dim=DIM, metric="dot")
        articles.write(qa.Batch(range(50), {"": rows[:50]}))
        yield articles


def test_ranges_from_next_to_no_rows(ours: Collection, rows: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="few|vectors"):
        ours.plan("scalar", accept="client").apply(yes=True)
    assert codes(ours, only=["uncalibrated-int8"]) == [], "there are no more rows than these"
    ours.write(qa.Batch(range(50, ROWS), {"": rows[50:]}))
    assert "50 vectors" in one(ours, "uncalibrated-int8").message


def test_drifting_calibration(ours: Collection, rows: np.ndarray) -> None:
    ours.write(qa.Batch(range(50, 600), {"": rows[50:600]}))
    ours.plan("scalar", accept="client").apply(yes=True)
    assert codes(ours) == []
    ours.write(qa.Batch(range(600, ROWS), {"": 3 * rows[600:]}))
    found = one(ours, "drifting-calibration")
    assert found.severity is Severity.ERROR
    ours.plan("none").apply(yes=True)
    ours.plan("scalar", accept="client").apply(yes=True)
    assert "drifting-calibration" not in codes(ours), "ranges of all rows"


def test_a_broken_quantile(make: Make) -> None:
    articles = make("scalar:quantile=0.99,codes=ram,originals=disk")
    mend(one(articles, "parameter-without-effect"))
    assert codes(articles) == []
