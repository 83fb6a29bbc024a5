"""One thread for the linear algebra of numpy, in tests and in the processes that they start.

``conftest.py`` imports this before numpy, which reads the variables when it is loaded. With the
default, one thread per core in each worker of pytest-xdist, threads wait for cores in a loop: a
learned rotation of 64 dimensions took ten times the processor time.
"""

from __future__ import annotations

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
