"""Integers of any size: Python refuses to convert those of more than 4,300 digits to text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.cli.arguments import read_queries
from qadapt.errors import QadaptError
from qadapt.model.address import Address
from qadapt.model.numbers import is_huge, shown

HUGE = 10**5000
DIGITS = "9" * 5000


def test_a_value_in_a_message_is_short() -> None:
    assert shown(7) == "7" and shown("a" * 100) == repr("a" * 100)[:60]
    assert shown(HUGE) == "an integer of 16,610 bits"
    assert is_huge(HUGE) and is_huge(-HUGE)
    assert not is_huge(10**4000) and not is_huge(1e308) and not is_huge("9")


@pytest.mark.parametrize("address", ["edge:{}", "sqlite-vec:{}/a.db", "lancedb:{}", "chroma:{}"])
def test_a_huge_integer_is_refused_everywhere(address: str, tmp_path: Path) -> None:
    with qa.open(address.format(tmp_path)) as db:
        notes = db.create("notes", dim=2)
        notes.write(qa.Batch([1], {"": [[1, 2]]}, [{"t": 1}]))
        row: Any = np.ones(2, np.float32)
        attempts: list[Callable[[], Any]] = [
            lambda: notes.write(qa.Batch([1], {"": [row]}, [{"t": HUGE}])),
            lambda: notes.write(qa.Batch([HUGE], {"": [row]})),
            lambda: notes.count({"t": HUGE}),
            lambda: notes.search(row, k=1, filter={"t": {"gt": HUGE}}),
            lambda: notes.search(row, k=HUGE),
            lambda: notes.search(row, k=1, rescore=HUGE),
            lambda: list(notes.read(after=HUGE)),
            lambda: list(notes.read(page=HUGE)),
            lambda: db.create("other", dim=HUGE),
        ]
        for number, attempt in enumerate(attempts):
            with pytest.raises(QadaptError) as caught:
                attempt()
            assert len(str(caught.value)) < 500, number
        assert notes.count() == 1


def test_a_number_of_5000_digits_in_an_address_or_option() -> None:
    for text in (f"qdrant+http://h:{DIGITS}", f"postgresql://h:{DIGITS}/a"):
        with pytest.raises(QadaptError):
            Address.parse(text)
    with pytest.raises(QadaptError, match="whole number of seconds"):
        qa.open(f"milvus+http://localhost:1?timeout={DIGITS}")
    assert read_queries(DIGITS) == DIGITS, "the path of a file"
    assert read_queries("200") == 200
