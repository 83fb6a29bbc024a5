"""What is active, building, ignored, absent or unknown; and what is planned from there."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from qdrant_help import Replay, answer, info_of, ok, recording, refused, serve, telemetry_of

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import (
    ApplyError,
    AuthError,
    InputError,
    IntegrityError,
    StoreError,
    StoreTimeoutError,
    UnsupportedError,
)
from qadapt.model import State, Symbol
from qadapt.stores.base import Search, silent
from qadapt.stores.qdrant import failures, recreate

UNNAMED = {"size": 96, "distance": "Cosine"}
SCALAR = {"scalar": {"type": "int8"}}
BINARY = {"binary": {}}
PATH = "/collections/articles"
TELEMETRY = "/telemetry?details_level=4"


def status_of(server: Replay, name: str = "") -> qa.model.Status:
    """The status of one vector."""
    return server.store().info("articles").vectors[name].status


def test_under_the_threshold_scalar_is_ignored_with_the_number_and_the_way_out() -> None:
    """https://github.com/qdrant/qdrant-client/issues/1050: 998 points, nothing quantized."""
    seen = telemetry_of("articles", [{"": (2000, "plain", None)}])
    status = status_of(serve(info_of(UNNAMED, SCALAR), seen))
    assert status.state is State.IGNORED
    assert "at least 1,000 KB" in status.reason
    assert "750.0 KB" in status.reason
    assert "750 KB" in status.advice


def test_the_plan_lowers_the_threshold_in_the_same_patch_and_restores_it() -> None:
    seen = telemetry_of("articles", [{"": (2000, "plain", None)}])
    server = serve(info_of(UNNAMED), seen)
    store = server.store()
    (step,) = store.steps(store.info("articles"), "", qa.scalar(bits=7))
    assert step.request["body"] == {
        "quantization_config": SCALAR,
        "optimizers_config": {"indexing_threshold": 750},
    }
    assert step.reverse is not None
    assert step.reverse["body"] == {
        "quantization_config": "Disabled",
        "optimizers_config": {"indexing_threshold": 1000},
    }
    assert "lowered to 750 KB" in step.reason


def test_a_threshold_of_zero_is_never_and_is_told() -> None:
    seen = telemetry_of("articles", [{"": (2000, "plain", None)}])
    status = status_of(serve(info_of(UNNAMED, SCALAR, threshold=0), seen))
    assert (status.state, "switches indexing off" in status.reason) == (State.IGNORED, True)


def test_binary_is_active_without_an_index_since_1_16_only() -> None:
    seen = telemetry_of("articles", [{"": (2000, "plain", BINARY)}])
    assert status_of(serve(info_of(UNNAMED, BINARY), seen)).state is State.ACTIVE
    bare = telemetry_of("articles", [{"": (2000, "plain", None)}])
    assert status_of(serve(info_of(UNNAMED, BINARY), bare)).state is State.BUILDING
    old = serve(info_of(UNNAMED, BINARY), bare, version="1.15.5")
    assert status_of(old).state is State.IGNORED


def test_the_empty_appendable_segment_that_never_has_scalar_codes_does_not_count() -> None:
    parts = [{"": (0, "plain", None)}, {"": (2000, "hnsw", SCALAR)}]
    status = status_of(serve(info_of(UNNAMED, SCALAR), telemetry_of("articles", parts)))
    assert (status.state, status.reason) == (State.ACTIVE, "")


def test_rows_that_are_not_indexed_yet_are_told() -> None:
    parts = [{"": (100, "plain", None)}, {"": (1900, "hnsw", SCALAR)}]
    status = status_of(serve(info_of(UNNAMED, SCALAR), telemetry_of("articles", parts)))
    assert status.state is State.ACTIVE
    assert "100 of 2,000 rows" in status.reason


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (refused(403, "Forbidden: Global manage access is required"), "may not read telemetry"),
        (httpx.Response(404), "does not have this path"),
        (ok({"collections": {"collections": [{"id": "other"}]}}), "does not show this collection"),
        (ok({"collections": {"collections": [{"id": "articles"}]}}), "no segments"),
    ],
)
def test_telemetry_that_is_forbidden_is_unknown_and_verify_can_still_tell(
    reply: httpx.Response, why: str
) -> None:
    server = serve(info_of(UNNAMED, BINARY)).on("GET", TELEMETRY, reply)
    status = status_of(server)
    assert status.state is State.UNKNOWN
    assert why in status.reason
    assert "verify" in status.advice
    assert any(each.signal == "GET /telemetry" for each in status.evidence)


