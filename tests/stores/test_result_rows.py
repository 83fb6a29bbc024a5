"""Results of searches that are converted when they are read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qadapt.model import Metric
from qadapt.model.found_rows import clip
from qadapt.stores import distances
from qadapt.stores.chroma import ids as chroma_ids
from qadapt.stores.chroma import payload as chroma_payload
from qadapt.stores.decimal_ids import numbers
from qadapt.stores.elastic import ids as elastic_ids
from qadapt.stores.json_texts import documents


def test_scores_are_those_of_float32_arithmetic() -> None:
    far = np.random.default_rng(0).random(1000, dtype=np.float32) * np.float32(2)
    wide = far.astype(np.float64)
    expected = {
        Metric.COSINE: np.float32(1) - far,
        Metric.DOT: -far,
        Metric.EUCLIDEAN: -(wide * wide).astype(np.float32),
    }
    for metric, scores in distances.SCORES.items():
        assert scores(far.tolist()) == expected[metric].tolist()
    assert distances.one_minus([]) == []


def test_scores_are_clipped_query_by_query() -> None:
    found = clip([[1.0000001, 0.5, -1.5], [], [0.9, 0.1], [1.5]])
    assert found == [[1.0, 0.5, -1.0], [], [0.9, 0.1], [1.0]]


@pytest.mark.parametrize(
    "texts",
    [
        ["0"], ["07", "1"], ["1", ""], ["-1"], ["+1"], [" 1"], ["1_0"], ["\u0663"], ["\u00b2"],
        ["1", "a"], ["1.5"], ["1e3"], [],
    ],
)  # fmt: skip
def test_texts_that_are_no_plain_numbers(texts: list[str]) -> None:
    assert numbers(texts) is None


def test_ids_that_are_decimal_numbers_are_integers() -> None:
    texts = ["1", "20", "99999999999999999999", "300"]
    assert numbers(texts) == [1, 20, 99999999999999999999, 300]
    mixed = ["1", "07", "-3", "0", "1_0", "a", "1" * 21]
    assert chroma_ids.decoded(mixed, integers=True) == [1, "07", -3, 0, "1_0", "a", "1" * 21]
    assert elastic_ids.read_all(mixed[:-1], managed=True) == [1, "07", -3, 0, "1_0", "a"]
    for read in (
        chroma_ids.decoded(texts, integers=False),
        elastic_ids.read_all(texts, managed=False),
    ):
        assert read == texts


@pytest.mark.parametrize(
    "texts",
    [[], ['{"a": 1}', None, "", '{"b": "},{"}'], ["1", "[2, 3]", '"x"']],
)
def test_documents_are_those_of_each_text(texts: list[str | None]) -> None:
    assert documents(texts) == [json.loads(each or "{}") for each in texts]


@pytest.mark.parametrize("texts", [["{", "}"], ["1, 2"], ['{"a": "x', 'y"}'], ["{}", "x"]])
def test_a_text_that_is_no_document_is_an_error(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Extra data|Unterminated"):
        documents(texts)


def test_payloads_of_several_rows_are_those_of_each_row() -> None:
    plain = [{"a": 1}, {"b": "x", "c": [1, 2]}]
    nested = [{"author.name": "Ann"}, {}]
    exact = [chroma_payload.store({"a": {"b": []}}).metadata, {"a": 1}]
    for fields, texts in (
        (plain, [None, None]),
        (plain, ["text", None]),
        (nested, [None, None]),
        (exact, [None, None]),
        ([None, {"a": 1}], [None, None]),
    ):
        expected = [chroma_payload.read(*each) for each in zip(fields, texts, strict=True)]
        assert chroma_payload.read_rows(fields, texts) == expected
