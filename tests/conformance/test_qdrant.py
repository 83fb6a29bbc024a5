"""The conformance suite on a live Qdrant server, where there is one.

    QADAPT_TEST_QDRANT_URL=qdrant+http://localhost:6333 pytest tests/conformance/test_qdrant.py

Any collection of that server is lost. Without one the tests are skipped, with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.testing import StoreConformance

VARIABLE = "QADAPT_TEST_QDRANT_URL"


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
        """An empty server: by its own variable, else by that of all live engines."""
        with qa.open(os.environ.get(VARIABLE) or live("qdrant")) as database:
            for name in database:
                if database[name].info().config.get("alias_of") is None:
                    database.drop(name)
            yield database
