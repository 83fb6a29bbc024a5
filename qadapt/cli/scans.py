"""Settings of scans in commands: all cores, and a note while a kernel is compiled."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qadapt import jit
from qadapt.threads import VARIABLE, use_threads

if TYPE_CHECKING:
    from qadapt.cli.output import Output


@contextmanager
def scan_settings(out: Output) -> Iterator[None]:
    """Scan with all cores, unless ``QADAPT_THREADS`` is set, and report compilations."""
    begun: dict[str, float] = {}

    def announce(name: str, done: bool) -> None:
        if done:
            out.note(f"compiled in {time.monotonic() - begun.pop(name):.1f} s")
        else:
            begun[name] = time.monotonic()
            out.note(f"compiling the {name} for this processor, once")

    if not os.environ.get(VARIABLE):
        use_threads(0)
    jit.announce_with(announce)
    try:
        yield
    finally:
        jit.announce_with(None)
        use_threads(None)
