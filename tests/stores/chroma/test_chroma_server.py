"""``chroma run`` on loopback: what differs from a folder."""

from __future__ import annotations

import gc
import json
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live.chroma import ChromaServer

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import NotFoundError, UnreachableError
from qadapt.model.address import Address
from qadapt.stores.chroma import client_code, snapshot
from qadapt.stores.chroma.profile import PROFILE
from qadapt.stores.client_form import ClientCode, ClientSearch
from qadapt.testing.data import Sample

ROWS, DIM = 1200, 64
EYE = np.eye(4, dtype=np.float32)
BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"


@pytest.fixture
def server(live: Callable[[str], str]) -> Iterator[Database]:
    with qa.open(live("chroma")) as database:
        yield database


@pytest.fixture
def shared(server: Database, sample: Sample) -> Iterator[Collection]:
    """A collection with a unique name, which is dropped at the end."""
    name = f"shared_{uuid.uuid4().hex}"
    collection = server.create(name, dim=DIM, metric="cosine")
    payloads = [{"group": row % 10} for row in range(ROWS)]
    collection.write(qa.Batch(range(ROWS), {"": sample.rows}, payloads))
    yield collection
    server.drop(name)


def post(server: Database, body: dict[str, Any]) -> dict[str, Any]:
    """Create a collection by REST, as a client in another language."""
    url = f"{server._store.address.url}{BASE}"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_quantize_in_a_schema_is_accepted_and_dropped(server: Database) -> None:
    first, second = (f"asked_{uuid.uuid4().hex}" for _ in range(2))
    schema = post(server, {"name": first})["schema"]
    config = schema["keys"]["#embedding"]["float_list"]["vector_index"]["config"]
    del config["hnsw"]
    config["spann"] = {"quantize": snapshot.RABITQ}
    returned = post(server, {"name": second, "schema": schema})["schema"]
    assert snapshot.RABITQ not in json.dumps(returned), "dropped without a word"
    collection = server[second]
    collection.write(qa.Batch(["a"], {"": EYE[:1]}))
    vector = collection.info().vectors[""]
    assert vector.index["type"] == "hnsw"
    assert (vector.quantization, vector.status.state) == (qa.none(), qa.State.ABSENT)
    for name in (first, second):
        server.drop(name)


def test_the_server_reports_the_version_of_its_interface(server: Database) -> None:
    found = server.server()
    assert (found.version, found.deployment) == ("1.0.0", "server")
    assert server.capabilities().native("native-filter")


def test_client_codes_on_a_server_have_no_change_counter(
    shared: Collection, sample: Sample
) -> None:
    """All rows of a small collection are compared."""
    shared.plan("binary:rescore=10", accept="client").apply(yes=True)
    status = shared.info().vectors[""].status
    evidence = {each.signal: each.value for each in status.evidence}
    assert status.state is qa.State.ACTIVE
    assert evidence["change counter"] == "none"
    assert evidence["rows compared with the database"] == ROWS
    hits = shared.search(sample.queries, k=10, filter={"group": [1, 2]})
    assert hits.how.searcher == "qadapt"
    truth = shared.search(sample.queries, k=10, filter={"group": [1, 2]}, exact=True)
    found = [len({*a} & {*b}) for a, b in zip(hits.ids.tolist(), truth.ids.tolist(), strict=True)]
    assert np.mean(found) > 8


def test_rows_are_copied_to_a_folder(shared: Collection, tmp_path: Path) -> None:
    source, target = f"{shared._store.address}#{shared.name}", f"chroma:{tmp_path}/copy"
    assert qa.migrate(source, target).state == "done"
    assert qa.check(source, f"{target}#{shared.name}").passed


@pytest.mark.parametrize("form", ["chromadb", "rest"])
def test_pasted_code_returns_the_ids_of_qadapt(
    shared: Collection, sample: Sample, form: str
) -> None:
    code = shared.client_params(k=5).code[form]
    query = sample.queries[0]
    if form == "rest":
        script = f"{code}\nsearch '{json.dumps(query.tolist())}'"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)["ids"][0]
    else:
        defined: dict[str, Any] = {}
        exec(compile(code, "pasted.py", "exec"), defined)  # the code that users paste
        found = defined["search"](query.tolist())
        client = defined["client"]  # its own `close` leaves the connections open
        for each in (client._server, client._admin_client._server):
            each._session.close()
    assert list(map(int, found)) == shared.search(query, k=5).ids[0].tolist()


def test_a_client_of_the_program_is_wrapped(shared: Collection) -> None:
    client = shared._store.connection.client  # type: ignore[attr-defined]
    with qa.wrap(client) as database:
        assert database._store.address == shared._store.address
        assert database[shared.name].count() == ROWS
    assert client.heartbeat()


@pytest.mark.filterwarnings("ignore:unclosed")
def test_an_unknown_tenant_is_reported(live: Callable[[str], str]) -> None:
    """The client leaves the connections of a failed attempt to the garbage collector."""
    with pytest.raises(NotFoundError, match="nobody"):
        qa.open(f"{live('chroma')}?tenant=nobody")
    gc.collect()


def test_rows_survive_a_killed_server(chroma_server: ChromaServer) -> None:
    rows = np.random.default_rng(0).standard_normal((500, 16)).astype(np.float32)
    with qa.open(chroma_server.url) as database:
        collection = database.create("kept", dim=16, metric="euclidean")
        collection.write(qa.Batch(range(500), {"": rows}))
        chroma_server.kill()
        database._store.connection.sleep = lambda _: None  # type: ignore[attr-defined]
        with pytest.raises(UnreachableError, match="kept"):
            collection.count()
        with pytest.raises(UnreachableError, match="Could not connect") as caught:
            qa.open(chroma_server.url)
        assert "chroma run" in str(caught.value)
        chroma_server.start()
        assert collection.count() == 500
        back = collection.fetch(list(range(500)))
        assert back.vectors[""].tobytes() == rows.tobytes()
        assert collection.search(rows[7], k=1).ids.tolist() == [[7]]


def test_keys_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """By contract: the server of the package has no authentication."""
    monkeypatch.setenv("CHROMA_API_KEY", "s3cret")
    address = Address.parse("chroma+https://example.com?tenant=t1&database=d1")
    search = ClientSearch(3, details={"uuid": "1234"})
    about = ClientCode(address, "notes", "", qa.Vector(3), 3, search)
    forms = {each.name: each.write(about) or "" for each in PROFILE.client_forms}
    assert set(forms) == {each.name for each in client_code.FORMS}
    for text in forms.values():
        assert "s3cret" not in text
        assert "CHROMA_API_KEY" in text and "x-chroma-token" in text
    assert "tenant='t1', database='d1'" in forms["chromadb"]
    assert "/api/v2/tenants/t1/databases/d1/collections/1234/query" in forms["rest"]