def test_apply_without_telemetry_ends_unknown_and_not_active() -> None:
    server = serve(info_of(UNNAMED)).on("GET", TELEMETRY, refused(403, "Forbidden"))
    plain, binary = ok(info_of(UNNAMED)), ok(info_of(UNNAMED, BINARY))
    articles = Database(server.store())["articles"]
    plan = articles.plan("binary")
    server.on("GET", PATH, plain, plain, binary)
    change = plan.apply(yes=True)
    assert change.status is not None
    assert change.status.state is State.UNKNOWN
    assert server.bodies("PATCH", PATH) == [{"quantization_config": BINARY}]


def test_replicas_on_other_nodes_are_not_called_active() -> None:
    seen = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}], remote=[{"shard_id": 0}])
    status = status_of(serve(info_of(UNNAMED, BINARY), seen))
    assert status.state is State.UNKNOWN
    assert "other nodes" in status.reason


def test_codes_left_over_after_disabled_are_building_and_not_absent() -> None:
    parts = [{"": (1000, "hnsw", BINARY)}, {"": (1000, "hnsw", None)}]
    status = status_of(serve(info_of(UNNAMED), telemetry_of("articles", parts)))
    assert (status.state, status.progress) == (State.BUILDING, 0.5)


def test_a_readonly_key_can_look() -> None:
    info = recording("errors/readonly_get")["response"]["body"]["result"]
    server = serve(info, name="x", count=1)
    server.on("GET", TELEMETRY, answer("errors/readonly_telemetry"))
    server.on("GET", "/collections/x/optimizations", answer("errors/readonly_optimizations"))
    assert server.store().info("x").vectors[""].status.state is State.ABSENT


def test_multivectors_are_quantized_and_not_searched() -> None:
    many = {"size": 8, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}
    info = info_of({"": {"size": 4, "distance": "Dot"}, "colbert": many}, BINARY)
    parts = [{"": (2000, "hnsw", BINARY), "colbert": (2000, "hnsw", BINARY)}]
    server = serve(info, telemetry_of("articles", parts))
    store = server.store()
    about = store.info("articles")
    assert about.vectors["colbert"].status.state is State.ACTIVE
    assert about.vectors["colbert"].index["multivector"] == "max_sim"
    (step,) = store.steps(about, "colbert", qa.scalar(bits=7))
    body = {"vectors": {"colbert": {"quantization_config": SCALAR}}}
    assert step.request["body"] == body
    with pytest.raises(UnsupportedError, match="many vectors a row"):
        store.search("articles", np.ones((1, 8)), Search(k=1, vector="colbert"))


def test_sparse_and_manhattan_are_left_alone_and_said() -> None:
    info = info_of(
        {"l1": {"size": 4, "distance": "Manhattan"}, "a": {"size": 4, "distance": "Dot"}},
        params={"sparse_vectors": {"s": {}}},
    )
    server = serve(info, telemetry_of("articles", [{"a": (2000, "hnsw", None)}]))
    store = server.store()
    about = store.info("articles")
    assert list(about.vectors) == ["a"]
    for name, why in (("s", "never quantized"), ("l1", "Manhattan")):
        with pytest.raises(UnsupportedError, match=why):
            store.steps(about, name, qa.binary())


def test_a_place_of_originals_goes_to_the_vector_and_comes_back() -> None:
    seen = telemetry_of("articles", [{"": (2000, "hnsw", None)}])
    store = serve(info_of(UNNAMED), seen).store()
    (step,) = store.steps(store.info("articles"), "", qa.binary(codes="ram", originals="disk"))
    assert step.request["body"] == {
        "quantization_config": {"binary": {"always_ram": True}},
        "vectors": {"": {"on_disk": True}},
    }
    assert step.reverse is not None
    assert step.reverse["body"]["vectors"] == {"": {"on_disk": False}}


