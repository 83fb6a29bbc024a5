"""The command line: ``qadapt``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        args: the words behind ``qadapt``; those of the process by default.
    """
    from qadapt.cli.app import run

    return run(args)
