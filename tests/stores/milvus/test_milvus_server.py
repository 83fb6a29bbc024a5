"""Milvus 2.3.5: the reported status matches the searches, and known pitfalls of the server."""

from __future__ import annotations

import time

import numpy as np
import pytest
from milvus_helpers import NAME, carry_out, fill, kind, plan, recall, state, status, take_back

from qadapt.errors import NotFoundError, StoreError, StoreTimeoutError, UnsupportedError
from qadapt.model import Batch, Kind, Quantization, Rescore, State, Vector
from qadapt.stores.base import Progress, ReadRequest, SearchRequest, silent
from qadapt.stores.milvus import binary_sidecar
from qadapt.stores.milvus.status import GROWING, IN_SEGMENTS, MOST
from qadapt.stores.milvus.store import MilvusStore
from qadapt.testing.data import Sample


def test_new_rows_are_building_until_segments_use_the_index(
    server: MilvusStore, sample: Sample
) -> None:
    """Facts section 3: describe_index reports Finished long before a search uses the index."""
    server.create(NAME, {"": Vector(64)}, {"": Quantization.parse("scalar")})
    server.write(NAME, Batch(range(2000), {"": sample.rows}))
    before = status(server)
    signals = {item.signal: item.value for item in before.evidence}
    assert before.state is State.BUILDING
    assert signals["describe_index: state (not sufficient)"] == "Finished"
    (step,) = plan(server, "scalar")
    assert step.estimate.stops == "nothing"
    carry_out(server, [step])
    assert state(server) is State.ACTIVE
    assert not plan(server, "scalar")


def test_small_segments_are_ignored_with_a_note_in_the_plan(
    server: MilvusStore, sample: Sample
) -> None:
    """milvus#25234: Finished and indexed_rows=1000, while original vectors are compared."""
    fill(server, sample.rows[:1000])
    (step,) = plan(server, "scalar")
    assert "1,024" in step.reason
    carry_out(server, [step])
    assert state(server) is State.IGNORED
    hits = server.search(NAME, sample.queries[:5], SearchRequest(k=10))
    exact = np.einsum("qkd,qd->qk", sample.rows[hits.ids.astype(int)], sample.queries[:5])
    np.testing.assert_allclose(hits.scores, exact, atol=1e-6)


def test_undo_restores_graph_parameters(server: MilvusStore, sample: Sample) -> None:
    text = 'none:native={"index_type":"HNSW","M":24,"efConstruction":300}'
    server.create(NAME, {"": Vector(64)}, {"": Quantization.parse(text)})
    server.write(NAME, Batch(range(2000), {"": sample.rows}))
    kept = server.info(NAME).vectors[""].index
    assert kept["params"] == {"M": "24", "efConstruction": "300"}
    events: list[Progress] = []
    steps = plan(server, "scalar")
    assert "HNSW(M=24, efConstruction=300)" in steps[0].action.replace(
        "efConstruction=300, M=24", "M=24, efConstruction=300"
    )
    carry_out(server, steps, events.append)
    assert (kind(server), state(server)) == ("IVF_SQ8", State.ACTIVE)
    assert any(event.stage.startswith("searches were blocked for") for event in events)
    take_back(server, steps)
    assert server.info(NAME).vectors[""].index == kept
    assert state(server) is State.ABSENT


