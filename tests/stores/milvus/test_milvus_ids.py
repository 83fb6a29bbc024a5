"""Integer and string ids in one VARCHAR key, and ids of collections of other clients."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.errors import InputError
from qadapt.stores.milvus.ids import MAX_NUMBER, PrimaryKey

OURS = PrimaryKey("qadapt_id", tagged=True)
TEXTS = st.text(min_size=1, max_size=100).filter(
    lambda text: "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
)
IDS = st.integers(0, MAX_NUMBER) | TEXTS | TEXTS.map(lambda text: f"#{text}")


@given(IDS)
def test_ids_keep_their_type(key: int | str) -> None:
    back = OURS.from_native(OURS.to_native(key))
    assert (back, type(back)) == (key, type(key))


@given(IDS, IDS)
def test_two_ids_are_never_the_same_key(left: int | str, right: int | str) -> None:
    assert (OURS.to_native(left) == OURS.to_native(right)) == (
        (left, type(left)) == (right, type(right))
    )


@given(st.lists(st.integers(0, MAX_NUMBER)))
def test_integer_ids_sort_numerically(numbers: list[int]) -> None:
    keys = [str(OURS.to_native(number)) for number in numbers]
    assert [OURS.from_native(key) for key in sorted(keys)] == sorted(numbers)


@pytest.mark.parametrize("key", [-1, 2**64, "", "a\0b", "\ud800", "x" * 513])
def test_invalid_ids_are_refused(key: int | str) -> None:
    with pytest.raises(InputError):
        OURS.to_native(key)


def test_keys_of_other_collections_are_not_changed() -> None:
    numbers, texts = PrimaryKey("id", number=True), PrimaryKey("id")
    assert numbers.to_native(-5) == -5
    assert texts.from_native("#00000000000000000007") == "#00000000000000000007"
    for keys, key in ((numbers, "a"), (numbers, 2**63), (texts, 7)):
        with pytest.raises(InputError):
            keys.to_native(key)
    assert numbers.possible([1, "a", 1, 2]) == [1, 2]


@pytest.mark.parametrize(
    "ids",
    [
        [7, 0, 2**64 - 1],
        [7, "a"],
        ["#00000000000000000007", 7],
        ["a", 7],
        ["#", "##", "#~"],
        ["#" + "x" * 20, "#" + "1" * 20],
        [],
    ],
)
def test_ids_of_one_search_are_those_of_each_key(ids: list[Any]) -> None:
    keys = [OURS.to_native(key) for key in ids]
    assert OURS.all_from_native(keys) == ids
    assert [OURS.from_native(key) for key in keys] == ids
