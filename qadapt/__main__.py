"""``qadapt`` and ``python -m qadapt``: handles Ctrl-C before anything else is imported."""

import sys


def run() -> int:
    """Run the command line of this process; returns the exit code."""
    try:
        from qadapt.cli import main

        return main()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
