"""Every quantizer on a live Weaviate: planned, applied, verified active, rolled back."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from embeddings import DIM
from weaviate_articles import Floats, articles, put, raw, recall, state
from weaviate_helpers import keys

import qadapt as qa
from qadapt.api import Database
from qadapt.cli import main
from qadapt.errors import PlanError, UnsupportedError
from qadapt.model import Symbol, Vector
from qadapt.model.address import Address
from qadapt.stores.weaviate.store import WeaviateStore

pytest.importorskip("weaviate")
pytestmark = pytest.mark.timeout(300)

OFF = qa.Rescore(source="off")
ABSENT, ACTIVE, IGNORED = qa.State.ABSENT, qa.State.ACTIVE, qa.State.IGNORED


@pytest.fixture(scope="module")
def docs(embeddings: Any) -> Floats:
    """3,000 real rows of 256 dimensions."""
    found: Floats = embeddings.docs[:3000]
    return found


@pytest.fixture(scope="module")
def queries(embeddings: Any) -> Floats:
    found: Floats = embeddings.queries[:100]
    return found


# -- hnsw: in place ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "block", "size"),
    [
        ("scalar", "rq", 272),
        ("scalar:per=collection", "sq", 264),
        ("scalar:bits=4", "rq", 144),
        ("rotational:bits=1", "rq", 40),
    ],
)
def test_rq_and_sq_in_place_on_hnsw(
    store: WeaviateStore, name: str, docs: Floats, queries: Floats, text: str, block: str, size: int
) -> None:
    """With rescoring disabled on the collection, scores show that codes are used."""
    collection = articles(store, name, docs)
    wanted = qa.Quantization.parse(text).replace(native={block: {"rescoreLimit": 0}})
    plan = collection.plan(wanted)
    assert [step.symbol for step in plan.steps] == [Symbol.BACKGROUND]
    change = plan.apply(yes=True)
    vector = collection.info().vectors[""]
    assert vector.status.state is ACTIVE
    assert vector.code_bytes == size * len(docs)
    assert vector.default_rescore == OFF
    lossy = recall(collection.search(queries, k=10, rescore=OFF), docs, queries)
    lifted = recall(collection.search(queries, k=10, rescore=10), docs, queries)
    assert lossy < 1
    assert lifted > lossy

    # An explicitly requested setting of the collection is changed without a rebuild.
    settings = collection.plan(wanted.replace(native={block: {"rescoreLimit": 50}}))
    assert [step.symbol for step in settings.steps] == [Symbol.IN_PLACE]
    settings.apply()
    assert raw(store, name)["vectorIndexConfig"][block]["rescoreLimit"] == 50
    assert recall(collection.search(queries, k=10), docs, queries) > lossy
    assert not collection.plan(text).changes

    database = Database(store)
    before = database.aliases()[name]
    with pytest.raises(qa.errors.PlanError, match="newer change"):
        change.undo()
    assert database.aliases()[name] == before


@pytest.mark.parametrize(
    ("text", "symbol", "size"),
    [("binary", Symbol.BACKGROUND, 32), ("product:segments=32", Symbol.BLOCKING, 32)],
)
def test_bq_and_pq_in_place_on_hnsw_and_back_by_a_copy(
    store: WeaviateStore,
    name: str,
    docs: Floats,
    queries: Floats,
    text: str,
    symbol: Symbol,
    size: int,
) -> None:
    collection = articles(store, name, docs)
    change = collection.plan(text)
    assert [step.symbol for step in change.steps] == [symbol]
    applied = change.apply(yes=True)
    vector = collection.info().vectors[""]
    assert vector.status.state is ACTIVE
    assert vector.code_bytes == size * len(docs)
    put(store, name, {"ef": 16})
    lossy = recall(collection.search(queries, k=10, rescore=1), docs, queries)
    lifted = recall(collection.search(queries, k=10, rescore=10), docs, queries)
    assert lossy < 0.97
    assert lifted > lossy
    put(store, name, {"ef": -1})

    applied.undo()
    assert state(collection) is ABSENT
    assert Database(store).aliases()[name] == f"{name}_v2"
    assert recall(collection.search(queries, k=10), docs, queries) > 0.98
    kept = collection.fetch(keys(len(docs))).vectors[""]
    assert kept.tobytes() == docs.tobytes()


def test_a_change_without_an_alias_cannot_be_undone(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    articles(store, name, docs[:500])
    own = Database(store)[f"{name}_v1"]
    plan = own.plan("binary")
    assert plan.steps[0].reverse is None
    assert "cannot be undone in place" in plan.steps[0].reason
    assert plan.needs_consent
    plan.apply(yes=True)
    assert state(own) is ACTIVE
    for text in ("none", "scalar"):
        with pytest.raises(UnsupportedError, match="not an alias") as error:
            own.plan(text)
        assert "create an alias" in str(error.value.hint)


@pytest.mark.parametrize("text", ["binary", "rotational:bits=8"])
def test_a_change_without_an_alias_is_restored_by_the_printed_commands(
    store: WeaviateStore, name: str, docs: Floats, text: str
) -> None:
    """The commands of the plan and of the failed undo are run; the alias has no codes then."""
    articles(store, name, docs[:500])
    database = Database(store)
    database.drop_alias(name)
    before = database[f"{name}_v1"].info()
    plan = database[f"{name}_v1"].plan(text)
    note = next(note for note in plan.notes if note.startswith("to restore none later"))
    change = plan.apply(yes=True)
    with pytest.raises(PlanError, match="cannot be rolled back") as error:
        change.undo()
    commands = note[note.index("qadapt alias") :]
    assert commands in str(error.value.hint)
    for command in commands.split(" && "):
        assert main(shlex.split(command)[1:]) == 0, command
    alias = f"{name}_v1_alias"
    assert database.aliases()[alias] == f"{name}_v2"
    restored = database[alias].info()
    assert restored.vectors[""].status.state is ABSENT
    assert restored.vectors[""].index == before.vectors[""].index
    assert {**restored.config, "class": None} == {**before.config, "class": None}
    kept = database[alias].fetch(keys(500)).vectors[""]
    assert kept.tobytes() == docs[:500].tobytes()


def test_another_quantizer_needs_a_copy_and_an_alias_switch(
    store: WeaviateStore, name: str, docs: Floats, queries: Floats
) -> None:
    collection = articles(store, name, docs, "scalar:per=collection")
    collection.plan("scalar:per=collection").apply(yes=True)
    plan = collection.plan("binary")
    (step,) = plan.steps
    assert step.symbol is Symbol.RECREATE
    assert "keeps the old codes" in step.reason
    assert step.estimate.originals_disk == 2 * docs.nbytes
    change = plan.apply(yes=True)
    assert collection.info().vectors[""].quantization == qa.binary()
    assert state(collection) is ACTIVE
    assert Database(store).aliases()[name] == f"{name}_v2"
    assert collection.count() == len(docs)
    change.undo()
    assert collection.info().vectors[""].quantization.per == "collection"
    assert state(collection) is ACTIVE


def test_a_copy_can_be_requested(store: WeaviateStore, name: str, docs: Floats) -> None:
    collection = articles(store, name, docs)
    plan = collection.plan("product:segments=32", strategy="alias")
    assert [step.symbol for step in plan.steps] == [Symbol.RECREATE]
    change = plan.apply(yes=True)
    assert state(collection) is ACTIVE, "product codes that are set at creation need one more PUT"
    change.undo()
    assert state(collection) is ABSENT


def test_blocked_searches_during_pq_training_are_measured(
    store: WeaviateStore, name: str, embeddings: Any
) -> None:
    collection = articles(store, name, embeddings.docs)
    other = Database(store)[name]
    answered, done = [0], threading.Event()

    def search() -> None:
        while not done.is_set():
            other.search(embeddings.queries[:1], k=10)
            answered[0] += 1

    searching = threading.Thread(target=search)
    searching.start()
    reported: list[str] = []
    try:
        plan = collection.plan("product:ratio=16")
        assert plan.steps[0].estimate.stops == "searches and writes"
        assert "searches wait" in plan.steps[0].reason
        plan.apply(yes=True, progress=lambda event: reported.append(event.stage))
    finally:
        done.set()
        searching.join()
    assert answered[0] > 0, "searches that wait for the training are answered"
    assert any(stage.startswith("shards were read-only for ") for stage in reported)
    assert state(collection) is ACTIVE


# -- other indexes -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["binary", "scalar", "rotational:bits=1"])
def test_flat_gets_a_quantizer_only_by_a_copy(
    store: WeaviateStore, name: str, docs: Floats, queries: Floats, text: str
) -> None:
    collection = articles(store, name, docs, qa.none(native={"vectorIndexType": "flat"}))
    block = "bq" if text == "binary" else "rq"
    wanted = qa.Quantization.parse(text).replace(native={block: {"rescoreLimit": -1}})
    plan = collection.plan(wanted)
    assert [step.symbol for step in plan.steps] == [Symbol.RECREATE]
    change = plan.apply(yes=True)
    assert state(collection) is ACTIVE
    assert raw(store, name)["vectorIndexType"] == "flat"
    lossy = recall(collection.search(queries, k=10, rescore=1), docs, queries)
    assert lossy < 1
    assert recall(collection.search(queries, k=10, rescore=10), docs, queries) > lossy
    collection.plan(wanted.replace(native={block: {"rescoreLimit": 500}})).apply()
    assert recall(collection.search(queries, k=10), docs, queries) > lossy
    with pytest.raises(UnsupportedError, match="flat"):
        collection.plan("product")
    assert change.state == "applied"


def test_hfresh_has_one_kind_and_a_change_of_index_is_a_copy(
    store: WeaviateStore, name: str, docs: Floats, queries: Floats
) -> None:
    hfresh = qa.rotational(bits=1, native={"vectorIndexType": "hfresh"})
    collection = articles(store, name, docs, hfresh)
    assert state(collection) is ACTIVE
    assert recall(collection.search(queries, k=10), docs, queries) > 0.9
    assert not collection.plan("rotational:bits=1").changes
    with pytest.raises(UnsupportedError, match="always"):
        collection.plan("none")
    narrow = qa.rotational(bits=1, native={"rq": {"rescoreLimit": 10}})
    collection.plan(narrow).apply()
    lossy = recall(collection.search(queries, k=10), docs, queries)
    collection.plan(narrow.replace(native={"rq": {"rescoreLimit": 350}})).apply()
    assert recall(collection.search(queries, k=10), docs, queries) > lossy
    change = collection.plan(qa.scalar(native={"vectorIndexType": "hnsw"})).apply(yes=True)
    assert raw(store, name)["vectorIndexType"] == "hnsw"
    assert state(collection) is ACTIVE
    change.undo()
    assert raw(store, name)["vectorIndexType"] == "hfresh"


def test_another_metric_is_a_copy(store: WeaviateStore, name: str, docs: Floats) -> None:
    collection = articles(store, name, docs[:600], "scalar")
    change = collection.plan(metric="dot").apply(yes=True)
    assert raw(store, name)["vectorIndexConfig"]["distance"] == "dot"
    assert collection.info().vectors[""].metric is qa.Metric.DOT
    assert state(collection) is ACTIVE
    change.undo()
    assert raw(store, name)["vectorIndexConfig"]["distance"] == "cosine"


# -- several vectors -----------------------------------------------------------------------------


def test_named_vectors_are_distinguished_by_the_search_profile(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    rows = docs[:1500]
    vectors = {"a": Vector(DIM), "b": Vector(DIM), "c": Vector(DIM)}
    collection = Database(store).create(
        name, vectors=vectors, quantization={"a": "binary", "b": "product:segments=32"}
    )
    collection.write(qa.Batch(keys(len(rows)), dict.fromkeys("abc", rows)))
    assert [state(collection, vector) for vector in "abc"] == [ACTIVE, IGNORED, ABSENT]
    status = collection.info().vectors["b"].status
    assert "does not rescore" in status.reason
    assert {each.signal for each in status.evidence} >= {
        "vectors that share the flag compressed",
        "search profile: knn_search_rescore_took",
    }
    collection.plan("product:segments=32", vector="b").apply(yes=True)
    assert [state(collection, vector) for vector in "abc"] == [ACTIVE, ACTIVE, ABSENT]
    collection.plan("scalar", vector="c").apply(yes=True)
    assert [state(collection, vector) for vector in "abc"] == [ACTIVE, ACTIVE, ACTIVE]


def test_named_vectors_without_rescoring_are_indistinguishable(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    off = qa.rotational(bits=8, native={"rq": {"rescoreLimit": 0}})
    collection = Database(store).create(
        name, vectors={"a": Vector(DIM), "b": Vector(DIM)}, quantization={"a": off, "b": off}
    )
    collection.write(qa.Batch(keys(200), dict.fromkeys("ab", docs[:200])))
    status = collection.info().vectors["a"].status
    assert status.state is qa.State.UNKNOWN
    assert "one flag for all 2 vectors" in status.reason


# -- a server with a default ---------------------------------------------------------------------


def test_the_servers_default_is_reported_and_not_used_for_none(
    weaviate_server: Callable[..., Any], docs: Floats
) -> None:
    server = weaviate_server(DEFAULT_QUANTIZATION="rq-8")
    with closing(WeaviateStore.open(Address.parse(server.url))) as store:
        collection = articles(store, "Plain", docs[:600])
        assert state(collection) is ABSENT
        change = collection.plan("binary", strategy="alias").apply(yes=True)
        change.undo()
        copy = collection.plan(metric="dot").apply(yes=True)
        assert state(collection) is ABSENT, "a copy without codes gets none by the default"
        assert copy.state == "applied"

        body = {"class": "Foreign", "vectorizer": "none", "vectorIndexType": "hnsw"}
        store.connection.rest("POST", "/v1/schema", body, doing="create")
        foreign = Database(store)["Foreign"]
        store.connection.rest(
            "POST",
            "/v1/objects",
            {"class": "Foreign", "id": keys(1)[0], "vector": docs[0].tolist()},
            doing="write",
        )
        vector = foreign.info().vectors[""]
        assert (str(vector.quantization), vector.status.state) == ("rotational:bits=8", ACTIVE)
        signals = {each.signal: each.value for each in vector.status.evidence}
        assert signals["schema: set by the server's DEFAULT_QUANTIZATION"] is True
