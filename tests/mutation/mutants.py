"""The mutants of a module: cosmic-ray's operators at the places whose change tests should notice.

Skipped: docstrings, type hints, f-strings, arguments of exceptions and logs, texts such as
``hint=``, decorators, ``__all__``, code for type checkers, and ``strict=`` of ``zip``, which
differs only after a mistake in the package.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import parso
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

Span = tuple[tuple[int, int], tuple[int, int]]

AREAS = {
    "stores": ("stores",),
    "migration": ("migration",),
    "planning": ("planning",),
    "code_index": ("code_index", "engines"),
    "codecs": ("codecs",),
}
_COMPARISONS = (
    "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
)
_ARITHMETIC = (
    "Add_Sub Sub_Add Mul_FloorDiv Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul BitAnd_BitOr BitOr_BitAnd "
    "BitXor_BitAnd LShift_RShift RShift_LShift"
)
OPERATORS = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISONS.split()),
    *(f"ReplaceBinaryOperator_{pair}" for pair in _ARITHMETIC.split()),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub", "AddNot"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("NumberReplacer", "ReturnNone"),
)
# Arguments and calls whose value a person reads.
_TEXTS = {"hint", "message", "reason", "note", "notes", "help", "description", "title"}
_LOGS = {"debug", "info", "warning", "warn", "log"}


class ReturnNone(Operator):
    """Replaces the value of a ``return`` with None."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "return_stmt" and node.children[1].get_code().strip() != "None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = parso.parse(" None")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


@dataclass(frozen=True)
class Mutant:
    """One change of one module, not yet made.

    ``position`` is the line (from 1) and the column of the change, ``line`` that line without
    indentation, and ``twin`` counts equal changes of equal lines, so that ``key`` stays the same
    when other lines change.
    """

    area: str
    path: str
    source: str
    operator: str
    occurrence: int
    position: tuple[int, int]
    line: str
    twin: int

    @property
    def key(self) -> str:
        return f"{self.path}\0{self.line}\0{self.operator}\0{self.twin}"

    @cached_property
    def code(self) -> str:
        """The source of the mutated module."""
        return str(mutate_code(self.source, operator(self.operator), self.occurrence))

    @property
    def mutated(self) -> str:
        """The line after the change, without indentation."""
        return self.code.splitlines()[self.position[0] - 1].strip()

    def __str__(self) -> str:
        return f"{self.path}:{self.position[0]}\n    - {self.line}\n    + {self.mutated}"


def operator(name: str) -> Operator:
    return ReturnNone() if name == "ReturnNone" else get_operator(f"core/{name}")()


def sample(root: Path, each: int, seed: int, equivalent: list[dict[str, str]]) -> list[Mutant]:
    """``each`` mutants of each area, one per line of code, without those in ``equivalent``.

    The choice hashes each mutant's own line: a change elsewhere does not change it.
    """
    known = {(entry["path"], entry["before"], entry["after"]) for entry in equivalent}
    lines = {entry[:2] for entry in known}
    found: set[tuple[str, str, str]] = set()
    chosen: list[Mutant] = []
    for area, packages in AREAS.items():
        pool = [
            mutant
            for package in packages
            for path in sorted((root / "qadapt" / package).rglob("*.py"))
            for mutant in candidates(area, path.relative_to(root).as_posix(), path.read_text())
        ]
        taken: set[tuple[str, int]] = set()
        for mutant in sorted(pool, key=lambda each: _rank(seed, each.key)):
            place = (mutant.path, mutant.position[0])
            entry = (mutant.path, mutant.line)
            if entry in lines and (*entry, mutant.mutated) in known:
                found.add((*entry, mutant.mutated))
            elif len(taken) < each and place not in taken and _differs(mutant):
                taken.add(place)
                chosen.append(mutant)
    for path, before, _ in sorted(known - found):
        print(f"equivalent.yaml: {path} no longer has this mutant: {before}")
    return chosen


def _differs(mutant: Mutant) -> bool:
    """Whether the mutated module can be parsed and is not the same program."""
    try:
        return ast.dump(ast.parse(mutant.code)) != ast.dump(ast.parse(mutant.source))
    except SyntaxError:
        return False


def _rank(seed: int, key: str) -> float:
    return random.Random(hashlib.sha256(f"{seed}\0{key}".encode()).digest()).random()


def candidates(area: str, path: str, source: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    tree = ast.parse(source)
    skipped = list(_skipped(tree))
    nodes = list(_nodes(get_ast(source)))
    lines = source.splitlines()
    twins: Counter[tuple[str, str]] = Counter()
    for name in OPERATORS:
        positions = operator(name).mutation_positions
        spans = (span for node in nodes for span in positions(node))
        for occurrence, (start, _) in enumerate(spans):
            if not any(begin <= start < end for begin, end in skipped):
                line = lines[start[0] - 1].strip()
                twin = twins[name, line]
                yield Mutant(area, path, source, name, occurrence, start, line, twin)
                twins[name, line] += 1


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _skipped(tree: ast.Module) -> Iterator[Span]:
    """Spans in which nothing is changed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from map(_span, node.decorator_list)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield _span(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield _span(node.annotation)
        if isinstance(node, ast.JoinedStr | ast.Raise) or _is_text(node):
            yield _span(node)
        if isinstance(node, ast.Dict):  # the signs of {**a, **b}
            values = (value for key, value in zip(node.keys, node.values, strict=True) if not key)
            yield from (((each.lineno, each.col_offset - 2), _span(each)[0]) for each in values)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield _span(node)
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_for_tools(node):
            yield _span(node)


def _is_text(node: ast.AST) -> bool:
    """Whether a node is a text argument, or a call of a logger."""
    if isinstance(node, ast.keyword):
        return node.arg in _TEXTS or node.arg == "strict"
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and (
        function.attr in _LOGS and "log" in ast.unparse(function.value).lower()
    )


def _is_for_tools(node: ast.Assign) -> bool:
    """Whether a module's assignment is ``__all__``, or an alias of types such as ``int | str``."""
    value = node.value
    union = isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)
    literal = isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Literal"
    return union or literal or ast.unparse(node.targets[0]) == "__all__"


def _span(node: Any) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
