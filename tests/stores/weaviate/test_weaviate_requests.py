"""Requests, messages and notes of the Weaviate store, without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest

pytest.importorskip("weaviate")

from qadapt.errors import (
    AlreadyExistsError,
    AuthError,
    NotFoundError,
    QadaptError,
    SpecError,
    StoreTimeoutError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.model import Metric, Quantization, Rescore, Vector
from qadapt.model.address import Address
from qadapt.stores.change import ChangeRequest
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.weaviate import (
    collections,
    mapping,
    multivectors,
    native_rescore,
    payload_schema,
)
from qadapt.stores.weaviate import search as weaviate_search
from qadapt.stores.weaviate.connection import proto
from qadapt.stores.weaviate.errors import translate
from qadapt.stores.weaviate.schema import Field, Layout
from qadapt.stores.weaviate.store import WeaviateStore
from qadapt.stores.weaviate.version import ServerVersion


class Answers:
    """A connection that answers from a dictionary and records the requests."""

    def __init__(self, answers: Mapping[str, Any], version: str = "1.39.0") -> None:
        self.answers = answers
        self.version = version
        self.sent: list[tuple[str, str]] = []

    def rest(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        self.sent.append((method, path))
        return self.answers.get(path)


def field(**changes: Any) -> Field:
    plain: dict[str, Any] = {
        "name": "",
        "target": None,
        "index": "hnsw",
        "metric": Metric.COSINE,
        "dim": 64,
        "config": {},
    }
    return Field(**{**plain, **changes})


# -- aliases and deletion ------------------------------------------------------------------------

SCHEMA = {"class": "Articles", "vectorConfig": {}, "properties": []}
ALIASES = {"aliases": [{"alias": "Current", "class": "Articles"}]}


def store(answers: Mapping[str, Any], version: str = "1.39.0") -> WeaviateStore:
    connection: Any = Answers(answers, version)
    return WeaviateStore(Address.parse("weaviate+http://127.0.0.1:8080"), connection)


def test_aliases_are_read_from_servers_that_have_them() -> None:
    assert store({"/v1/aliases": ALIASES}).aliases() == {"Current": "Articles"}
    assert store({"/v1/aliases": ALIASES}, "1.31.0").aliases() == {}


def test_an_alias_is_not_dropped_as_a_collection() -> None:
    connection: Any = Answers({"/v1/schema/Current": SCHEMA})
    with pytest.raises(UnsupportedError, match="'Current' is an alias of 'Articles'"):
        collections.drop(connection, "Current")
    assert ("DELETE", "/v1/schema/Articles") not in connection.sent


def test_a_collection_is_dropped_unless_an_alias_points_to_it() -> None:
    connection: Any = Answers({"/v1/schema/Articles": SCHEMA, "/v1/aliases": ALIASES})
    with pytest.raises(UnsupportedError, match="the alias Current points to 'Articles'"):
        collections.drop(connection, "Articles")
    connection.answers = {"/v1/schema/Articles": SCHEMA}
    collections.drop(connection, "Articles")
    assert connection.sent[-1] == ("DELETE", "/v1/schema/Articles")


# -- values of properties ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("text", "a", "exact"),
        ("text", 1, "dropped"),
        ("text[]", ["a", "b"], "exact"),
        ("text[]", ["a", 1], "dropped"),
        ("text[]", "a", "dropped"),
        ("boolean", True, "exact"),
        ("boolean", 1, "dropped"),
        ("date", "2026-01-02T03:04:05Z", "exact"),
        ("date", "yesterday", "dropped"),
        ("phoneNumber", {"input": "020 1", "defaultCountry": "nl"}, "exact"),
        ("phoneNumber", {"input": "020 1"}, "dropped"),
    ],
)
def test_values_are_exact_or_dropped_by_the_type_of_the_property(
    kind: str, value: Any, kept: str
) -> None:
    assert payload_schema.payload_fidelity(value, {"dataType": [kind]}) == kept


# -- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.27.27", "1.39.0"])
@pytest.mark.parametrize("target", [None, "title"])
def test_a_query_names_its_target_vector_if_it_has_one(version: str, target: str | None) -> None:
    connection: Any = Answers({}, version)
    query = np.arange(64, dtype=np.float32)
    sent = weaviate_search.query_message(connection, field(target=target), query)
    assert list(sent.targets.target_vectors) == ([] if target is None else [target])
    raw = sent.vector_bytes if version == "1.27.27" else sent.vectors[0].vector_bytes
    assert raw == query.astype("<f4").tobytes()
    assert isinstance(sent, proto().base_search_pb2.NearVector)


# -- multivectors --------------------------------------------------------------------------------


def test_multivectors_are_decoded_with_their_own_dimension() -> None:
    first = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = multivectors.unpacked(
        [multivectors.packed(first), b""], field(dim=None, multi=True), "Articles"
    )
    np.testing.assert_array_equal(found.values, first)
    assert found.offsets.tolist() == [0, 2, 2]
    assert found.missing is not None
    assert found.missing.tolist() == [False, True]


def test_rows_without_any_multivector_are_all_missing() -> None:
    found = multivectors.unpacked([b"", b""], field(dim=None, multi=True), "Articles")
    assert found.values.shape[0] == 0
    assert found.missing is not None
    assert found.missing.all()


def test_multivectors_of_different_dimensions_are_refused() -> None:
    rows = [multivectors.packed(np.ones((1, dim), dtype=np.float32)) for dim in (2, 3)]
    with pytest.raises(SpecError, match="dimensions"):
        multivectors.unpacked(rows, field(dim=None, multi=True), "Articles")


# -- notes of a plan -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rescore", "setting"),
    [
        ("scalar", Rescore(source="off"), {"rq": {"rescoreLimit": 0}}),
        ('scalar:native={"rq":{"rescoreLimit":0}}', Rescore(4), {"rq": {"rescoreLimit": 40}}),
        ("scalar", Rescore(4), None),
    ],
)
def test_a_plan_offers_the_setting_that_rescores_as_requested(
    text: str, rescore: Rescore, setting: dict[str, Any] | None
) -> None:
    asked = Quantization.parse(text).replace(rescore=rescore)
    mapped = mapping.to_native(asked, Vector(64), ServerVersion("1.39.0"))
    plain = field(config={"distance": "cosine"})
    layout = Layout("Articles", "Articles", alias=False, vectors={"": plain}, others={},
                    multis={}, properties={}, multi_tenant=False, raw={})  # fmt: skip
    inspection: Any = None  # not read
    request = ChangeRequest(inspection, "", asked)
    found = native_rescore.notes(layout, "", mapped, request)
    settings = [json.loads(each.partition("native=")[2]) for each in found]
    assert settings == ([] if setting is None else [setting])


# -- errors --------------------------------------------------------------------------------------


class RefusedError(Exception):
    """An error of gRPC."""

    def __init__(self, code: str, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> Any:
        return grpc.StatusCode[self._code]

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNAUTHENTICATED", AuthError),
        ("PERMISSION_DENIED", AuthError),
        ("NOT_FOUND", NotFoundError),
        ("ALREADY_EXISTS", AlreadyExistsError),
        ("RESOURCE_EXHAUSTED", TooLargeError),
        ("UNIMPLEMENTED", UnsupportedError),
        ("DEADLINE_EXCEEDED", StoreTimeoutError),
        ("CANCELLED", StoreTimeoutError),
        ("UNAVAILABLE", UnreachableError),
    ],
)
def test_each_code_of_grpc_is_one_kind_of_error(code: str, kind: type[QadaptError]) -> None:
    found = translate(RefusedError(code, "refused"), "write to 'Articles'")
    assert type(found) is kind
    assert "could not write to 'Articles'" in found.message
