"""Compare metrics with naive implementations; read labels from each file format."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.errors import InputError
from qadapt.evaluation import metrics
from qadapt.evaluation import recall as recall_
from qadapt.evaluation.labels import read_labels
from qadapt.evaluation.settings import Setting
from qadapt.model import Quantization, Rescore

Rankings = st.lists(
    st.tuples(
        st.permutations(range(12)).map(lambda row: row[:6]),
        st.permutations(range(12)).map(lambda row: row[:6]),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=5,
)


def judged(found: list[list[int]], truth: list[list[int]], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall and ranks of rows with distinct scores."""
    right = [[1 - place / 8 for place in range(len(row))] for row in truth]
    exact = np.full((len(found), k), np.nan)
    for at, row in enumerate(found):
        for place, key in enumerate(row):
            if key in truth[at]:
                exact[at, place] = right[at][truth[at].index(key)]
    last = np.array([row[-1] if row else np.nan for row in right])
    wanted = np.array([len(row) for row in truth])
    good = recall_.is_correct(found, exact, recall_.least_score(last, 8))
    shares = recall_.recall_per_query(found, exact, last, wanted, 8)
    return shares, metrics.places(good, exact, right, 8)


@given(Rankings)
def test_metrics_match_their_definitions(rows: list[tuple[list[int], list[int], int]]) -> None:
    k = 6
    found = [row[: 6 - cut // 3] for row, _, cut in rows]
    truth = [right[: max(0, 6 - cut)] for _, right, cut in rows]
    wanted = np.array([len(right) for right in truth])
    recall, where = judged(found, truth, k)
    ndcg, overlap = metrics.ndcg(where, wanted), metrics.overlap(where, wanted)
    for at, (row, right) in enumerate(zip(found, truth, strict=True)):
        n = len(right)
        if not n:
            assert recall[at] == ndcg[at] == overlap[at] == 1.0
            continue
        assert recall[at] == pytest.approx(len(set(row) & set(right)) / n)
        gain = sum(
            (n - right.index(key)) / math.log2(place + 2)
            for place, key in enumerate(row)
            if key in right
        )
        ideal = sum((n - place) / math.log2(place + 2) for place in range(n))
        assert ndcg[at] == pytest.approx(gain / ideal)
        depths = [len(set(row[:d]) & set(right[:d])) / d for d in range(1, n + 1)]
        assert overlap[at] == pytest.approx(sum(depths) / n)


def test_an_exact_ranking_is_1_everywhere_and_a_reversed_one_is_not() -> None:
    truth = [[1, 2, 3, 4]]
    wanted = np.array([4])
    for row, exact in ([1, 2, 3, 4], True), ([4, 3, 2, 1], False):
        recall, where = judged([row], truth, 4)
        assert recall[0] == 1.0
        assert bool(metrics.ndcg(where, wanted)[0] > 0.999999) is exact
        assert bool(metrics.overlap(where, wanted)[0] > 0.999999) is exact


def test_the_interval_contains_the_mean_and_shrinks_with_queries() -> None:
    random = np.random.default_rng(0)
    few = metrics.figure(random.uniform(0, 1, 20))
    many = metrics.figure(random.uniform(0, 1, 2_000))
    for found in (few, many):
        assert found.low < found.value < found.high
    assert many.high - many.low < (few.high - few.low) / 5


def test_score_error_uses_hits_with_a_known_exact_score() -> None:
    exact = np.array([[0.75, 0.8, np.nan]])
    error = metrics.score_error([[0.9, 0.7, 0.1]], exact)
    assert error == pytest.approx((abs(0.9 - 0.75) + abs(0.7 - 0.8)) / 2)
    assert metrics.score_error([[0.1]], np.array([[np.nan]])) is None


def test_labels_match_trec_eval() -> None:
    labels = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {}, "q3": {"x": 1}}
    recall, ndcg = metrics.against_labels([["b", "z", "a"], ["a"], ["y"]], ["q1", "q2", "q3"],
                                          labels, 3)  # fmt: skip
    assert recall.tolist() == [1.0, 0.0]
    assert ndcg[0] == pytest.approx((1 + 2 / math.log2(4)) / (2 + 1 / math.log2(3)))


# -- files ---------------------------------------------------------------------------------------

QRELS = {"q1": {"d1": 1.0, "d2": 2.0}, "q2": {"d9": 1.0}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("beir.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t2\nq2\td9\t1\n"),
        ("bare.tsv", "q1\td1\t1\nq1\td2\t2\nq2\td9\t1\n"),
        ("trec.qrels", "q1 0 d1 1\nq1 0 d2 2\n\nq2 0 d9 1\n"),
        ("labels.json", json.dumps(QRELS)),
    ],
)
def test_labels_are_read_from_each_file_format(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_labels(path) == read_labels(str(path)) == QRELS
    assert read_labels(QRELS) == QRELS


@pytest.mark.parametrize(
    "text", ["", "q1 d1\n", "q1\td1\tone\nq1\td2\ttwo\n", '{"q1": [1]}', '{"q1": ', "a b c d e\n"]
)
def test_invalid_labels_are_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_labels(path)
    with pytest.raises(InputError, match="cannot read"):
        read_labels(tmp_path / "nowhere")


# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("binary", Setting(Quantization.parse("binary"))),
        ("binary:rescore=4", Setting(Quantization.parse("binary"), Rescore(4))),
        (
            "binary:query_bits=8,rescore=off hnsw_ef=128 exact=true",
            Setting(
                Quantization.parse("binary:query_bits=8"),
                Rescore(source="off"),
                {"hnsw_ef": 128, "exact": True},
            ),
        ),
        ('scalar:native={"a": 1}', Setting(Quantization.parse('scalar:native={"a": 1}'))),
        ("live", Setting(None)),
        ("live:rescore=8 nprobe=4", Setting(None, Rescore(8), {"nprobe": 4})),
    ],
)
def test_a_setting_round_trips_through_its_text(text: str, wanted: Setting) -> None:
    assert Setting.of(text) == wanted
    assert Setting.of(wanted.text) == wanted


@pytest.mark.parametrize("text", ["nothing", "live:bits=2", "binary:rescore=", ""])
def test_an_invalid_setting_is_rejected(text: Any) -> None:
    from qadapt.errors import SpecError

    with pytest.raises(SpecError):
        Setting.of(text)
