"""Where a live Weaviate says one thing and does another: what qadapt tells, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from weaviate_articles import Floats, articles, put, raw, recall, state
from weaviate_help import keys, raw_write

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError, UnsupportedError
from qadapt.evaluation.reach import reach
from qadapt.model import Symbol, Vector
from qadapt.model.address import Address
from qadapt.stores.base import silent
from qadapt.stores.weaviate import changes
from qadapt.stores.weaviate.store import WeaviateStore

pytest.importorskip("weaviate")
pytestmark = pytest.mark.timeout(300)

ABSENT, ACTIVE, IGNORED = qa.State.ABSENT, qa.State.ACTIVE, qa.State.IGNORED
PQ = {"pq": {"enabled": True, "segments": 48}}


@pytest.fixture(scope="module")
def docs(scifact: Any) -> Floats:
    found: Floats = scifact.docs[:1500]
    return found


def reason(collection: Collection) -> str:
    status = collection.info().vectors[""].status
    return f"{status.reason} -> {status.advice}"


# -- set, and without effect ---------------------------------------------------------------------


@pytest.mark.parametrize("text", ["product:segments=48", "scalar:per=collection"])
def test_pq_and_sq_at_creation_under_synchronous_indexing_are_ignored(
    store: WeaviateStore, name: str, docs: Floats, text: str
) -> None:
    collection = articles(store, name, docs, text)
    assert state(collection) is IGNORED
    assert "rows that come later" in reason(collection)
    assert "apply" in reason(collection)
    plan = collection.plan(text)
    assert [step.action for step in plan.steps] == [
        f"send the schema again, which starts {'PQ' if 'product' in text else 'SQ'}"
    ]
    plan.apply(yes=True)
    assert state(collection) is ACTIVE
    assert not collection.plan(text).changes


@pytest.mark.parametrize(
    ("config", "text"),
    [(PQ, "product:segments=48"), ({"sq": {"enabled": True}}, "scalar:per=collection")],
)
def test_pq_and_sq_set_on_an_empty_collection_are_ignored_once_rows_come(
    store: WeaviateStore, name: str, docs: Floats, config: dict[str, Any], text: str
) -> None:
    collection = articles(store, name, docs[:0].reshape(0, 384))
    with pytest.raises(UnsupportedError, match="trained on"):
        collection.plan(text)
    put(store, name, config)
    assert state(collection) is qa.State.UNKNOWN
    collection.write(qa.Batch(keys(len(docs)), {"": docs}))
    assert state(collection) is IGNORED
    collection.plan(text).apply(yes=True)
    assert state(collection) is ACTIVE


@pytest.mark.parametrize("text", ["scalar", "scalar:bits=4"])
def test_rq_set_on_an_empty_collection_is_obeyed(
    store: WeaviateStore, name: str, docs: Floats, text: str
) -> None:
    collection = articles(store, name, docs[:0].reshape(0, 384))
    collection.plan(text).apply(yes=True)
    collection.write(qa.Batch(keys(600), {"": docs[:600]}))
    assert state(collection) is ACTIVE


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("binary", "bq"),
        ("scalar", "rq"),
        ("scalar:per=collection", "sq"),
        ("product:segments=48", "pq"),
    ],
)
def test_switching_off_is_taken_and_ignored(
    store: WeaviateStore, name: str, docs: Floats, text: str, block: str
) -> None:
    collection = articles(store, name, docs)
    collection.plan(text).apply(yes=True)
    config = raw(store, name)["vectorIndexConfig"][block]
    put(store, name, {block: {**config, "enabled": False}})
    vector = collection.info().vectors[""]
    assert vector.quantization == qa.none()
    assert vector.status.state is IGNORED
    assert "keeps the codes" in reason(collection)
    assert not collection.verify(queries=5).agrees
    with pytest.raises(UnsupportedError, match="own name"):
        Database(store)[f"{name}_v1"].plan("none")
    plan = collection.plan("none")
    assert [step.symbol for step in plan.steps] == [Symbol.RECREATE]
    plan.apply(yes=True)
    assert state(collection) is ABSENT
    other = collection.plan("binary")
    assert [step.symbol for step in other.steps] == [Symbol.BACKGROUND]


def test_too_few_rows_for_pq_are_refused_before_anything_is_sent(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    collection = articles(store, name, docs[:200])
    with pytest.raises(UnsupportedError, match="at least 256 rows"):
        collection.plan("product:segments=48")
    assert not raw(store, name)["vectorIndexConfig"]["pq"]["enabled"]
    database = Database(store)
    database.create(f"{name}_small", dim=384, quantization="product:segments=48")
    small = database[f"{name}_small"]
    small.write(qa.Batch(keys(200), {"": docs[:200]}))
    assert state(small) is IGNORED
    assert "256" in reason(small)


# -- refused before it is sent -------------------------------------------------------------------


def test_segments_that_do_not_divide_the_dimensions_are_refused(
    store: WeaviateStore, name: str
) -> None:
    """The server creates such a collection, and refuses each row."""
    database = Database(store)
    for wanted in (qa.product(segments=50), qa.product(native={"pq": {"segments": 50}})):
        with pytest.raises(UnsupportedError, match="cannot be cut") as error:
            database.create(name, dim=384, quantization=wanted)
        assert "48" in str(error.value.hint)
    assert name not in database


def test_a_rescore_limit_of_0_on_hfresh_is_refused(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The server takes it, and every search fails from then on."""
    hfresh = qa.rotational(bits=1, native={"vectorIndexType": "hfresh"})
    collection = articles(store, name, docs[:300], hfresh)
    with pytest.raises(UnsupportedError, match="fails at every search"):
        collection.plan(qa.rotational(bits=1, native={"rq": {"rescoreLimit": 0}}))
    assert raw(store, name)["vectorIndexConfig"]["rq"]["rescoreLimit"] == 350


