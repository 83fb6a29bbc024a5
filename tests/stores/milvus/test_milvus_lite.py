"""Milvus Lite: the indexes that it builds, verified in its files."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from milvus_helpers import NAME, carry_out, fill, kind, plan, recall, state, status, take_back

from qadapt.errors import (
    AddressError,
    BusyError,
    InputError,
    NotFoundError,
    StoreError,
    StoreTimeoutError,
    UnsupportedError,
)
from qadapt.model import Batch, Metric, Quantization, State, Vector
from qadapt.model.address import Address
from qadapt.stores.base import SearchRequest, silent
from qadapt.stores.milvus import schema
from qadapt.stores.milvus.status import IN_SEGMENTS, LEAST, MOST
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")


def files(store: MilvusStore) -> list[Path]:
    """Its index files."""
    assert store.connection.path is not None
    return sorted(store.connection.path.rglob("*.idx"))


def test_scalar_quantization_is_verified_by_the_index_file(
    lite: MilvusStore, sample: Sample
) -> None:
    faiss = pytest.importorskip("faiss")
    fill(lite, sample.rows)
    steps = plan(lite, "scalar")
    carry_out(lite, steps)
    assert state(lite) is State.ACTIVE
    (path,) = files(lite)
    index = faiss.read_index(str(path))
    assert index.ntotal == 2000
    codes = faiss.downcast_index(faiss.downcast_index(index).storage)
    assert codes.sq.qtype == faiss.ScalarQuantizer.QT_8bit
    lossy = recall(lite, sample.queries, sample.rows)
    assert lossy < 0.995
    assert lite.info(NAME).vectors[""].code_bytes == path.stat().st_size
    take_back(lite, steps)
    assert (kind(lite), state(lite)) == ("HNSW", State.ABSENT)
    assert recall(lite, sample.queries, sample.rows) > lossy


def test_nested_build_parameters_take_effect(lite: MilvusStore, sample: Sample) -> None:
    """Facts section 4: pymilvus' flat form is dropped, and nlist is always 128."""
    faiss = pytest.importorskip("faiss")
    fill(lite, sample.rows)
    wanted = Quantization.parse('scalar:native={"index_type":"IVF_SQ8","nlist":16}')
    carry_out(lite, plan(lite, wanted))
    (path,) = files(lite)
    assert faiss.extract_index_ivf(faiss.read_index(str(path))).nlist == 16
    assert lite.info(NAME).vectors[""].index["params"] == {"nlist": "16"}
    assert not plan(lite, wanted)


def test_rows_in_memory_are_reported_and_flushed_by_apply(
    lite: MilvusStore, sample: Sample
) -> None:
    lite.create(NAME, {"": Vector(64)}, {"": Quantization.parse("scalar")})
    lite.write(NAME, Batch(range(2000), {"": sample.rows}))
    assert state(lite) is State.BUILDING
    assert "memory" in status(lite).reason
    carry_out(lite, plan(lite, "scalar"))
    assert state(lite) is State.ACTIVE
    lite.write(NAME, Batch([5000], {"": sample.rows[:1]}))
    assert state(lite) is State.ACTIVE
    assert status(lite).reason == "1 rows are in memory: searches compare their original vectors"


@pytest.mark.parametrize(
    ("deleted", "written"),
    [
        ((), range(2000)),
        pytest.param(range(2000), range(2000, 4000), marks=pytest.mark.long),
        pytest.param(range(1800), range(2000, 2300), marks=pytest.mark.long),
    ],
    ids=["all replaced", "all deleted and others written", "90 % deleted, with a tail"],
)
def test_deleted_and_replaced_rows_do_not_count_as_coded(
    lite: MilvusStore, sample: Sample, deleted: Sequence[int], written: Sequence[int]
) -> None:
    """Their index file stays until a compaction; live rows are those not in memory."""
    fill(lite, sample.rows)
    carry_out(lite, plan(lite, "scalar"))
    assert state(lite) is State.ACTIVE
    lite.delete(NAME, deleted)
    lite.write(NAME, Batch(written, {"": sample.rows[: len(written)]}))
    found = status(lite)
    assert found.state is State.BUILDING
    reported = {each.signal: each.value for each in found.evidence}
    assert reported[IN_SEGMENTS] == 2000
    assert reported["rows in memory (write-ahead log)"] == len(written)
    assert reported[LEAST] == reported[MOST] == lite.count(NAME) - len(written)
    carry_out(lite, plan(lite, "scalar"))
    assert state(lite) is State.ACTIVE


