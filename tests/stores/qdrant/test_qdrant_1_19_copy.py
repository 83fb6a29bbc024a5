"""A copy on Qdrant 1.19 has the settings of its collection."""

from __future__ import annotations

import copy
from typing import Any

import httpx
from qdrant_helpers import (
    NEW,
    TELEMETRY,
    UNNAMED,
    Replay,
    info_of,
    ok,
    refused,
    result,
    telemetry_of,
)

import qadapt as qa
from qadapt.stores.base import silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.qdrant.server import copy_switch


def test_a_copy_is_created_with_fields_of_create_collection_only() -> None:
    source = copy.deepcopy(result("life/018_active_load_info"))
    params = source["config"]["params"]
    params.update(read_fan_out_factor=2, read_fan_out_delay_ms=50, sparse_vectors={"s": {}})
    body = copy_switch.creation(source, {"": {"datatype": "float16"}})
    assert "read_fan_out_factor" not in body
    assert "read_fan_out_delay_ms" not in body
    assert body["vectors"] == {"size": 256, "distance": "Cosine", "datatype": "float16"}
    assert (body["shard_number"], body["on_disk_payload"]) == (1, True)
    assert body["sparse_vectors"] == {"s": {}}


class Copying(Replay):
    """A server that keeps what CreateCollection and UpdateCollection have, under strict mode."""

    def __init__(self) -> None:
        super().__init__(NEW)
        strict = {"enabled": True, "max_query_limit": 30, "search_allow_exact": False,
                  "upsert_max_batchsize": 20}  # fmt: skip
        params = {"read_fan_out_factor": 2, "shard_number": 1}
        first = info_of(UNNAMED, params=params, strict_mode_config=strict)
        self.infos = {"v1": first}
        rows = [{"id": at, "vector": [0.5] * 96, "payload": {}} for at in range(70)]
        self.rows: dict[str, dict[int, Any]] = {"v1": {each["id"]: each for each in rows}}
        self.alias = "v1"

    def reply(self, request: httpx.Request, path: str) -> Any:
        body = self.sent[-1][2]
        if path == "/aliases":
            return ok({"aliases": [{"alias_name": "articles", "collection_name": self.alias}]})
        if path == "/collections/aliases":
            self.alias = body["actions"][0]["create_alias"]["collection_name"]
            return ok(True)
        if path == TELEMETRY:
            shown = [telemetry_of(n, [{"": (len(r), "hnsw", None)}]) for n, r in self.rows.items()]
            found = [each["collections"]["collections"][0] for each in shown]
            return ok({"collections": {"collections": found}})
        if path == "/collections":
            return ok({"collections": [{"name": name} for name in self.infos]})
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[0] != "collections":
            return super().reply(request, path)
        name = self.alias if parts[1] == "articles" else parts[1]
        rest = "/".join(parts[2:])
        if rest == "exists":
            return ok({"exists": name in self.infos})
        if (request.method, rest) == ("PUT", ""):
            known = {"shard_number": body.get("shard_number")}
            made = info_of(body["vectors"], params=known)
            made["config"]["strict_mode_config"] = body.get("strict_mode_config")
            self.infos[name], self.rows[name] = made, {}
            return ok(True)
        if (request.method, rest) == ("PATCH", ""):
            self.infos[name]["config"]["params"].update(body["params"])
            return ok(True)
        return self.points(request.method, name, rest, body)

    def points(self, method: str, name: str, rest: str, body: Any) -> Any:
        rows = self.rows[name]
        if rest == "points/count":
            return refused(400, "Bad request: Exact search disabled!. Help: leave it")
        if rest == "points/scroll":
            assert body["limit"] <= 30
            start = int(body.get("offset") or 0)
            some = list(rows.values())[start : start + body["limit"]]
            end = start + body["limit"]
            return ok({"points": some, "next_page_offset": end if end < len(rows) else None})
        if (method, rest) == ("PUT", "points"):
            assert len(body["points"]) <= 20
            rows.update({each["id"]: each for each in body["points"]})
            return ok({"status": "completed"})
        if rest == "points":
            return ok([rows[key] for key in body["ids"]])
        return ok({"summary": {}, "running": []}) if rest else ok(self.infos[name])


def test_a_copy_respects_strict_mode_and_patches_other_settings() -> None:
    server = Copying()
    store = server.store()
    (step,) = store.plan_change(ChangeRequest(store.inspect("articles"), "", qa.float16())).steps
    store.run("articles", step.request, silent, 10)
    target = step.request["to"]
    assert server.alias == target
    assert len(server.rows[target]) == 70
    assert server.bodies("PATCH", f"/collections/{target}") == [
        {"params": {"read_fan_out_factor": 2}}
    ]
    assert server.infos[target]["config"]["params"]["read_fan_out_factor"] == 2