def test_a_setting_that_the_engine_ignores_fails_the_change_with_the_way_out() -> None:
    """Fewer than 1 KB of vectors: nothing can lower the threshold further."""
    tiny = telemetry_of("articles", [{"": (1, "plain", None)}])
    server = serve(info_of(UNNAMED), tiny, count=1)
    with pytest.raises(UnsupportedError, match="1 KB"):
        Database(server.store())["articles"].plan("scalar")
    held = telemetry_of("articles", [{"": (2000, "plain", None)}])
    server = serve(info_of(UNNAMED), None)
    server.on("GET", TELEMETRY, refused(403, "no"))
    articles = Database(server.store())["articles"]
    plan = articles.plan("scalar")
    server.on("GET", PATH, *[ok(info_of(UNNAMED))] * 2, ok(info_of(UNNAMED, SCALAR)))
    server.on("GET", TELEMETRY, refused(403, "no"), ok(held))
    with pytest.raises(ApplyError, match="ignores"):
        plan.apply(yes=True)


# -- recreate, copy, switch ----------------------------------------------------------------------


class Server(Replay):
    """A server that keeps collections and aliases, for copies."""

    def __init__(self) -> None:
        super().__init__("1.16.3")
        self.infos = {"articles_v1": info_of(UNNAMED, metadata={"owner": "me"})}
        self.aliases = {"articles": "articles_v1"}
        points = [{"id": at, "vector": [0.5] * 96, "payload": {"n": at}} for at in range(1200)]
        self.points = {"articles_v1": {each["id"]: each for each in points}}
        self.failing = 0

    def reply(self, request: httpx.Request, path: str) -> httpx.Response | Exception:
        parts = path.partition("?")[0].strip("/").split("/")
        body = self.sent[-1][2]
        if path == "/aliases":
            pairs = [{"alias_name": a, "collection_name": c} for a, c in self.aliases.items()]
            return ok({"aliases": pairs})
        if parts[:1] == ["telemetry"]:
            each = [{"": (len(rows), "hnsw", None)} for rows in self.points.values()]
            shown = [
                telemetry_of(name, [one])["collections"]["collections"][0]
                for name, one in zip(self.points, each, strict=True)
            ]
            return ok({"collections": {"collections": shown}})
        if path == "/collections":
            return ok({"collections": [{"name": name} for name in self.infos]})
        if path == "/collections/aliases":
            (action,) = body["actions"]
            made = action["create_alias"]
            self.aliases[made["alias_name"]] = made["collection_name"]
            return ok(True)
        if parts[0] != "collections":
            return super().reply(request, path)  # type: ignore[return-value]
        return self.collection(request.method, parts[1], parts[2:], body)

    def collection(
        self, method: str, name: str, rest: list[str], body: dict[str, object]
    ) -> httpx.Response | Exception:
        real = self.aliases.get(name, name)
        if rest == ["exists"]:
            return ok({"exists": real in self.infos})
        if method == "PUT" and not rest:
            self.infos[name] = info_of(body["vectors"], metadata=body.get("metadata"))
            self.points[name] = {}
            return ok(True)
        rows = self.points[real]
        if method == "PUT":
            if self.failing:
                self.failing -= 1
                return httpx.ReadError("gone")
            rows.update({each["id"]: each for each in body["points"]})  # type: ignore[attr-defined]
            return ok({"status": "completed"})
        if rest == ["points", "count"]:
            return ok({"count": len(rows)})
        if rest == ["points", "scroll"]:
            start, limit = int(body.get("offset", 0)), int(body["limit"])  # type: ignore[call-overload]
            some = list(rows.values())[start : start + limit]
            left = start + limit if start + limit < len(rows) else None
            return ok({"points": some, "next_page_offset": left})
        if rest == ["points"]:
            return ok([rows[key] for key in body["ids"] if key in rows])  # type: ignore[attr-defined]
        return ok({"ongoing": []}) if rest else ok(self.infos[real])


def test_float16_is_a_copy_and_a_switch_of_the_alias_and_the_way_back_is_the_switch() -> None:
    server = Server()
    database = Database(server.store())
    plan = database["articles"].plan("float16")
    (step,) = plan.steps
    assert step.symbol is Symbol.RECREATE
    assert step.request["to"] == "articles_v2"
    assert "articles_v1" in step.reason
    change = plan.apply(yes=True)
    assert server.aliases == {"articles": "articles_v2"}
    assert server.points["articles_v2"] == server.points["articles_v1"]
    assert server.bodies("PUT", "/collections/articles_v2")[0]["metadata"] == {"owner": "me"}
    about = database["articles"].info().vectors[""]
    assert (about.datatype, about.status.state) == ("float16", State.ACTIVE)
    assert not database["articles"].plan("float16").changes
    change.undo()
    assert server.aliases == {"articles": "articles_v1"}
    assert "articles_v2" in server.infos, "a copy is never deleted by us"


