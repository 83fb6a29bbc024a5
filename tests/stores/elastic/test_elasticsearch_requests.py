"""Requests: pauses that a server asks for, items that it rejects, addresses, code for clients."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.cli import main
from qadapt.errors import (
    AddressError,
    AuthError,
    BusyError,
    InputError,
    StoreError,
    TransientError,
    UnsupportedError,
)
from qadapt.model.address import Address
from qadapt.stores.elastic import copy_switch
from qadapt.stores.elastic.connection import Connection, Wire
from qadapt.stores.elastic.elasticsearch.connection import ElasticsearchWire
from qadapt.stores.elastic.elasticsearch.schema import Elasticsearch
from qadapt.stores.elastic.errors import Refused, refused
from qadapt.stores.elastic.product import number_lists
from qadapt.stores.elastic.rows import write
from qadapt.stores.elastic.schema import parse

FINGERPRINT = "AB" * 32
CLOUD = "name:" + base64.b64encode(b"example.com$abc$def").decode()


class Answers(Wire):
    """Answers in order; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, bytes | None]] = []

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        body: bytes | None,
        content_type: str,
        timeout: float | None,
        doing: str,
    ) -> Any:
        self.sent.append((method, path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


def connection(*answers: Any) -> tuple[Connection, Answers, list[float]]:
    wire = Answers(*answers)
    made = Connection(wire, owned=True)
    pauses: list[float] = []
    made.sleep = pauses.append
    return made, wire, pauses


INDEX = parse(
    "a",
    {"a": {"mappings": {"_meta": {"qadapt": {"format": 1}}, "properties": {
        "embedding": {"type": "dense_vector", "dims": 2, "similarity": "l2_norm"}}}}},
    Elasticsearch("9.5.3"),
)  # fmt: skip


@pytest.mark.parametrize("status", [429, 503])
def test_a_request_is_repeated_after_the_pause_that_the_server_asks_for(status: int) -> None:
    made, wire, pauses = connection(Refused(status, {}, 7.0), {"count": 3})
    assert made.ask("POST", "/a/_count", {}, doing="count") == {"count": 3}
    assert pauses == [7.0]
    assert len(wire.sent) == 2


def test_a_server_that_stays_busy_is_reported() -> None:
    made, _, pauses = connection(*[Refused(429, {"error": "queue is full"}, None)] * 4)
    with pytest.raises(BusyError, match="queue is full"):
        made.ask("POST", "/a/_count", {}, doing="count")
    assert len(pauses) == 3


def test_only_the_rejected_rows_of_a_bulk_request_are_sent_again() -> None:
    busy = {"index": {"status": 429, "error": {"type": "es_rejected_execution_exception"}}}
    fine = {"index": {"status": 201}}
    made, wire, pauses = connection(
        {"errors": True, "items": [fine, busy]}, {"errors": False, "items": [fine]}
    )
    write(made, Elasticsearch("9.5.3"), INDEX, qa.Batch([1, 2], {"": np.ones((2, 2))}))
    assert len(pauses) == 1
    again = (wire.sent[1][2] or b"").splitlines()
    assert [json.loads(again[0])] == [{"index": {"_id": "2"}}]
    assert len(again) == 2


def test_a_refused_row_is_named() -> None:
    bad = {"index": {"status": 400, "error": {"type": "document_parsing_exception", "reason": "x"}}}
    made, *_ = connection({"errors": True, "items": [{"index": {"status": 201}}, bad]})
    with pytest.raises(InputError, match="the row 2; 1 of 2 rows were refused, the others are"):
        write(made, Elasticsearch("9.5.3"), INDEX, qa.Batch([1, 2], {"": np.ones((2, 2))}))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthError), (403, AuthError), (502, TransientError), (500, StoreError)],
)
def test_the_error_of_a_status(status: int, kind: type[Exception]) -> None:
    found = refused(Refused(status, {"error": {"type": "t", "reason": "why"}}), "search 'a'")
    assert isinstance(found, kind)
    assert "could not search 'a': t: why" in found.message


def test_the_vectors_of_old_servers_are_lists() -> None:
    rows = np.array([[1.5, -2]], dtype=np.float32)
    assert Elasticsearch("8.19.21").encoded(rows) == [b"[1.5,-2]"]
    assert Elasticsearch("9.3.0").encoded(rows) == [b'"P8AAAMAAAAA="']  # 3fc00000 c0000000
    assert Elasticsearch("9.5.3").decoded("P8AAAMAAAAA=", 2).tolist() == [1.5, -2]
    assert Elasticsearch("8.11.0").encoded_query(rows[0]) == b"[1.5,-2]"
    assert Elasticsearch("9.5.3").encoded_query(rows[0]) == b'"P8AAAMAAAAA="'
    assert Elasticsearch("9.5.3").decoded("P8DAAA==", 2).tolist() == [1.5, -2]  # bfloat16


