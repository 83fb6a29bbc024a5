"""Settings that Qdrant accepts without applying them, and invalid requests that it accepts.

On recordings of a 1.16.3 server, or responses in their format. ``test_qdrant_engine`` tests the
engine live with the store ``edge``.
"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_helpers import (
    Replay,
    answer,
    info_of,
    lifecycle,
    ok,
    recording,
    refused,
    serve,
    telemetry_of,
)

import qadapt as qa
from qadapt.errors import (
    DimensionError,
    InputError,
    NonFiniteError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from qadapt.model import MatchLevel, Vector
from qadapt.stores.base import SearchRequest, silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.qdrant.server import copy_switch, vector_index

V = Vector(8)
UNNAMED = {"size": 8, "distance": "Cosine"}
BINARY = {"binary": {}}


# -- dropped fields ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "odd_memory_binary",
        "odd_memory_scalar",
        "odd_unknown_inner",
        "odd_vector_memory",
        "odd_vector_memory_cold",
        "odd_hnsw_memory",
        "odd_two_kinds",
    ],
)
def test_a_field_dropped_by_1_16_is_reported_after_read_back(name: str) -> None:
    """memory before 1.19 and anything unknown (docs/engines/qdrant.md#dropped-fields)."""
    from qadapt.stores.qdrant.server import schema

    sent = recording(f"create/{name}")
    assert sent["response"]["status"] == 200
    info = recording(f"create/{name}__read_back")["response"]["body"]["result"]
    body = {**sent["request"]["body"]}
    body["vectors"] = {"": body["vectors"]}
    found = schema.differences(body, info)
    assert len(found) == 1
    assert any(word in found[0] for word in ("memory", "foo", "binary"))


@pytest.mark.parametrize(
    "name",
    [
        "binary",
        "binary_one_half",
        "binary_q8",
        "binary_qbin",
        "binary_ram",
        "binary_two_bits",
        "scalar",
        "scalar_min",
        "product",
        "all_product_x4",
        "on_disk_binary",
        "unnamed_vector_level",
        "datatype_float16",
        "datatype_uint8",
    ],
)
def test_fields_kept_by_1_16_are_no_difference(name: str) -> None:
    from qadapt.stores.qdrant.server import schema

    body = {**recording(f"create/{name}")["request"]["body"]}
    body["vectors"] = {"": body["vectors"]}
    info = recording(f"create/{name}__read_back")["response"]["body"]["result"]
    assert schema.differences(body, info) == []


def test_dropped_memory_is_never_sent_before_1_19() -> None:
    for version, word in (("1.16.3", "always_ram"), ("1.19.0", "memory")):
        server = Replay(version)
        native = server.store().map(qa.binary(codes="ram"), V).native
        assert native is not None
        assert list(native["quantization_config"]["binary"]) == [word]
    mapped = Replay("1.16.3").store().map(qa.binary(native={"memory": "pinned"}), V)
    assert mapped.match.level is MatchLevel.UNSUPPORTED
    assert "silently drop it" in mapped.match.differences[0]


def test_dropped_encoding_is_never_sent_before_1_15() -> None:
    """One bit would be built silently (docs/engines/qdrant.md#dropped-fields)."""
    for wanted in (qa.binary(bits=2), qa.binary(query_bits=8)):
        assert Replay("1.14.1").store().map(wanted, V).match.level is MatchLevel.UNSUPPORTED
        assert Replay("1.15.0").store().map(wanted, V).match.level is MatchLevel.EXACT
    raw = qa.binary(native={"encoding": "two_bits"})
    assert Replay("1.14.1").store().map(raw, V).match.level is MatchLevel.UNSUPPORTED


@pytest.mark.parametrize(("bits", "since"), [(4, "1.18.0"), (8, "1.20.0"), (1.5, "1.18.0")])
def test_unsupported_turbo_is_rejected_before_a_request(bits: float, since: str) -> None:
    wanted = qa.rotational(bits=bits)
    assert recording("create/odd_turbo")["response"]["status"] == 400
    assert Replay("1.16.3").store().map(wanted, V).match.level is MatchLevel.UNSUPPORTED
    assert Replay(since).store().map(wanted, V).match.level is not MatchLevel.UNSUPPORTED


@pytest.mark.parametrize(
    ("datatype", "old", "new"),
    [
        ("float16", "1.9.0", "1.10.0"),
        ("uint8", "1.8.4", "1.9.0"),
        ("turbo4", "1.18.0", "1.19.0"),
        ("turbo8", "1.19.0", "1.20.0"),
    ],
)
def test_unsupported_datatypes_are_rejected_before_a_request(
    datatype: Any, old: str, new: str
) -> None:
    vectors = {"": Vector(8, datatype=datatype)}
    server = Replay(old)
    with pytest.raises(UnsupportedError, match=datatype):
        server.store().create("t", vectors, {})
    assert server.writes() == []
    server = Replay(new).on("PUT", "/collections/t", ok(True))
    server.on("GET", "/collections/t", ok(info_of({**UNNAMED, "datatype": datatype})))
    server.store().create("t", vectors, {})
    assert server.bodies("PUT", "/collections/t") == [
        {"vectors": {**UNNAMED, "datatype": datatype}}
    ]


def test_an_accepted_but_ignored_patch_is_an_error_that_names_the_field() -> None:
    server = serve(info_of(UNNAMED))
    server.on("GET", "/collections/articles", ok(info_of(UNNAMED)), ok(info_of(UNNAMED, BINARY)))
    body = {"quantization_config": {"binary": {"memory": "pinned"}}}
    with pytest.raises(StoreError, match=r"quantization_config\.binary\.memory: sent 'pinned'"):
        vector_index.patch(server.store().connection, "articles", body)


def test_a_collection_created_with_other_settings_is_dropped() -> None:
    server = Replay().on("PUT", "/collections/t", ok(True)).on("DELETE", "/collections/t", ok(True))
    server.on("GET", "/collections/t", ok(info_of(UNNAMED)))
    with pytest.raises(StoreError, match="quantization_config"):
        server.store().create("t", {"": V}, {"": qa.binary()})
    assert [method for method, path, _ in server.writes()] == ["PUT", "DELETE"]


# -- optimizations and local mode ------------------------------------------------------------------


def test_an_unchanged_setting_sends_no_patch() -> None:
    server = serve(info_of(UNNAMED, BINARY, status="yellow"))
    assert not vector_index.patch(
        server.store().connection, "articles", {"quantization_config": BINARY}
    )
    assert server.writes() == []


def test_telemetry_and_optimizations_that_the_typed_client_cannot_parse_are_read() -> None:
    """626 errors of pydantic on 1.16.3 (docs/engines/qdrant.md#telemetry)."""
    from qdrant_client.http.exceptions import ResponseHandlingException

    story = lifecycle()
    store = story.store()
    with pytest.raises(ResponseHandlingException):
        store.connection.client.http.service_api.telemetry(details_level=4)
    with pytest.raises((ResponseHandlingException, TypeError)):
        store.connection.client.get_optimizations("articles")
    assert store.info("articles").vectors[""].status.state is qa.State.ABSENT


def test_local_mode_echoes_a_quantization_that_it_never_uses() -> None:
    """https://github.com/qdrant/qdrant-client/issues/909."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    codes = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    params = models.VectorParams(size=8, distance=models.Distance.DOT, quantization_config=codes)
    client.create_collection("articles", vectors_config={"a": params})
    with qa.wrap(client) as database:
        about = database["articles"].info().vectors["a"]
        assert about.quantization.kind is qa.Kind.BINARY, "it is echoed"
        assert about.status.state is qa.State.IGNORED
        assert "local mode" in about.status.reason
        with pytest.raises(UnsupportedError, match="local mode"):
            database["articles"].plan("none")
    assert client.get_collections().collections, "a wrapped client is never closed"
    client.close()


# -- aliases -------------------------------------------------------------------------------------


def test_an_alias_action_is_sent_alone_after_a_check() -> None:
    """aliases/15: delete + create on an unknown collection is a 404 and the alias is gone."""
    assert recording("aliases/15_partial_failure_is_atomic")["response"]["status"] == 404
    server = Replay().on("GET", "/collections/nope/exists", answer("server/exists_false"))
    with pytest.raises(NotFoundError, match="not switched"):
        copy_switch.switch(server.store().connection, "live", "nope")
    assert server.writes() == []
    server.on("GET", "/collections/v1/exists", answer("server/exists_true"))
    listed = {"alias_name": "live", "collection_name": "v1"}
    empty = ok({"aliases": []})
    server.on("GET", "/aliases", empty, ok({"aliases": [listed]}))
    server.on("POST", "/collections/aliases", answer("aliases/08_create_again_moves"))
    copy_switch.switch(server.store().connection, "live", "v1")
    sent = recording("aliases/08_create_again_moves")["request"]["body"]
    assert server.writes() == [("POST", "/collections/aliases", sent)]


def test_dropping_an_alias_as_a_collection_is_rejected() -> None:
    assert recording("aliases/14_delete_through_alias")["response"]["body"]["result"] is False
    server = serve(info_of(UNNAMED), name="v1")
    server.on("GET", "/aliases", answer("aliases/02_list"))
    with pytest.raises(InputError, match="alias of 'v1'"):
        server.store().drop("live")
    assert server.writes() == []


# -- rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_nan_is_rejected_before_a_grpc_request(value: float) -> None:
    assert recording("errors/upsert_1e39_overflows_f32")["response"]["status"] == 200
    points = recording("errors/query_zero_vector_cosine")["response"]["body"]["result"]["points"]
    assert points[0]["score"] is None
    server = serve(info_of({"size": 4, "distance": "Dot"}))
    rows = np.array([[1.0, 1, 1, 1], [1, value, 1, 1]])
    with pytest.raises(NonFiniteError):
        server.store().write("articles", qa.Batch([1, 2], {"": rows}))
    assert server.writes() == []


def test_stored_nan_is_reported() -> None:
    info = info_of({"size": 4, "distance": "Cosine"})
    server = serve(info, telemetry_of("articles", []))
    body = recording("errors/query_zero_vector_cosine")["response"]["body"]
    found = {**body, "result": [body["result"]]}
    path = "/collections/articles/points/query/batch"
    server.on("POST", path, httpx.Response(200, json=found))
    with pytest.raises(StoreError, match="NaN for 2"):
        server.store().search("articles", np.ones((1, 4), dtype=np.float32), SearchRequest(k=5))


def test_a_batch_with_an_invalid_point_is_not_sent() -> None:
    assert recording("errors/upsert_one_bad_of_two")["response"]["status"] == 400
    server = serve(info_of({"size": 4, "distance": "Dot"}))
    with pytest.raises(DimensionError):
        server.store().write("articles", qa.Batch([50, 51], {"": np.ones((2, 3))}))
    with pytest.raises(InputError, match="-1"):
        server.store().write("articles", qa.Batch([50, -1], {"": np.ones((2, 4))}))
    assert server.writes() == []


def test_an_upsert_is_sent_with_wait() -> None:
    """errors/upsert_wrong_dim_nowait: 200 "acknowledged", and the error is gone."""
    nowait = recording("errors/upsert_wrong_dim_nowait")["response"]["body"]["result"]
    assert nowait["status"] == "acknowledged"
    server = serve(info_of({"size": 4, "distance": "Dot"}))
    path = "/collections/articles/points?wait=true"
    server.on("PUT", path, ok({"operation_id": 1, "status": "completed"}))
    server.store().write("articles", qa.Batch([50], {"": np.ones((1, 4))}))
    assert [point["id"] for point in server.bodies("PUT", path)[0]["points"]] == [50]


# -- "the collection quantized, this vector not" -------------------------------------------------


def test_vector_cannot_be_excluded_from_collection_quantization() -> None:
    """named/04 to 06: after "Disabled" the vector has the collection's binary codes."""
    info = recording("named/05_info")["response"]["body"]["result"]
    telemetry = recording("named/06_telemetry")["response"]["body"]["result"]
    store = serve(info, telemetry, name="named", count=3000).store()
    about = store.info("named")
    assert about.vectors["a"].quantization.kind is qa.Kind.BINARY
    for name in "abc":
        assert about.vectors[name].status.state is qa.State.ACTIVE
    with pytest.raises(UnsupportedError, match="cannot exclude the vector"):
        store.plan_change(ChangeRequest(store.inspect("named"), "a", qa.none()))
    wanted = qa.scalar(bits=7, quantile=0.95)
    (step,) = store.plan_change(ChangeRequest(store.inspect("named"), "b", wanted)).steps
    assert step.request["body"] == recording("named/07_patch_b_product")["request"]["body"]
    assert step.reverse is not None
    assert step.reverse["body"] == {"vectors": {"b": {"quantization_config": "Disabled"}}}


def test_vector_with_its_own_setting_is_disabled() -> None:
    info = recording("named/09_info")["response"]["body"]["result"]
    telemetry = recording("named/10_telemetry")["response"]["body"]["result"]
    store = serve(info, telemetry, name="named", count=3000).store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("named"), "b", qa.none())).steps
    body = {"vectors": {"b": {"quantization_config": "Disabled"}}}
    assert step.request["body"] == body
    assert "sparse vectors (s) are never quantized" in step.reason
    request = {"op": "qdrant.patch", "vector": "a", "body": body}
    with pytest.raises(StoreError, match="stored"):
        store.run("named", request, silent, 1)


def test_server_errors_are_not_replaced() -> None:
    server = serve(info_of(UNNAMED))
    text = recording("patch/error_quantile7")["response"]["body"]["status"]["error"]
    server.on("PATCH", "/collections/articles", refused(422, text))
    with pytest.raises(StoreError, match=r"must be from 0\.5 to 1\.0"):
        vector_index.patch(server.store().connection, "articles", {"quantization_config": BINARY})