@pytest.mark.parametrize("cut", ["release", "drop", "create"])
def test_an_interrupted_change_continues_on_the_next_apply(
    server: MilvusStore, sample: Sample, cut: str
) -> None:
    fill(server, sample.rows, metric="euclidean")
    (step,) = plan(server, "scalar")
    client = server.connection.client
    client.alter_collection_properties(NAME, {"qadapt.metric.vector": "L2"})
    client.release_collection(NAME)
    if cut != "release":
        client.drop_index(NAME, "vector_hnsw")
        vector = server.info(NAME).vectors[""]
        assert vector.metric.value == "euclidean", "noted before the index was dropped"
        assert vector.quantization.kind is Kind.NONE
        assert plan(server, "scalar")[0].request["index"] == step.request["index"]
    if cut == "create":
        # As after a timeout during the build: never loaded.
        server.run(NAME, {**step.request, "load": False}, silent, 60)
        assert state(server) is State.IGNORED
        assert "not loaded" in status(server).reason
        assert plan(server, "scalar"), "loading it is a step"
    server.run(NAME, step.request, silent, 120)
    assert (kind(server), state(server)) == ("IVF_SQ8", State.ACTIVE)
    assert None not in server.search(NAME, sample.queries[:1], SearchRequest(k=5)).ids[0].tolist()


def test_a_refused_index_restores_the_former_one(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows)
    (step,) = plan(server, "scalar")
    bad = {**step.request["index"], "index_type": "IVF_SQ9", "index_name": "vector_ivf_sq9"}
    with pytest.raises(StoreError, match="former index HNSW"):
        server.run(NAME, {**step.request, "index": bad}, silent, 60)
    assert kind(server) == "HNSW"
    assert recall(server, sample.queries, sample.rows) > 0.95


def test_deleted_and_replaced_rows_do_not_count_as_coded(
    server: MilvusStore, sample: Sample
) -> None:
    """A sealed segment reports the same number of rows, although none is live."""
    fill(server, sample.rows)
    carry_out(server, plan(server, "scalar"))
    assert state(server) is State.ACTIVE
    server.write(NAME, Batch(range(2000), {"": sample.rows}))
    found = status(server)
    assert found.state is State.BUILDING
    assert "deleted or replaced" in found.reason
    reported = {each.signal: each.value for each in found.evidence}
    assert (reported[IN_SEGMENTS], reported[GROWING], reported[MOST]) == (2000, 2000, 0)
    carry_out(server, plan(server, "scalar"))
    assert state(server) is State.ACTIVE
    server.write(NAME, Batch(range(3000, 3300), {"": sample.rows[:300]}))
    server.delete(NAME, range(1800))
    found = status(server)
    assert (found.state, found.progress) == (State.BUILDING, 0.4)


def test_a_stuck_build_times_out(server: MilvusStore, sample: Sample) -> None:
    """knowhere#966: "True" makes 2.3.5 retry endlessly without a reason.

    Float timeouts are ignored, so an integer is sent.
    """
    if not server.connection.version.startswith("2.3"):
        pytest.skip(f"this server is {server.connection.version}, which reads True")
    fill(server, sample.rows)
    (step,) = plan(server, "scalar")
    stuck = {
        "index_name": "vector_scann",
        "index_type": "SCANN",
        "metric_type": "COSINE",
        "params": {"nlist": "16", "with_raw_data": "True"},
    }
    with pytest.raises(StoreTimeoutError) as caught:
        server.run(NAME, {**step.request, "index": stuck}, silent, 4.5)
    assert "log" in str(caught.value.hint)
    # The reverse of the same request works.
    assert step.reverse is not None
    server.run(NAME, {**step.reverse, "former": stuck}, silent, 120)
    assert (kind(server), state(server)) == ("HNSW", State.ABSENT)


def test_scann_rescores_with_original_vectors(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows)
    carry_out(server, plan(server, 'product:native={"index_type":"SCANN"}'))
    assert state(server) is State.ACTIVE
    every = {"nprobe": 128}
    few = recall(server, sample.queries, sample.rows, options={**every, "reorder_k": 10})
    many = recall(server, sample.queries, sample.rows, rescore=Rescore(20), options=every)
    assert few < many
    assert many > 0.99
    hits = server.search(NAME, sample.queries[:2], SearchRequest(k=10, rescore=Rescore(20)))
    assert (hits.how.rescorer, hits.how.candidates, hits.how.scores) == ("store", 200, "exact")