def test_numbers_with_nine_digits_are_the_same_float32() -> None:
    tiny, least = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).tiny
    edge = [
        0.0,
        -0.0,
        1.0,
        123456792.0,
        -1e-10,
        1e22,
        tiny,
        -tiny,
        least,
        np.finfo(np.float32).max,
        2**24 + 2,
        0.1,
        -0.0,
    ]
    rows = np.random.default_rng(0).integers(0, 0x7F800000, (500, 40)).astype(np.uint32)
    rows = np.concatenate([rows.view(np.float32), np.resize(np.float32(edge), (2, 40))])
    for wide in (json.loads, read_as_float32):
        read = np.array([wide(each) for each in number_lists(rows)], dtype=np.float32)
        assert np.array_equal(read.view(np.uint32), rows.view(np.uint32))


def read_as_float32(text: bytes) -> list[float]:
    """A parser that rounds each number to float32 at once."""
    return [float(np.float32(each)) for each in text.decode()[1:-1].split(",")]


def test_an_api_key_and_a_cloud_id_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """By contract: the server of the tests has no security."""
    elasticsearch = pytest.importorskip("elasticsearch", reason="the extra elasticsearch")
    made: dict[str, Any] = {}

    real = elasticsearch.Elasticsearch

    def client(**options: Any) -> Any:
        made.update(options)
        found = real(**{**options, "cloud_id": CLOUD} if "cloud_id" in options else options)
        found.transport.perform_request = answer
        return found

    def answer(method: str, target: str, **sent: Any) -> Any:
        made["authorization"] = sent["headers"]["authorization"]
        meta = SimpleNamespace(status=200, headers={"x-elastic-product": "Elasticsearch"})
        return meta, {"version": {"number": "9.5.3", "build_flavor": "serverless"}}

    monkeypatch.setattr(elasticsearch, "Elasticsearch", client)
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "aWQ6a2V5")
    address = "elasticsearch+https://es.example.com?timeout=9&fingerprint=" + FINGERPRINT
    found = ElasticsearchWire.connect(Address.parse(address))
    assert found.deployment == "serverless"
    assert made["hosts"] == ["https://es.example.com:9200"]
    assert made["ssl_assert_fingerprint"] == FINGERPRINT
    assert made["authorization"] == "ApiKey aWQ6a2V5"
    assert (made["request_timeout"], made["max_retries"]) == (9, 0)
    made.clear()
    ElasticsearchWire.connect(
        Address.parse("elasticsearch+https://cloud?cloud_id=name:abc&user=elastic")
    )
    assert "hosts" not in made
    assert (made["cloud_id"], made["basic_auth"]) == ("name:abc", ("elastic", "aWQ6a2V5"))
    assert made["authorization"].startswith("Basic ")
    with pytest.raises(AddressError, match="colour"):
        ElasticsearchWire.connect(Address.parse("elasticsearch+http://localhost:9200?colour=red"))


@pytest.mark.parametrize("setting", ["none", "binary:rescore=4"])
def test_code_for_clients_returns_the_same_ids(
    articles: Collection, sample: Any, setting: str, tmp_path: Any, since: Callable[[str], None]
) -> None:
    since("9.0.0")
    articles.plan(setting).apply(yes=True)
    expected = [str(key) for key in articles.search(sample.queries[3], k=10).ids[0]]
    query = [float(x) for x in sample.queries[3]]
    python = articles.client_params(k=10).code["elasticsearch-py"]
    space: dict[str, Any] = {}
    exec(python, space)
    try:
        assert space["search"](query) == expected
    finally:
        space["client"].close()
    shell = articles.client_params(k=10).code["rest"]
    script = f"{shell}\nsearch '{json.dumps(query)}'"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert [hit["_id"] for hit in json.loads(done.stdout)["hits"]["hits"]] == expected


def test_a_client_of_the_user_stays_open(
    database: Database, url: str, articles: Collection, since: Callable[[str], None]
) -> None:
    since("9.0.0")
    elasticsearch = pytest.importorskip("elasticsearch", reason="the extra elasticsearch")
    with elasticsearch.Elasticsearch(url.partition("+")[2]) as client:
        with qa.wrap(client) as wrapped:
            assert wrapped[articles.name].count() == 1500
        assert client.cluster.health()["status"] in ("green", "yellow")


