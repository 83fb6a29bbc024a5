"""Code for clients without qadapt: pasted and run, it returns the ids of qadapt's own search."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
import uuid
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slow import some

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import IntegrityError
from qadapt.model.address import Address
from qadapt.search import search_without_params
from qadapt.stores.base import SearchRequest
from qadapt.stores.client_form import ClientCode, ClientSearch
from qadapt.stores.milvus import client_code as milvus_code

ROWS, DIM = 3_000, 48


def vectors(count: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


QUERIES = vectors(8, seed=1)


def filled(database: Database, name: str, metric: str = "cosine", *, uuids: bool = False) -> Any:
    collection = database.create(name, dim=DIM, metric=metric)
    ids = [str(uuid.UUID(int=at + 1)) if uuids else at for at in range(ROWS)]
    collection.write(qa.Batch(ids, {"": vectors()}))
    return collection


def pasted(code: str) -> Callable[[list[float]], list[Any]]:
    """The function that Python code defines."""
    defined: dict[str, Any] = {}
    exec(compile(code, "pasted.py", "exec"), defined)  # the code that users paste
    found: Callable[[list[float]], list[Any]] = defined["search"]
    return found


def from_shell(code: str, query: np.ndarray) -> Any:
    """The JSON that shell code prints."""
    script = f"{code}\nsearch '{json.dumps(query.tolist())}'"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# -- Qdrant -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "setting"),
    some(
        [*product(
            ("cosine", "euclidean"),
            ("binary:rescore=8", "binary:rescore=2.55", "scalar:rescore=off"),
        )],
        3,
    ),
)  # fmt: skip
def test_code_for_the_embedded_engine_returns_the_same_ids(
    live: Callable[[str], str], metric: str, setting: str
) -> None:
    with qa.open(live("edge")) as database:
        collection = filled(database, "a", metric)
        collection.plan(setting).apply(yes=True)
        found = collection.client_params()
        own = collection.search(QUERIES, k=10).ids.tolist()
    assert found.needed and found.kept_in == "this machine"
    assert "quantization" in found.params
    search = pasted(found.code["qdrant-edge"])
    assert [search(query.tolist()) for query in QUERIES] == own


def test_another_client_without_parameters_has_other_results(live: Callable[[str], str]) -> None:
    edge = pytest.importorskip("qdrant_edge")
    url = live("edge")
    with qa.open(url) as database:
        collection = filled(database, "a")
        collection.plan("binary:rescore=8").apply(yes=True)
        own = collection.search(QUERIES, k=10).ids.tolist()
    shard = edge.EdgeShard.load(str(Path(url.partition(":")[2]) / "a"))
    bare = [
        shard.query(edge.QueryRequest(query=edge.Query.Nearest(query.tolist()), limit=10))
        for query in QUERIES
    ]
    assert [[point.id for point in row] for row in bare] != own


def test_code_for_a_local_mode_returns_the_same_ids(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client")
    with qa.open(f"qdrant:{tmp_path / 'local'}") as database:
        collection = filled(database, "a")
        found = collection.client_params(k=7)
        own = collection.search(QUERIES, k=7).ids.tolist()
    assert not found.needed and list(found.code) == ["qdrant-client"]
    search = pasted(found.code["qdrant-client"])
    assert [search(query.tolist()) for query in QUERIES] == own


# -- Milvus -----------------------------------------------------------------------------------


def check_milvus(collection: Collection, database: Database) -> None:
    found = collection.client_params()
    own = collection.search(QUERIES, k=10).ids.tolist()
    layout = database._store.reader.layout(collection.name)  # type: ignore[attr-defined]
    # Both clients use one engine: Milvus Lite builds another HNSW graph when it opens a file again.
    search = pasted(found.code["pymilvus"])
    keys = [search(query.tolist()) for query in QUERIES]
    assert [[layout.keys.from_native(key) for key in row] for row in keys] == own
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "setting"),
    some([*product(("cosine", "euclidean", "dot"), ("none", "scalar", "scalar:rescore=4"))], 3),
)
def test_code_for_milvus_lite_returns_the_same_ids(
    live: Callable[[str], str], metric: str, setting: str
) -> None:
    database = qa.open(live("milvus-lite"))
    collection = filled(database, "a", metric)
    collection.plan(setting).apply(yes=True)
    assert collection.client_params().rescores == ("rescore=4" in setting)
    check_milvus(collection, database)


@pytest.mark.server
@pytest.mark.parametrize("setting", ["none", "product:rescore=4", "scalar:rescore=2", "binary"])
def test_code_for_a_milvus_server_returns_the_same_ids(
    live: Callable[[str], str], setting: str
) -> None:
    database = qa.open(live("milvus"))
    collection = filled(database, f"clients_{uuid.uuid4().hex[:8]}")
    try:
        collection.plan(setting).apply(yes=True)
        check_milvus(collection, database)
    finally:
        with qa.open(live("milvus")) as again:
            again.drop(collection.name)


@pytest.mark.server
@pytest.mark.parametrize("setting", ["none", "scalar:rescore=2"])
def test_code_for_a_partition_key_of_milvus_returns_the_same_ids(
    live: Callable[[str], str], setting: str
) -> None:
    """A field assigns rows to partitions; a search without a filter covers all of them."""
    pymilvus = pytest.importorskip("pymilvus")
    url, name = live("milvus"), f"clients_{uuid.uuid4().hex[:8]}"
    client = pymilvus.MilvusClient(uri=f"http://{url.partition('://')[2]}")
    types = pymilvus.DataType
    made = client.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("pk", types.INT64, is_primary=True)
    made.add_field("v", types.FLOAT_VECTOR, dim=DIM)
    made.add_field("who", types.VARCHAR, max_length=20, is_partition_key=True)
    client.create_collection(name, schema=made, num_partitions=2)
    params = client.prepare_index_params()
    params.add_index("v", "FLAT", "own", metric_type="COSINE", params={})
    client.create_index(name, params, timeout=60)
    client.load_collection(name, timeout=60)
    with qa.open(url) as database:
        collection = database[name]
        try:
            payloads = [{"who": f"user {at % 2}"} for at in range(ROWS)]
            collection.write(qa.Batch(list(range(ROWS)), {"v": vectors()}, payloads))
            collection.plan(setting).apply(yes=True)
            found = collection.client_params()
            own = collection.search(QUERIES, k=10).ids.tolist()
            search = pasted(found.code["pymilvus"])
            assert [search(query.tolist()) for query in QUERIES] == own
            assert {key % 2 for row in own for key in row} == {0, 1}
        finally:
            database.drop(name)
            client.close()


@pytest.mark.server
@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("setting", ["none", "scalar", "product"])
def test_milvus_clients_without_parameters(
    live: Callable[[str], str], setting: str, k: int
) -> None:
    """What is measured for them is what pymilvus and REST find: REST of 2.3 has no parameters."""
    pymilvus = pytest.importorskip("pymilvus")
    url = live("milvus")
    with qa.open(url) as database:
        collection = filled(database, f"clients_{uuid.uuid4().hex[:8]}")
        try:
            collection.plan(setting).apply(yes=True)
            code = collection.client_params(k=k).code
            request = SearchRequest(k=k, vector="", no_params=True)
            vector = collection.info().vectors[""].vector
            own = search_without_params(
                database._store, collection.name, QUERIES, request, vector
            ).ids.tolist()
            layout = database._store.reader.layout(collection.name)  # type: ignore[attr-defined]
            client = pymilvus.MilvusClient(uri=f"http://{url.partition('://')[2]}")
            found = client.search(collection.name, data=QUERIES.tolist(), limit=k)
            client.close()
            assert [[layout.keys.from_native(hit["id"]) for hit in row] for row in found] == own
            assert len(own[0]) == k and None not in own[0]
            if database.server().version == "2.3.5":
                assert "this API ignores " in code["rest"]
                for query, row in zip(QUERIES, own, strict=True):
                    hits = from_shell(code["rest"], query)["data"]
                    keys = [layout.keys.from_native(hit[layout.keys.field]) for hit in hits]
                    assert keys == row
        finally:
            database.drop(collection.name)


def test_code_for_the_rest_api_of_milvus_sends_the_parameters(tmp_path: Path) -> None:
    """The API of 2.4 and newer, to a listener, because no server of that version is available."""
    bodies: list[tuple[str, str, Any]] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"code": 0, "data": []}')

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = Address.parse(f"milvus+http://127.0.0.1:{server.server_port}?key_env=MILVUS_KEY")
        details = {"rest": 2, "bits": False, "searched": "docs", "searched_field": "vector",
                   "key": "qadapt_id", "partition": "it's"}  # fmt: skip
        sent = ClientSearch(10, {"ef": "64"}, details=details)
        about = ClientCode(address, "docs", "", qa.Vector(3), 10, sent)
        code = next(form for form in milvus_code.FORMS if form.name == "rest").write(about)
        assert code is not None
        answer = from_shell(f"export MILVUS_KEY=secret\n{code}", np.asarray([1.0, 0.5, 0.25]))
        server.shutdown()
    assert answer == {"code": 0, "data": []}
    assert bodies == [
        (
            "/v2/vectordb/entities/search",
            "Bearer secret",
            {
                "collectionName": "docs",
                "limit": 10,
                "outputFields": ["qadapt_id"],
                "annsField": "vector",
                "data": [[1.0, 0.5, 0.25]],
                "searchParams": {"metricType": "COSINE", "params": {"ef": 64}},
                "partitionNames": ["it's"],
            },
        )
    ]


# -- Weaviate ---------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("setting", ["none", "rotational:bits=8,rescore=6", "binary:rescore=20"])
def test_code_for_weaviate_returns_the_same_ids(live: Callable[[str], str], setting: str) -> None:
    with qa.open(live("weaviate")) as database:
        collection = filled(database, f"Clients{uuid.uuid4().hex[:8]}", uuids=True)
        try:
            collection.plan(setting).apply(yes=True)
            found = collection.client_params()
            own = collection.search(QUERIES, k=10).ids.tolist()
            assert found.needed == ("rescore" in setting)
            search = pasted(found.code["weaviate-client"])
            assert [search(query.tolist()) for query in QUERIES] == own
            for query, row in zip(QUERIES, own, strict=True):
                answer = from_shell(found.code["rest"], query)
                hits = answer["data"]["Get"][collection.name][:10]
                assert [hit["_additional"]["id"] for hit in hits] == row
            search.__globals__["client"].close()
        finally:
            database.drop(collection.name)


# -- where settings are kept ------------------------------------------------------------------


def check_other_machine(url: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that one machine sets are read, undone and reset with another state folder."""
    with qa.open(url) as database:
        filled(database, name)
        plan = database[name].plan("scalar:rescore=4")
        assert plan.clients is not None and plan.clients.kept_in == "collection"
        assert any("an undo keeps the properties qadapt.settings" in each for each in plan.notes)
        before = database[name].info().fingerprint
        plan.apply(yes=True)
        assert database[name].client_params().kept_in == "collection"
    here = os.environ["QADAPT_STATE_DIR"]
    monkeypatch.setenv("QADAPT_STATE_DIR", str(folder))
    with qa.open(url) as database:
        collection = database[name]
        assert collection.info().vectors[""].quantization.rescore == qa.Rescore(4)
        assert collection.search(QUERIES, k=5).how.rescore_from == "collection"
        assert not collection.plan("scalar:rescore=4").changes
    monkeypatch.setenv("QADAPT_STATE_DIR", here)
    with qa.open(url):
        qa.undo()
    with qa.open(url) as database:
        info = database[name].info()
        assert info.vectors[""].quantization.rescore is None
        assert info.fingerprint == before or url.startswith("milvus+")


