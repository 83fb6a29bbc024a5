"""Common behavior of several stores."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import (
    AddressError,
    InputError,
    NotFoundError,
    StoreTimeoutError,
    TransientError,
    UnsupportedError,
)
from qadapt.model import Batch, Id, Match, Metric, Vector
from qadapt.model.address import Address
from qadapt.stores import brute_force, checks, product_segments, retry, uuids, versioned_names

ONE = str(uuid.UUID(int=1))


def of_uuids(key: Id) -> str | None:
    return uuids.canonical(key) if isinstance(key, str) else None


def refusal(key: Id) -> InputError:
    return InputError(f"not {key!r}")


def test_uuids_are_canonical_and_unique() -> None:
    spelt = "{" + ONE.upper() + "}"
    assert uuids.checked([spelt], of_uuids, refusal) == [ONE]
    with pytest.raises(InputError, match="same UUID"):
        uuids.checked([ONE, spelt], of_uuids, refusal)
    with pytest.raises(InputError, match="not 'no'"):
        uuids.checked([ONE, "no"], of_uuids, refusal)
    assert uuids.possible([spelt, "no", ONE, 7], of_uuids) == [ONE]


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("a", {"a"}, "a_v2"),
        ("a_v1", {"a_v1"}, "a_v2"),
        ("a_v2", {"a_v2"}, "a_v3"),
        ("a", {"a", "a_v2", "a_v3"}, "a_v4"),
    ],
)
def test_the_next_version_is_the_first_free_number(name: str, taken: set[str], free: str) -> None:
    assert versioned_names.next_version(name, taken) == free


@pytest.mark.parametrize(
    ("text", "dim", "segments"),
    [("product:segments=48", 384, 48), ("product:ratio=16", 384, 96), ("product", 64, 16)],
)
def test_product_codes_split_the_dimensions_evenly(text: str, dim: int, segments: int) -> None:
    assert product_segments.segments(qa.Quantization.parse(text), Vector(dim)) == segments


def test_invalid_segment_counts_suggest_the_nearest_valid_ones() -> None:
    found = product_segments.segments(qa.product(segments=50), Vector(384))
    assert isinstance(found, Match)
    assert "384 dimensions cannot be cut into 50" in found.differences[0]
    assert found.support == ("product:segments=48",)


class Calls:
    """A call that fails several times, and the recorded pauses."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.slept: list[float] = []
        self.made = 0

    def __call__(self) -> int:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.made


def test_transient_errors_are_retried_with_a_limit() -> None:
    once = Calls(TransientError("gone"))
    assert retry.with_retries(once, retry.is_transient, sleep=once.slept.append) == 2
    assert len(once.slept) == 1
    for_ever = Calls(*[TransientError("gone")] * 9)
    with pytest.raises(TransientError):
        retry.with_retries(for_ever, retry.is_transient, sleep=for_ever.slept.append)
    assert for_ever.made == retry.ATTEMPTS


@pytest.mark.parametrize("error", [StoreTimeoutError("late"), InputError("wrong")])
def test_permanent_errors_are_not_repeated(error: Exception) -> None:
    calls = Calls(error)
    with pytest.raises(type(error)):
        retry.with_retries(calls, retry.is_transient, sleep=calls.slept.append)
    assert (calls.made, calls.slept) == (1, [])


def test_all_rows_read_give_the_best_and_never_those_without_the_vector() -> None:
    rows = np.eye(4, dtype=np.float32)
    pages = [
        Batch([1, 2], {"": rows[:2]}),
        Batch([3, 4], {"": rows[2:]}, missing={"": np.array([False, True])}),
    ]
    hits = brute_force.exact_search(
        iter(pages), "", Vector(4, Metric.DOT), rows[[2, 3]], 4, "all read"
    )
    assert hits.ids[0].tolist()[0] == 3
    assert 4 not in hits.ids.ravel().tolist()
    assert (hits.how.searcher, hits.how.scores, hits.how.notes) == (
        "qadapt",
        "exact",
        ("all read",),
    )
    none = brute_force.exact_search(iter([]), "", Vector(4), rows[:1], 2, "all read")
    assert none.ids.tolist() == [[None, None]]


def test_options_of_an_address() -> None:
    address = Address.parse("qdrant+http://h?timeout=9&rest=0")
    checks.options(address, ("timeout", "rest"))
    with pytest.raises(AddressError, match="'rest'"):
        checks.options(address, ("timeout",))
    assert checks.number(address, "timeout", 60) == 9
    assert checks.number(address, "grpc", 6334) == 6334
    with pytest.raises(AddressError, match="rest must be a positive integer; got '0'"):
        checks.number(address, "rest", 6333)


def test_vectors_are_known_unsupported_or_missing() -> None:
    known, others = {"title": 1}, {"city": "has the metric manhattan"}
    assert checks.vector("title", known, others) == 1
    with pytest.raises(UnsupportedError, match="'city' has the metric manhattan"):
        checks.vector("city", known, others)
    with pytest.raises(NotFoundError, match="'titel'"):
        checks.vector("titel", known, others)