def without_refreshes(raw: Callable[..., Any], articles: Collection, rows: int) -> None:
    """Rows of another client that the server shows after a refresh alone."""
    assert articles.count() == 1500
    name = articles.name
    assert raw("PUT", f"/{name}/_settings", {"index": {"refresh_interval": "-1"}})["acknowledged"]
    for row in range(rows):
        body = {"embedding": [1.0, *[float(row)] * 63]}
        assert raw("PUT", f"/{name}/_doc/{9000 + row}", body)["result"] == "created"


def test_counts_and_reads_include_rows_that_other_clients_have_just_written(
    raw: Callable[..., Any], url: str, articles: Collection, tmp_path: Path
) -> None:
    """Formerly a migration left them out, and its check compared the rest."""
    without_refreshes(raw, articles, 3)
    assert articles.count() == 1503
    raw("PUT", f"/{articles.name}/_doc/9003", {"embedding": [1.0] * 64})
    assert sum(len(batch) for batch in articles.read()) == 1504
    raw("PUT", f"/{articles.name}/_doc/9004", {"embedding": [2.0, *[1.0] * 63]})
    local = f"edge:{tmp_path / 'edge'}#articles"
    assert main(["migrate", f"{url}#{articles.name}", local]) == 0
    with qa.open(f"edge:{tmp_path / 'edge'}") as database:
        assert database["articles"].count() == 1505


def _forbid_refreshes(collection: Collection) -> list[float]:
    """A key without the privilege ``maintenance``; the pauses."""
    connection = collection._store.connection  # type: ignore[attr-defined]
    send = connection.wire.send
    pauses: list[float] = []

    def refuse(method: str, path: str, *rest: Any) -> Any:
        if path.endswith("/_refresh"):
            raise Refused(403, {"error": {"type": "security_exception", "reason": "unauthorized"}})
        return send(method, path, *rest)

    connection.wire.send = refuse
    connection.sleep = pauses.append
    return pauses


def test_a_key_that_may_not_refresh_waits_for_the_refresh_interval(
    raw: Callable[..., Any], articles: Collection
) -> None:
    raw("PUT", f"/{articles.name}/_settings", {"index": {"refresh_interval": "1500ms"}})
    pauses = _forbid_refreshes(articles)
    articles.count()
    assert pauses == [1.5]


def test_a_key_that_may_not_refresh_does_not_read_an_index_without_refreshes(
    raw: Callable[..., Any], articles: Collection
) -> None:
    without_refreshes(raw, articles, 1)
    _forbid_refreshes(articles)
    with pytest.raises(AuthError, match="refresh_interval is -1") as error:
        articles.count()
    assert "maintenance" in error.value.hint


def test_the_profile_of_a_search_shows_the_rescored_candidates(
    raw: Callable[..., Any],
    name: str,
    articles: Collection,
    sample: Any,
    since: Callable[[str], None],
) -> None:
    """40 more comparisons with original vectors; 0 for a search without rescoring."""
    since("9.1.0")
    articles.plan("binary").apply(yes=True)
    compared = []
    for factor in (0, 4):
        knn = {
            "field": "embedding", "query_vector": sample.queries[0].tolist(), "k": 10,
            "num_candidates": 100, "rescore_vector": {"oversample": factor},
        }  # fmt: skip
        found = raw("POST", f"/{name}/_search", {"knn": knn, "profile": True})
        (profile,) = found["profile"]["shards"][0]["dfs"]["knn"]
        compared.append(profile["vector_operations_count"])
    assert compared[1] - compared[0] == 40


@pytest.mark.parametrize(("version", "slices"), [("8.19.21", False), ("9.5.3", True)])
def test_old_servers_read_in_one_part(version: str, slices: bool) -> None:
    """8.19 refuses slices by id of a point in time (docs/engines/elasticsearch.md#rows)."""
    assert Elasticsearch(version).slices_by_id is slices


def test_a_data_stream_is_refused_by_name() -> None:
    """By contract: the server of the tests has no data streams."""
    answer = {".ds-logs-000001": {"aliases": {}, "mappings": {}, "data_stream": "logs"}}
    with pytest.raises(UnsupportedError, match="'logs' is a data stream") as error:
        parse("logs", answer, Elasticsearch("9.5.3"))
    assert error.value.hint == "write the vectors to an index"


def test_a_field_of_semantic_text_is_named_and_not_copied() -> None:
    """By contract: the server of the tests has no inference."""
    properties = {"summary": {"type": "semantic_text", "inference_id": "elser"}}
    answer = {"docs": {"mappings": {"properties": properties}, "settings": {"index": {}}}}
    found = parse("docs", answer, Elasticsearch("9.5.3"))
    assert dict(found.vectors) == {}
    with pytest.raises(UnsupportedError, match="'summary' of 'docs' is a semantic_text field"):
        found.field_of("summary")
    with pytest.raises(UnsupportedError, match="'summary' is a semantic_text field"):
        copy_switch.check_fields(found)
