"""Rows of Weaviate: checks before sending, errors of single objects, scans."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from live.weaviate import WeaviateServer
from weaviate_helpers import fill, foreign, keys, normal, number, raw_write

from qadapt.errors import (
    BusyError,
    InputError,
    NonFiniteError,
    NotFoundError,
    StoreError,
    ZeroVectorError,
)
from qadapt.model import Batch, Metric, Vector
from qadapt.model.address import Address
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.weaviate.store import WeaviateStore

# -- accepted by the server without error --------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(store: WeaviateStore, name: str, bad: float) -> None:
    rows = normal(3)
    rows[2, 1] = bad
    fill(store, name, normal(1))
    with pytest.raises(NonFiniteError):
        store.write(name, Batch(keys(3), {"": rows}))
    assert store.count(name) == 1
    assert raw_write(store, name, rows) == [], "this server refuses them itself now"


def test_zero_vectors_under_cosine_are_refused(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(1), metric="cosine")
    with pytest.raises(ZeroVectorError):
        store.write(name, Batch(keys(1), {"": np.zeros((1, 4))}))
    assert raw_write(store, name, np.zeros((1, 4), np.float32)) == []


def test_rows_of_any_size_keep_their_direction(store: WeaviateStore, name: str) -> None:
    """The server scores 1e30 and 1e-30 with 0; other lengths are returned bit for bit."""
    sizes = np.array([3e37, 1e30, 1e18, 1.0, 1e-10, 1e-20, 1e-30, 1e-38])[:, None]
    directions = normal(len(sizes)) / np.linalg.norm(normal(len(sizes)), axis=1, keepdims=True)
    rows = (directions * sizes).astype(np.float32)
    fill(store, name, rows, metric="cosine")
    hits = store.search(name, directions, SearchRequest(k=1))
    assert hits.ids[:, 0].tolist() == keys(len(sizes))
    assert np.abs(hits.scores - 1).max() < 1e-5
    kept = store.fetch(name, keys(len(sizes))).vectors[""]
    assert kept[2:5].tobytes() == rows[2:5].tobytes()


def test_a_missing_collection_is_not_created(store: WeaviateStore, name: str) -> None:
    """The server would create it with its default metric."""
    fill(store, name, normal(1))
    store.drop(name)
    with pytest.raises(NotFoundError, match=name):
        store.write(name, Batch(keys(1), {"": normal(1)}))
    assert name not in store.collections()
    raw_write(store, name, normal(1))
    assert name in store.collections(), "this server does not make it any more"


def test_counts_are_true_when_those_of_the_nodes_are_stale(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(3000))
    nodes = store.connection.rest("GET", f"/v1/nodes/{name}?output=verbose", doing="look")
    stale = sum(s["objectCount"] for n in nodes["nodes"] for s in n["shards"] or ())
    assert store.count(name) == store.info(name).count == 3000
    store.delete(name, keys(2500))
    assert store.count(name) == 500
    assert stale < 3000, "the nodes tell the truth at once now"


# -- errors of single objects --------------------------------------------------------------------


def test_refused_rows_are_collected_into_one_error(store: WeaviateStore, name: str) -> None:
    foreign(store, name, properties=[{"name": "day", "dataType": ["date"]}])
    payloads = [{"day": "soon" if row % 100 == 7 else "2024-05-01T00:00:00Z"} for row in range(500)]
    with pytest.raises(StoreError) as caught:
        store.write(name, Batch(keys(500), {"": normal(500)}, payloads))
    said = caught.value.message
    assert "could not write 5 of 500 rows" in said
    assert "495 were written" in said
    assert f"row 7 ({keys(1, 7)[0]})" in said
    assert "and 2 more" in said
    assert store.count(name) == 495


def test_an_index_that_refuses_all_rows_is_reported(store: WeaviateStore, name: str) -> None:
    """Segments that do not divide the dimension are accepted, but every insert fails."""
    config = {"distance": "dot", "pq": {"enabled": True, "segments": 3}}
    foreign(store, name, vectorIndexConfig=config)
    with pytest.raises(StoreError, match=r"3 of 3 rows.*0 were written.*segments"):
        store.write(name, Batch(keys(3), {"": normal(3)}))


def test_dimensions_that_only_the_server_knows(store: WeaviateStore, name: str) -> None:
    """Another client's collection has no note, so the dimension comes from the first row."""
    foreign(store, name)
    store.write(name, Batch(keys(1), {"": normal(1, 6)}))
    with pytest.raises(InputError, match="6"):
        store.write(name, Batch(keys(1, 1), {"": normal(1, 5)}))


def test_a_too_large_message_is_refused_or_split(
    weaviate_server: Callable[..., WeaviateServer],
) -> None:
    server = weaviate_server(GRPC_MAX_MESSAGE_SIZE="300000")
    store = WeaviateStore.open(Address.parse(server.url))
    try:
        assert store.connection.max_message == 300_000
        payloads = [{"text": "x" * 40_000, "number": row} for row in range(30)]
        fill(store, "Large", normal(30), payloads)
        assert store.count("Large") == 30
        pages = list(store.read("Large"))
        assert [text for page in pages for text in page.payloads or ()] == payloads
        assert store.fetch("Large", keys(30)).payloads == payloads
        filtered = store.read("Large", ReadRequest(filter={"number": {"gte": 0}}))
        assert [text for page in filtered for text in page.payloads or ()] == payloads
        with pytest.raises(StoreError, match=r"row 0 .* has 400,\d\d\d bytes.*0 of 1 rows"):
            store.write("Large", Batch(keys(1, 50), {"": normal(1)}, [{"text": "x" * 400_000}]))
        assert store.count("Large") == 30
    finally:
        store.close()


