"""Add a named vector to a collection that has no alias."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from weaviate_articles import Floats, raw, recall, state
from weaviate_helpers import foreign, keys, normal

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import ApplyError, ConsentRequiredError, PlanError, UnsupportedError
from qadapt.model import Symbol, Vector
from qadapt.stores.weaviate import named_vectors
from qadapt.stores.weaviate.store import WeaviateStore

pytest.importorskip("weaviate")
pytestmark = pytest.mark.timeout(300)

ROWS = 1500


@pytest.fixture(scope="module")
def docs(embeddings: Any) -> Floats:
    """Real rows of 256 dimensions."""
    found: Floats = embeddings.docs[:ROWS]
    return found


@pytest.fixture(scope="module")
def queries(embeddings: Any) -> Floats:
    found: Floats = embeddings.queries[:100]
    return found


def payloads(count: int) -> list[dict[str, Any]]:
    return [
        {"text": f"row {row}", "year": 1900 + row, "odd": {"in": [row]}} for row in range(count)
    ]


def two_vectors(store: WeaviateStore, name: str, docs: Floats) -> Collection:
    """A collection without alias: ``title`` with BQ, and ``image`` of four dimensions."""
    vectors = {"title": Vector(docs.shape[1]), "image": Vector(4, "dot")}  # type: ignore[arg-type]
    store.create(name, vectors, {"title": qa.binary()})
    collection = Database(store)[name]
    arrays = {"title": docs, "image": normal(len(docs))}
    collection.write(qa.Batch(keys(len(docs)), arrays, payloads(len(docs))))
    return collection


def kept(collection: Collection, vectors: tuple[str, ...]) -> dict[str, Any]:
    """The content of all rows, bit for bit, without the new vector."""
    found: dict[str, Any] = {}
    for batch in collection.read(vectors=vectors):
        for at, key in enumerate(batch.ids):
            floats = [batch.vectors[each][at].tobytes() for each in vectors]
            found[str(key)] = (floats, (batch.payloads or [])[at])
    return found


def test_another_quantizer_is_added_as_a_named_vector(
    store: WeaviateStore, name: str, docs: Floats, queries: Floats
) -> None:
    collection = two_vectors(store, name, docs)
    put_title = raw(store, name)
    put_title["vectorConfig"]["title"]["vectorIndexConfig"]["ef"] = 16
    store.connection.rest("PUT", f"/v1/schema/{name}", put_title, doing="change")
    before = kept(collection, ("title", "image"))
    schema = raw(store, name)
    with pytest.raises(UnsupportedError) as refused:
        collection.plan("scalar", vector="title")
    assert "strategy='vector'" in str(refused.value.hint)

    plan = collection.plan("scalar:rescore=4", vector="title", strategy="vector")
    assert plan.new_vector == "title_rq8"
    assert [step.symbol for step in plan.steps] == [Symbol.BACKGROUND] * 3 + [Symbol.CLIENT]
    assert all(step.reverse is None for step in plan.steps[:3])
    assert plan.steps[1].estimate.originals_disk == 2 * docs.nbytes + 4 * 4 * len(docs)
    assert "search the vector 'title_rq8'" in " ".join(str(plan).split())
    with pytest.raises(ConsentRequiredError, match="cannot be rolled back"):
        plan.apply()
    change = plan.apply(yes=True)
    assert change.state == "applied"

    there = collection.info().vectors
    assert str(there["title"].quantization) == "binary"
    assert str(there["title_rq8"].quantization) == "rotational:bits=8,rescore=4"
    assert there["title_rq8"].status.state is qa.State.ACTIVE
    assert kept(collection, ("title", "image")) == before
    news = collection.fetch(keys(len(docs)), vectors=("title_rq8",))
    assert news.vectors["title_rq8"].tobytes() == docs.tobytes()
    after = raw(store, name)
    for label in ("title", "image"):
        assert after["vectorConfig"][label] == schema["vectorConfig"][label]
    lossy = recall(collection.search(queries, k=10, vector="title", rescore=1), docs, queries)
    lifted = recall(collection.search(queries, k=10, vector="title_rq8"), docs, queries)
    assert lossy < 0.97
    # The new index keeps ef 16, so 4 x 10 candidates are searched with ef 40. An independent HNSW
    # (M 32, efConstruction 128, five seeds) on the original vectors finds .978 to .979 with ef 40
    # (1.0 with ef 320), and 40 candidates of 8-bit codes by brute force lose nothing. Two standard
    # deviations of 1,000 neighbors below that is .97.
    assert lifted > 0.97
    with pytest.raises(PlanError, match="cannot be rolled back"):
        change.undo()
    again = collection.plan("scalar", vector="title", strategy="vector")
    assert again.new_vector == "title_rq8_2"


def test_flat_vector_is_added_next_to_an_unnamed_vector(
    store: WeaviateStore, name: str, docs: Floats, queries: Floats
) -> None:
    """Another client created it; searches without a vector name still work."""
    foreign(
        store,
        name,
        vectorIndexType="flat",
        vectorIndexConfig={"distance": "cosine"},
        properties=[{"name": "text", "dataType": ["text"]}],
    )
    collection = Database(store)[name]
    texts = [{"text": f"row {row}"} for row in range(len(docs))]
    collection.write(qa.Batch(keys(len(docs)), {"": docs}, texts))
    before = kept(collection, ("",))
    exact = recall(collection.search(queries, k=10), docs, queries)
    wanted = qa.binary(
        native={"bq": {"rescoreLimit": -1}}
    )  # so that scores show whether codes are used
    plan = collection.plan(wanted, strategy="vector")
    assert plan.new_vector == "default_bq"
    assert plan.apply(yes=True).state == "applied"
    assert kept(collection, ("",)) == before
    assert recall(collection.search(queries, k=10, vector=""), docs, queries) == exact
    found = collection.info().vectors
    assert str(found[""].quantization) == "none"
    assert str(found["default_bq"].quantization) == "binary"
    # On flat, the server does not report codes per vector.
    assert found["default_bq"].status.state in (qa.State.UNKNOWN, qa.State.ACTIVE)
    assert raw(store, name)["vectorConfig"]["default_bq"]["vectorIndexType"] == "flat"

    def by_codes(factor: int) -> float:
        hits = collection.search(queries, k=10, vector="default_bq", rescore=factor)
        return recall(hits, docs, queries)

    assert by_codes(1) < 0.9 < by_codes(10)


def test_product_codes_are_trained_after_rows_exist(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    collection = two_vectors(store, name, docs[:600])
    plan = collection.plan("product:segments=32", vector="title", strategy="vector")
    assert plan.steps[-1].symbol is Symbol.BLOCKING
    plan.apply(yes=True)
    assert state(collection, "title_pq") is qa.State.ACTIVE


def test_rows_written_during_a_pass_are_filled_by_the_next_pass(
    store: WeaviateStore, name: str, docs: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is changed, one deleted, one lacks the vector; another writer never stops."""
    collection = two_vectors(store, name, docs[:300])
    key = keys(300)
    patch, calls = named_vectors._patch, [0]

    def busy(connection: Any, real: str, row: str, *rest: Any) -> int:
        calls[0] += 1
        if calls[0] == 5:
            both = {"title": docs[400:401], "image": normal(1, seed=7)}
            collection.write(qa.Batch(key[:1], both, [{"text": "new"}]))
            collection.delete(key[250:251])
        return patch(connection, real, row, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(named_vectors, "_patch", busy)
        collection.plan("scalar", vector="title", strategy="vector").apply(yes=True)
    assert collection.count() == 299
    row = collection.fetch(key[:1])
    assert row.vectors["title_rq8"].tobytes() == docs[400:401].tobytes()
    assert row.payloads is not None
    assert row.payloads[0] == {"text": "new"}

    def endless(connection: Any, real: str, row: str, *rest: Any) -> int:
        return 1

    monkeypatch.setattr(named_vectors, "_patch", endless)
    with pytest.raises(ApplyError, match="without the vector") as failed:
        collection.plan("scalar", vector="title", strategy="vector").apply(yes=True)
    assert "apply again" in str(failed.value.hint)
    assert "undo" not in str(failed.value.hint)


APPLY = """
import sys
import qadapt as qa

def told(event):
    print(event.stage, event.done, flush=True)

with qa.open(sys.argv[1]) as db:
    plan = db[sys.argv[2]].plan("scalar", vector="title", strategy="vector")
    plan.apply(yes=True, progress=told, timeout=120)
"""


def test_a_kill_in_the_middle_of_filling(
    store: WeaviateStore, live: Callable[[str], str], name: str, docs: Floats
) -> None:
    collection = two_vectors(store, name, docs)
    before = kept(collection, ("title", "image"))
    words = [sys.executable, "-c", APPLY, live("weaviate"), name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("filling"):
                break
        process.kill()
    assert process.returncode == -9
    assert str(collection.info().vectors["title_rq8"].quantization) == "rotational:bits=8"
    filled = collection.fetch(keys(len(docs)), vectors=("title_rq8",))
    gaps = filled.missing["title_rq8"]
    assert 0 < gaps.sum() < len(docs)
    plan = collection.plan("scalar", vector="title", strategy="vector")
    assert any("is unfinished" in note for note in plan.notes)
    assert plan.apply(yes=True).state == "applied"
    assert sorted(raw(store, name)["vectorConfig"]) == ["image", "title", "title_rq8"]
    filled = collection.fetch(keys(len(docs)), vectors=("title_rq8",))
    assert filled.vectors["title_rq8"].tobytes() == docs.tobytes()
    assert not filled.missing
    assert kept(collection, ("title", "image")) == before
    assert state(collection, "title_rq8") is qa.State.ACTIVE


def test_matching_quantization_needs_no_new_vector(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    collection = two_vectors(store, name, docs[:300])
    plan = collection.plan("binary", vector="title", strategy="vector")
    assert plan.new_vector is None
    assert not plan.changes


def test_unquantized_vector_is_filled_in_each_tenant(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """It was the only named vector, so the plan says that searches must name one."""
    index = {"vectorIndexType": "hnsw", "vectorIndexConfig": {"bq": {"enabled": True}}}
    body = {
        "class": name,
        "multiTenancyConfig": {"enabled": True},
        "vectorConfig": {"title": {**index, "vectorizer": {"none": {}}}},
    }
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    tenants = [{"name": "red"}, {"name": "blue"}]
    store.connection.rest("POST", f"/v1/schema/{name}/tenants", tenants, doing="make tenants")
    database = Database(store)
    gap = np.arange(40) == 39
    for at, tenant in enumerate(("red", "blue")):
        rows = docs[40 * at : 40 * at + 40]
        batch = qa.Batch(keys(40), {"title": rows}, missing={"title": gap})
        database[f"{name}@{tenant}"].write(batch)
    plan = database[name].plan("none", vector="title", strategy="vector")
    assert plan.new_vector == "title_none"
    assert "searches must name a vector" in plan.steps[0].reason
    plan.apply(yes=True)
    found = database[name].info().vectors
    assert str(found["title"].quantization) == "binary"
    assert str(found["title_none"].quantization) == "none"
    config = raw(store, name)["vectorConfig"]["title_none"]["vectorIndexConfig"]
    assert config["skipDefaultQuantization"] is True
    for at, tenant in enumerate(("red", "blue")):
        there = database[f"{name}@{tenant}"].fetch(keys(40))
        wanted = docs[40 * at : 40 * at + 39].tobytes()
        assert there.vectors["title_none"][:39].tobytes() == wanted
        assert there.missing["title_none"].tolist() == gap.tolist()

    # A writer that only sends the old vector adds a row that searches of the new one miss.
    red = database[f"{name}@red"]
    gaps = {"title_none": np.array([True])}
    late = {"title": docs[100:101], "title_none": docs[100:101]}
    red.write(qa.Batch(keys(1, 50), late, missing=gaps))
    asked = docs[100:101]
    assert red.search(asked, k=1, vector="title").ids[0, 0] == keys(1, 50)[0]
    assert red.search(asked, k=1, vector="title_none").ids[0, 0] != keys(1, 50)[0]

    again = {"name": "blue", "activityStatus": "COLD"}
    store.connection.rest("PUT", f"/v1/schema/{name}/tenants", [again], doing="deactivate tenant")
    with pytest.raises(UnsupportedError, match="not active"):
        database[name].plan("scalar", vector="title", strategy="vector")