def test_a_metric_that_a_quantizer_cannot_do_is_left_alone(store: WeaviateStore, name: str) -> None:
    """SQ and RQ under manhattan are taken, and fail at inserts: qadapt has no such metric."""
    body = {
        "class": name,
        "vectorizer": "none",
        "vectorIndexConfig": {"distance": "manhattan", "rq": {"enabled": True}},
    }
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    collection = Database(store)[name]
    assert collection.info().vectors == {}
    assert "manhattan" in str(collection.info().config["vectors that qadapt leaves alone"])
    with pytest.raises(UnsupportedError, match="manhattan"):
        store.steps(collection.info(), "", qa.binary())


def test_what_the_server_keeps_otherwise_is_not_made(store: WeaviateStore, name: str) -> None:
    database = Database(store)
    unknown = qa.scalar(native={"quantum": 7})
    with pytest.raises(StoreError, match="quantum is None and not 7"):
        database.create(name, dim=8, quantization=unknown)
    assert name not in database


@pytest.mark.parametrize(
    ("text", "native", "says"),
    [
        ("scalar:rescore=off", {}, 'native={"rq": {"rescoreLimit": 0}}'),
        ("binary:rescore=off", {}, "BQ on hnsw rescores whatever is asked for"),
        ("scalar:rescore=4", {"rq": {"rescoreLimit": 0}}, 'native={"rq": {"rescoreLimit": 40}}'),
        (
            "rotational:bits=1,rescore=50",
            {"vectorIndexType": "hfresh"},
            'native={"rq": {"rescoreLimit": 500}}',
        ),
        ("scalar:rescore=4", {}, ""),
    ],
)
def test_a_setting_of_the_collection_that_serves_a_rescore_is_offered_in_the_plan(
    store: WeaviateStore,
    name: str,
    docs: Floats,
    text: str,
    native: dict[str, Any],
    says: str,
) -> None:
    """A query has no word for it, and no query of qadapt's changes a collection."""
    collection = articles(store, name, docs[:300])
    plan = collection.plan(qa.Quantization.parse(text).replace(native=native))
    assert says in " ".join(plan.notes)
    if not says:
        assert "rescoreLimit" not in " ".join(plan.notes)


