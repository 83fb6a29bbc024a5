"""Strict parser of YAML and JSON files that people write.

Keys are unique strings; values are those of JSON. Anchors are allowed, but a document whose aliases
expand to something huge or infinite is rejected before it is expanded.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from qadapt.errors import SpecError

if TYPE_CHECKING:
    import yaml

MAX_CHARS = 256 * 1024
MAX_VALUES = 100_000
MAX_DEPTH = 50

_LEAVE_ONE = "remove one of them"
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null")}


def read_document(text: str, where: str) -> Any:
    """Parse a YAML or JSON document.

    Args:
        text: the document.
        where: name of the document in error messages.

    Raises:
        SpecError: not YAML or JSON (with line and column), a duplicate key, or too large or deep.
    """
    if len(text) > MAX_CHARS:
        raise SpecError(
            f"{where}: longer than {MAX_CHARS} characters", hint="split it into several files"
        )
    try:
        if text.lstrip().startswith("{"):
            try:
                return _read_json(text, where)
            except json.JSONDecodeError:
                pass  # YAML may begin with a brace too, and its errors contain the line
        return _read_yaml(text, where)
    except RecursionError:
        raise SpecError(f"{where}: nested too deeply", hint=_too_deep()) from None


def _too_deep() -> str:
    return f"at most {MAX_DEPTH} levels"


# -- JSON ----------------------------------------------------------------------------------------


def _read_json(text: str, where: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in items:
            if key in result:
                raise SpecError(f"{where}: the key {key!r:.60} is duplicated", hint=_LEAVE_ONE)
            result[key] = item
        return result

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise SpecError(
                f"{where}: {text:.40} is not a finite number",
                hint="write a number of at most 1.7e308, or remove the key",
            )
        return value

    def whole(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise SpecError(
                f"{where}: a number of {len(text)} digits",
                hint="write a shorter number, or put it in quotes",
            ) from None

    value = json.loads(
        text, object_pairs_hook=pairs, parse_float=number, parse_int=whole, parse_constant=number
    )
    if _depth(value) > MAX_DEPTH:
        raise SpecError(f"{where}: nested too deeply", hint=_too_deep())
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


# -- YAML ----------------------------------------------------------------------------------------


def _read_yaml(text: str, where: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Loader with a depth limit, because the time of YAML grows quickly with depth."""

        depth = 0

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise SpecError(f"{where}: nested too deeply", hint=_too_deep())
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    loader = None
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Check(loader, where).size(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise SpecError(f"{where}:{place} {problem}", hint="check the indentation") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{where}: not YAML: {error}", hint="save it as UTF-8 text") from None
    finally:
        if loader is not None:
            loader.dispose()


def _kind(node: yaml.Node) -> str:
    """Kind of a YAML node: scalar, sequence or mapping."""
    return str(node.id)  # type: ignore[attr-defined]  # the stubs leave it out


class _Check:
    """Validator of a YAML tree before it is converted to values."""

    def __init__(self, loader: yaml.SafeLoader, where: str) -> None:
        self.loader, self.where = loader, where
        self.done: dict[yaml.Node, tuple[int, int]] = {}
        self.open: set[yaml.Node] = set()

    def fail(self, node: yaml.Node, problem: str, hint: str | None = None) -> NoReturn:
        mark = node.start_mark
        raise SpecError(
            f"{self.where}: line {mark.line + 1}, column {mark.column + 1}: {problem}", hint=hint
        )

    def size(self, node: yaml.Node) -> tuple[int, int]:
        """Number of values and depth that the node expands to."""
        if node in self.done:
            return self.done[node]
        if node in self.open:
            self.fail(
                node, "it contains itself", "an alias must not refer to an anchor that contains it"
            )
        self.open.add(node)
        inner = [self.size(child) for child in self.children(node)]
        self.open.remove(node)
        total = 1 + sum(size for size, _ in inner)
        depth = 1 + max((depth for _, depth in inner), default=0)
        if total > MAX_VALUES:
            self.fail(node, f"expands to more than {MAX_VALUES} values", "use fewer aliases")
        if depth > MAX_DEPTH:
            self.fail(node, "nested too deeply", _too_deep())
        self.done[node] = (total, depth)
        return total, depth

    def children(self, node: yaml.Node) -> list[yaml.Node]:
        """Check a node and return the nodes inside of it."""
        kind = _kind(node)
        if node.tag == f"{_TAG}map" and kind == "mapping":
            self.keys(node)
            return [value for _, value in node.value]
        if node.tag == f"{_TAG}seq" and kind == "sequence":
            return list(node.value)
        if node.tag == f"{_TAG}timestamp":
            node.tag = f"{_TAG}str"
        if kind != "scalar" or node.tag not in _PLAIN:
            tag = node.tag.replace(_TAG, "!!")
            self.fail(node, f"the tag {tag} is not supported", "use the values of JSON")
        try:
            value = self.loader.construct_object(node)
        except (ValueError, LookupError, ArithmeticError):
            self.fail(node, f"{node.value!r:.40} is not valid for its tag")
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(node, f"{node.value:.40} is not a finite number")
        return []

    def keys(self, node: yaml.Node) -> None:
        seen = set()
        for key, _ in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if key.tag == f"{_TAG}timestamp":
                key.tag = f"{_TAG}str"
            if _kind(key) != "scalar" or key.tag != f"{_TAG}str":
                self.fail(key, "a key must be a string", "quote it")
            if key.value in seen:
                self.fail(key, f"the key {key.value!r:.60} is duplicated", _LEAVE_ONE)
            seen.add(key.value)
