"""Ctrl-C: deferred while modules are imported, and recognized behind errors of libraries."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_received = False


def received() -> bool:
    """Whether Ctrl-C was pressed since ``watching`` began."""
    return _received


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Note each Ctrl-C before it is raised as KeyboardInterrupt.

    Some libraries convert a KeyboardInterrupt: numpy, interrupted during its import, raises
    ImportError with advice on reinstalling it.
    """
    global _received
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, or handled by other code
        yield
        return
    _received = False
    signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Defer KeyboardInterrupt to the end of the block, for imports.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed in the block.
    """
    if signal.getsignal(signal.SIGINT) is not _note:
        yield
        return
    pressed = False

    def hold(_number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _note)
    if pressed:
        raise KeyboardInterrupt


def _note(_number: int, _frame: FrameType | None) -> None:
    global _received
    _received = True
    raise KeyboardInterrupt
