"""Scan ranges and partitions on live engines."""

from __future__ import annotations

import json

import numpy as np
import pytest
from milvus_helpers import NAME

import qadapt as qa
from qadapt.errors import InputError, NotFoundError, SpecError, UnsupportedError
from qadapt.model import Batch, CollectionSchema, Vector
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.milvus import rows
from qadapt.stores.milvus.store import MilvusStore

RED = f"{NAME}@red"
PLAIN = f"{NAME}_plain"


@pytest.fixture(params=["server", "lite"])
def either(request: pytest.FixtureRequest) -> MilvusStore:
    """The server, and Lite."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def divided(store: MilvusStore) -> None:
    """Rows 0..49 in `red`, 50..149 in the default partition."""
    store.create(NAME, {"": Vector(4)}, {})
    store.connection.client.create_partition(NAME, "red", timeout=10)
    random = np.random.default_rng(0).standard_normal((150, 4)).astype(np.float32)
    for name, ids in ((RED, range(50)), (NAME, range(50, 150))):
        payloads = [{"group": key % 3} for key in ids]
        store.write(name, Batch(ids, {"": random[list(ids)]}, payloads))


def ids(store: MilvusStore, name: str, **named: object) -> list[int | str]:
    """Ids in the order of reading."""
    pages = store.read(name, ReadRequest(vectors=(), **named))  # type: ignore[arg-type]
    return [key for page in pages for key in page.ids]


def test_pages_are_sorted_by_key(either: MilvusStore) -> None:
    """Lite returns arbitrary rows for a limit: paging from the largest key lost the others."""
    either.create(NAME, {"": Vector(4)}, {})
    order = np.random.default_rng(1).permutation(500).tolist()
    array = np.arange(2000, dtype=np.float32).reshape(500, 4) + 1
    for start in range(0, 500, 100):
        some = order[start : start + 100]
        either.write(NAME, Batch(some, {"": array[some]}))
        either.connection.client.flush(NAME, timeout=60)
    pages = list(either.read(NAME, ReadRequest(page=70)))
    assert max(map(len, pages)) <= 70
    batch = Batch.concat(pages)
    assert batch.ids == list(range(500))
    assert batch.vectors[""].tobytes() == array.tobytes()
    assert ids(either, NAME, page=70, after=123) == list(range(124, 500))


def test_scan_ranges_contain_rows_written_later(either: MilvusStore) -> None:
    either.create(NAME, {"": Vector(4)}, {})
    either.write(NAME, Batch(range(0, 400, 2), {"": np.ones((200, 4))}))
    scan_ranges = json.loads(json.dumps([dict(each) for each in either.scan_ranges(NAME, 4)]))
    sizes = [len(ids(either, NAME, scan_range=scan_range)) for scan_range in scan_ranges]
    assert sizes == [50, 50, 50, 50]
    either.write(NAME, Batch([*range(1, 400, 2), 1000, "a text"], {"": np.ones((202, 4))}))
    found = [key for scan_range in scan_ranges for key in ids(either, NAME, scan_range=scan_range)]
    assert sorted(found, key=str) == sorted([*range(400), 1000, "a text"], key=str)
    middle = ids(either, NAME, scan_range=scan_ranges[1])[10]
    assert (
        ids(either, NAME, scan_range=scan_ranges[1], after=middle)
        == ids(either, NAME, scan_range=scan_ranges[1])[11:]
    )
    with pytest.raises(SpecError, match="upto"):
        ids(either, NAME, scan_range={"up": 3})
    with pytest.raises(InputError):
        either.scan_ranges(NAME, 0)
    with pytest.raises(InputError, match="-5"):
        ids(either, NAME, after=-5)


def test_scan_ranges_work_beyond_one_result_window(server: MilvusStore) -> None:
    """One answer has at most 16,384 rows."""
    count = rows.WINDOW + 3000
    server.create(NAME, {"": Vector(2)}, {})
    server.write(NAME, Batch(range(count), {"": np.ones((count, 2))}))
    assert ids(server, NAME, page=50_000) == list(range(count))
    scan_ranges = server.scan_ranges(NAME, 3)
    assert [
        len(ids(server, NAME, scan_range=scan_range, page=50_000)) for scan_range in scan_ranges
    ] == [
        6462,
        6462,
        6460,
    ]
    hits = server.search(NAME, np.ones((1, 2), dtype=np.float32), SearchRequest(k=rows.WINDOW))
    assert None not in hits.ids[0].tolist()


def test_a_partition_is_read_counted_and_searched(either: MilvusStore) -> None:
    divided(either)
    assert either.count(RED) == 50
    assert either.count(RED, {"group": 0}) == 17
    assert ids(either, RED) == list(range(50))
    assert either.fetch(RED, [3, 70, 4]).ids == [3, 4]
    query = np.ones((2, 4), dtype=np.float32)
    for exact in (False, True):
        hits = either.search(RED, query, SearchRequest(k=60, exact=exact))
        assert {key for key in hits.ids[0].tolist() if key is not None} == set(range(50))
    info = either.info(RED)
    assert (info.name, info.count, info.vectors[""].count) == (RED, 50, 50)
    either.delete(RED, [1, 100])
    assert (either.count(RED), either.count(f"{NAME}@_default")) == (49, 100)
    either.switch_alias(PLAIN, NAME)
    assert either.count(f"{PLAIN}@red") == 49
    either.drop_alias(PLAIN)
    scan_ranges = either.scan_ranges(NAME, 4)
    assert {each["partition"] for each in scan_ranges} == {"red", "_default"}
    found = [key for scan_range in scan_ranges for key in ids(either, NAME, scan_range=scan_range)]
    assert sorted(map(int, found)) == [0, *range(2, 150)]


def test_unknown_partitions_and_unsupported_operations_are_refused(either: MilvusStore) -> None:
    divided(either)
    for act in (either.info, either.count, lambda name: ids(either, name)):
        with pytest.raises(NotFoundError, match="red"):
            act(f"{NAME}@rad")
    with pytest.raises(NotFoundError, match="articel"):
        either.info("articel@red")
    with pytest.raises(InputError, match="name"):
        either.create(f"{NAME}@blue", {"": Vector(4)}, {})
    with pytest.raises(UnsupportedError, match="partition"):
        either.drop(RED)
    with qa.open(either.address) as database:
        assert database[RED].count() == 50
        for way in ("in-place", "alias"):
            with pytest.raises(UnsupportedError, match=r"is (a|one) part") as caught:
                database[RED].plan("scalar", strategy=way)  # type: ignore[arg-type]
            assert NAME in str(caught.value.hint)
        with pytest.raises(NotFoundError):
            database["articel@red"]


def test_sign_bits_in_a_second_collection_with_a_partition(server: MilvusStore) -> None:
    from milvus_helpers import carry_out, plan

    divided(server)
    carry_out(server, plan(server, "binary"))
    hits = server.search(RED, np.ones((1, 4), dtype=np.float32), SearchRequest(k=60))
    assert {key for key in hits.ids[0].tolist() if key is not None} == set(range(50))
    server.write(RED, Batch([7000], {"": np.ones((1, 4))}))
    server.delete(RED, [7000, 2, 100])
    assert server.count(NAME) == 149
    assert not plan(server, "binary"), "bits are in step"


# -- created with partitions
# ------------------------------------------------------------------------


def test_a_collection_is_created_with_partitions(either: MilvusStore) -> None:
    lite = either.connection.lite
    assert either.ids_unique_per_partition is not lite
    either.create(NAME, {"": Vector(4)}, {})
    assert either.collection_schema(NAME) == CollectionSchema(), "there is always one"
    either.drop(NAME)
    either.create(
        NAME, {"": Vector(4)}, {}, CollectionSchema(partitions=("red",), is_partitioned=True)
    )
    either.create_partitions(NAME, ["red", "blue"])
    found = either.collection_schema(NAME)
    assert (found.partitions, found.is_partitioned) == (("_default", "blue", "red"), True)
    assert either.collection_schema(RED) == CollectionSchema()
    one = np.ones((1, 4), dtype=np.float32)
    for scan_range in ("red", "blue"):
        either.write(f"{NAME}@{scan_range}", Batch([1], {"": one}, [{"of": scan_range}]))
    rows_there = [either.count(f"{NAME}@{scan_range}") for scan_range in ("red", "blue")]
    assert rows_there == ([0, 1] if lite else [1, 1]), "Lite keeps a key once, where it was last"
    for odd in ("a-b", "a b", "", "x" * 256):
        assert "letters, digits and _" in either.unsupported_schema(
            CollectionSchema(partitions=("red", odd), is_partitioned=True)
        )["partitions"]  # fmt: skip
    assert (
        either.unsupported_schema(
            CollectionSchema(partitions=("1", "_", "A_9"), is_partitioned=True)
        )
        == {}
    )
    assert "partitions" in either.unsupported_schema(
        CollectionSchema(is_partitioned=True, partition_key="topic")
    )
