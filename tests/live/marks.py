"""Which tests need a server: they get the marker ``server`` by themselves.

A test needs one when it uses a fixture that starts one, or asks ``live`` (or a fixture made of it)
for an engine that is not embedded: by its name in the source, or by a parameter. ``live`` itself
fails a test that asks for a server without the marker, so none is overlooked.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

SERVERS = frozenset({"qdrant", "milvus", "weaviate"})
# Fixtures that start a server or a container, whatever they are asked for.
STARTING = frozenset({"weaviate_server", "milvus_server", "startable", "containers"})


def needs_server(item: pytest.Item) -> bool:
    """Whether this test needs an engine that is not embedded."""
    names = set(getattr(item, "fixturenames", ()))
    if names & STARTING:
        return True
    if "live" not in names:
        return False
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(value in SERVERS for value in _strings(parameters)):
        return True
    return any(_named_in(function) & SERVERS for function in _functions(item))


def _strings(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _strings(value)


def _functions(item: pytest.Item) -> Iterator[Callable[..., Any]]:
    """The test and the fixtures it uses."""
    yield item.function  # type: ignore[attr-defined]
    for definitions in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
        yield definitions[-1].func


@functools.cache
def _named_in(function: Callable[..., Any]) -> frozenset[str]:
    """Strings that a function gives to calls, ``live("milvus")`` and ``ends("milvus")`` alike."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return frozenset(
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )
