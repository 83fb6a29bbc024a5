"""The conformance suite of qadapt on this store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import qadapt
from qadapt.api import Database
from qadapt.testing import StoreConformance


class TestFifth(StoreConformance):
    must_support = ("scalar",)
    uuid_ids = False
    rows = 500
    many_rows = 2_000

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qadapt.open(f"fifth:{tmp_path}/data") as db:
            yield db
