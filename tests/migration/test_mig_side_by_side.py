"""Pages that are compared side by side: in order, few at a time, and no error is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError
from qadapt.migration import side_by_side
from qadapt.migration.compare import Difference, same_payload
from qadapt.migration.side_by_side import COMPARERS, Comparing, Found

Ends = Callable[[str], Database]


class _Page:
    """A page of one row."""

    rows = (1,)

    def __init__(self, no: int) -> None:
        self.no = no


def test_they_are_told_in_order_and_few_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def slow(page: Any, _: Any) -> Found:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02 if page.no % 2 else 0.001)
        with lock:
            under_way -= 1
        return Found(1, 1, [Difference(page.no, "vector", "")])

    monkeypatch.setattr(side_by_side, "_compare", slow)
    with Comparing({}) as comparing:
        for no in range(30):
            comparing.add(_Page(no))  # type: ignore[arg-type]
        found = comparing.all()
    assert (found.compared, found.different, most) == (30, 30, COMPARERS)
    assert [each.id for each in found.differences] == list(range(side_by_side.SHOWN))


@pytest.mark.parametrize("side", ["source", "target"])
def test_an_error_of_either_side_ends_the_check(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    there = ends("edge")
    qa.migrate(source, (there, "docs"), check="off")
    store = source._store if side == "source" else there._store
    for method in ("read", "fetch"):
        with monkeypatch.context() as patched:
            patched.setattr(store, method, _broken)
            with pytest.raises(StoreError, match="it broke"):
                qa.check(source, (there, "docs"))
    assert qa.check(source, (there, "docs")).passed
    assert not [each for each in threading.enumerate() if each.name.startswith("qadapt-")]


def _broken(*_: Any, **__: Any) -> Any:
    raise StoreError("it broke")


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@given(st.data())
def test_payloads_are_compared_as_their_json_is(data: st.DataObject) -> None:
    mine = data.draw(st.dictionaries(st.text(max_size=2), VALUES, max_size=4))
    other = {key: data.draw(st.sampled_from([value, _twin(value)])) for key, value in mine.items()}
    texts = [json.dumps(each, sort_keys=True) for each in (mine, other)]
    assert same_payload(mine, other) == (texts[0] == texts[1])


def _twin(value: Any) -> Any:
    """A value that Python calls the same, or nearly."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return -value
    return float(value) if isinstance(value, int) and abs(value) < 2**53 else value