def test_a_row_deleted_from_memory_is_not_counted(lite: MilvusStore, sample: Sample) -> None:
    fill(lite, sample.rows)
    carry_out(lite, plan(lite, "scalar"))
    lite.write(NAME, Batch(range(3000, 3010), {"": sample.rows[:10]}))
    lite.delete(NAME, [*range(3000, 3004), 5])
    lite.write(NAME, Batch([3000], {"": sample.rows[:1]}))
    reported = {each.signal: each.value for each in status(lite).evidence}
    assert reported["rows in memory (write-ahead log)"] == 7
    assert reported[LEAST] == 1999


def test_a_reopened_file_is_loaded_on_first_use(tmp_path: Path, sample: Sample) -> None:
    """Lite does not store the load state: a reopened collection could not be searched or read."""
    address = Address("milvus", None, str(tmp_path / "again.db"))
    with closing(MilvusStore.open(address)) as store:
        fill(store, sample.rows)
        carry_out(store, plan(store, "scalar"))
    uses: list[Callable[[MilvusStore], object]] = [
        lambda store: (
            store.search(NAME, sample.rows[3:4], SearchRequest(k=1)).ids.tolist() == [[3]]
        ),
        lambda store: list(store.fetch(NAME, [3]).ids) == [3],
        lambda store: store.count(NAME, {"group": 3}) == 286,
        lambda store: sum(map(len, store.read(NAME))) == 2000,
        lambda store: len(store.scan_ranges(NAME, 2)) > 0,
        lambda store: store.delete(NAME, [1999]) is None,
        lambda store: state(store) is State.ACTIVE and not plan(store, "scalar"),
        lambda store: not store.findings(store.info(NAME)),
    ]
    for use in uses:
        with closing(MilvusStore.open(address)) as store:
            assert not schema.loaded(store.connection, NAME)
            assert use(store)


def test_an_upsert_replaces_the_whole_payload(lite: MilvusStore) -> None:
    """The upsert of Lite merges the payload into the existing one; a server replaces it."""
    lite.create(NAME, {"": Vector(4)}, {})
    lite.write(NAME, Batch([1], {"": np.eye(1, 4)}, [{"a": 1, "b": 2}]))
    lite.write(NAME, Batch([1], {"": np.eye(1, 4)}, [{"b": 3}]))
    assert lite.fetch(NAME, [1]).payloads == [{"b": 3}]
    assert lite.count(NAME) == 1


@pytest.mark.parametrize("cut", [pytest.param("release", marks=pytest.mark.long), "drop"])
def test_an_interrupted_change_continues_on_the_next_apply(
    lite: MilvusStore, sample: Sample, cut: str
) -> None:
    fill(lite, sample.rows, metric="dot")
    (step,) = plan(lite, "scalar")
    client = lite.connection.client
    client.alter_collection_properties(NAME, {"qadapt.metric.vector": "IP"})
    client.release_collection(NAME)
    if cut == "drop":
        client.drop_index(NAME, "vector")
        assert lite.info(NAME).vectors[""].metric.value == "dot"
    lite.run(NAME, step.request, silent, 60)
    assert (kind(lite), state(lite)) == ("HNSW_SQ", State.ACTIVE)
    assert len(lite.search(NAME, sample.queries[:1], SearchRequest(k=5)).ids[0]) == 5


def test_binary_codes_are_refused_with_a_hint_at_client_side_codes(
    lite: MilvusStore, sample: Sample
) -> None:
    fill(lite, sample.rows)
    with pytest.raises(UnsupportedError, match="binary") as caught:
        plan(lite, "binary")
    assert "client" in str(caught.value.hint)


