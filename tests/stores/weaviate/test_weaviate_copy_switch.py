"""Copy and switch an alias: copied content, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from embeddings import DIM
from weaviate_articles import Floats, articles, raw
from weaviate_helpers import keys

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import UnsupportedError
from qadapt.stores.weaviate.store import WeaviateStore

pytest.importorskip("weaviate")
pytestmark = pytest.mark.timeout(300)


def test_a_copy_keeps_the_metric_and_the_opt_out(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    """The client's export loses both: dot becomes cosine, and a default quantizer is added."""
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


def test_a_copy_has_properties_references_and_other_vectors(
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


def test_a_collection_with_references_to_itself_is_not_copied(
    store: WeaviateStore, name: str
) -> None:
    """References of the copy would point to the old collection."""
    body = {
        "class": f"{name}_v1",
        "description": 'qadapt: {"dims": {"": 8}}',
        "properties": [{"name": "parent", "dataType": [f"{name}_v1"]}],
    }
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    database = Database(store)
    database.switch_alias(name, f"{name}_v1")
    with pytest.raises(UnsupportedError, match="has references to itself"):
        database[name].plan("binary", strategy="alias")


def test_rows_missing_in_the_copy_prevent_the_alias_switch(
    store: WeaviateStore, name: str, docs: Floats
) -> None:
    collection = articles(store, name, docs[:300])
    plan = collection.plan("binary", strategy="alias")
    target = plan.steps[0].request["to"]
    # Another client creates a collection of that name with one row.
    Database(store).create(target, dim=DIM, quantization="binary")
    Database(store)[target].write(qa.Batch(keys(1, 5000), {"": docs[:1]}))
    with pytest.raises(qa.errors.ApplyError, match="301 rows"):
        plan.apply(yes=True)
    assert Database(store).aliases()[name] == f"{name}_v1"
