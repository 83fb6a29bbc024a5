"""A live Weaviate whose schema and behavior differ: status, errors and fixes."""

from __future__ import annotations

from typing import Any

import pytest
from embeddings import DIM
from weaviate_articles import Floats, articles, put, raw, reason, state
from weaviate_helpers import keys, raw_write

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import StoreError, UnsupportedError
from qadapt.model import Symbol, Vector
from qadapt.stores.change import ChangeRequest
from qadapt.stores.weaviate.store import WeaviateStore

pytest.importorskip("weaviate")
pytestmark = pytest.mark.timeout(300)

ABSENT, ACTIVE, IGNORED = qa.State.ABSENT, qa.State.ACTIVE, qa.State.IGNORED
PQ = {"pq": {"enabled": True, "segments": 32}}


# -- settings without effect ---------------------------------------------------------------------


@pytest.mark.parametrize("text", ["product:segments=32", "scalar:per=collection"])
def test_pq_and_sq_at_creation_under_synchronous_indexing_are_ignored(
    store: WeaviateStore, name: str, docs: Floats, text: str
) -> None:
    collection = articles(store, name, docs, text)
    assert state(collection) is IGNORED
    assert "rows written later" in reason(collection)
    assert "apply" in reason(collection)
    plan = collection.plan(text)
    assert [step.action for step in plan.steps] == [
        f"send the schema again to start {'PQ' if 'product' in text else 'SQ'}"
    ]
    plan.apply(yes=True)
    assert state(collection) is ACTIVE
    assert not collection.plan(text).changes


@pytest.mark.parametrize(
    ("config", "text"),
    [(PQ, "product:segments=32"), ({"sq": {"enabled": True}}, "scalar:per=collection")],
)
def test_pq_and_sq_set_on_an_empty_collection_are_ignored_after_writes(
    store: WeaviateStore, name: str, docs: Floats, config: dict[str, Any], text: str
) -> None:
    collection = articles(store, name, docs[:0].reshape(0, DIM))
    with pytest.raises(UnsupportedError, match="rows to train on"):
        collection.plan(text)
    put(store, name, config)
    assert state(collection) is qa.State.UNKNOWN
    collection.write(qa.Batch(keys(len(docs)), {"": docs}))
    assert state(collection) is IGNORED
    collection.plan(text).apply(yes=True)
    assert state(collection) is ACTIVE