def test_a_copy_that_broke_off_is_finished_by_the_next_apply() -> None:
    server = Server()
    articles = Database(server.store())["articles"]
    plan = articles.plan("float16")
    server.failing = failures.ATTEMPTS
    with pytest.raises(ApplyError, match="connection broke"):
        plan.apply(yes=True)
    assert server.aliases == {"articles": "articles_v1"}
    change = articles.plan("float16").apply(yes=True)
    assert change.state == "applied"
    assert server.aliases == {"articles": "articles_v2"}
    assert len(server.points["articles_v2"]) == 1200
    assert len(server.bodies("PUT", "/collections/articles_v2")) == 1


def test_a_hiccup_in_a_copy_is_tried_again() -> None:
    server = Server()
    store = server.store()
    (step,) = store.steps(store.info("articles"), "", qa.float16())
    server.failing = 1
    store.run("articles", step.request, silent, 10)
    assert server.aliases == {"articles": "articles_v2"}
    assert len(server.slept) == 1


def test_a_key_that_may_not_list_aliases_can_still_look() -> None:
    server = serve(info_of(UNNAMED), telemetry_of("articles", [{"": (2000, "hnsw", None)}]))
    server.on("GET", "/aliases", refused(403, "Forbidden"))
    store = server.store()
    assert store.collections() == ["articles"]
    assert store.info("articles").vectors[""].status.state is State.ABSENT
    with pytest.raises(AuthError):
        store.drop("articles")


def test_a_copy_that_is_not_whole_is_not_switched_to() -> None:
    server = Server()
    store = server.store()
    (step,) = store.steps(store.info("articles"), "", qa.float16())
    inner = server.collection

    def writing(method: str, name: str, rest: list[str], body: dict[str, object]) -> object:
        if method == "PUT" and rest and len(body["points"]) < recreate.PAGE:  # type: ignore[arg-type]
            server.points["articles_v1"][9999] = {"id": 9999, "vector": [1.0] * 96, "payload": {}}
        return inner(method, name, rest, body)

    server.collection = writing  # type: ignore[method-assign, assignment]
    with pytest.raises(qa.QadaptError, match="not switched"):
        store.run("articles", step.request, silent, 10)
    assert server.aliases == {"articles": "articles_v1"}


def test_a_copy_meets_its_time_limit_and_does_not_switch() -> None:
    server = Server()
    store = server.store()
    (step,) = store.steps(store.info("articles"), "", qa.float16())
    with pytest.raises(StoreTimeoutError, match="0 of 1,200 rows"):
        store.run("articles", step.request, silent, 0)
    assert server.aliases == {"articles": "articles_v1"}


def test_a_collections_own_name_cannot_be_switched_and_what_to_do_is_said() -> None:
    server = Server()
    with pytest.raises(UnsupportedError, match="own name") as caught:
        Database(server.store())["articles_v1"].plan("float16")
    assert "create an alias" in str(caught.value.hint)


def test_a_metric_changes_by_the_same_way() -> None:
    server = Server()
    plan = Database(server.store())["articles"].plan(metric="dot")
    (step,) = plan.steps
    assert step.symbol is Symbol.RECREATE
    assert step.request["vectors"] == {"": {"distance": "Dot"}}
    assert "length 1" in step.reason
    assert plan.becomes == qa.Vector(96, qa.Metric.DOT)
    assert qa.Plan.from_json(plan.to_json()) == plan
    assert "dot" in str(plan)


def test_the_same_metric_is_nothing_to_do() -> None:
    plan = Database(Server().store())["articles"].plan(metric="cosine", datatype="float32")
    assert not plan.changes
    assert plan.becomes is None


def test_collections_and_aliases_are_both_names() -> None:
    assert Server().store().collections() == ["articles", "articles_v1"]


# -- settings ------------------------------------------------------------------------------------


