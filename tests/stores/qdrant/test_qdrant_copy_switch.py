"""Another datatype or metric: a copy, and the alias switched to it; aliases."""

from __future__ import annotations

import httpx
import pytest
from qdrant_helpers import UNNAMED, Replay, info_of, ok, refused, serve, telemetry_of

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import ApplyError, AuthError, StoreError, StoreTimeoutError, UnsupportedError
from qadapt.model import State, Symbol
from qadapt.stores import retry
from qadapt.stores.base import silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.qdrant.server import copy_switch


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


def test_float16_is_a_copy_with_an_alias_switch_that_undo_reverses() -> None:
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


def test_interrupted_copy_is_continued_by_the_next_apply() -> None:
    server = Server()
    articles = Database(server.store())["articles"]
    plan = articles.plan("float16")
    server.failing = retry.ATTEMPTS
    with pytest.raises(ApplyError, match="connection was closed"):
        plan.apply(yes=True)
    assert server.aliases == {"articles": "articles_v1"}
    change = articles.plan("float16").apply(yes=True)
    assert change.state == "applied"
    assert server.aliases == {"articles": "articles_v2"}
    assert len(server.points["articles_v2"]) == 1200
    assert len(server.bodies("PUT", "/collections/articles_v2")) == 1


def test_a_transient_error_in_a_copy_is_retried() -> None:
    server = Server()
    store = server.store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.float16())).steps
    server.failing = 1
    store.run("articles", step.request, silent, 10)
    assert server.aliases == {"articles": "articles_v2"}
    assert len(server.slept) == 1


def test_an_incomplete_copy_prevents_the_alias_switch() -> None:
    server = Server()
    store = server.store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.float16())).steps
    inner = server.collection

    def writing(method: str, name: str, rest: list[str], body: dict[str, object]) -> object:
        if method == "PUT" and rest and len(body["points"]) < copy_switch.PAGE:  # type: ignore[arg-type]
            server.points["articles_v1"][9999] = {"id": 9999, "vector": [1.0] * 96, "payload": {}}
        return inner(method, name, rest, body)

    server.collection = writing  # type: ignore[method-assign, assignment]
    with pytest.raises(qa.QadaptError, match="not switched"):
        store.run("articles", step.request, silent, 10)
    assert server.aliases == {"articles": "articles_v1"}


def test_differing_row_prevents_the_alias_switch() -> None:
    server = Server()
    store = server.store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.float16())).steps
    inner = server.collection

    def spoiling(method: str, name: str, rest: list[str], body: dict[str, object]) -> object:
        if method == "PUT" and rest:
            body = {"points": [{**each, "payload": {}} for each in body["points"]]}  # type: ignore[attr-defined]
        return inner(method, name, rest, body)

    server.collection = spoiling  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreError, match="differs between"):
        store.run("articles", step.request, silent, 10)
    assert server.aliases == {"articles": "articles_v1"}


def test_a_copy_that_times_out_does_not_switch() -> None:
    server = Server()
    store = server.store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.float16())).steps
    with pytest.raises(StoreTimeoutError, match="0 of 1,200 rows"):
        store.run("articles", step.request, silent, 0)
    assert server.aliases == {"articles": "articles_v1"}


def test_collection_name_cannot_be_switched() -> None:
    server = Server()
    with pytest.raises(UnsupportedError, match="not an alias") as caught:
        Database(server.store())["articles_v1"].plan("float16")
    assert "create an alias" in str(caught.value.hint)


def test_metric_is_changed_by_copy_and_switch() -> None:
    server = Server()
    plan = Database(server.store())["articles"].plan(metric="dot")
    (step,) = plan.steps
    assert step.symbol is Symbol.RECREATE
    assert step.request["vectors"] == {"": {"distance": "Dot"}}
    assert "normalized" in step.reason
    assert plan.target_vector == qa.Vector(96, qa.Metric.DOT)
    assert qa.Plan.from_json(plan.to_json()) == plan
    assert "dot" in str(plan)


