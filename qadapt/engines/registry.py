"""Engines by name."""

from __future__ import annotations

from collections.abc import Callable

from qadapt.engines.base import Engine
from qadapt.engines.numpy_engine import NumpyEngine
from qadapt.errors import SpecError

DEFAULT_ENGINE = "numpy"

# name -> what makes it; making one is where an optional package would be imported
_ENGINES: dict[str, Callable[[], Engine]] = {"numpy": NumpyEngine}


def engine_names() -> list[str]:
    """The names that :func:`get_engine` knows."""
    return sorted(_ENGINES)


def get_engine(name: str | None = None) -> Engine:
    """The engine of that name.

    Args:
        name: one of :func:`engine_names`; None is the default, ``numpy``.

    Raises:
        SpecError: no such engine; the message lists those there are.
    """
    wanted = DEFAULT_ENGINE if name is None else name
    make = _ENGINES.get(wanted)
    if make is None:
        raise SpecError.unknown("engine", str(name), engine_names())
    return make()