def test_rows_of_many_segments_are_read_once(server: MilvusStore) -> None:
    """A page includes all segments: paging by key omits no row."""
    rows = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    server.create(NAME, {"": Vector(8)}, {})
    order = np.random.default_rng(1).permutation(600).tolist()
    client = server.connection.client
    for start in range(0, 600, 200):
        part = order[start : start + 200]
        server.write(NAME, Batch(part, {"": rows[part]}))
        client.flush(NAME, timeout=60)
    server.delete(NAME, [5, 6])
    found = [key for page in server.read(NAME, ReadRequest(page=70)) for key in page.ids]
    assert found == [key for key in range(600) if key not in (5, 6)]


def test_a_read_includes_writes_of_another_client(server: MilvusStore) -> None:
    """With its flag `iterator` pymilvus forgets the level, and a first page was empty."""
    other = MilvusStore.open(server.address)
    try:
        server.create(NAME, {"": Vector(4)}, {})
        server.write(NAME, Batch(range(50), {"": np.ones((50, 4))}))
        assert sum(len(page) for page in other.read(NAME)) == 50
        assert other.count(NAME) == 50
    finally:
        other.close()


def test_an_unloaded_collection_is_reported_and_not_loaded(
    server: MilvusStore, sample: Sample
) -> None:
    fill(server, sample.rows[:50])
    server.connection.client.release_collection(NAME)
    with pytest.raises(StoreError, match="not loaded") as caught:
        server.search(NAME, sample.queries[:1], SearchRequest(k=1))
    assert "load" in str(caught.value.hint)
    vector = server.info(NAME).vectors[""]
    assert (vector.status.state, vector.count) == (State.ABSENT, 50) or vector.count == 0
    assert "not loaded" in vector.status.reason


def test_datatypes_that_fail_on_2_3_are_refused(server: MilvusStore) -> None:
    """create_collection accepts FLOAT16_VECTOR and the index is never built.

    docs/engines/milvus.md#finished-is-not-used
    """
    if not server.connection.version.startswith("2.3"):
        pytest.skip(f"this server is {server.connection.version}, which has them")
    with pytest.raises(UnsupportedError, match=r"2\.4"):
        server.create(NAME, {"": Vector(8, datatype="float16")}, {})
    assert NAME not in server.collections()


