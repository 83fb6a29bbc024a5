"""Behavior of server 1.19.0, from its recordings or responses in the same format."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import numpy as np
import pytest
from fake_optimizer import FakeOptimizer
from qdrant_helpers import (
    BINARY,
    NEW,
    PATH,
    TELEMETRY,
    UNNAMED,
    RecordedSequence,
    Replay,
    info_of,
    ok,
    recording,
    refused,
    result,
    serve,
    telemetry_of,
)

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError
from qadapt.model import State
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.qdrant import mapping
from qadapt.stores.qdrant.server import memory, schema

CREATED = (
    "binary", "binary_one_half", "binary_q8", "binary_qbin", "binary_ram", "binary_two_bits",
    "scalar", "scalar_min", "product", "all_product_x4", "on_disk_binary", "unnamed_vector_level",
    "datatype_float16", "datatype_uint8", "datatype_turbo4", "memory_scalar_cached",
    "memory_scalar_cold", "memory_scalar_pinned", "memory_vector_cached", "memory_vector_cold",
    "memory_and_always_ram", "memory_and_on_disk", "turbo_bits1", "turbo_bits1_5", "turbo_bits2",
    "turbo_bits4", "turbo_always_ram",
)  # fmt: skip


@pytest.mark.parametrize("name", CREATED)
def test_read_back_of_1_19_is_no_difference(name: str) -> None:
    body = {**recording(f"create/{name}", NEW)["request"]["body"]}
    body["vectors"] = {"": body["vectors"]}
    assert schema.differences(body, result(f"create/{name}__read_back")) == []


# -- (a) quantiles have 32 bits ------------------------------------------------------------------


QUANTILES = (0.987654321, 1 / 3 + 0.5, 0.95000001, 0.999999, 0.99, 0.5, 1.0)


@pytest.mark.parametrize("quantile", QUANTILES)
def test_a_quantile_rounded_to_float32_is_the_same(quantile: float) -> None:
    kept = float(str(np.float32(quantile)))
    server = Replay(NEW).on("PUT", "/collections/t", ok(True))
    codes = {"scalar": {"type": "int8", "quantile": kept}}
    server.on("GET", "/collections/t", ok(info_of(UNNAMED, codes)))
    server.store().create("t", {"": qa.Vector(96)}, {"": qa.scalar(bits=7, quantile=quantile)})
    assert [method for method, _, _ in server.writes()] == ["PUT"], "it is not dropped again"
    seen = telemetry_of("articles", [{"": (2000, "hnsw", codes)}])
    articles = Database(serve(info_of(UNNAMED, codes), seen, version=NEW).store())["articles"]
    assert not articles.plan(qa.scalar(bits=7, quantile=quantile)).changes


def test_another_quantile_is_a_difference() -> None:
    assert not mapping.same_value(0.98765, 0.98764)
    left, right = ({"scalar": {"quantile": each}} for each in (0.98765, 0.98764))
    assert not mapping.same_config(left, right)


# -- (b) strict mode -----------------------------------------------------------------------------


def limited(**limits: Any) -> Replay:
    """Binary codes, default rescoring, and limits that were set later."""
    strict = {"enabled": True, **limits}
    metadata = {"qadapt": {"vectors": {"": {"rescore": {"oversampling": 4.0}}}}}
    info = info_of({"size": 4, "distance": "Dot"}, BINARY, points=60)
    info["config"].update(strict_mode_config=strict, metadata=metadata)
    server = serve(info, telemetry_of("articles", [{"": (60, "hnsw", BINARY)}]), count=60)
    rows = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    points = [{"id": at, "vector": rows[at].tolist(), "payload": {}} for at in range(60)]

    def scroll(request: httpx.Request) -> httpx.Response:
        body = server.sent[-1][2]
        most = limits.get("max_query_limit", 10**6)
        if body["limit"] > most:
            words = f'Bad request: Limit exceeded {body["limit"]} > {most} for "limit". Help: less'
            return refused(400, words)
        start = int(body.get("offset") or 0)
        stop = start + body["limit"]
        following = stop if stop < len(points) else None
        return ok({"points": points[start:stop], "next_page_offset": following})

    def search(request: httpx.Request) -> httpx.Response:
        answers = []
        for each in server.sent[-1][2]["searches"]:
            scores = rows @ np.float32(each["query"])
            best = np.argsort(-scores)[: each["limit"]].tolist()
            answers.append({"points": [{"id": at, "score": float(scores[at])} for at in best]})
            quantization = (each.get("params") or {}).get("quantization") or {}
            factor = quantization.get("oversampling", 1)
            assert factor <= limits.get("search_max_oversampling", 100), "the server refuses this"
            assert each["limit"] <= limits.get("max_query_limit", 10**6), "the server refuses this"
        return ok(answers)

    def fetch(request: httpx.Request) -> httpx.Response:
        return ok([points[key] for key in server.sent[-1][2]["ids"]])

    server.on("POST", PATH + "/points/scroll", scroll)
    server.on("POST", PATH + "/points/query/batch", search)
    server.on("POST", PATH + "/points", fetch)
    server.on("POST", PATH + "/points/query", ok({"points": []}))
    return server


LIMITS: tuple[dict[str, Any], ...] = (
    {"search_max_oversampling": 2},
    {"search_max_oversampling": 1},
    {"max_query_limit": 5},
    {"search_max_oversampling": 2, "max_query_limit": 8, "search_allow_exact": False},
)


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_a_limit_set_later_ends_neither_verify_nor_doctor(limits: dict[str, Any]) -> None:
    articles = Database(limited(**limits).store())["articles"]
    found = articles.verify(queries=20)
    assert found.recall.value > 0
    if "max_query_limit" in limits:
        assert found.k == limits["max_query_limit"] - 1
        assert any("limits of the collection allow" in note for note in found.notes)
    diagnosis = articles.doctor()
    codes = {each.code for each in diagnosis.findings}
    assert ("rescoring-over-the-limit" in codes) is ("search_max_oversampling" in limits)


def test_default_rescoring_is_limited_and_requested_one_is_rejected() -> None:
    server = limited(search_max_oversampling=2)
    articles = Database(server.store())["articles"]
    hits = articles.search(np.ones((1, 4)), k=3)
    assert hits.how.oversampling == 2
    assert any("allow rescore=2" in note for note in hits.how.notes)
    with pytest.raises(InputError, match="search_max_oversampling"):
        articles.search(np.ones((1, 4)), k=3, rescore=4)


def test_a_rejected_page_is_requested_again_with_fewer_rows() -> None:
    server = limited()
    store = server.store()
    store.count("articles")
    with_limit = limited(max_query_limit=7)
    server.on("GET", PATH, *with_limit.answers["GET", PATH])
    server.on("POST", PATH + "/points/scroll", *with_limit.answers["POST", PATH + "/points/scroll"])
    with_limit.sent = server.sent
    pages = list(store.read("articles", ReadRequest(page=50)))
    assert [key for page in pages for key in page.ids] == list(range(60))
    assert max(map(len, pages)) == 7


# -- (e) bytes of codes --------------------------------------------------------------------------


def test_bytes_of_codes_are_reported_by_the_server() -> None:
    reported = copy.deepcopy(result("placement/07_memory"))
    reported["vectors"][0]["quantized"] = {
        "disk_bytes": 640_100, "ram_bytes": 640_000, "cached_bytes": 0, "expected_cache_bytes": 0
    }  # fmt: skip
    seen = telemetry_of("articles", [{"": (20_000, "hnsw", BINARY)}])
    server = serve(info_of(UNNAMED, BINARY), seen, version=NEW, count=20_000)
    server.on("GET", PATH + "/memory", ok(reported))
    articles = Database(server.store())["articles"]
    vector = articles.info().vectors[""]
    values = {each.signal: each.value for each in vector.status.evidence}
    assert vector.code_bytes == 640_100
    assert values["GET /memory: bytes of codes in RAM"] == 640_000
    assert "bytes of codes, computed" not in values
    now = articles.cost()
    assert "640" in now.to_json()


@pytest.mark.parametrize(
    ("version", "reply"),
    [
        ("1.16.3", None),
        (NEW, ok({"vectors": [{"name": "", "storage": {"disk_bytes": 5}}]})),
        (NEW, refused(403, "Forbidden")),
        (NEW, httpx.ReadTimeout("slow")),
    ],
)
def test_bytes_of_codes_are_computed_for_older_servers(version: str, reply: Any) -> None:
    seen = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
    server = serve(info_of(UNNAMED, BINARY), seen, version=version)
    if reply is not None:
        server.on("GET", PATH + "/memory", reply)
    vector = server.store().info("articles").vectors[""]
    assert vector.code_bytes == 2000 * 16
    assert any(each.signal == "bytes of codes, computed" for each in vector.status.evidence)
    asked = server.bodies("GET", PATH + "/memory")
    assert len(asked) == (0 if version == "1.16.3" else 1)


def test_a_recorded_response_has_the_bytes_of_the_graph_and_none_of_codes() -> None:
    recorded = result("placement/07_memory")
    server = Replay(NEW).on("GET", "/collections/placed/memory", ok(recorded))
    found = memory.vectors(server.store().connection, "placed")
    assert found == {"": memory.VectorBytes(None, 1_089_435)}
    # 20,000 x 256 x 4 B, a bit per row that is deleted, and 1 MiB of flags in a growing segment.
    storage = recorded["vectors"][0]["storage"]["disk_bytes"]
    assert 0 <= storage - 20_000 * 256 * 4 - 20_000 // 8 - 2**20 < 1_000


@pytest.mark.parametrize("growing", [False, True])
def test_the_graph_that_the_server_reports_is_the_graph_of_the_cost(growing: bool) -> None:
    segments = [(20_000, "hnsw", None), *([(50, "plain", None)] if growing else [])]
    server = serve(
        info_of(UNNAMED), telemetry_of("articles", [{"": each} for each in segments]),
        version=NEW, count=20_000,
    )  # fmt: skip
    server.on("GET", PATH + "/memory", ok(result("placement/07_memory")))
    articles = Database(server.store())["articles"]
    assert articles.info().vectors[""].graph_bytes == (None if growing else 1_089_435)
    told = articles.cost().before
    assert told is not None and told.footprint is not None
    graph = next(each for each in told.footprint.components if each.name == "graph")
    assert (graph.ram == 1_089_435) is not growing
    assert (graph.source == "reported by the store") is not growing


# -- (g), (h), (i) -------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [httpx.ReadTimeout("slow"), refused(500, "Internal")])
def test_snapshot_without_telemetry_has_the_other_parts(reply: Any) -> None:
    server = serve(info_of(UNNAMED, BINARY), version=NEW).on("GET", TELEMETRY, reply)
    info = server.store().info("articles")
    assert info.count == 2000
    assert info.vectors[""].status.state is State.UNKNOWN
    assert "telemetry is unavailable" in info.vectors[""].status.reason


def test_snapshot_without_optimizations_has_the_other_parts() -> None:
    seen = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
    server = serve(info_of(UNNAMED, BINARY), seen, version=NEW)
    server.on("GET", PATH + "/optimizations", httpx.ReadTimeout("slow"))
    assert server.store().info("articles").vectors[""].status.state is State.ACTIVE


def test_a_changed_threshold_is_planned() -> None:
    codes = {"scalar": {"type": "int8"}}
    server = FakeOptimizer(info_of(UNNAMED, codes, threshold=10_000), 5_000, index="plain")
    server.codes = {"": None}
    (step,) = Database(server.store())["articles"].plan("scalar:bits=7").steps
    assert step.action == "set indexing_threshold 10,000 KB -> 1,875 KB"
    server.info["config"]["optimizer_config"]["indexing_threshold"] = 0
    (step,) = Database(server.store())["articles"].plan("scalar:bits=7").steps
    assert step.action == "set indexing_threshold 0 (never) -> 1,875 KB"


def many(names: list[str]) -> Replay:
    """Collections of one server."""
    server = Replay(NEW)
    shown = [telemetry_of(name, [{"": (2000, "hnsw", BINARY)}]) for name in names]
    found = [each["collections"]["collections"][0] for each in shown]
    server.on("GET", TELEMETRY, ok({"collections": {"collections": found}}))
    server.on("GET", "/collections", ok({"collections": [{"name": name} for name in names]}))
    for name in names:
        server.on("GET", f"/collections/{name}", ok(info_of(UNNAMED, BINARY)))
        server.on("POST", f"/collections/{name}/points/count", ok({"count": 2000}))
    return server


def test_a_survey_of_100_collections_is_one_telemetry_call() -> None:
    server = many([f"c{at}" for at in range(100)])
    database = Database(server.store())
    with database.survey():
        states = [database[name].info().vectors[""].status.state for name in database]
    assert states == [State.ACTIVE] * 100
    assert len(server.bodies("GET", TELEMETRY)) == 1
    database["c0"].info()
    assert len(server.bodies("GET", TELEMETRY)) == 2, "outside of it each look is its own"


def test_inspect_of_a_server_makes_one_telemetry_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from qadapt.cli import app, inspection

    server = many(["a", "b", "c"])
    monkeypatch.setattr(inspection, "open_database", lambda url: Database(server.store()))
    reported = CliRunner().invoke(app.app, ["inspect", "qdrant+http://qdrant.test:6333", "--json"])
    assert reported.exit_code == 0, reported.output
    assert len(server.bodies("GET", TELEMETRY)) == 1


# -- lifecycle ---------------------------------------------------------------------------------


def page(number: int, step: str) -> tuple[str, str, str]:
    """Three recordings of one inspection."""
    return (
        f"life/{number:03}_poll_{step}_info",
        f"life/{number + 1:03}_poll_{step}_optimizations",
        f"life/{number + 2:03}_poll_{step}_telemetry",
    )


def end(number: int, step: str) -> tuple[str, None, str]:
    """The last inspection of a step."""
    return (
        f"life/{number:03}_active_{step}_info",
        None,
        f"life/{number + 1:03}_active_{step}_telemetry",
    )


STEPS = (
    ("scalar:bits=7", "021_patch_none_to_scalar", (22, 25), 28, "none_to_scalar"),
    ("scalar:bits=7,codes=disk", "036_patch_scalar_memory_cold", (37, 40), 43,
     "scalar_memory_cold"),
    ("binary", "045_patch_scalar_to_binary", (46, 49, 52, 55), 58, "scalar_to_binary"),
    ("rotational:bits=1", "060_patch_binary_to_turbo1", (61, 64, 67, 70), 73, "binary_to_turbo1"),
    ("rotational:bits=4", "075_patch_turbo1_to_turbo4", (76, 79, 82, 85), 88, "turbo1_to_turbo4"),
    ("product:ratio=16", "090_patch_turbo4_to_product", (91, 94, 97, 100), 103,
     "turbo4_to_product"),
    ("none", "105_patch_product_to_disabled", (106, 109), 112, "product_to_disabled"),
)  # fmt: skip


def test_a_recorded_lifecycle_is_reproduced() -> None:
    chapters: list[Any] = [[end(18, "load")]]
    chapters += [
        [*(page(number, step) for number in polls), end(last, step)]
        for _, _, polls, last, step in STEPS
    ]
    story = RecordedSequence("articles", chapters, 20_000, NEW)
    articles = Database(story.store())["articles"]
    for wanted, *_ in STEPS:
        change = articles.plan(wanted).apply(yes=True, timeout=10)
        assert change.state == "applied"
        goal = State.ABSENT if wanted == "none" else State.ACTIVE
        assert articles.info().vectors[""].status.state is goal
    sent = [recording(f"life/{name}", NEW)["request"]["body"] for _, name, *_ in STEPS]
    assert story.writes() == [("PATCH", PATH, body) for body in sent]


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("130_query_no_rescore", SearchRequest(k=3, rescore=qa.Rescore(source="off"))),
        ("131_query_rescore_x4", SearchRequest(k=3, rescore=qa.Rescore(4))),
        ("132_query_ignore", SearchRequest(k=3, ignore_quantization=True)),
        ("133_query_exact", SearchRequest(k=3, exact=True)),
    ],
)
def test_the_recorded_queries_are_sent_as_recorded(name: str, search: SearchRequest) -> None:
    reported = recording(f"life/{name}", NEW)
    seen = telemetry_of("articles", [{"": (20_000, "hnsw", BINARY)}])
    server = serve(info_of({"size": 4, "distance": "Cosine"}, BINARY), seen, version=NEW)
    points = [
        each for each in reported["response"]["body"]["result"]["points"] if isinstance(each, dict)
    ]
    server.on("POST", PATH + "/points/query/batch", ok([{"points": points}]))
    hits = server.store().search("articles", np.ones((1, 4), dtype=np.float32), search)
    (body,) = server.bodies("POST", PATH + "/points/query/batch")[0]["searches"]
    assert body["params"] == reported["request"]["body"]["params"]
    assert hits.ids.tolist()[0] == [each["id"] for each in points]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (ok({"collections": {}, "memory": {"resident_bytes": 70_000_000}}), 70_000_000),
        (ok({"collections": {}, "memory": None}), None),
        (ok({"collections": {}}), None),
        (refused(403, "Forbidden"), None),
        (httpx.ConnectError("gone"), None),
    ],
)
def test_the_telemetry_of_a_node_has_the_memory_of_the_engine(
    reply: Any, found: int | None
) -> None:
    server = serve(info_of(UNNAMED), version=NEW).on("GET", "/telemetry?details_level=4", reply)
    measured = server.store().engine_memory()
    assert measured is not None and measured.bytes == found
    why = "resident pages of the allocator" if found else "does not report it"
    assert why in str(measured)
