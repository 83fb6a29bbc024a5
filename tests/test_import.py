"""``import qadapt`` is fast: it imports no database client, model or parser."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("qdrant_client", "qdrant_edge", "pymilvus", "weaviate", "faiss", "usearch", "numba"),
    *("torch", "sentence_transformers", "pydantic", "typer", "rich", "yaml"),
    *("langchain_core", "llama_index", "haystack"),
)
MODEL = (
    *(
        "address",
        "capabilities",
        "batch",
        "hits",
        "document_io",
        "filters",
        "info",
        "masking",
        "match",
    ),
    *("metric", "serializable", "plan", "quantization", "json_schemas", "spec"),
)


def _imported(statements: str) -> set[str]:
    """The heavy packages that a fresh Python has imported after ``statements``."""
    code = f"import sys\n{statements}\nprint(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statements",
    [
        "import qadapt",
        "import qadapt.errors, qadapt.model",
        "\n".join(f"import qadapt.model.{name}" for name in MODEL),
        "import qadapt.model as m; m.binary(rescore=4); m.Batch(ids=[1], vectors={'': [[1, 2]]})",
        "from qadapt.model.address import Address; Address.parse('qdrant+http://h')",
        "from qadapt.model.filters import parse_filter; parse_filter({'a': 1})",
    ],
)
def test_nothing_heavy_is_imported(statements: str) -> None:
    assert _imported(statements) == set()


def test_imports_are_detected() -> None:
    assert _imported("import pydantic") == {"pydantic"}
    saved = _imported("import qadapt.model as m; m.binary().to_json()")
    assert saved == {"pydantic"}
    read = _imported(
        "from qadapt.model.spec import parse_spec\ntry: parse_spec('a: 1')\nexcept ValueError: 0"
    )
    assert read == {"yaml"}
