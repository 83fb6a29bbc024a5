"""The fast check of UUIDs matches the class of the standard library."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.stores.uuids import canonical, usual

UUIDS = st.uuids().map(str)
SPELLINGS = st.one_of(
    UUIDS,
    UUIDS.map(str.upper),
    UUIDS.map(lambda text: text.replace("-", "")),
    UUIDS.map(lambda text: f"{{{text}}}"),
    UUIDS.map(lambda text: f"urn:uuid:{text}"),
    UUIDS.map(lambda text: text[:-1] + "g"),
    UUIDS.map(lambda text: text[:-1] + "\n"),
    st.text(alphabet="0123456789abcdef-_٣", min_size=30, max_size=38),
    st.text(),
)


@given(SPELLINGS)
def test_uuids_match_the_standard_library(text: str) -> None:
    try:
        right = str(uuid.UUID(text))
    except ValueError:
        assert canonical(text) is None
        assert not usual(text)
        return
    assert canonical(text) == right
    assert usual(text) == (text == right)


@pytest.mark.parametrize("text", ["", "x" * 36, "-" * 36])
def test_no_uuids(text: str) -> None:
    assert canonical(text) is None