def test_an_unchanged_metric_needs_no_step() -> None:
    plan = Database(Server().store())["articles"].plan(metric="cosine", datatype="float32")
    assert not plan.changes
    assert plan.target_vector is None


def test_a_name_is_a_collection_or_an_alias() -> None:
    assert Server().store().collections() == ["articles", "articles_v1"]


def test_an_alias_switch_makes_a_plan_stale() -> None:
    server = Server()
    store = server.store()
    before = store.info("articles")
    assert before.config["alias_of"] == "articles_v1"
    server.infos["other"], server.points["other"] = server.infos["articles_v1"], {}
    server.aliases["articles"] = "other"
    assert store.info("articles").fingerprint != before.fingerprint


def test_a_key_without_alias_permission_can_inspect() -> None:
    server = serve(info_of(UNNAMED), telemetry_of("articles", [{"": (2000, "hnsw", None)}]))
    server.on("GET", "/aliases", refused(403, "Forbidden"))
    store = server.store()
    assert store.collections() == ["articles"]
    assert store.info("articles").vectors[""].status.state is State.ABSENT
    with pytest.raises(AuthError):
        store.drop("articles")


def test_an_alias_is_created_and_moved_to_another_collection() -> None:
    server = Server()
    server.infos["articles_v2"] = server.infos["articles_v1"]
    store = server.store()
    store.switch_alias("current", "articles_v1")
    assert server.aliases == {"articles": "articles_v1", "current": "articles_v1"}
    store.switch_alias("articles", "articles_v2")
    assert server.aliases == {"articles": "articles_v2", "current": "articles_v1"}


def patched(server: Server) -> Server:
    """The server also keeps metadata that a PATCH sends."""
    inner = server.collection

    def collection(method: str, name: str, rest: list[str], body: dict[str, object]) -> object:
        if method == "PATCH" and not rest:
            real = server.aliases.get(name, name)
            config = server.infos[real]["config"]
            merged = {**(config.get("metadata") or {}), **(body.get("metadata") or {})}  # type: ignore[dict-item]
            config["metadata"] = {key: value for key, value in merged.items() if value is not None}
            return ok(True)
        return inner(method, name, rest, body)

    server.collection = collection  # type: ignore[method-assign, assignment]
    return server


def test_fewer_dimensions_are_a_copy_that_records_the_dimensions_of_the_model() -> None:
    server = patched(Server())
    articles = Database(server.store())["articles"]
    plan = articles.plan("none:dims=48")
    assert [step.symbol for step in plan.steps] == [Symbol.RECREATE, Symbol.CLIENT]
    assert plan.steps[0].request["vectors"] == {"": {"size": 48}}
    assert "queries of 96 dimensions" in plan.steps[1].reason
    change = plan.apply(yes=True)
    assert {len(row["vector"]) for row in server.points["articles_v2"].values()} == {48}  # type: ignore[arg-type]
    about = articles.info().vectors[""]
    assert (about.dim, about.quantization.dims) == (48, 48)
    kept = server.infos["articles_v2"]["config"]["metadata"]
    assert "96" in str(kept) and kept["owner"] == "me"
    assert not articles.plan("none").changes
    change.undo()
    assert articles.info().vectors[""].quantization.dims is None


def test_codes_only_are_planned_as_irreversible() -> None:
    server = Server()
    root = {"title": "qdrant - vector search engine", "version": "1.19.0"}
    server.on("GET", "/", httpx.Response(200, json=root))
    articles = Database(server.store())["articles"]
    plan = articles.plan("rotational:bits=4,originals=none")
    (step,) = plan.steps
    assert step.symbol is Symbol.RECREATE and plan.needs_consent
    assert step.request["vectors"] == {"": {"datatype": "turbo4"}}
    text = str(plan)
    assert "irreversible: the copy keeps 4-bit codes" in text
    assert "original vectors are kept" not in text
    assert plan.memory is not None and plan.memory.ram_after < plan.memory.ram_before