# -- errors that changed something ---------------------------------------------------------------


def test_a_refusal_after_which_the_schema_has_changed_is_told(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """RQ of 8 bits switched off, RQ of 4 on: 422 ``updating db``, and the schema says 4."""
    collection = articles(store, name, docs[:600], "scalar")
    config = raw(store, name)["vectorIndexConfig"]["rq"]
    put(store, name, {"rq": {**config, "enabled": False}})
    request = {
        "op": changes.PUT,
        "vector": "",
        "set": {"rq": {"enabled": True, "bits": 4, "rescoreLimit": 20}},
        "codes": True,
    }
    with pytest.raises(StoreError, match="says the change all the same") as error:
        store.run(f"{name}_v1", request, lambda _: None, 30)
    assert "alias" in str(error.value.hint)
    assert collection.info().vectors[""].quantization.bits == 4, "so the schema says"


def test_a_step_cannot_put_one_kind_in_anothers_place(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The raw bypass that corrupts a collection is in no plan: another kind is always a copy."""
    collection = articles(store, name, docs[:600], "scalar:per=collection")
    collection.plan("scalar:per=collection").apply(yes=True)
    for text in ("binary", "scalar", "product:segments=48", "rotational:bits=1", "none"):
        steps = collection.plan(text).steps
        assert [step.symbol for step in steps] == [Symbol.RECREATE]
        assert steps[0].request["op"] == "weaviate.copy"


# -- copies --------------------------------------------------------------------------------------


def test_a_copy_keeps_the_metric_and_the_opt_out(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The client's own export loses both: dot becomes cosine, and a default quantizer comes in."""
    collection = articles(store, name, docs[:600], metric="dot")
    before = raw(store, name)["vectorIndexConfig"]
    collection.plan("binary", strategy="alias").apply(yes=True).undo()
    collection.plan("binary", strategy="alias").apply(yes=True)
    copied = raw(store, name)
    assert copied["class"] != f"{name}_v1"
    assert copied["vectorIndexConfig"]["distance"] == before["distance"] == "dot"
    collection.plan("none").apply(yes=True)
    config = raw(store, name)["vectorIndexConfig"]
    assert (config["distance"], config["skipDefaultQuantization"]) == ("dot", True)


def test_a_copy_brings_properties_references_and_other_vectors(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    database = Database(store)
    body = {
        "class": f"{name}_v1",
        "properties": [
            {"name": "title", "dataType": ["text"]},
            {"name": "tags", "dataType": ["int[]"]},
            {"name": "about", "dataType": [f"{name}_topics"]},
        ],
        "vectorConfig": {
            "a": {
                "vectorIndexType": "hnsw",
                "vectorIndexConfig": {"distance": "dot", "efConstruction": 64},
                "vectorizer": {"none": {}},
            },
            "city": {
                "vectorIndexType": "hnsw",
                "vectorIndexConfig": {"distance": "manhattan"},
                "vectorizer": {"none": {}},
            },
        },
    }
    ids = keys(300)
    topic = {"class": f"{name}_topics", "id": ids[0]}
    store.connection.rest("POST", "/v1/schema", {"class": topic["class"]}, doing="create")
    store.connection.rest("POST", "/v1/objects", topic, doing="write")
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    objects = [
        {
            "class": f"{name}_v1",
            "id": key,
            "properties": {
                "title": f"row {at}",
                "tags": [at, 7],
                "about": [{"beacon": f"weaviate://localhost/{name}_topics/{ids[0]}"}],
            },
            "vectors": {"a": docs[at].tolist(), "city": [float(at), -0.0]},
        }
        for at, key in enumerate(ids)
    ]
    path = "/v1/batch/objects"
    answer = store.connection.rest("POST", path, {"objects": objects}, doing="write")
    assert [each["result"] for each in answer if each["result"].get("errors")] == []
    database.switch_alias(name, f"{name}_v1")
    collection = database[name]
    collection.plan("binary", vector="a", strategy="alias").apply(yes=True)
    schema = raw(store, name)
    assert schema["class"] == f"{name}_v2"
    assert schema["vectorConfig"]["a"]["vectorIndexConfig"]["efConstruction"] == 64
    assert schema["vectorConfig"]["city"]["vectorIndexConfig"]["distance"] == "manhattan"
    for place in (f"{name}_v1", f"{name}_v2"):
        row = store.connection.rest(
            "GET", f"/v1/objects/{place}/{ids[9]}", doing="read", params={"include": "vector"}
        )
        assert row["properties"]["title"] == "row 9"
        assert row["properties"]["tags"] == [9, 7]
        assert row["properties"]["about"][0]["beacon"].endswith(ids[0])
        assert row["vectors"]["city"] == [9, 0]
        assert np.float32(row["vectors"]["a"]).tobytes() == docs[9].tobytes()
        assert np.signbit(row["vectors"]["city"]).tolist() == [False, True]


def test_a_collection_that_refers_to_itself_is_not_copied(store: WeaviateStore, name: str) -> None:
    """Its references would still lead to the former collection."""
    body = {
        "class": f"{name}_v1",
        "description": 'qadapt: {"dims": {"": 8}}',
        "properties": [{"name": "parent", "dataType": [f"{name}_v1"]}],
    }
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    database = Database(store)
    database.switch_alias(name, f"{name}_v1")
    with pytest.raises(UnsupportedError, match="refers to itself"):
        database[name].plan("binary", strategy="alias")


def test_rows_that_the_copy_does_not_have_keep_the_alias_where_it_is(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    collection = articles(store, name, docs[:300])
    plan = collection.plan("binary", strategy="alias")
    target = plan.steps[0].request["to"]
    # Somebody makes a collection of that name, with a row of his own.
    Database(store).create(target, dim=384, quantization="binary")
    Database(store)[target].write(qa.Batch(keys(1, 5000), {"": docs[:1]}))
    with pytest.raises(qa.errors.ApplyError, match="301 rows"):
        plan.apply(yes=True)
    assert Database(store).aliases()[name] == f"{name}_v1"


# -- tenants -------------------------------------------------------------------------------------


def test_tenants_that_are_not_active_are_told_and_left_alone(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    connection = store.connection
    body = {
        "class": name,
        "vectorizer": "none",
        "vectorIndexConfig": {"distance": "cosine"},
        "multiTenancyConfig": {"enabled": True},
    }
    connection.rest("POST", "/v1/schema", body, doing="create")
    tenants = [{"name": "warm"}, {"name": "cold"}, {"name": "empty"}]
    connection.rest("POST", f"/v1/schema/{name}/tenants", tenants, doing="make tenants")
    database = Database(store)
    for tenant in ("warm", "cold"):
        objects = [
            {"class": name, "tenant": tenant, "id": key, "vector": row.tolist()}
            for key, row in zip(keys(400), docs[:400], strict=True)
        ]
        connection.rest("POST", "/v1/batch/objects", {"objects": objects}, doing="write")
    off = [{"name": "cold", "activityStatus": "COLD"}]
    connection.rest("PUT", f"/v1/schema/{name}/tenants", off, doing="rest")
    collection = database[name]
    assert collection.info().count == 400
    with pytest.raises(UnsupportedError, match="one part of a collection"):
        Collection(store, f"{name}@warm").plan("scalar")
    plan = collection.plan("product:segments=48")
    assert "1 of 3 tenants are not active and stay as they are" in plan.steps[0].reason
    plan.apply(yes=True)
    assert state(collection) is ACTIVE
    assert "1 of 3 tenants are not active, and neither seen nor changed: cold" in reason(collection)
    with pytest.raises(UnsupportedError):
        collection.plan("binary")

    on = [{"name": "cold", "activityStatus": "HOT"}]
    connection.rest("PUT", f"/v1/schema/{name}/tenants", on, doing="wake")
    assert collection.info().count == 800
    assert state(collection) is IGNORED
    assert "1 of 3 shards are without: cold" in reason(collection)
    collection.plan("product:segments=48").apply(yes=True)
    assert state(collection) is ACTIVE

    database.switch_alias(f"{name}_alias", name)
    behind = database[f"{name}_alias"]
    change = behind.plan("binary").apply(yes=True)
    assert behind.info().count == 800, "all tenants are copied"
    assert state(behind) is ACTIVE
    change.undo()
    connection.rest("PUT", f"/v1/schema/{name}/tenants", off, doing="rest")
    with pytest.raises(UnsupportedError, match="would leave them behind: cold"):
        behind.plan("binary")


# -- rows and counts -----------------------------------------------------------------------------


def test_rows_are_counted_by_aggregate(store: WeaviateStore, name: str, docs: Floats) -> None:
    """``objectCount`` of the nodes says 0 for a while after 1,500 inserts."""
    collection = articles(store, name, docs)
    assert collection.info().count == len(docs)


def test_what_qadapt_did_not_make_is_described_by_its_rows(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    store.connection.rest(
        "POST",
        "/v1/schema",
        {"class": name, "vectorizer": "none", "vectorIndexConfig": {"distance": "cosine"}},
        doing="create",
    )
    collection = Database(store)[name]
    info = collection.info()
    assert info.vectors == {}
    assert info.config["vectors of unknown dimension"] == [""]
    assert raw_write(store, name, docs[:300]) == []
    vector = collection.info().vectors[""]
    assert (vector.vector, vector.count) == (Vector(384), 300)
    collection.plan("scalar").apply(yes=True)
    assert state(collection) is ACTIVE


def test_a_collection_behind_an_alias_is_not_dropped(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The server would leave the alias, which then leads nowhere."""
    articles(store, name, docs[:10])
    with pytest.raises(UnsupportedError, match="behind the alias"):
        store.drop(f"{name}_v1")
    with pytest.raises(UnsupportedError, match="is an alias"):
        store.drop(name)


# -- a kill of the server ------------------------------------------------------------------------


def test_rows_that_the_index_lost_in_a_crash_are_found_by_verify_and_healed(
    weaviate_server: Callable[..., Any], scifact: Any
) -> None:
    """All rows are back after a kill -9, and the newest are in no search: no status tells."""
    docs: Floats = scifact.docs[:500]
    server = weaviate_server()
    with closing(WeaviateStore.open(Address.parse(server.url))) as store:
        articles(store, "Plain", docs)
    server.kill()
    server.restart()
    with closing(WeaviateStore.open(Address.parse(server.url))) as store:
        collection = Database(store)["Plain"]
        assert collection.count() == len(docs)
        lost = reach(store, collection.info(), "", silent, sample=len(docs)).unfound
        assert lost, "this server loses the newest rows of its index when it is killed"
        report = collection.verify(queries=20)
        assert set(report.reach.unfound) == set(lost)
        assert any("not found by a search for their own vector" in note for note in report.notes)

        batch = collection.fetch(list(lost))
        collection.write(batch)
        again = reach(store, collection.info(), "", silent, sample=len(docs)).unfound
        assert set(again) == set(lost), "the same vectors written over heal nothing"
        collection.delete(list(lost))
        collection.write(batch)
        assert reach(store, collection.info(), "", silent, sample=len(docs)).unfound == ()
        assert recall(collection.search(scifact.queries, k=10), docs, scifact.queries) > 0.98
