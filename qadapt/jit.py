"""Kernels compiled by numba (extra ``fast``): availability, cache folder, progress.

Nothing here imports numba before a kernel is needed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qadapt.durable import private_folder

Announce = Callable[[str, bool], None]
"""Receives the name of a kernel, and False when its compilation begins, True when it ends."""

_announce: Announce | None = None
_lock = threading.Lock()


def announce_with(announce: Announce | None) -> None:
    """Report each compilation of a kernel to this function; None reports nothing."""
    global _announce
    _announce = announce


@functools.cache
def numba_version() -> str | None:
    """Version of the installed numba, without importing it; None if it is not installed."""
    try:
        return importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:
        return None


def disabled() -> bool:
    """Whether ``NUMBA_DISABLE_JIT`` is set: kernels would run as Python loops."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0")


def unavailable_reason() -> str | None:
    """Why kernels cannot be compiled; None if they can."""
    if numba_version() is None:
        return "numba is not installed"
    if disabled():
        return "NUMBA_DISABLE_JIT is set"
    return _import_error()


@functools.cache
def _import_error() -> str | None:
    """Error of importing numba; None if it can be imported."""
    try:
        importlib.import_module("numba")
    except ImportError as error:  # for example a numpy that is newer than numba supports
        warnings.warn(
            f"numba {numba_version()} cannot be imported, so it is not used: {error}", stacklevel=3
        )
        return f"numba {numba_version()} cannot be imported: {error}"
    return None


class Kernel:
    """A function that numba compiles when it is first called.

    The machine code is cached beside the source file; if that folder is read-only, in the folder
    ``numba`` of qadapt's cache folder. ``NUMBA_CACHE_DIR`` overrides both. It releases the GIL.

    Args:
        function: a function that numba supports, of a module that the importer can find.
        name: name for :func:`announce_with`.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        self._compiled: Any = None

    def __call__(self, *args: Any) -> Any:
        """Call the kernel, and compile it for the types of these arguments if necessary."""
        if self._compiled is None:
            with _lock:
                if self._compiled is None:
                    self._compiled = _jitted(self._function)
        if _announce is None:
            return self._compiled(*args)
        with _announced(self._name, _announce):
            return self._compiled(*args)


def _jitted(function: Callable[..., Any]) -> Any:
    import numba

    source = Path(function.__code__.co_filename)
    given = numba.config.CACHE_DIR
    try:
        if not given and not _writable(source.parent):
            # Read once, when the cache of a function is set up.
            numba.config.CACHE_DIR = str(_cache_folder())
        return numba.njit(nogil=True, cache=True)(function)
    except (RuntimeError, OSError):
        # There is no writable folder at all, so every process compiles.
        return numba.njit(nogil=True)(function)
    finally:
        numba.config.CACHE_DIR = given


def _writable(folder: Path) -> bool:
    cache = folder / "__pycache__"
    return os.access(cache if cache.is_dir() else folder, os.W_OK)


def _cache_folder() -> Path:
    """The folder ``numba`` in qadapt's cache folder, with owner-only access: it holds code."""
    given = os.environ.get("QADAPT_CACHE_DIR")
    if given:
        folder = Path(given).expanduser()
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("qadapt", appauthor=False))
    private_folder(folder / "numba")
    return folder / "numba"


@contextmanager
def _announced(name: str, announce: Announce) -> Iterator[None]:
    """Report a compilation that happens inside; loading from the cache is not reported."""
    from numba.core import event

    class Watch(event.Listener):  # type: ignore[misc]
        begun = False

        def on_start(self, _: Any) -> None:
            if not self.begun:
                self.begun = True
                announce(name, False)

        def on_end(self, _: Any) -> None:
            """Compilations nest: the end is reported below."""

    watch = Watch()
    with event.install_listener("numba:compile", watch):
        try:
            yield
        finally:
            if watch.begun:
                announce(name, True)