def test_milvus_lite_keeps_settings_for_other_machines(
    live: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_other_machine(live("milvus-lite"), "a", tmp_path / "other", monkeypatch)


@pytest.mark.server
def test_a_milvus_server_keeps_settings_for_other_machines(
    live: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, name = live("milvus"), f"clients_{uuid.uuid4().hex[:8]}"
    try:
        check_other_machine(url, name, tmp_path / "other", monkeypatch)
    finally:
        with qa.open(url) as database:
            database.drop(name)


@pytest.mark.server
def test_weaviate_keeps_settings_for_other_machines(
    live: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, name = live("weaviate"), f"Clients{uuid.uuid4().hex[:8]}"
    with qa.open(url) as database:
        made = filled(database, f"{name}_1", uuids=True)
        database._store.switch_alias(name, made.name)
    try:
        with qa.open(url) as database:
            database[name].plan("rotational:bits=8,rescore=4", strategy="alias").apply(yes=True)
            assert database[name].client_params().kept_in == "collection"
        monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "other"))
        with qa.open(url) as database:
            collection = database[name]
            assert collection.info().vectors[""].quantization.rescore == qa.Rescore(4)
            assert collection.search(QUERIES, k=5).how.rescore_from == "collection"
            assert not collection.plan("rotational:bits=8,rescore=4").changes
            change = collection.plan("rotational:bits=8").apply(yes=True)
            assert collection.info().vectors[""].quantization.rescore is None
            assert collection.count() == ROWS
            assert change.state == "applied"
    finally:
        with qa.open(url) as database:
            database._store.drop_alias(name)
            for each in database.collections():
                if each.startswith(name):
                    database.drop(each)


def test_a_property_that_is_no_json_is_reported(live: Callable[[str], str]) -> None:
    with qa.open(live("milvus-lite")) as database:
        collection = filled(database, "a")
        store: Any = database._store
        key = {"qadapt.settings": "{"}
        store.connection.client.alter_collection_properties("a", key)
        store.forget("a")
        with pytest.raises(IntegrityError, match="is not JSON"):
            collection.info()
