"""The conformance suite on LanceDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from id_types import OneIdType

import qadapt as qa
from qadapt.api import Database


class TestLanceDb(OneIdType):
    """A folder for each test."""

    must_support = ("scalar", "rotational:bits=1", "product:ratio=16")
    coarse = "rotational:bits=1"
    many_rows = 2_000

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"lancedb:{tmp_path / 'lance'}") as database:
            yield database
