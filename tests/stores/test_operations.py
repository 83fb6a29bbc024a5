"""Requests of plan files: read as typed operations, or refused before anything is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qadapt.errors import SpecError
from qadapt.local.client_operations import CLIENT_OPERATIONS as OURS
from qadapt.stores import operations
from qadapt.stores.milvus.changes import OPERATIONS as MILVUS
from qadapt.stores.qdrant.edge.changes import OPERATIONS as EDGE
from qadapt.stores.qdrant.server.changes import OPERATIONS as QDRANT
from qadapt.stores.weaviate.changes import OPERATIONS as WEAVIATE

REQUESTS: list[tuple[operations.Operations, dict[str, Any]]] = [
    (EDGE, {"op": "edge.optimize"}),
    (EDGE, {"op": "edge.configure", "vector": "", "quantization_config": None}),
    (
        EDGE,
        {
            "op": "edge.configure",
            "vector": "title",
            "quantization_config": {"scalar": {"type": "int8"}},
            "memory": "cold",
            "on_disk": None,
            "optimizers": {"indexing_threshold": 300},
            "by_way_of_none": True,
            "rebuild": False,
        },
    ),
    (QDRANT, {"op": "qdrant.patch", "vector": "", "body": {"quantization_config": "Disabled"}}),
    (
        QDRANT,
        {
            "op": "qdrant.recreate",
            "alias": "articles",
            "from": "articles_v1",
            "to": "articles_v2",
            "vectors": {"": {"datatype": "float16"}},
        },
    ),
    (QDRANT, {"op": "qdrant.switch", "alias": "articles", "to": "articles_v1"}),
    (
        MILVUS,
        {
            "op": "milvus.index",
            "vector": "",
            "field": "vector",
            "index": {"index_type": "FLAT", "params": {}},
            "former": None,
            "load": True,
        },
    ),
    (MILVUS, {"op": "milvus.bits", "vector": "", "field": "vector", "on": False}),
    (MILVUS, {"op": "milvus.switch", "alias": "a", "to": "a_v1", "copy": "a_v2"}),
    (
        MILVUS,
        {
            "op": "milvus.recreate",
            "alias": "a",
            "from": "a_v1",
            "to": "a_v2",
            "vector": "",
            "field": "vector",
            "target_vector": {"datatype": "float32", "indexes": {"vector": {}}},
        },
    ),
    (WEAVIATE, {"op": "weaviate.put", "vector": "", "set": {"rq": {"bits": 8}}, "codes": True}),
    (WEAVIATE, {"op": "weaviate.add", "from": "title", "to": "title_rq8", "index": {}}),
    (WEAVIATE, {"op": "weaviate.fill", "from": "title", "to": "title_rq8"}),
    (WEAVIATE, {"op": "weaviate.switch", "alias": "A", "to": "A_v1"}),
    (WEAVIATE, {"op": "weaviate.copy", "alias": "A", "from": "A_v1", "to": "A_v2", "vectors": {}}),
    (OURS, {"op": "qadapt.build_codes", "vector": "", "quantization": "binary"}),
    (OURS, {"op": "qadapt.drop_codes", "vector": ""}),
    (OURS, {"op": "qadapt.remember", "vector": "", "rescore": None}),
    (OURS, {"op": "qadapt.remember", "vector": "", "rescore": "4"}),
    (OURS, {"op": "qadapt.remember_dims", "vector": "", "full_dim": 768}),
    (OURS, {"op": "qadapt.forget", "vector": "gone"}),
]


def every() -> Any:
    return pytest.mark.parametrize(
        ("known", "request_"), REQUESTS, ids=[each["op"] for _, each in REQUESTS]
    )


def test_each_operation_has_a_request_here() -> None:
    declared = {op for known in (EDGE, QDRANT, MILVUS, WEAVIATE, OURS) for op in known}
    assert declared == {each["op"] for _, each in REQUESTS}


@every()
def test_a_request_survives_json(known: operations.Operations, request_: dict[str, Any]) -> None:
    read = operations.read(json.loads(json.dumps(request_)), known, "store")
    assert json.loads(json.dumps(read.to_request())) == request_
    assert operations.read(read.to_request(), known, "store") == read


@every()
def test_an_unknown_key_is_refused(known: operations.Operations, request_: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="surplus"):
        operations.read({**request_, "surplus": 1}, known, "store")


@every()
def test_a_key_of_another_type_is_refused(
    known: operations.Operations, request_: dict[str, Any]
) -> None:
    for key in request_:
        if key != "op":
            with pytest.raises(SpecError, match=key):
                operations.read({**request_, key: [1.5]}, known, "store")


@every()
def test_a_key_that_is_required_is_named_when_it_is_missing(
    known: operations.Operations, request_: dict[str, Any]
) -> None:
    first = next((key for key in request_ if key != "op"), None)
    if first is None:
        return
    rest = {key: value for key, value in request_.items() if key != first}
    with pytest.raises(SpecError, match=first):
        operations.read(rest, known, "store")


@pytest.mark.parametrize("request_", [{}, {"op": ""}, {"op": 3}, {"op": None}, "edge.optimize", 7])
def test_a_request_without_an_operation_is_refused(request_: Any) -> None:
    with pytest.raises(SpecError, match="does not name an operation"):
        operations.read(request_, EDGE, "edge")


def test_an_unknown_operation_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"edge\.optimise") as refused:
        operations.read({"op": "edge.optimise"}, EDGE, "edge")
    assert "edge.optimize" in str(refused.value.hint)


def test_a_number_is_not_a_boolean() -> None:
    with pytest.raises(SpecError, match=r"the field 'on' of milvus\.bits has an invalid value: 1"):
        operations.read(
            {"op": "milvus.bits", "vector": "", "field": "vector", "on": 1}, MILVUS, "milvus"
        )


def test_requests_of_qadapt_are_parsed_before_they_are_run() -> None:
    with pytest.raises(SpecError):
        operations.read(
            {"op": "qadapt.build_codes", "vector": "", "quantization": "binaery"}, OURS, "qadapt"
        )


def test_reverse_requests_of_a_copy_and_a_patch() -> None:
    copied = operations.read(dict(REQUESTS[4][1]), QDRANT, "qdrant").reverse(None)
    assert copied is not None
    assert copied.to_request() == {"op": "qdrant.switch", "alias": "articles", "to": "articles_v1"}
    set_ = operations.read({"op": "edge.configure", "vector": "a", "memory": "cold"}, EDGE, "edge")
    former = set_.reverse({"vectors": {"a": {"memory": None}}})
    assert former is not None
    assert former.to_request()["memory"] is None
    assert "on_disk" not in former.to_request()
