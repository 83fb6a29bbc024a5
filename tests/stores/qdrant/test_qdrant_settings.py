"""Settings of qadapt in a collection's metadata."""

from __future__ import annotations

import httpx
import pytest
from qdrant_helpers import (
    BINARY,
    PATH,
    TELEMETRY,
    UNNAMED,
    Replay,
    info_of,
    ok,
    serve,
    telemetry_of,
)

from qadapt.api import Database
from qadapt.errors import IntegrityError, StoreError
from qadapt.model import Symbol


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


def test_default_rescoring_is_stored_in_metadata_and_used_by_searches() -> None:
    server = Keeping()
    articles = Database(server.store())["articles"]
    plan = articles.plan("binary:rescore=6")
    assert [step.symbol for step in plan.steps] == [Symbol.CLIENT]
    assert "stored in the collection" in plan.steps[0].reason
    change = plan.apply(yes=True)
    assert set(server.info["config"]["metadata"]) == {"owner", "qadapt"}
    elsewhere = Database(server.store())["articles"]
    hits = elsewhere.search([1.0] * 96, k=2)
    assert (hits.how.oversampling, hits.how.rescore_from) == (6, "collection")
    reported = elsewhere.search([1.0] * 96, k=2, rescore=2)
    assert (reported.how.oversampling, reported.how.rescore_from) == (2, "call")
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


def test_before_1_16_settings_are_stored_in_the_state_folder() -> None:
    server = Keeping("1.15.5")
    articles = Database(server.store())["articles"]
    assert articles._store.load_settings("articles") is None
    articles.plan("binary:rescore=6").apply(yes=True)
    assert server.writes() == []
    assert articles.search([1.0] * 96, k=2).how.oversampling == 6


def test_foreign_metadata_under_qadapts_key_is_ignored() -> None:
    """The recorder of life/001 wrote {"qadapt": {"rescore": true}}."""
    server = Keeping()
    server.info["config"]["metadata"]["qadapt"] = {"rescore": True}
    hits = Database(server.store())["articles"].search([1.0] * 96, k=2)
    assert hits.how.rescore_from == "store default"


def test_damaged_settings_are_an_error_that_names_their_location() -> None:
    server = Keeping()
    server.info["config"]["metadata"]["qadapt"] = {"vectors": {"": {"rescore": "many"}}}
    with pytest.raises(IntegrityError, match="settings in 'articles'"):
        Database(server.store())["articles"].search([1.0] * 96, k=2)


def test_unchanged_settings_are_not_sent_and_dropped_ones_are_an_error() -> None:
    server = Keeping()
    store = server.store()
    assert store.save_settings("articles", {"vectors": {"": {"rescore": None}}})
    assert store.save_settings("articles", {"vectors": {"": {"rescore": None}}})
    assert len(server.writes()) == 1
    server.on("PATCH", PATH, ok(True))
    lossy = serve(info_of(UNNAMED))
    with pytest.raises(StoreError, match="not stored as they were sent"):
        lossy.store().save_settings("articles", {"vectors": {}})
