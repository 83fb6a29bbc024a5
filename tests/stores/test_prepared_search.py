"""A prepared search of a client store is valid while the collection's layout is cached."""

from __future__ import annotations

from typing import Any

import pytest

from qadapt.errors import StoreError
from qadapt.stores.client import prepared_search


class TooLargeError(StoreError):
    """The answer exceeds one message."""


def _failing(error: StoreError) -> Any:
    def search(_: Any) -> Any:
        raise error

    return search


def test_the_search_runs_while_the_layout_is_cached() -> None:
    found: Any = object()
    cached = [True, False]
    search = prepared_search(lambda queries: (found, queries), lambda: cached.pop(0), TooLargeError)
    assert search("queries") == (found, "queries")
    assert search("queries") is None


def test_an_answer_that_is_too_large_is_left_to_a_complete_search() -> None:
    search = prepared_search(_failing(TooLargeError("64 MB")), lambda: True, TooLargeError)
    assert search([]) is None


def test_other_errors_are_raised() -> None:
    search = prepared_search(_failing(StoreError("no such field")), lambda: True, TooLargeError)
    with pytest.raises(StoreError, match="no such field"):
        search([])
