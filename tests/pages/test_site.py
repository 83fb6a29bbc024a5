"""The docs site: its pages, and docstrings as mkdocstrings reads them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import qadapt as qa

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [
        page for each in (nav.values() if isinstance(nav, dict) else nav) for page in _pages(each)
    ]


def test_the_navigation_lists_each_page_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    facts = {page for page in there if page.startswith("engines/")} - {"engines/README.md"}
    assert sorted(_pages(nav)) == sorted(there - facts)


def test_the_python_page_documents_public_names() -> None:
    named = re.findall(r"^::: qadapt\.(\w+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert {"open", "Database", "Collection", "Plan", "CodeIndex"} <= set(named)
    assert [name for name in named if name != "errors" and name not in dir(qa)] == []


@pytest.fixture
def split_names(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function of docs/.build, without griffe, which is in the environment of `make docs`."""
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object, Object=object))
    path = DOCS / ".build" / "docstrings.py"
    spec = importlib.util.spec_from_file_location("docstrings_of_the_site", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.split_names


def test_docstrings_name_one_parameter_or_error_per_line(split_names: Any) -> None:
    lines = """\
    Args:
        queries, encoder: see verify,
            with a second line.
        k: a, b: c

    Raises:
        InputError, SpecError
        StoreError: the server, or its disk.""".splitlines()
    assert split_names([line.removeprefix("    ") for line in lines]) == [
        "Args:",
        "    queries: see verify,",
        "    encoder: see verify,",
        "        with a second line.",
        "    k: a, b: c",
        "",
        "Raises:",
        "    InputError: see the section Errors.",
        "    SpecError: see the section Errors.",
        "    StoreError: the server, or its disk.",
    ]