def test_a_file_is_open_in_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    address = Address("milvus", None, str(path))
    code = (
        "import qadapt as qa, sys\n"
        f"try: qa.open('milvus:{path}').close()\n"
        "except qa.QadaptError as error: print(type(error).__name__)\n"
        "else: print('opened')\n"
    )

    def other() -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return done.stdout.strip()

    first, second = MilvusStore.open(address), MilvusStore.open(address)
    first.create(NAME, {"": Vector(4)}, {})
    first.close()
    assert second.collections() == [NAME]
    assert other() == BusyError.__name__
    second.close()
    assert other() == "opened"


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> tuple[list[str], list[str]]:
    """Lite responds to `describe` late; counts received and answered requests."""
    servicer = pytest.importorskip("milvus_lite.adapter.grpc.servicer").MilvusServicer
    describe = servicer.DescribeCollection
    asked: list[str] = []
    answered: list[str] = []

    def late(self: Any, request: Any, context: Any) -> Any:
        asked.append(request.collection_name)
        time.sleep(seconds)
        answered.append(request.collection_name)
        return describe(self, request, context)

    monkeypatch.setattr(servicer, "DescribeCollection", late)
    return asked, answered


def test_a_stalled_call_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = slow(monkeypatch, 6)
    store = MilvusStore.open(Address.parse(f"milvus:{tmp_path / 'a.db'}?timeout=2"))
    try:
        with pytest.raises(StoreTimeoutError, match="within 2 s"):
            store.connection.call("describe 'a'", store.connection.client.describe_collection, "a")
        assert (asked, answered) == (["a"], []), "it was asked once, and not waited for"
    finally:
        store.close()


def test_a_long_call_survives_the_ping_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pymilvus' 10 s between pings are a third of a second here, so that 6 s are like 200."""
    grpc = pytest.importorskip("grpc")
    channel = grpc.insecure_channel

    def impatient(target: str, options: Any = None, **named: Any) -> Any:
        given = {**dict(options or []), "grpc.http2.max_pings_without_data": 0}
        if given.get("grpc.keepalive_time_ms") == 10_000:
            given["grpc.keepalive_time_ms"] = 300
        return channel(target, options=list(given.items()), **named)

    monkeypatch.setattr(grpc, "insecure_channel", impatient)
    asked, _ = slow(monkeypatch, 6)
    store = MilvusStore.open(Address.parse(f"milvus:{tmp_path / 'a.db'}"))
    try:
        with pytest.raises(NotFoundError):
            store.connection.call("describe 'a'", store.connection.client.describe_collection, "a")
        assert len(asked) == 1, "it was cut, and made again"
    finally:
        store.close()


@pytest.mark.parametrize("place", [":memory:", "notes.txt", "no/such/folder/x.db"])
def test_memory_placement_is_not_supported_in_lite(place: str, tmp_path: Path) -> None:
    where = place if place == ":memory:" else str(tmp_path / place)
    with pytest.raises(AddressError):
        MilvusStore.open(Address("milvus", None, where))


def test_a_wrapped_client_is_used_and_never_closed(tmp_path: Path, sample: Sample) -> None:
    pymilvus = pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    client = pymilvus.MilvusClient(str(tmp_path / "own.db"))
    try:
        assert MilvusStore.wraps(client)
        store = MilvusStore.wrap(client)
        assert store.address.path == tmp_path / "own.db"
        fill(store, sample.rows)
        carry_out(store, plan(store, "scalar"))
        assert state(store) is State.ACTIVE
        store.close()
        assert client.list_collections() == [NAME]
    finally:
        client.close()
    with pytest.raises(UnsupportedError):
        MilvusStore.wrap(object())


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        ({"vector": 1}, "field of the collection"),
        ({"qadapt_id": 1}, "field of the collection"),
        ({"$meta": 1}, "field of the collection"),
        ({"text": "x" * 70_000}, "65,536"),
        ({"a": float("nan")}, "JSON"),
    ],
)
def test_invalid_payloads_are_refused_before_any_write(
    lite: MilvusStore, payload: dict[str, object], what: str
) -> None:
    lite.create(NAME, {"": Vector(4)}, {})
    with pytest.raises(InputError, match=what):
        lite.write(NAME, Batch([1, 2], {"": np.eye(2, 4)}, [{}, payload]))
    assert lite.count(NAME) == 0


