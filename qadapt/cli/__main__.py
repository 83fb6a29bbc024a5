"""``python -m qadapt.cli``."""

import sys

from qadapt.cli import main

if __name__ == "__main__":
    sys.exit(main())
