"""The conformance suite on a live Qdrant server, if there is one.

    QADAPT_TEST_QDRANT_URL=qdrant+http://localhost:6333 pytest tests/conformance/test_qdrant.py

The collections have unique names and are dropped; others are not touched. Without a server the
tests are skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.testing import StoreConformance


class TestQdrant(StoreConformance):
    """A server of 1.16 or newer; older ones reject the features of newer ones."""

    must_support = (
        "scalar",
        "product:ratio=4",
        "product:ratio=16",
        "product:ratio=64",
        "binary",
        "binary:bits=1.5",
        "binary:bits=2",
        "binary:query_bits=4",
        "binary:query_bits=8",
    )

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        """A shared server: the suite's collection names are unique."""
        with qa.open(live("qdrant")) as database:
            yield database
