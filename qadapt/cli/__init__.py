"""The command line: ``qadapt``. Commands import their dependencies when they run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qadapt.cli import interrupts

__all__ = ["main"]

_INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        args: arguments after ``qadapt``; default: those of the process.
    """
    with interrupts.watching():
        try:
            with interrupts.held_back():
                from qadapt.cli.app import run
        except KeyboardInterrupt:
            sys.stderr.write("error: interrupted\n")
            return _INTERRUPTED
        return run(args)
