"""Comparing rows: tolerances, types, the bound of a sample, and pages in threads."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError
from qadapt.migration.compare import (
    SHOWN,
    THREADS,
    RowComparer,
    RowDiff,
    same_payload,
    same_vectors,
)
from qadapt.migration.copy_check import upper_bound
from qadapt.migration.report import Difference

Ends = Callable[[str], Database]

# -- vectors -------------------------------------------------------------------------------------


def test_exact_comparison_includes_the_sign_of_zero_and_the_last_bit() -> None:
    one = np.asarray([[0.0, 1.0], [1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    other = one.copy()
    other[0, 0] = -0.0
    other[1, 0] = np.nextafter(np.float32(1.0), np.float32(2.0))
    assert same_vectors(one, other, "exact").tolist() == [False, False, True]


def test_normalized_comparison_ignores_only_the_length() -> None:
    one = np.asarray([[3.0, 4.0], [3.0, 4.0], [1e-5, 0.0]], dtype=np.float32)
    other = np.asarray([[0.6, 0.8], [0.61, 0.79], [1e-5, 0.0]], dtype=np.float32)
    assert same_vectors(one, other, "normalized").tolist() == [True, False, True]


def test_float16_comparison_allows_only_for_its_rounding() -> None:
    one = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    rounded = one.astype(np.float16).astype(np.float32)
    assert same_vectors(one, rounded, "float16").all()
    assert not same_vectors(one, rounded * np.float32(1.01), "float16").any()


# -- payloads ------------------------------------------------------------------------------------


def test_payloads_are_compared_with_their_types() -> None:
    assert same_payload({"a": 1, "b": [None]}, {"b": [None], "a": 1})
    assert not same_payload({"a": 1}, {"a": 1.0})
    assert not same_payload({"a": True}, {"a": 1})
    assert not same_payload({"a": "1"}, {"a": 1})


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@given(st.data())
def test_payloads_are_equal_if_their_json_is_equal(data: st.DataObject) -> None:
    mine = data.draw(st.dictionaries(st.text(max_size=2), VALUES, max_size=4))
    other = {
        key: data.draw(st.sampled_from([value, _almost(value)])) for key, value in mine.items()
    }
    texts = [json.dumps(each, sort_keys=True) for each in (mine, other)]
    assert same_payload(mine, other) == (texts[0] == texts[1])


def _almost(value: Any) -> Any:
    """A value that Python considers equal, or nearly equal."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return -value
    return float(value) if isinstance(value, int) and abs(value) < 2**53 else value


# -- samples and pages ---------------------------------------------------------------------------


def test_the_upper_bound_of_a_sample() -> None:
    assert upper_bound(0, 300) == pytest.approx(0.01)
    assert upper_bound(0, 0) == 1
    # Wilson's 95 % interval of 5 in 100 is 0.0215 to 0.1118, that of 4 in 10 is 0.168 to 0.687.
    assert upper_bound(5, 100) == pytest.approx(0.1118, abs=1e-4)
    assert upper_bound(4, 10) == pytest.approx(0.687, abs=1e-3)


class _Page:
    """A page of one row."""

    rows = (1,)

    def __init__(self, number: int) -> None:
        self.number = number


class _SlowComparer(RowComparer):
    """Counts the pages that are compared at the same time; pages finish out of order."""

    def __init__(self) -> None:
        super().__init__(None, {}, {})  # type: ignore[arg-type]
        self.lock, self.running, self.most = threading.Lock(), 0, 0
        self.odd_done = threading.Event()

    def _compare(self, routed: Any) -> RowDiff:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        threading.Event().wait(0.004 if routed.number % 2 else 0.001)
        with self.lock:
            self.running -= 1
        return RowDiff(1, 1, [Difference(routed.number, "vector", "")])


def test_few_pages_are_compared_at_a_time_and_listed_in_order() -> None:
    with _SlowComparer() as comparer:
        for number in range(30):
            comparer.add(_Page(number))  # type: ignore[arg-type]
        found = comparer.result()
    assert (found.compared, found.different, comparer.most) == (30, 30, THREADS)
    assert [each.id for each in found.differences] == list(range(SHOWN))


@pytest.mark.parametrize("side", ["source", "target"])
def test_an_error_on_either_side_ends_the_check(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    there = ends("edge")
    qa.migrate(source, (there, "docs"), check="off")
    store = source._store if side == "source" else there._store
    for method in ("read", "fetch"):
        with monkeypatch.context() as patched:
            patched.setattr(store, method, _broken)
            with pytest.raises(StoreError, match="connection lost"):
                qa.check(source, (there, "docs"))
    assert qa.check(source, (there, "docs")).passed
    assert not [each for each in threading.enumerate() if each.name.startswith("qadapt-")]


def _broken(*_: Any, **__: Any) -> Any:
    raise StoreError("connection lost")
