"""The command line: ``qadapt``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qadapt.cli import interrupts

__all__ = ["main"]

_INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        args: the words behind ``qadapt``; those of the process by default.
    """
    with interrupts.watching():
        try:
            with interrupts.held_back():
                from qadapt.cli.app import run
        except KeyboardInterrupt:
            sys.stderr.write("error: interrupted\n")
            return _INTERRUPTED
        return run(args)
