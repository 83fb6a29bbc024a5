"""The parts of a copy, each by itself: journal, reading ahead, pace, notes in payloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qadapt.errors import IntegrityError
from qadapt.migration.ahead import ahead
from qadapt.migration.carrier import ENTRIES, NORMS, Carrier, home
from qadapt.migration.checking import upper_bound
from qadapt.migration.compare import same_payload, same_vectors
from qadapt.migration.journal import Journal
from qadapt.migration.pace import LEAST, Pace
from qadapt.model import Batch, Metric, Vector
from qadapt.model.address_form import AddressForm
from qadapt.stores.base import Kept, Store
from qadapt.stores.profile import StoreProfile, Traits

# -- journal -------------------------------------------------------------------------------------


def test_a_journal_is_there_after_a_crash(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin([{"from": 1}, {"from": 5}], plan={"a": [1, None]})
    journal.acknowledge(0, 3, 10, 400, {"bad": "why"})
    journal.acknowledge(0, "x", 5, 200)
    journal.done(1)
    # Not closed: another process finds what was acknowledged.
    again = Journal(tmp_path)
    first, second = again.stands()
    assert (first.after, first.rows, first.bytes, first.done) == ("x", 15, 600, False)
    assert (second.after, second.rows, second.done) == (None, 0, True)
    assert again.left_out() == {(None, "bad"): "why"}
    assert again.get("plan") == {"a": [1, None]}
    assert again.get("nothing", 7) == 7
    again.close()
    journal.close()


def test_large_numbers_stay_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin([{}])
    journal.acknowledge(0, 2**64 - 1, 1, 1)
    assert journal.stand(0).after == 2**64 - 1
    journal.close()


def test_a_damaged_journal_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(IntegrityError, match="cannot be read") as caught:
        Journal(tmp_path)
    assert "delete its folder" in str(caught.value)


# -- reading ahead -------------------------------------------------------------------------------


def test_one_is_read_while_one_is_used_and_no_more() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(5):
            read.append(item)
            yield item

    used = ahead(items())
    assert next(used) == 0
    time.sleep(0.1)
    assert read == [0, 1]
    assert list(used) == [1, 2, 3, 4]


def test_what_reading_raises_is_raised_where_it_is_used() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    used = ahead(items())
    assert next(used) == 1
    with pytest.raises(KeyError, match="broken"):
        next(used)


def test_closing_leaves_no_thread() -> None:
    used = ahead(iter(range(1000)))
    next(used)
    used.close()
    assert not [each for each in threading.enumerate() if each.name == "qadapt-reader"]


# -- pace ----------------------------------------------------------------------------------------


def test_batches_follow_the_answers() -> None:
    pace = Pace(row_bytes=1024, batch_bytes=1 << 20)
    assert pace.rows == 1024
    pace.took(1024, 0.01)
    assert pace.rows == 1280
    pace.took(1280, 20.0)
    assert pace.rows == 128
    for _ in range(20):
        pace.failed()
    assert pace.rows == LEAST
    for _ in range(200):
        pace.took(pace.rows, 0.01)
    assert pace.rows == 4096


# -- comparing -----------------------------------------------------------------------------------


def test_bit_for_bit_sees_the_sign_of_zero_and_the_last_bit() -> None:
    one = np.asarray([[0.0, 1.0], [1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    other = one.copy()
    other[0, 0] = -0.0
    other[1, 0] = np.nextafter(np.float32(1.0), np.float32(2.0))
    assert same_vectors(one, other, "bit for bit").tolist() == [False, False, True]


def test_length_1_forgives_length_alone() -> None:
    one = np.asarray([[3.0, 4.0], [3.0, 4.0], [1e-5, 0.0]], dtype=np.float32)
    other = np.asarray([[0.6, 0.8], [0.61, 0.79], [1e-5, 0.0]], dtype=np.float32)
    assert same_vectors(one, other, "length 1").tolist() == [True, False, True]


def test_float16_forgives_its_own_rounding_alone() -> None:
    one = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    rounded = one.astype(np.float16).astype(np.float32)
    assert same_vectors(one, rounded, "float16").all()
    assert not same_vectors(one, rounded * np.float32(1.01), "float16").any()


def test_payloads_are_compared_with_their_types() -> None:
    assert same_payload({"a": 1, "b": [None]}, {"b": [None], "a": 1})
    assert not same_payload({"a": 1}, {"a": 1.0})
    assert not same_payload({"a": True}, {"a": 1})
    assert not same_payload({"a": "1"}, {"a": 1})


def test_the_bound_of_a_sample() -> None:
    assert upper_bound(0, 300) == pytest.approx(0.01)
    assert upper_bound(0, 0) == 1
    assert 0.10 < upper_bound(10, 100) < 0.2


# -- notes ---------------------------------------------------------------------------------------


class _Picky(Store):
    """A target of few words: UUIDs, no null, no entry called ``vector``, cosine at length 1."""

    profile = StoreProfile(
        interface=1,
        name="picky",
        store="test_mig_parts:_Picky",
        package="",
        distribution="",
        address=AddressForm(local="folder"),
        traits=Traits(normalizes_cosine=True, keeps_payload=False),
    )

    def takes_id(self, key: object) -> bool:
        return isinstance(key, str) and len(key) == 36

    def keeps(self, key: str, value: object) -> Kept:
        if value == 0.1:
            return "nearly"
        return "not" if value is None or key == "vector" else "as it is"


@pytest.fixture
def picky() -> Store:
    """The class without its abstract methods: only three of them are used."""
    made = type("Made", (_Picky,), dict.fromkeys(Store.__abstractmethods__))
    store: Store = object.__new__(made)
    return store


def test_notes_are_made_and_taken_in(picky: Store) -> None:
    payloads = [{"a": 0.1, "n": None}, {"vector": "mine", ENTRIES: "mine too"}]
    batch = Batch([5, "x"], {"": [[3, 4], [0, 2]]}, payloads)
    carrier = Carrier(picky, {"": Vector(2, Metric.COSINE)}, keep_norms=True)
    there = carrier.carry(batch)
    assert all(len(str(key)) == 36 for key in there.ids)
    assert there.payloads is not None
    assert all(value is not None for each in there.payloads for value in each.values())
    assert "vector" not in there.payloads[1]
    assert there.payloads[0]["a"] == 0.1  # for filters
    assert {ENTRIES, NORMS} <= set(there.payloads[0])
    stored = Batch(there.ids, {"": [[0.6, 0.8], [0, 1]]}, there.payloads)
    back = home(stored)
    assert list(back.ids) == [5, "x"]
    assert [dict(each) for each in back.payloads or ()] == payloads
    np.testing.assert_allclose(back.vectors[""], [[3, 4], [0, 2]], rtol=1e-6)
    # To another store that normalises, lengths are of no use and floats stay as they are.
    again = carrier.home(stored)
    assert again.vectors[""].tobytes() == stored.vectors[""].tobytes()


def test_rows_without_notes_are_not_touched(picky: Store) -> None:
    batch = Batch([1], {"": [[1, 2]]}, [{"a": 1}])
    assert home(batch) is batch
