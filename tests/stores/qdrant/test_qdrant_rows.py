"""Rows, queries and filters over REST, over gRPC and in local mode."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_helpers import Replay, info_of, ok, recording, serve, telemetry_of

import qadapt as qa
from qadapt.errors import AuthError, InputError, SpecError, StoreError, UnsupportedError
from qadapt.model import filters
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.qdrant.server.filters import to_models
from qadapt.stores.qdrant.server.store import QdrantStore

BINARY = {"binary": {}}
QUERY = "/collections/articles/points/query/batch"
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def served(**more: Any) -> Replay:
    """A server of 2000 rows with binary codes in one segment."""
    segments = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
    return serve(info_of({"size": 4, "distance": "Dot"}, BINARY), segments, **more)


# -- REST ----------------------------------------------------------------------------------------


def test_the_recorded_searches_are_sent_and_read() -> None:
    """life/050 to 053: rescoring, none, exact, ignored codes."""
    for number, search in (
        ("050_search_rescore_os3", SearchRequest(k=3, rescore=qa.Rescore(3))),
        ("051_search_no_rescore", SearchRequest(k=3, rescore=qa.Rescore(source="off"))),
        ("052_search_exact", SearchRequest(k=3, exact=True)),
        ("053_search_ignore", SearchRequest(k=3, ignore_quantization=True)),
    ):
        reported = recording(f"life/{number}")
        result = reported["response"]["body"]["result"]
        server = served().on("POST", QUERY, ok([result]))
        hits = server.store().search("articles", ROWS[:1], search)
        (sent,) = server.bodies("POST", QUERY)[0]["searches"]
        assert sent["params"] == reported["request"]["body"]["params"]
        assert (sent["limit"], sent["query"]) == (3, ROWS[0].tolist())
        assert hits.ids.tolist() == [[each["id"] for each in result["points"]]]
        expected = np.float32([[each["score"] for each in result["points"]]])
        assert hits.scores.tolist() == expected.tolist()
        exact = number != "051_search_no_rescore"
        assert hits.how.scores == ("exact" if exact else "approximate")


def test_queries_are_batched_with_one_snapshot() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return ok([{"points": []}] * len(server.sent[-1][2]["searches"]))

    server = served().on("POST", QUERY, reply)
    store = server.store()
    for _ in range(3):
        store.search("articles", np.ones((250, 4), dtype=np.float32), SearchRequest(k=1))
    sizes = [len(each["searches"]) for each in server.bodies("POST", QUERY)]
    assert sizes == [100, 100, 50] * 3
    assert len(server.bodies("GET", "/telemetry?details_level=4")) == 1


def test_named_vectors_payload_filter_and_options_are_passed_on() -> None:
    info = info_of({"a": {"size": 4, "distance": "Dot"}}, BINARY)
    server = serve(info, telemetry_of("articles", [{"a": (2000, "hnsw", BINARY)}]))
    point = {"id": 5, "version": 1, "score": 1.5, "payload": {"x": [1, "é"]}}
    server.on("POST", QUERY, ok([{"points": [point]}]))
    search = SearchRequest(
        k=2,
        vector="a",
        filter={"x": "b"},
        with_payload=True,
        options={"hnsw_ef": 99, "indexed_only": True},
    )
    hits = server.store().search("articles", ROWS[:1], search)
    (sent,) = server.bodies("POST", QUERY)[0]["searches"]
    assert (sent["using"], sent["with_payload"]) == ("a", True)
    quantization = {"rescore": True}
    assert sent["params"] == {"hnsw_ef": 99, "indexed_only": True, "quantization": quantization}
    assert sent["filter"] == {"must": [{"key": "x", "match": {"value": "b"}}]}
    assert hits.payloads == [[{"x": [1, "é"]}, None]]
    assert any("indexed_only" in note for note in hits.how.notes)
    assert (hits.how.oversampling, hits.how.candidates) == (1.0, 2), "binary rescores by default"


def test_unsupported_rescoring_and_options_are_rejected() -> None:
    store = served().store()
    with pytest.raises(UnsupportedError, match="no finer codes"):
        store.search("articles", ROWS, SearchRequest(k=1, rescore=qa.Rescore(4, "codes")))
    with pytest.raises(SpecError, match="hnsw_ef"):
        store.search("articles", ROWS, SearchRequest(k=1, options={"hnsw_eff": 3}))


def test_pages_are_read_as_recorded() -> None:
    """points/scroll_page_1 to 3: integers first, then UUIDs; the offset is the next id."""
    server = serve(info_of({"size": 4, "distance": "Dot"}), name="mixed")
    pages = [recording(f"points/scroll_page_{at}") for at in (1, 2, 3)]
    path = "/collections/mixed/points/scroll"
    server.on("POST", path, *[ok(page["response"]["body"]["result"]) for page in pages])
    found = list(server.store().read("mixed", ReadRequest(page=3)))
    assert [len(page) for page in found] == [3, 3, 2]
    whole = qa.Batch.concat(found)
    assert whole.ids[:4] == [0, 3, 7, 18446744073709551615]
    assert whole.ids[4] == "00000000-0000-0000-0000-000000000001"
    assert whole.vectors[""][0].tolist() == np.float32([3.0, 1.0, 0.1, 2.5]).tolist()
    sent = [each.get("offset") for each in server.bodies("POST", path)]
    assert sent == [None, 18446744073709551615, "550e8400-e29b-41d4-a716-446655440001"]


def test_empty_page_size_is_rejected() -> None:
    with pytest.raises(InputError, match="from 1 to"):
        served().store().read("articles", ReadRequest(page=0))


def test_rows_without_a_vector_are_written_and_read() -> None:
    vectors = {name: {"size": 2, "distance": "Dot"} for name in "ab"}
    server = serve(info_of(vectors))
    path = "/collections/articles/points?wait=true"
    server.on("PUT", path, ok({"operation_id": 1, "status": "completed"}))
    store = server.store()
    rows = {"a": [[1, 2], [3, 4]], "b": [[5, 6], [0, 0]]}
    store.write("articles", qa.Batch([1, 2], rows, missing={"b": np.array([False, True])}))
    points = server.bodies("PUT", path)[0]["points"]
    assert [each["vector"] for each in points] == [{"a": [1, 2], "b": [5, 6]}, {"a": [3, 4]}]
    back = [{"id": each["id"], "vector": each["vector"]} for each in points]
    server.on("POST", "/collections/articles/points", ok(back))
    again = store.fetch("articles", [2, 1, 9, -4], payload=False)
    assert again.ids == [2, 1]
    assert again.missing["b"].tolist() == [True, False]


# -- gRPC ----------------------------------------------------------------------------------------


class Points:
    """A gRPC server that records its requests."""

    def __init__(self) -> None:
        import grpc
        from qdrant_client import grpc as points
        from qdrant_client.grpc import points_service_pb2_grpc as service

        outer = self
        self.upserts: list[Any] = []
        self.queries: list[Any] = []
        self.refuse: Any = None
        self.score = 0.5

        class Servicer(service.PointsServicer):  # type: ignore[misc]
            def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
                outer.upserts.append(request)
                if outer.refuse:
                    context.abort(*outer.refuse)
                done = points.UpdateResult(operation_id=1, status=points.UpdateStatus.Completed)
                return points.PointsOperationResponse(result=done)

            def QueryBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
                outer.queries.append(request)
                hit = points.ScoredPoint(id=points.PointId(num=7), score=outer.score)
                one = points.BatchResult(result=[hit])
                return points.QueryBatchResponse(result=[one] * len(request.query_points))

        self.server = grpc.server(ThreadPoolExecutor(2))
        service.add_PointsServicer_to_server(Servicer(), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()


@pytest.fixture
def over_grpc() -> Iterator[tuple[Points, QdrantStore]]:
    """A store whose points go over gRPC and whose configuration goes over REST."""
    from qdrant_client import QdrantClient

    points = Points()
    client = QdrantClient(
        url="http://127.0.0.1:6333",
        grpc_port=points.port,
        prefer_grpc=True,
        check_compatibility=False,
        transport=httpx.MockTransport(served()),
    )
    yield points, QdrantStore.wrap(client)
    client.close()
    points.server.stop(None).wait()


def test_over_grpc_floats_are_copied_as_bytes(over_grpc: tuple[Points, QdrantStore]) -> None:
    points, store = over_grpc
    rows = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    payloads = [{"a": 1}, {}, {"b": ["x", None]}]
    store.write(
        "articles", qa.Batch([1, 2, "f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4"], {"": rows}, payloads)
    )
    (sent,) = points.upserts
    assert sent.wait
    got = np.float32([list(each.vectors.vector.dense.data) for each in sent.points])
    assert got.tobytes() == rows.tobytes()
    assert sent.points[2].id.uuid == "f9168c5e-ceb2-4faa-b6bf-329bf39fa1e4"
    assert sent.points[0].payload["a"].integer_value == 1

    hits = store.search("articles", rows, SearchRequest(k=2, rescore=qa.Rescore(3)))
    assert hits.ids[:, 0].tolist() == [7, 7, 7]
    (asked,) = points.queries
    got = np.float32([list(each.query.nearest.dense.data) for each in asked.query_points])
    assert got.tobytes() == rows.tobytes()
    one = asked.query_points[0]
    assert (one.limit, one.params.quantization.rescore) == (2, True)
    assert one.params.quantization.oversampling == 3.0


def test_a_grpc_error_is_one_clear_error(over_grpc: tuple[Points, QdrantStore]) -> None:
    import grpc

    points, store = over_grpc
    reported = recording("errors/grpc_auth_read-key")["response"]
    points.refuse = (getattr(grpc.StatusCode, reported["status"]), reported["body"])
    with pytest.raises(AuthError, match="Global manage access"):
        store.write("articles", qa.Batch([1], {"": ROWS[:1]}))
    assert len(points.upserts) == 1


def test_nan_is_rejected_before_it_is_sent_over_grpc(over_grpc: tuple[Points, QdrantStore]) -> None:
    points, store = over_grpc
    with pytest.raises(qa.QadaptError, match="NaN"):
        store.write("articles", qa.Batch([1], {"": [[np.nan, 0, 0, 0]]}))
    assert points.upserts == []


def test_stored_nan_is_reported_over_grpc(
    over_grpc: tuple[Points, QdrantStore],
) -> None:
    points, store = over_grpc
    points.score = float("nan")
    with pytest.raises(StoreError, match="NaN for 7"):
        store.search("articles", ROWS[:1], SearchRequest(k=1))


# -- filters -------------------------------------------------------------------------------------

PAYLOADS: list[dict[str, Any]] = [
    {"year": 1990, "topic": "art", "yes": True, "author": {"name": "Ann"}},
    {"year": 1990.0, "topic": ["art", "music"], "yes": False},
    {"year": 2001.5, "topic": "music", "made": "2024-05-01T12:00:00Z", "a b": "x"},
    {"year": 7, "topic": "", "made": "2024-06-01T00:00:00+02:00", "big": 2**60},
    {},
    {"topic": None, "yes": [None, True], "author": {"name": None}},
    {"topic": [], "year": [None], "author": []},
]
FILTERS: list[dict[str, Any]] = [
    {"year": 1990},
    {"year": 1990.0},
    {"year": {"gte": 1990, "lt": 2001.5}},
    {"year": {"gt": 10**400}},
    {"topic": "art"},
    {"topic": ["art", ""]},
    {"year": [7, 2001.5], "topic": ["music", ""]},
    {"yes": True},
    {"yes": False},
    {"author.name": "Ann"},
    {"a b": "x"},
    {"big": 2**60},
    {"big": 2**60 + 1},
    {"made": {"gte": "2024-05-01", "lt": "2024-05-31T22:00:00Z"}},
    {"made": {"gt": "2024-05-31T21:59:59.123456789Z"}},
    {"not": {"topic": "art"}},
    *(
        {field: test}
        for field in ("topic", "year", "author", "author.name", "yes")
        for test in ({"exists": True}, {"missing": True}, None)
    ),
    {"not": {"any": [{"topic": None}, {"yes": {"exists": True}}]}},
    {"any": [{"year": 7}, {"all": [{"topic": "music"}, {"not": {"yes": False}}]}]},
]


@pytest.fixture(scope="module")
def local() -> Iterator[qa.Collection]:
    """The rows in the filter engine of the client."""
    with qa.open("qdrant::memory:") as database:
        collection = database.create("articles", dim=2, metric="dot")
        collection.write(qa.Batch(range(7), {"": np.ones((7, 2))}, PAYLOADS))
        yield collection


@pytest.mark.parametrize("filter", FILTERS, ids=lambda filter: str(filter)[:40])
def test_filters_select_the_rows_of_the_common_syntax(local: Any, filter: dict[str, Any]) -> None:
    tree = filters.parse_filter(filter)
    wanted = [at for at, payload in enumerate(PAYLOADS) if filters.matches(tree, payload)]
    found = [key for page in local.read(filter=filter, vectors=()) for key in page.ids]
    assert sorted(found) == wanted


def test_native_filters_are_passed_through() -> None:
    from qdrant_client import models

    own = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key="x"))])
    assert to_models(own) is own
    assert to_models(None) is None


@pytest.mark.parametrize("filter", ["topic", 7, {"year": {"gtee": 1}}, {'a"b': 1}, {"n": 2**63}])
def test_unsupported_filters_are_rejected(filter: Any) -> None:
    with pytest.raises((SpecError, UnsupportedError)):
        to_models(filter)


def test_a_date_without_a_zone_is_utc() -> None:
    found = to_models({"made": {"gte": "2024-05-01T12:00:00.5"}})
    moment = found.must[0].range.gte
    assert moment == datetime(2024, 5, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
