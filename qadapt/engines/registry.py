"""Registry of scan engines."""

from __future__ import annotations

from collections.abc import Callable

from qadapt.engines.base import Engine
from qadapt.engines.numpy_engine import NumpyEngine
from qadapt.errors import SpecError

DEFAULT_ENGINE = "numpy"

# name -> factory; a factory may import an optional package
_ENGINES: dict[str, Callable[[], Engine]] = {"numpy": NumpyEngine}


def engine_names() -> list[str]:
    """Names of all engines."""
    return sorted(_ENGINES)


def get_engine(name: str | None = None) -> Engine:
    """Get an engine by name.

    Args:
        name: one of :func:`engine_names`; None is the default, ``numpy``.

    Raises:
        SpecError: the engine does not exist; the message lists all engines.
    """
    wanted = DEFAULT_ENGINE if name is None else name
    make = _ENGINES.get(wanted)
    if make is None:
        raise SpecError.unknown("engine", str(name), engine_names())
    return make()
