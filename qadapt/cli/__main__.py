"""``python -m qadapt.cli``."""

import sys

from qadapt.__main__ import run

if __name__ == "__main__":
    sys.exit(run())
