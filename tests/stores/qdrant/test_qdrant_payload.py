"""Numbers of payloads that the engine rounds: predicted and observed."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import qadapt as qa
from qadapt.stores.qdrant import payload

numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=5)
@given(st.lists(numbers, min_size=50, max_size=200))
def test_rounding_of_numbers_is_predicted(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[float]
) -> None:
    pytest.importorskip("qdrant_edge")
    folder: Path = tmp_path_factory.mktemp("floats")
    with qa.open(f"edge:{folder}") as database:
        made = database.create("a", dim=2, metric="dot")
        ones = np.ones((len(drawn), 2))
        made.write(qa.Batch(range(len(drawn)), {"": ones}, [{"f": each} for each in drawn]))
        found = [each["f"] for each in made.fetch(range(len(drawn))).payloads or ()]
    assert found == [payload.read(each) for each in drawn]
    same = [mine == other for mine, other in zip(drawn, found, strict=True)]
    assert same == [payload.is_exact(each) for each in drawn]


def test_values_inside_of_others_count() -> None:
    assert payload.is_exact({"a": [1, "x", None, 0.5]})
    assert not payload.is_exact({"a": [{"b": 5.626707680988445e233}]})
