"""Which tests need a server: they get the marker ``server`` automatically.

A test needs one when it uses a fixture that starts one, or asks ``live`` (or a fixture made of it)
for an engine that is not embedded: by its name in the source, or by a parameter. ``live`` itself
fails a test that asks for a server without the marker, so none is overlooked.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import CodeType
from typing import Any

import pytest

SERVERS = frozenset(
    {"qdrant", "milvus", "weaviate", "pgvector", "chroma", "elasticsearch", "opensearch"}
)
# Fixtures that always start a server or a container.
STARTING = frozenset(
    {"weaviate_server", "milvus_server", "chroma_server", "startable", "containers", "small"}
)


def needs_server(item: pytest.Item) -> bool:
    """Whether this test needs an engine that is not embedded."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    strings = set(_strings(parameters))
    fixtures = _fixtures(item, strings)
    if STARTING & set(fixtures):
        return True
    if "live" not in fixtures:
        return False
    functions = [item.function, *fixtures.values()]  # type: ignore[attr-defined]
    return bool(SERVERS & strings) or any(_named_in(each) & SERVERS for each in functions)


def _strings(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _strings(value)


def _fixtures(item: pytest.Item, strings: set[str]) -> dict[str, Callable[..., Any]]:
    """The fixtures that a test uses, those that a parameter names for getfixturevalue included."""
    manager = item.session._fixturemanager
    known = item._fixtureinfo.name2fixturedefs if hasattr(item, "_fixtureinfo") else {}
    found: dict[str, Callable[..., Any]] = {
        name: definitions[-1].func for name, definitions in known.items()
    }
    waiting = [name for name in strings if name not in found]
    while waiting:
        name = waiting.pop()
        definitions = None if name in found else manager.getfixturedefs(name, item)
        if definitions:
            found[name] = definitions[-1].func
            waiting += definitions[-1].argnames
    return found


@functools.cache
def _named_in(function: Callable[..., Any]) -> frozenset[str]:
    """The strings in a function: of ``live("milvus")`` and of ``for engine in ("milvus", ...)``."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return frozenset() if code is None else frozenset(_constants(code.co_consts))


def _constants(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (tuple, frozenset)):
            yield from _constants(value)
        elif isinstance(value, CodeType):
            yield from _constants(value.co_consts)
