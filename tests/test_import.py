"""``import qadapt`` is fast: it imports no database client, model or parser."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import qadapt

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


def test_no_submodule_replaces_a_public_name() -> None:
    """The import of a submodule sets it as an attribute of the package."""
    modules = {module.name for module in pkgutil.iter_modules(qadapt.__path__)}
    assert modules & set(qadapt.__all__) == set()


def test_public_names_are_the_same_after_every_import() -> None:
    code = """
import importlib, pkgutil
import qadapt
before = {name: getattr(qadapt, name) for name in qadapt.__all__}
assert before["index"].__module__ == "qadapt.api.text_index", before["index"]
for module in pkgutil.iter_modules(qadapt.__path__):
    if module.name not in ("__main__", "pytest_plugin"):  # one runs the CLI, one needs pytest
        importlib.import_module(f"qadapt.{module.name}")
changed = [name for name in before if getattr(qadapt, name) is not before[name]]
assert not changed, changed
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