def test_a_row_needs_every_vector(lite: MilvusStore) -> None:
    lite.create(NAME, {"a": Vector(4), "b": Vector(4)}, {})
    with pytest.raises(InputError, match="'b'"):
        lite.write(NAME, Batch([1], {"a": np.eye(1, 4)}))
    assert lite.count(NAME) == 0


def test_a_collection_of_another_client_is_read(lite: MilvusStore) -> None:
    client = lite.connection.client
    client.create_collection("own", dimension=4, metric_type="L2")
    client.insert("own", [{"id": 7, "vector": [0.0, 1.0, 0.0, 0.0], "topic": "art"}])
    info = lite.info("own")
    assert list(info.vectors) == ["vector"]
    assert info.vectors["vector"].metric.value == "euclidean"
    batch = lite.fetch("own", [7, "seven"])
    assert (batch.ids, batch.payloads) == ([7], [{"topic": "art"}])
    with pytest.raises(InputError, match="INT64"):
        lite.write("own", Batch(["seven"], {"vector": np.eye(1, 4)}))
    lite.write("own", Batch([8], {"vector": np.eye(1, 4)}, [{"topic": "music"}]))
    assert lite.count("own", {"topic": "music"}) == 1


def test_a_log_that_a_full_disk_cut_off_is_read_up_to_there(
    lite: MilvusStore, sample: Sample
) -> None:
    fill(lite, sample.rows)
    before = lite.info(NAME).vectors[""].status
    (log,) = (lite.connection.path or Path()).glob(f"collections/{NAME}/wal/wal_data_*.arrow")
    whole = log.stat().st_size
    with log.open("r+b") as file:  # cut off within the last batch of rows
        file.truncate(whole - 5_000)
    status = lite.info(NAME).vectors[""].status
    assert status.state is before.state


def test_a_full_disk_names_the_folder_and_prints_no_traceback(
    lite: MilvusStore,
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fill(lite, sample.rows)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("milvus_lite.storage.wal.WAL.write_insert", full)
    row = Batch([900_001], {"": sample.rows[:1]})
    with pytest.raises(StoreError, match="No space left on device") as caught:
        lite.write(NAME, row)
    assert str(lite.connection.path) in str(caught.value.hint)
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.undo()
    assert lite.count(NAME) == len(sample.rows)
    lite.write(NAME, row)
    assert lite.count(NAME) == len(sample.rows) + 1


def test_payloads_are_part_of_the_search_response(
    lite: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.eye(8, dtype=np.float32)
    payloads = [{"at": at, "nested": {"a": [1, at]}, "text": None} for at in range(8)]
    lite.create("c", {"": Vector(8, Metric.DOT)}, {})
    lite.write("c", Batch([*range(7), "x"], {"": rows}, payloads))
    search = SearchRequest(k=2, with_payload=True)
    first = lite.search("c", rows[[7, 2]], search)
    assert first.payloads is not None
    assert [first.payloads[0][0], first.payloads[1][0]] == [payloads[7], payloads[2]]
    asked: list[str] = []
    for name in ("search", "query", "get"):
        original = getattr(lite.connection.client, name)

        def counted(*args: Any, _name: str = name, _call: Any = original, **more: Any) -> Any:
            asked.append(_name)
            return _call(*args, **more)

        monkeypatch.setattr(lite.connection.client, name, counted)
    again = lite.search("c", rows[[7, 2]], search)
    assert (again.ids.tolist(), again.payloads) == (first.ids.tolist(), first.payloads)
    assert asked == ["search"]
