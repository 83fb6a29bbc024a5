from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from demo_helpers import pinned
from embeddings import wheel

from qadapt.demo.encoder import Encoder
from qadapt.demo.wheels import MODEL, Wheel, fetch
from qadapt.errors import InputError, IntegrityError
from qadapt.stores.base import Progress

pytest.importorskip("tokenizers")

TEXTS = ["Penicillin is a group of antibiotics.", "naïve café — 東京 🦙", "a"]
# The first five dimensions as computed by wordllama 0.4.0.post1 (`embed(norm=True)`).
GOLDEN = [
    [0.0103523, 0.0045829, 0.0672009, 0.0592698, 0.0498392],
    [-0.0773789, 0.0539884, 0.0132607, -0.0892931, -0.0118016],
    [0.0090874, 0.0115483, -0.0502664, 0.0373989, -0.011178],
]


@pytest.fixture
def encoder(model_wheel: Path) -> Encoder:
    return Encoder.from_wheel(fetch(pinned(MODEL, model_wheel), folder=model_wheel.parent))


@pytest.fixture
def real() -> Encoder:
    """The real model."""
    return Encoder.from_wheel(wheel(MODEL))


def test_the_mean_of_the_tokens(encoder: Encoder) -> None:
    words = encoder.embed(["w001", "w002", "w003"])
    assert words.shape == (3, encoder.dim) == (3, 64)
    assert words.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, atol=1e-6)
    table = encoder._table
    mean = table[[2, 3, 3]].mean(axis=0)
    (sentence,) = encoder.embed(["w001 w002 w002"])
    np.testing.assert_allclose(sentence, mean / np.linalg.norm(mean), atol=1e-6)


def test_chunks_change_nothing(encoder: Encoder) -> None:
    texts = [f"w{n % 300:03d} w{n % 7:03d}" for n in range(700)]
    seen: list[Progress] = []
    together = encoder.embed(texts, seen.append)
    one_by_one = np.concatenate([encoder.embed([text]) for text in texts])
    np.testing.assert_array_equal(together, one_by_one)
    assert [step.done for step in seen] == [256, 512, 700]
    assert seen[-1].total == 700


def test_a_text_without_tokens_is_an_error(encoder: Encoder) -> None:
    assert encoder.embed([]).shape == (0, 64)
    with pytest.raises(InputError, match="no tokens to embed"):
        encoder.embed(["w001", " "])


def test_another_wheel_is_an_error(make_wheel: Callable[..., Path]) -> None:
    members = {
        "wordllama/weights/l2_supercat_256.safetensors": b"nonsense",
        "wordllama/tokenizers/l2_supercat_tokenizer_config.json": b"{}",
    }
    damaged = Wheel(MODEL, make_wheel("x.whl", members), fetched=False)
    with pytest.raises(IntegrityError, match="not the expected model"):
        Encoder.from_wheel(damaged)


def test_vectors_equal_those_of_wordllama(real: Encoder) -> None:
    np.testing.assert_allclose(real.embed(TEXTS)[:, :5], GOLDEN, atol=1e-6)