class Keeping(Replay):
    """A server that merges metadata by key as 1.16.3 does (metadata/01 to 07)."""

    def __init__(self, version: str = "1.16.3") -> None:
        super().__init__(version)
        self.info = info_of(UNNAMED, BINARY, metadata={"owner": "me"})
        seen = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
        self.on("GET", TELEMETRY, ok(seen))
        self.on("GET", "/collections", ok({"collections": [{"name": "articles"}]}))
        self.on("GET", f"{PATH}/optimizations", ok({"ongoing": []}))
        self.on("POST", f"{PATH}/points/count", ok({"count": 2000}))

    def reply(self, request: httpx.Request, path: str) -> httpx.Response:
        if (request.method, path) == ("GET", PATH):
            return ok(self.info)
        if (request.method, path) == ("PATCH", PATH):
            merged = {**self.info["config"]["metadata"], **self.sent[-1][2].get("metadata", {})}
            kept = {key: value for key, value in merged.items() if value is not None}
            self.info["config"]["metadata"] = kept
            return ok(True)
        if path == f"{PATH}/points/query/batch":
            return ok([{"points": []}])
        return super().reply(request, path)  # type: ignore[return-value]


def test_the_rescore_is_kept_in_the_metadata_and_used_by_search() -> None:
    server = Keeping()
    articles = Database(server.store())["articles"]
    plan = articles.plan("binary:rescore=6")
    assert [step.symbol for step in plan.steps] == [Symbol.CLIENT]
    assert "kept with the collection" in plan.steps[0].reason
    change = plan.apply(yes=True)
    assert set(server.info["config"]["metadata"]) == {"owner", "qadapt"}
    elsewhere = Database(server.store())["articles"]
    hits = elsewhere.search([1.0] * 96, k=2)
    assert (hits.how.oversampling, hits.how.rescore_from) == (6, "collection")
    told = elsewhere.search([1.0] * 96, k=2, rescore=2)
    assert (told.how.oversampling, told.how.rescore_from) == (2, "call")
    assert not articles.plan("binary:rescore=6").changes
    change.undo()
    assert server.info["config"]["metadata"] == {"owner": "me"}
    assert all(set(body) == {"metadata"} for _, _, body in server.writes()), "no rebuild"


def test_settings_do_not_make_a_plan_stale_but_configuration_does() -> None:
    server = Keeping()
    store = server.store()
    before = store.info("articles").fingerprint
    server.info["config"]["metadata"]["owner"] = "you"
    assert store.info("articles").fingerprint == before
    server.info["config"]["quantization_config"] = None
    assert store.info("articles").fingerprint != before


def test_before_1_16_settings_are_kept_in_our_state_folder() -> None:
    server = Keeping("1.15.5")
    articles = Database(server.store())["articles"]
    assert articles._store.load_settings("articles") is None
    articles.plan("binary:rescore=6").apply(yes=True)
    assert server.writes() == []
    assert articles.search([1.0] * 96, k=2).how.oversampling == 6


def test_a_foreign_word_under_our_key_is_no_setting() -> None:
    """The recorder of life/001 wrote {"qadapt": {"rescore": true}}."""
    server = Keeping()
    server.info["config"]["metadata"]["qadapt"] = {"rescore": True}
    hits = Database(server.store())["articles"].search([1.0] * 96, k=2)
    assert hits.how.rescore_from == "store default"


def test_damaged_settings_are_an_error_that_names_the_place() -> None:
    server = Keeping()
    server.info["config"]["metadata"]["qadapt"] = {"vectors": {"": {"rescore": "many"}}}
    with pytest.raises(IntegrityError, match="settings in 'articles'"):
        Database(server.store())["articles"].search([1.0] * 96, k=2)


# -- finer points --------------------------------------------------------------------------------


def test_a_rebuild_that_runs_is_building_even_where_all_segments_obey() -> None:
    log = [{"name": "config mismatch", "status": "optimizing"}]
    seen = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}], log=log)
    status = status_of(serve(info_of(UNNAMED, BINARY, status="yellow"), seen))
    assert (status.state, "being rebuilt" in status.reason) == (State.BUILDING, True)
    log[0]["name"] = "indexing"
    assert status_of(serve(info_of(UNNAMED, BINARY, status="yellow"), seen)).state is State.ACTIVE


