"""Tables of results as text and as HTML."""

from __future__ import annotations

import pytest

from qadapt.model.table import Table, human_bytes, share_text, size_text


def test_numbers_are_aligned_to_the_right() -> None:
    table = Table(("Name", "#Rows"), (("a", "1,000"), ("long", "5")), "Title", ("a note",))
    assert str(table).split("\n") == [
        "Title",
        "Name   Rows",
        "----  -----",
        "a     1,000",
        "long      5",
        "a note",
    ]


def test_html_escapes_every_text() -> None:
    html = Table(("<a>",), (("<b>",),), "<c>", ("<d>",))._repr_html_()
    for letter in "abcd":
        assert f"&lt;{letter}&gt;" in html
        assert f"<{letter}>" not in html.replace("<b>&lt;c&gt;</b>", "")


def test_table_without_rows_prints_its_heading() -> None:
    assert str(Table(("A", "#B"), ())) == "A  B\n-  -"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**50, "1024.0 TiB")]
)
def test_sizes_use_binary_units(size: int, text: str) -> None:
    assert human_bytes(size) == text


def test_unknown_values_are_dashes() -> None:
    assert size_text(None) == share_text(None) == "-"


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.000"), (0.99999, "0.999"), (0.5, "0.500")])
def test_recall_below_one_is_not_rounded_up_to_one(value: float, text: str) -> None:
    assert share_text(value) == text
