"""Ranking quality on real vectors: all-MiniLM-L6-v2 on BEIR SciFact."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qadapt.codecs import Calibration, bit_query, fold, pack_bits, quantize

K = 10


@pytest.fixture(scope="module")
def scifact(shared):
    with np.load(shared / "data" / "scifact-minilm.npz", allow_pickle=False) as file:
        data = {name: file[name] for name in file}
    data["qrels"] = json.loads((shared / "data" / "scifact-qrels.json").read_text())
    for name in ("docs", "queries"):
        data[name] = data[name].astype(np.float32)
    return data


def ndcg(scores, data):
    """Mean nDCG at 10 over the queries."""
    discount = 1 / np.log2(np.arange(2, K + 2))
    total = 0.0
    for query, row in zip(data["query_ids"], scores, strict=True):
        relevant = data["qrels"][str(query)]
        ranked = data["doc_ids"][np.argsort(-row, kind="stable")[:K]]
        gains = np.array([relevant.get(str(doc), 0) for doc in ranked])
        ideal = np.sort(list(relevant.values()))[::-1][:K]
        total += (gains * discount).sum() / (ideal * discount[: len(ideal)]).sum()
    return total / len(scores)


@pytest.fixture(scope="module")
def of_float(scifact):
    best = ndcg(scifact["queries"] @ scifact["docs"].T, scifact)
    assert best == pytest.approx(0.645, abs=0.005)  # else the data or the measure is another
    return lambda scores: ndcg(scores, scifact) / best


@pytest.mark.parametrize("metric", ["dot", "cosine", "euclidean"])
def test_int8_with_a_folded_query_keeps_998_of_1000(scifact, of_float, metric):
    calibration = Calibration.fit(scifact["docs"])
    codes = quantize(scifact["docs"], "int8", calibration=calibration)
    folded = fold(scifact["queries"], calibration, metric=metric)
    assert of_float(folded.score(codes)) >= 0.998


def test_bits_keep_what_the_article_says(scifact, of_float):
    """About 91 % alone, about 96 % with a float query; 4 and 8 bits lie close to the float."""
    codes = pack_bits(scifact["docs"])
    kept = {
        bits: of_float(bit_query(scifact["queries"], bits).score(codes)) for bits in (1, 4, 8, 32)
    }
    assert kept[1] == pytest.approx(0.912, abs=0.01)
    assert kept[32] == pytest.approx(0.965, abs=0.01)
    assert kept[8] == pytest.approx(kept[32], abs=0.005)
    assert kept[4] == pytest.approx(kept[32], abs=0.015)


def test_reported_int8_scores_are_unbiased(scifact):
    calibration = Calibration.fit(scifact["docs"])
    codes = quantize(scifact["docs"], "int8", calibration=calibration)
    errors = fold(scifact["queries"], calibration).score(codes) - (
        scifact["queries"] @ scifact["docs"].T
    )
    assert abs(errors.mean()) < 1e-4
    assert np.abs(errors).max() < 0.01