def test_writes_while_a_shard_compresses_report_rows_written(
    store: WeaviateStore, name: str
) -> None:
    rows = normal(4000, 256)
    fill(store, name, rows)
    raw = store.connection.rest("GET", f"/v1/schema/{name}", doing="read")
    raw["vectorIndexConfig"]["pq"]["enabled"] = True
    store.connection.rest("PUT", f"/v1/schema/{name}", raw, doing="compress")
    store.connection.sleep = lambda _: None  # the test does not wait for the end
    more = Batch(keys(10, 4000), {"": normal(10, 256, seed=1)})
    with pytest.raises(BusyError, match=r"read-only.*0 of 10 rows were written") as caught:
        store.write(name, more)
    assert "codes" in str(caught.value.hint)
    # A search blocks until it ends; then the write goes through.
    store.search(name, rows[:1], SearchRequest(k=1))
    for _ in range(200):
        try:
            store.write(name, more)
            break
        except BusyError:
            continue
    assert store.count(name) == 4010


# -- reading on ----------------------------------------------------------------------------------


def test_reading_on_with_a_filter_and_in_a_part(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(1000), [{"group": row % 5} for row in range(1000)])
    wanted = [row for row in range(1000) if row % 5 in (1, 2)]
    filter = {"group": [1, 2]}
    for scan_range in store.scan_ranges(name, 3):
        inside = list(
            store.read(name, ReadRequest(scan_range=scan_range, filter=filter, page=64, vectors=()))
        )
        found = [number(key) for page in inside for key in page.ids]
        bounds = [
            number(scan_range[word]) if word in scan_range else None for word in ("behind", "last")
        ]
        assert found == [
            row
            for row in wanted
            if (bounds[0] is None or row > bounds[0]) and (bounds[1] is None or row <= bounds[1])
        ]
        assert all(len(page) == 64 for page in inside[:-1])
        after = inside[0].ids[-1]
        rest = store.read(
            name, ReadRequest(scan_range=scan_range, filter=filter, after=after, vectors=())
        )
        assert [number(key) for page in rest for key in page.ids] == found[64:]


def test_rows_written_after_the_parts_were_cut_are_in_one_of_them(
    store: WeaviateStore, name: str
) -> None:
    fill(store, name, normal(100)[:, :4])
    scan_ranges = store.scan_ranges(name, 4)
    new = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
    store.write(name, Batch(new, {"": normal(2)}))
    found = [
        key
        for scan_range in scan_ranges
        for page in store.read(name, ReadRequest(scan_range=scan_range))
        for key in page.ids
    ]
    assert sorted(found) == sorted([*keys(100), *new])


def test_rows_without_one_of_their_vectors(store: WeaviateStore, name: str) -> None:
    store.create(name, {"a": Vector(4, Metric.DOT), "b": Vector(3, Metric.COSINE)}, {})
    gaps = np.array([False, True, False])
    store.write(name, Batch(keys(3), {"a": normal(3), "b": normal(3, 3)}, None, {"b": gaps}))
    (page,) = store.read(name)
    assert page.missing["b"].tolist() == [False, True, False]
    assert "a" not in page.missing
    assert store.fetch(name, keys(3), vectors=["b"], payload=False).vectors["b"].shape == (3, 3)


def test_ids_that_are_no_uuids_are_rejected_with_a_hint(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(1))
    for bad in (5, "doc-1", ""):
        with pytest.raises(InputError, match="UUID") as caught:
            store.write(name, Batch([bad], {"": normal(1)}))
        assert "uuid5" in str(caught.value.hint)
    twice = [keys(1)[0].upper(), keys(1)[0].replace("-", "")]
    with pytest.raises(InputError, match="the same UUID"):
        store.write(name, Batch(twice, {"": normal(2)}))
    assert store.fetch(name, ["doc-1", *keys(1), 7]).ids == keys(1)
    store.delete(name, ["doc-1", 7])
    assert store.count(name) == 1


def test_one_scan_range_is_read_completely_and_in_order(store: WeaviateStore, name: str) -> None:
    """The server cuts a lone range at the limit before it sorts."""
    order = np.random.default_rng(3).permutation(300)
    store.create(name, {"": Vector(4, Metric.DOT)}, {})
    batch = Batch([keys(1, row)[0] for row in order.tolist()], {"": normal(300)})
    years = [{"year": int(row) % 10} for row in order]
    store.write(name, Batch(batch.ids, batch.vectors, years))
    found = [
        number(key)
        for page in store.read(name, ReadRequest(filter={"year": {"lt": 8}}, page=50))
        for key in page.ids
    ]
    assert found == [row for row in range(300) if row % 10 < 8]


def test_no_rows_are_no_request(store: WeaviateStore, name: str) -> None:
    fill(store, name, normal(1))
    store.write(name, Batch([], {"": np.empty((0, 4))}))
    store.delete(name, [])
    assert store.fetch(name, []).ids == []
    assert store.count(name) == 1