@pytest.mark.parametrize("text", ["scalar", "scalar:bits=4"])
def test_rq_set_on_an_empty_collection_is_active_after_writes(
    store: WeaviateStore, name: str, docs: Floats, text: str
) -> None:
    collection = articles(store, name, docs[:0].reshape(0, DIM))
    collection.plan(text).apply(yes=True)
    collection.write(qa.Batch(keys(600), {"": docs[:600]}))
    assert state(collection) is ACTIVE


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("binary", "bq"),
        ("scalar", "rq"),
        ("scalar:per=collection", "sq"),
        ("product:segments=32", "pq"),
    ],
)
def test_disabling_a_quantizer_is_accepted_and_ignored(
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
    assert not collection.verify(queries=5).matches_configuration
    with pytest.raises(UnsupportedError, match="not an alias"):
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
        collection.plan("product:segments=32")
    assert not raw(store, name)["vectorIndexConfig"]["pq"]["enabled"]
    database = Database(store)
    database.create(f"{name}_small", dim=DIM, quantization="product:segments=32")
    small = database[f"{name}_small"]
    small.write(qa.Batch(keys(200), {"": docs[:200]}))
    assert state(small) is IGNORED
    assert "256" in reason(small)


# -- refused before sending ----------------------------------------------------------------------


def test_segments_that_do_not_divide_the_dimensions_are_refused(
    store: WeaviateStore, name: str
) -> None:
    """The server creates the collection, and refuses each row."""
    database = Database(store)
    for wanted in (qa.product(segments=50), qa.product(native={"pq": {"segments": 50}})):
        with pytest.raises(UnsupportedError, match="cannot be cut") as error:
            database.create(name, dim=DIM, quantization=wanted)
        assert "64" in str(error.value.hint)
    assert name not in database


def test_a_rescore_limit_of_0_on_hfresh_is_refused(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The server accepts the setting, and every search fails from then on."""
    hfresh = qa.rotational(bits=1, native={"vectorIndexType": "hfresh"})
    collection = articles(store, name, docs[:300], hfresh)
    with pytest.raises(UnsupportedError, match="fails in every search"):
        collection.plan(qa.rotational(bits=1, native={"rq": {"rescoreLimit": 0}}))
    assert raw(store, name)["vectorIndexConfig"]["rq"]["rescoreLimit"] == 350


def test_a_vector_with_an_unsupported_metric_is_not_changed(
    store: WeaviateStore, name: str
) -> None:
    """SQ and RQ with manhattan are accepted but inserts fail; qadapt lacks this metric."""
    body = {
        "class": name,
        "vectorizer": "none",
        "vectorIndexConfig": {"distance": "manhattan", "rq": {"enabled": True}},
    }
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    collection = Database(store)[name]
    assert collection.info().vectors == {}
    assert "manhattan" in str(collection.info().config["vectors that qadapt does not change"])
    with pytest.raises(UnsupportedError, match="manhattan"):
        store.plan_change(ChangeRequest(store.inspect(name), "", qa.binary()))


def test_a_collection_that_the_server_changed_is_deleted(store: WeaviateStore, name: str) -> None:
    database = Database(store)
    unknown = qa.scalar(native={"quantum": 7})
    with pytest.raises(StoreError, match="quantum is None, expected 7"):
        database.create(name, dim=8, quantization=unknown)
    assert name not in database


@pytest.mark.parametrize(
    ("text", "native", "says"),
    [
        ("scalar:rescore=off", {}, 'native={"rq": {"rescoreLimit": 0}}'),
        ("binary:rescore=off", {}, "BQ on hnsw always rescores"),
        ("scalar:rescore=4", {"rq": {"rescoreLimit": 0}}, 'native={"rq": {"rescoreLimit": 40}}'),
        (
            "rotational:bits=1,rescore=50",
            {"vectorIndexType": "hfresh"},
            'native={"rq": {"rescoreLimit": 500}}',
        ),
        ("scalar:rescore=4", {}, "rescoreLimit is set 20 -> 40"),
    ],
)
def test_the_plan_offers_the_collection_setting_for_rescoring(
    store: WeaviateStore,
    name: str,
    docs: Floats,
    text: str,
    native: dict[str, Any],
    says: str,
) -> None:
    """Rescoring is not a query parameter, and searches never change a collection."""
    collection = articles(store, name, docs[:300])
    plan = collection.plan(qa.Quantization.parse(text).replace(native=native))
    assert says in " ".join(plan.notes)


# -- errors that changed something ---------------------------------------------------------------


def test_a_refusal_that_changed_the_schema_is_reported(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """8-bit RQ is replaced by 4-bit RQ: 422 ``updating db``, but the schema has 4 bits."""
    collection = articles(store, name, docs[:600], "scalar")
    config = raw(store, name)["vectorIndexConfig"]["rq"]
    put(store, name, {"rq": {**config, "enabled": False}})
    request = {
        "op": "weaviate.put",
        "vector": "",
        "set": {"rq": {"enabled": True, "bits": 4, "rescoreLimit": 20}},
        "codes": True,
    }
    with pytest.raises(StoreError, match="contains the change") as error:
        store.run(f"{name}_v1", request, lambda _: None, 30)
    assert "alias" in str(error.value.hint)
    assert collection.info().vectors[""].quantization.bits == 4, "the schema has 4 bits"


def test_a_step_cannot_replace_a_quantizer(store: WeaviateStore, name: str, docs: Floats) -> None:
    """No plan replaces a quantizer in place, which corrupts a collection: it is always a copy."""
    collection = articles(store, name, docs[:600], "scalar:per=collection")
    collection.plan("scalar:per=collection").apply(yes=True)
    for text in ("binary", "scalar", "product:segments=32", "rotational:bits=1", "none"):
        steps = collection.plan(text).steps
        assert [step.symbol for step in steps] == [Symbol.RECREATE]
        assert steps[0].request["op"] == "weaviate.copy"


# -- rows and counts -----------------------------------------------------------------------------


def test_rows_are_counted_by_aggregate(store: WeaviateStore, name: str, docs: Floats) -> None:
    """``objectCount`` of the nodes stays 0 for a while after 1,500 inserts."""
    collection = articles(store, name, docs)
    assert collection.info().count == len(docs)


def test_dimensions_of_other_clients_collections_are_read_from_rows(
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
    assert (vector.vector, vector.count) == (Vector(DIM), 300)
    collection.plan("scalar").apply(yes=True)
    assert state(collection) is ACTIVE


def test_a_collection_with_an_alias_is_not_dropped(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The server would keep the alias, which would point to nothing."""
    articles(store, name, docs[:10])
    with pytest.raises(UnsupportedError, match=r"the alias .* points to"):
        store.drop(f"{name}_v1")
    with pytest.raises(UnsupportedError, match="is an alias"):
        store.drop(name)


@pytest.mark.parametrize("text", ["rotational:bits=8", "binary"])
def test_a_collection_is_not_active_after_all_rows_are_deleted(
    store: WeaviateStore, name: str, docs: Floats, text: str
) -> None:
    """Shards still report compressed, and rows of another vector are no evidence."""
    store.create(name, {"": Vector(DIM)}, {"": qa.Quantization.parse(text)})
    collection = Database(store)[name]
    collection.write(qa.Batch(keys(50), {"": docs[:50]}))
    assert state(collection) is ACTIVE
    collection.delete(keys(50))
    assert state(collection) is qa.State.UNKNOWN
    assert "no rows" in reason(collection)
