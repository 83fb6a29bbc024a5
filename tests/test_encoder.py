"""Encoder without torch: calls of the model, and refused arguments. See tests/models."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.encoder import CALL, load
from qadapt.errors import InputError, MissingExtraError, SpecError
from qadapt.stores.base import Progress


class Normalize:
    """A module of a model that normalizes vectors."""


class Model:
    """A stand-in for SentenceTransformer: the length of a text is its vector."""

    similarity_fn_name = "cosine"

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def children(self) -> list[object]:
        return [Normalize()]

    def get_embedding_dimension(self) -> int:
        return 4

    def _encode(self, role: str, texts: list[str], **how: Any) -> np.ndarray:
        self.calls.append({"role": role, "texts": len(texts), **how})
        rows = np.array([[len(text), 1, 2, 3] for text in texts], dtype=np.float64)
        return rows[:, : how["truncate_dim"] or 4]

    def encode_query(self, texts: list[str], **how: Any) -> np.ndarray:
        return self._encode("query", texts, **how)

    def encode_document(self, texts: list[str], **how: Any) -> np.ndarray:
        return self._encode("document", texts, **how)


def test_queries_and_documents_use_separate_prompts() -> None:
    model = Model()
    encoder = qa.Encoder(model, query_prompt="query: ", batch=8)
    assert encoder.dim == 4 and encoder.metric is qa.Metric.COSINE
    found = encoder(["a", "bcd"])
    assert found.dtype == np.float32 and found.tolist() == [[1, 1, 2, 3], [3, 1, 2, 3]]
    encoder.encode_documents(["x"])
    first, second = model.calls
    assert (first["role"], first["prompt"], first["batch_size"]) == ("query", "query: ", 8)
    assert (second["role"], second["prompt"]) == ("document", None), "None is the model's own"


def test_a_truncated_vector_is_normalized() -> None:
    encoder = qa.Encoder(Model(), dim=2)
    found = encoder(["abc"])
    assert found.shape == (1, 2)
    np.testing.assert_allclose(found, [[3 / 10**0.5, 1 / 10**0.5]], rtol=1e-6)
    assert qa.Encoder(Model(), dim=4)(["abc"]).tolist() == [[3, 1, 2, 3]], "nothing was cut"


def test_many_texts_are_encoded_in_batches_with_progress() -> None:
    model, told = Model(), []
    texts = ["x" * (at % 7) for at in range(2 * CALL + 5)]
    found = qa.Encoder(model).encode_documents(texts, progress=told.append)
    assert [call["texts"] for call in model.calls] == [CALL, CALL, 5]
    assert found[:, 0].tolist() == [len(text) for text in texts]
    last: Progress = told[-1]
    assert (last.done, last.total, last.unit) == (len(texts), len(texts), "texts")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: qa.Encoder(Model(), dim=5), "from 1 to 4"),
        (lambda: qa.Encoder(Model(), dim=0), "from 1 to 4"),
        (lambda: qa.Encoder(Model(), batch=0), "batch must be at least 1"),
        (lambda: qa.Encoder(object()), "SentenceTransformer"),
        (lambda: qa.Encoder(Model())("one text"), "list of strings"),
        (lambda: qa.Encoder(Model())([]), "no texts"),
        (lambda: qa.Encoder(Model())(["a", 3]), "text 1 is a int"),  # type: ignore[list-item]
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("text", ["", "name,dim", "name,dims=3", "name,dim=x", ",dim=3"])
def test_invalid_command_line_arguments(text: str) -> None:
    with pytest.raises(SpecError):
        load(text)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match="sentence-transformers"):
        load("some/model,dim=3")


@pytest.mark.parametrize(
    "words",
    [
        ("--encoder", "name"),
        ("--queries", "q.npy", "--text", "a", "--encoder", "name"),
        (),
    ],
)
def test_search_accepts_queries_or_texts_with_an_encoder(words: tuple[str, ...]) -> None:
    from qadapt.cli import main

    assert main(["search", "edge:./nowhere", "articles", *words]) == 2
