"""Settings of PostgreSQL for the searches of langchain-postgres."""

from __future__ import annotations

from typing import Any

from langchain_postgres.v2.indexes import QueryOptions


class SearchSettings(QueryOptions):
    """Any settings of a search; langchain-postgres has a class for ``ef_search`` only."""

    def __init__(self, **settings: str) -> None:
        self.settings = settings

    def to_parameter(self) -> list[str]:
        """The settings as the store sends them, each with SET LOCAL."""
        return [f"{name} = {value}" for name, value in self.settings.items()]

    def to_string(self) -> str:
        """All settings in one text."""
        return ", ".join(self.to_parameter())


def query_options(**settings: Any) -> SearchSettings:
    """``index_query_options`` of ``PGVectorStore`` with these settings."""
    return SearchSettings(**{name: str(value) for name, value in settings.items()})
