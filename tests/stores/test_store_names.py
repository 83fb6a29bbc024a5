"""Only ``qadapt/stores`` knows stores by name: every other module asks profiles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from qadapt.stores import registry

PACKAGE = Path(registry.__file__).resolve().parents[1]
# Examples of addresses may name stores: the demo, the integrations, help texts.
EXEMPT = ("stores", "demo", "integrations")
HELP = ("help", "epilog", "examples")
WORD = re.compile(rf"(?:{'|'.join(sorted(registry.names()))})(?-i:(?![a-z]))", re.IGNORECASE)


def found(source: str, *, is_cli: bool = False) -> list[tuple[int, str]]:
    """Line and text of each import, identifier and string constant that names a store."""
    tree = ast.parse(source)
    exempt = {id(node) for node in _docstrings(tree)}
    if is_cli:
        exempt |= {id(node) for node in _helps(tree)}
    return [
        (getattr(node, "lineno", 0), text)
        for node in ast.walk(tree)
        if id(node) not in exempt
        for text in _texts(node)
        if _names_a_store(text)
    ]


def _names_a_store(text: str) -> bool:
    return any(not text[: at.start()][-1:].isalpha() for at in WORD.finditer(text))


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.alias):
        yield node.name
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name


def _docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    """Bare strings: docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _helps(tree: ast.Module) -> Iterator[ast.AST]:
    """Help texts of commands and options."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        shown = [word.value for word in node.keywords if word.arg in HELP]
        # Names of options and arguments come first, their help next.
        if isinstance(node.func, ast.Name) and node.func.id in ("word", "optional"):
            shown += node.args
        for each in shown:
            yield from ast.walk(each)


def test_no_module_above_or_below_the_stores_names_one() -> None:
    named: dict[str, list[tuple[int, str]]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE)
        if path.parts[0] not in EXEMPT:
            text = file.read_text(encoding="utf-8")
            named[str(path)] = found(text, is_cli=path.parts[0] == "cli")
    assert len(named) > 200
    assert {path: each for path, each in named.items() if each} == {}


PLANTED = '''"""A docstring may name qdrant."""
from qadapt.stores.milvus import mapping
from qadapt.stores import edge
import qadapt.stores.weaviate.store as of_weaviate

STORES = ("qdrant",)
KEY = "MILVUS_TOKEN"
HINT = f"did you mean qdrant+http://{mapping}?"

class EdgeThing:
    """The edge."""
    def weaviate_rule(self):
        return self._qdrant

FINE = ("knowledge", "hedge", "an edgewise word")
command(app, "x", help="qadapt plan edge:./data")
'''


def test_the_scan_finds_a_planted_name() -> None:
    lines = sorted({line for line, _ in found(PLANTED)})
    assert lines == [2, 3, 4, 6, 7, 8, 10, 12, 13, 16]
    assert 16 not in {line for line, _ in found(PLANTED, is_cli=True)}
