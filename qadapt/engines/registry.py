"""Registry of scan engines, and the choice of one."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from qadapt import jit
from qadapt.engines.base import Engine, PlaneEngine
from qadapt.engines.numpy_engine import NumpyEngine
from qadapt.errors import MissingExtraError, SpecError, UnsupportedError

STARTING_PAYS = 1 << 27
"""64-bit words that a process scans by numpy before it imports another engine: about 0.2 s, half of
what a start of numba takes. A larger scan imports it at once."""

_scanned = 0


def _numba() -> Engine:
    from qadapt.engines.numba_engine import NumbaEngine

    return NumbaEngine()


def _faiss() -> Engine:
    from qadapt.engines.faiss_engine import FaissEngine

    return FaissEngine()


def _usearch() -> Engine:
    from qadapt.engines.usearch_engine import UsearchEngine

    return UsearchEngine()


@dataclass(frozen=True)
class _Known:
    """An engine that may be installed.

    Attributes:
        package: distribution that must be installed.
        extra: extra of qadapt that installs it.
        make: imports the package and creates the engine.
        planes: whether it is a :class:`PlaneEngine`.
        columns: whether it is faster if the words of a column are contiguous.
        automatic: whether it is used without being named.
    """

    package: str
    extra: str
    make: Callable[[], Engine]
    planes: bool
    columns: bool
    automatic: bool = True


# Fastest first, as measured by benchmarks/code_index.py.
_ENGINES = {
    "numba": _Known("numba", "fast", _numba, planes=True, columns=True),
    "faiss": _Known("faiss-cpu", "faiss", _faiss, planes=False, columns=False),
    "numpy": _Known("numpy", "", NumpyEngine, planes=True, columns=True),
    "usearch": _Known("usearch", "usearch", _usearch, planes=False, columns=False, automatic=False),
}


def engine_names() -> list[str]:
    """Names of all engines, installed or not."""
    return sorted(_ENGINES)


def installed_engines() -> list[str]:
    """Names of the engines that can be used, fastest first."""
    return [name for name in _ENGINES if _missing(name) is None]


def get_engine(name: str | None = None, *, planes: bool = False, work: int | None = None) -> Engine:
    """Get an engine by name, or the fastest one that is installed.

    Args:
        name: one of :func:`engine_names`; None chooses.
        planes: whether the engine must support queries of 4 or 8 bits.
        work: 64-bit words that the scan compares, for all queries together. Until the scans of
            this process add up to ``STARTING_PAYS``, None chooses numpy, unless the package of the
            fastest engine was imported before.

    Raises:
        SpecError: the engine does not exist; the message lists all engines.
        MissingExtraError: its package is not installed.
        UnsupportedError: its package cannot be used, or ``planes`` with an engine that has only
            Hamming distances.
    """
    if name is None:
        return _fastest(planes) if work is None or _starting_pays(work) else NumpyEngine()
    known = _ENGINES.get(name)
    if known is None:
        raise SpecError.unknown("engine", str(name), engine_names())
    reason = _missing(name)
    if reason is not None and reason.endswith("is not installed"):
        raise MissingExtraError(known.package, known.extra, purpose=f"the scan engine {name!r}")
    if reason is not None:
        raise UnsupportedError(
            f"the scan engine {name!r} cannot be used: {reason}",
            hint="omit engine=, which uses the fastest one that works",
        )
    return with_planes(known.make()) if planes else known.make()


def with_planes(engine: Engine) -> PlaneEngine:
    """The engine, if it supports queries of 4 or 8 bits.

    Raises:
        UnsupportedError: it has only Hamming distances.
    """
    if not isinstance(engine, PlaneEngine):
        raise UnsupportedError(
            f"the engine {engine.name!r} compares sign bits with queries of 1 bit only",
            hint="omit engine=, pass engine='numpy', or create the index with query_bits=1",
        )
    return engine


def prefers_columns() -> bool:
    """Whether the engine that scans large indexes reads the words of a column together.

    Nothing is imported.
    """
    return next(
        known.columns
        for name, known in _ENGINES.items()
        if known.automatic and _installed(name) and not (name == "numba" and jit.disabled())
    )


def _starting_pays(work: int) -> bool:
    global _scanned
    _scanned += work
    if _scanned >= STARTING_PAYS:
        return True
    first = next(name for name, known in _ENGINES.items() if known.automatic and _installed(name))
    return first in sys.modules


def _fastest(planes: bool) -> Engine:
    for name, known in _ENGINES.items():
        if known.automatic and (known.planes or not planes) and _missing(name) is None:
            return known.make()
    raise AssertionError("numpy is always installed")


@functools.cache
def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(_ENGINES[name].package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _missing(name: str) -> str | None:
    """Why an engine cannot be used; None if it can. Imports its package."""
    if not _installed(name):
        return f"{_ENGINES[name].package} is not installed"
    return jit.unavailable_reason() if name == "numba" else _import_error(name)


@functools.cache
def _import_error(name: str) -> str | None:
    try:
        _ENGINES[name].make()
    except ImportError as error:
        package = _ENGINES[name].package
        warnings.warn(f"{package} cannot be imported, so it is not used: {error}", stacklevel=3)
        return f"{package} cannot be imported: {error}"
    return None
