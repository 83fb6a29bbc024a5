"""The conformance suite on sqlite-vec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from id_types import OneIdType

import qadapt as qa
from qadapt.api import Database


class TestSqliteVec(OneIdType):
    """A file for each test."""

    id_column = "the primary key 'id'"
    must_support = ("scalar", "binary")
    metrics = ("cosine", "euclidean")
    rows = 1_000
    queries = 50
    many_rows = 2_000

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        with qa.open(f"sqlite-vec:{tmp_path / 'test.db'}") as database:
            yield database
