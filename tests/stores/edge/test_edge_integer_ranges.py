"""Numbers beyond 2^53, which share a float with their neighbors, are compared exactly."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import examples

import qadapt as qa
from qadapt.errors import UnsupportedError
from qadapt.model.filters import matches, parse_filter

NANOSECONDS = 1768907725507217522
AROUND = (-700, -257, -256, -129, -128, -1, 0, 1, 90, 128, 129, 256, 257, 700)
WHOLE: list[Any] = [
    *(NANOSECONDS + step for step in AROUND),
    *(-NANOSECONDS - step for step in AROUND),
    *(2**53 + step for step in range(-2, 4)),
    *(-(2**53) - step for step in range(-2, 4)),
    *(2**63 - 1, 2**63 - 1024, 2**63 - 513, -(2**63), -(2**63) + 1, -(2**63) + 600),
    *(0, 5, 10**18, 10**18 + 1, 10**18 - 1),
]
FLOATS: list[Any] = [1e18, float(NANOSECONDS), 2.0**53, 2.0**53 + 2, -(2.0**53), 2.5, 1e30, -1e30]
LISTS: list[Any] = [[5, NANOSECONDS], [NANOSECONDS - 700, NANOSECONDS + 700], [], None, "text"]
BOUNDS = [*WHOLE, *FLOATS, 2**63, 10**400, -(10**400), -(2**63) - 5000, float(2**64)]


def filters(seed: int, count: int) -> list[dict[str, Any]]:
    """Ranges of one and of two bounds, and equal values, with what they are nested in."""
    draw = random.Random(seed)
    found: list[dict[str, Any]] = []
    for _ in range(count):
        low, high = draw.choice(("gt", "gte")), draw.choice(("lt", "lte"))
        one, other = sorted((draw.choice(BOUNDS), draw.choice(BOUNDS)))
        leaf = draw.choice(
            [{"t": {low: one}}, {"t": {high: one}}, {"t": {low: one, high: other}}, {"t": other}]
        )
        shape = draw.randrange(4)
        found.append(
            [
                leaf,
                {"not": leaf},
                {"any": [leaf, {"t": 5}]},
                {"all": [{"not": leaf}, {"t": {"gt": -NANOSECONDS}}]},
            ][shape]
        )
    return found


def differing(collection: Any, values: list[Any], seed: int, count: int) -> list[Any]:
    """Filters that select other rows than the common syntax; refused ones are excluded."""
    wrong = []
    asked = 0
    for filter in filters(seed, count):
        tree = parse_filter(filter)
        wanted = [at for at, value in enumerate(values) if matches(tree, {"t": value})]
        try:
            found = [key for page in collection.read(filter=filter) for key in page.ids]
        except UnsupportedError:
            continue
        asked += 1
        if found != wanted or collection.count(filter) != len(wanted):
            wrong.append((filter, [values[at] for at in set(found) ^ set(wanted)]))
    assert asked > count / 2
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "values"),
    [
        (None, WHOLE + FLOATS + LISTS),
        # It treats a bound beyond 64 bits as the greatest integer.
        ("integer", [each for each in WHOLE if abs(each) < 2**63 - 1]),
        ("float", WHOLE + FLOATS),
    ],
)
def test_the_engine_compares_exactly(tmp_path: Path, index: str | None, values: list[Any]) -> None:
    """By payload it compares floats, by an integer index, integers with a rounded bound."""
    with qa.open(f"edge:{tmp_path}") as database:
        collection = database.create("a", dim=2, metric="dot")
        ones = np.ones((len(values), 2))
        payloads = [{"t": value} for value in values]
        collection.write(qa.Batch(range(len(values)), {"": ones}, payloads))
        if index is not None:
            database._store.create_payload_index("a", "t", index)
        assert differing(collection, values, seed=1, count=examples(120)) == []


@pytest.mark.slow
def test_local_mode_compares_exactly() -> None:
    client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
    values = WHOLE + FLOATS
    collection = qa.wrap(client).create("a", dim=2, metric="dot")
    payloads = [{"t": value} for value in values]
    collection.write(qa.Batch(range(len(values)), {"": np.ones((len(values), 2))}, payloads))
    assert differing(collection, values, seed=2, count=examples(60)) == []


def test_a_search_and_a_count_agree(tmp_path: Path) -> None:
    with qa.open(f"edge:{tmp_path}") as database:
        collection = database.create("a", dim=2, metric="dot")
        payloads = [{"t": NANOSECONDS + step} for step in (-1, 0, 1)]
        collection.write(qa.Batch([1, 2, 3], {"": [[1, 0]] * 3}, payloads))
        above, from_it = {"t": {"gt": NANOSECONDS}}, {"t": {"gte": NANOSECONDS}}
        assert (collection.count(above), collection.count(from_it)) == (1, 2)
        hits = collection.search([1, 0], k=3, filter=above)
        assert [key for key in hits.ids[0] if key is not None] == [3]


def test_inexpressible_bounds_are_rejected(tmp_path: Path) -> None:
    """Payloads contain integers from 2^63 on, which `match` does not support."""
    with qa.open(f"edge:{tmp_path}") as database:
        collection = database.create("a", dim=2, metric="dot")
        for filter in ({"t": {"gt": 2**63 - 1}}, {"t": 2**63}, {"t": {"lt": 1e19}}):
            with pytest.raises(UnsupportedError, match="64 signed bits"):
                collection.count(filter)
        assert collection.count({"t": {"lt": 2**63}}) == collection.count({"t": math.pi}) == 0
