"""The examples of docs/integrations.md and the example scripts run."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REASON = "needs the environment of `make test-integrations`"


def run(code: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def block(heading: str) -> str:
    """The first Python example after a heading of the page."""
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"<!-- example -->\n\n(.*?)\n(?=\S)", section, re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


def test_the_langchain_script(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core", reason=REASON)
    shown = run([str(ROOT / "examples" / "langchain_store.py"), "data"], tmp_path)
    assert "codes: active" in shown and "note 0 Vector quantization" in shown
    assert sorted(re.findall(r"since 2022: (.*)", shown)[0].split("'")[1::2]) == [
        f"note {row}" for row in (2, 3, 4)
    ]


def test_the_llama_index_script(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason=REASON)
    shown = run([str(ROOT / "examples" / "llama_index_store.py"), "data"], tmp_path)
    assert "codes: active" in shown and "note 0 Vector quantization" in shown
    assert sorted(re.findall(r"since 2021: (.*)", shown)[0].split("'")[1::2]) == [
        f"note {row}" for row in (1, 2, 3)
    ]


def test_the_llama_index_example_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core", reason=REASON)
    model = (
        "from llama_index.core.embeddings import MockEmbedding\n"
        "from llama_index.core.schema import TextNode\n"
        "model, nodes = MockEmbedding(embed_dim=384), [TextNode(text='x', id_='a')]\n"
    )
    run(["-c", model + block("LlamaIndex")], tmp_path)


def test_the_haystack_script(tmp_path: Path) -> None:
    pytest.importorskip("haystack", reason=REASON)
    shown = run([str(ROOT / "examples" / "haystack_store.py"), "data"], tmp_path)
    assert "codes: active" in shown and "note 0 Vector quantization" in shown
    assert sorted(re.findall(r"since 2021: (.*)", shown)[0].split("'")[1::2]) == [
        f"note {row}" for row in (1, 2, 3)
    ]


def test_the_haystack_example_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("haystack", reason=REASON)
    given = (
        "from haystack import Document\n"
        "vector = [1.0] * 384\n"
        "documents = [Document(content='x', embedding=vector)]\n"
    )
    run(["-c", given + block("Haystack")], tmp_path)


def test_the_langchain_example_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core", reason=REASON)
    model = (
        "from langchain_core.embeddings import DeterministicFakeEmbedding\n"
        "embedding = DeterministicFakeEmbedding(size=16)\n"
    )
    run(["-c", model + block("LangChain")], tmp_path)
