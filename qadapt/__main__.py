"""``python -m qadapt``: the command line."""

import sys

from qadapt.cli import main

if __name__ == "__main__":
    sys.exit(main())