def test_rows_of_any_size_keep_their_direction(server: MilvusStore) -> None:
    """The server scores 1e30 with 0 and 1e-30 with infinity, if they are sent unchanged."""
    sizes = np.array([3e37, 1e30, 1e18, 1.0, 1e-10, 1e-20, 1e-30, 1e-38])[:, None]
    directions = np.random.default_rng(0).standard_normal((len(sizes), 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    server.create(NAME, {"": Vector(6)}, {})
    server.write(NAME, Batch(range(len(sizes)), {"": directions * sizes}))
    hits = server.search(NAME, directions.astype(np.float32), SearchRequest(k=1))
    assert hits.ids[:, 0].tolist() == list(range(len(sizes)))
    assert np.abs(hits.scores - 1).max() < 1e-5


def test_large_integers_are_compared_exactly(server: MilvusStore) -> None:
    near = 1768907725507217522
    server.create(NAME, {"": Vector(2)}, {})
    payloads = [{"t": near + step} for step in (-1, 0, 1)]
    server.write(NAME, Batch([1, 2, 3], {"": np.ones((3, 2))}, payloads))
    assert [server.count(NAME, {"t": {word: near}}) for word in ("gt", "gte")] == [1, 2]


def test_a_missing_collection_suggests_similar_names(server: MilvusStore) -> None:
    server.create(NAME, {"": Vector(4)}, {})
    for act in (server.info, server.drop, server.count):
        with pytest.raises(NotFoundError, match="articel"):
            act("articel")


# -- sign bits in a second collection
# ---------------------------------------------------------------------------


def bits_of(store: MilvusStore) -> list[str]:
    """Collections of sign bits."""
    names: list[str] = store.connection.client.list_collections()
    return [name for name in names if name.startswith(NAME + binary_sidecar.MARK)]


def test_sign_bits_follow_writes_and_are_searched(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows)
    steps = plan(server, "binary")
    carry_out(server, steps)
    vector = server.info(NAME).vectors[""]
    assert (vector.quantization.kind, vector.status.state) == (Kind.BINARY, State.ACTIVE)
    assert vector.code_bytes == 2000 * 8
    assert len(bits_of(server)) == 1
    assert not set(bits_of(server)) & set(server.collections()), "they are not the user's"
    hits = server.search(NAME, sample.queries, SearchRequest(k=10, rescore=Rescore(source="off")))
    # Computed independently: the fewest differing signs.
    codes, asked = sample.rows > 0, sample.queries > 0
    distance = (codes[None] != asked[:, None]).sum(axis=2)
    worst = np.sort(distance, axis=1)[:, 9]
    got = np.take_along_axis(distance, hits.ids.astype(int), axis=1)
    assert (got.max(axis=1) == worst).all()
    np.testing.assert_allclose(hits.scores, np.cos(np.pi * got / 64), atol=1e-6)

    server.write(NAME, Batch([9000], {"": sample.queries[:1]}))
    server.delete(NAME, [1, 2])
    assert state(server) is State.ACTIVE
    found = server.search(NAME, sample.queries[:1], SearchRequest(k=1)).ids
    assert found.tolist() == [[9000]]
    take_back(server, steps)
    assert server.info(NAME).vectors[""].quantization.kind is Kind.NONE
    assert bits_of(server) == []


def test_writes_of_another_client_are_detected(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows[:300])
    carry_out(server, plan(server, "binary"))
    server.connection.client.delete(NAME, filter='qadapt_id in ["#00000000000000000007"]')
    assert state(server) is State.IGNORED
    assert "another client wrote" in status(server).reason
    carry_out(server, plan(server, "binary"))
    assert state(server) is State.ACTIVE


def test_interrupted_sign_bits_are_written_again(server: MilvusStore, sample: Sample) -> None:
    fill(server, sample.rows[:300])
    steps = plan(server, "binary")
    calls = 0

    def stop(event: Progress) -> None:
        nonlocal calls
        calls += event.stage == "writing sign bits"
        if calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(server, steps, stop)
    assert state(server) is State.BUILDING
    hits = server.search(NAME, sample.queries, SearchRequest(k=10))
    assert hits.how.scores == "exact", "half-written bits are not searched"
    carry_out(server, plan(server, "binary"))
    assert state(server) is State.ACTIVE
    server.drop(NAME)
    assert bits_of(server) == []


def test_a_filtered_search_with_sign_bits_reads_the_rows(
    server: MilvusStore, sample: Sample
) -> None:
    fill(server, sample.rows[:300])
    carry_out(server, plan(server, "binary"))
    hits = server.search(NAME, sample.queries[:5], SearchRequest(k=5, filter={"group": 3}))
    assert (hits.ids.astype(int) % 7 == 3).all()
    assert hits.how.scores == "exact"
    assert "scored all rows" in hits.how.notes[0]


def test_searches_fail_only_during_the_release(server: MilvusStore, sample: Sample) -> None:
    """The plan lists blocked searches; the probe verifies that they fail and work again."""
    import threading

    fill(server, sample.rows)
    steps = plan(server, "scalar")
    assert steps[0].needs_consent
    failed, ended = [], threading.Event()
    other = MilvusStore.open(server.address)

    def probe() -> None:
        while not ended.is_set():
            try:
                other.search(NAME, sample.queries[:1], SearchRequest(k=1))
                failed.append(False)
            except StoreError:
                failed.append(True)
            time.sleep(0.05)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        carry_out(server, steps)
        time.sleep(0.3)
    finally:
        ended.set()
        thread.join()
        other.close()
    assert any(failed)
    assert not failed[-1]
