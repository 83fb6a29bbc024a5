"""Servers of ``overhead.py``, started by the launchers of the tests and ended afterwards.

They are found as in a test run (CONTRIBUTING.md#tests): a variable such as
``QADAPT_TEST_MILVUS_URL`` names one that runs already, ``QADAPT_TEST_CACHE`` the folder of the
programs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVERS = ("pgvector", "elasticsearch", "opensearch", "weaviate", "milvus")


@contextmanager
def started(name: str) -> Iterator[str]:
    """The address of a server."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from live.ladder import Ladder

    ladder = Ladder()
    try:
        yield ladder.find(name).url
    finally:
        ladder.stop()
