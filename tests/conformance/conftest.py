"""Which tests of the conformance suite ``make test`` leaves out on embedded engines."""

from __future__ import annotations

import pytest

# Further widths of a kind. On servers they are always tested (``slow.left_out``).
FURTHER_WIDTHS = (
    "scalar:bits=4",
    "product:ratio=4",
    "product:ratio=64",
    "rotational:bits=1.5",
    "rotational:bits=2",
    "rotational:bits=8",
    "binary:bits=1.5",
    "binary:bits=2",
    "binary:query_bits=4",
)


# Local mode answers these in a folder as in memory (TestQdrantMemory).
SAME_IN_A_FOLDER = (
    "test_filters",
    "test_accept_client_matches_the_reference",
    "test_every_setting_is_refused_with_the_rule",
    "test_bad_vectors_are_refused_and_nothing_is_written",
    "test_k_out_of_range",
)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark long tests before ``mark_slow`` sees the item."""
    name = getattr(item, "originalname", "")
    given = item.callspec.params if hasattr(item, "callspec") else {}
    further = name == "test_every_setting_is_verified_active_or_refused" and (
        given["text"] in FURTHER_WIDTHS
    )
    folder = item.parent is not None and item.parent.name == "TestQdrantFolder"
    if further or (folder and name in SAME_IN_A_FOLDER):
        item.add_marker("long")
