"""The conformance suite on a live Qdrant server, where there is one.

    QADAPT_TEST_QDRANT_URL=qdrant+http://localhost:6333 pytest tests/conformance/test_qdrant.py

A server that holds other collections than those of the suite is refused: nobody's data is lost.
Without a server the tests are skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.testing import StoreConformance

OURS = {"articles", "plain"}  # what the suite creates


class TestQdrant(StoreConformance):
    """A server of 1.16 or newer; what newer versions alone have is refused by older ones."""

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
        """A server without the suite's collections."""
        with qa.open(live("qdrant")) as database:
            others = set(database) - OURS
            if others:
                pytest.fail(f"the server holds other collections: {sorted(others)[:5]}")
            for name in database:
                database.drop(name)
            yield database
