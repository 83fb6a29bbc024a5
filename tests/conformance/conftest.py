"""Which settings of the conformance suite ``make test`` applies on embedded engines."""

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


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests of further widths as long, before ``mark_slow`` sees the item."""
    name = getattr(item, "originalname", "")
    given = item.callspec.params if hasattr(item, "callspec") else {}
    if (
        name == "test_every_setting_is_verified_active_or_refused"
        and given["text"] in FURTHER_WIDTHS
    ):
        item.add_marker("long")