def test_a_shard_that_is_wholly_elsewhere_is_not_called_active() -> None:
    seen = telemetry_of("articles", [{"": (2000, "hnsw", BINARY)}])
    seen["collections"]["collections"][0]["shards"].append({"id": 1, "local": None, "remote": []})
    assert status_of(serve(info_of(UNNAMED, BINARY), seen)).state is State.UNKNOWN


def test_a_vectors_own_setting_is_changed_where_it_stands() -> None:
    """patch/unnamed_vector_key: the unnamed vector too may have a setting of its own."""
    own = {**UNNAMED, "quantization_config": SCALAR}
    seen = telemetry_of("articles", [{"": (2000, "hnsw", SCALAR)}])
    store = serve(info_of(own), seen).store()
    about = store.info("articles")
    (step,) = store.steps(about, "", qa.none())
    sent = recording("patch/unnamed_vector_key_disabled")["request"]["body"]
    assert step.request["body"] == sent
    assert step.reverse is not None
    assert step.reverse["body"] == recording("patch/unnamed_vector_key")["request"]["body"]
    both = serve(info_of(own, BINARY), seen).store()
    (step,) = both.steps(both.info("articles"), "", qa.none())
    assert step.request["body"] == {"quantization_config": "Disabled", **sent}


def test_a_threshold_that_nobody_set_comes_back_as_the_servers_default() -> None:
    seen = telemetry_of("articles", [{"": (2000, "plain", None)}])
    store = serve(info_of(UNNAMED, threshold=None), seen).store()
    (step,) = store.steps(store.info("articles"), "", qa.scalar(bits=7))
    assert step.reverse is not None
    assert step.reverse["body"]["optimizers_config"] == {"indexing_threshold": 10_000}


def test_an_unknown_field_is_refused_as_far_as_the_table_goes_and_then_left_to_the_server() -> None:
    wanted = qa.binary(native={"foo": 1})
    for version, refused_ in (("1.16.3", True), ("1.20.4", True), ("1.21.0", False)):
        mapped = Replay(version).store().map(wanted, qa.Vector(8))
        assert (mapped.native is None) is refused_, version


def test_a_rounded_oversampling_stays_within_the_limit() -> None:
    from qadapt.stores.qdrant import strict

    assert strict.factor({"search_max_oversampling": 2.5}, 2.54) == 2.5
    assert strict.factor({}, 2.54) == 2.54


def test_an_alias_is_told_and_its_switch_makes_a_plan_stale() -> None:
    server = Server()
    store = server.store()
    before = store.info("articles")
    assert before.config["alias_of"] == "articles_v1"
    server.infos["other"], server.points["other"] = server.infos["articles_v1"], {}
    server.aliases["articles"] = "other"
    assert store.info("articles").fingerprint != before.fingerprint


def test_settings_that_are_there_are_not_sent_and_lost_ones_are_an_error() -> None:
    server = Keeping()
    store = server.store()
    assert store.save_settings("articles", {"vectors": {"": {"rescore": None}}})
    assert store.save_settings("articles", {"vectors": {"": {"rescore": None}}})
    assert len(server.writes()) == 1
    server.on("PATCH", PATH, ok(True))
    lossy = serve(info_of(UNNAMED))
    with pytest.raises(StoreError, match=r"metadata\.qadapt"):
        lossy.store().save_settings("articles", {"vectors": {}})


def test_whole_numbers_alone_go_into_a_uint8_vector() -> None:
    server = serve(info_of({"size": 2, "distance": "Dot", "datatype": "uint8"}))
    with pytest.raises(InputError, match="uint8"):
        server.store().write("articles", qa.Batch([1], {"": [[0.5, 1]]}))
    assert server.writes() == []


def test_a_row_of_a_copy_that_differs_stops_the_switch() -> None:
    server = Server()
    store = server.store()
    (step,) = store.steps(store.info("articles"), "", qa.float16())
    inner = server.collection

    def spoiling(method: str, name: str, rest: list[str], body: dict[str, object]) -> object:
        if method == "PUT" and rest:
            body = {"points": [{**each, "payload": {}} for each in body["points"]]}  # type: ignore[attr-defined]
        return inner(method, name, rest, body)

    server.collection = spoiling  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreError, match="is not that of"):
        store.run("articles", step.request, silent, 10)
    assert server.aliases == {"articles": "articles_v1"}
