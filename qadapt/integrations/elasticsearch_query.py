"""The search parameters of Elasticsearch for the searches of langchain-elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KnnOptions:
    """``custom_query`` of ``ElasticsearchStore``: adds options to the section ``knn``.

    Args:
        options: such as ``num_candidates`` and ``rescore_vector``.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)

    def __call__(self, body: dict[str, Any], query: str | None = None) -> dict[str, Any]:
        """The body with the options."""
        return {**body, "knn": {**body["knn"], **self.options}}
