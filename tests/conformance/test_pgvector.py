"""The conformance suite on PostgreSQL with pgvector."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from id_types import OneIdType

import qadapt as qa
from qadapt.api import Database


class TestPgvector(OneIdType):
    """A shared server; the collection names are unique."""

    id_column = "the primary key 'id'"
    must_support = ("float16", "binary")

    @pytest.fixture
    def database(self, live: Callable[[str], str]) -> Iterator[Database]:
        with qa.open(live("pgvector")) as database:
            yield database
