"""Bulk loads: which settings are changed, restored, or left unchanged."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_helpers import Replay, body_of, info_of, ok, telemetry_of

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import StoreTimeoutError
from qadapt.stores.base import silent
from qadapt.stores.qdrant.server.store import QdrantStore

PATH = "/collections/docs"
VECTORS = {"size": 4, "distance": "Dot"}


class Server(Replay):
    """A collection that merges PATCHes of its optimizer settings."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.info = info_of(VECTORS)
        self.info["config"]["optimizer_config"] = settings
        self.running: list[Any] = []
        indexed = [{"": (2000, "hnsw", None)}]
        self.on("GET", "/telemetry?details_level=4", ok(telemetry_of("docs", indexed)))
        self.on("POST", f"{PATH}/points/count", ok({"count": 2000}))

    def reply(self, request: httpx.Request, path: str) -> Any:
        if (request.method, path) == ("GET", PATH):
            return ok(self.info)
        if (request.method, path) == ("GET", f"{PATH}/optimizations"):
            return ok({"ongoing": self.running})
        if (request.method, path) == ("PATCH", PATH):
            self.info["config"]["optimizer_config"].update(body_of(request)["optimizers_config"])
            return ok(True)
        return super().reply(request, path)

    @property
    def sent_thresholds(self) -> list[int]:
        return [
            body["optimizers_config"]["indexing_threshold"] for body in self.bodies("PATCH", PATH)
        ]


def test_the_threshold_is_0_during_the_load_and_the_former_one_afterwards() -> None:
    server = Server(indexing_threshold=10_000, max_segment_size=None)
    store = server.store()
    former = store.bulk_load_settings("docs")
    assert former == {"indexing_threshold": 10_000}
    assert server.sent_thresholds == []  # it is noted before anything is changed
    store.begin_bulk_load("docs")
    store.begin_bulk_load("docs")  # a second run
    assert server.sent_thresholds == [0]
    store.end_bulk_load("docs", former)
    store.end_bulk_load("docs", former)
    assert server.sent_thresholds == [0, 10_000]
    store.settle("docs", silent, 5)
    assert server.sent_thresholds == [0, 10_000]


@pytest.mark.parametrize(
    "settings",
    [
        {"indexing_threshold": 0},
        {"indexing_threshold": None},
        {},
        {"indexing_threshold": 10_000, "prevent_unoptimized": True},
    ],
)
def test_a_disabled_or_unrestorable_threshold_is_not_changed(settings: dict[str, Any]) -> None:
    assert Server(**settings).store().bulk_load_settings("docs") == {}


def test_a_threshold_set_by_another_client_is_not_restored() -> None:
    server = Server(indexing_threshold=10_000)
    store = server.store()
    former = store.bulk_load_settings("docs")
    store.begin_bulk_load("docs")
    server.info["config"]["optimizer_config"]["indexing_threshold"] = 300
    store.end_bulk_load("docs", former)
    assert server.sent_thresholds == [0]


def test_a_running_index_build_is_waited_for() -> None:
    server = Server(indexing_threshold=10_000)
    server.info["status"] = "yellow"
    server.running = [{"name": "indexing"}]
    with pytest.raises(StoreTimeoutError, match="yellow after"):
        server.store().settle("docs", silent, 0.05)


def test_local_mode_defers_no_index_build(tmp_path: Any) -> None:
    from qadapt.stores import registry

    store = registry.open_store(f"qdrant:{tmp_path / 'local'}")
    assert isinstance(store, QdrantStore)
    assert store.bulk_load_settings("docs") == {}
    store.settle("docs", silent, 1)
    store.close()


class Target(Server):
    """A collection created by a PUT, which counts written rows."""

    def __init__(self) -> None:
        super().__init__(indexing_threshold=10_000)
        self.made = False

    def reply(self, request: httpx.Request, path: str) -> Any:
        if path == "/collections":
            return ok({"collections": [{"name": "docs"}] if self.made else []})
        if (request.method, path) == ("PUT", PATH):
            self.made = True
            return ok(True)
        if (request.method, path) == ("PUT", f"{PATH}/points?wait=true"):
            return ok({"operation_id": 1, "status": "completed"})
        return super().reply(request, path)


def test_a_migration_to_a_server_sends_requests_in_order(tmp_path: Any) -> None:
    pytest.importorskip("qdrant_edge")
    server = Target()
    with qa.open(f"edge:{tmp_path / 'a'}") as here:
        made = here.create("docs", dim=4, metric="dot")
        made.write(qa.Batch(range(2000), {"": np.ones((2000, 4), dtype=np.float32)}))
        there = Database(server.store())
        done = qa.migrate(made, (there, "docs"), trial_copy=False, check="off", batch_bytes=16_000)
    assert done.metrics.rows == 2000
    reported = [
        (method, body.get("optimizers_config"))
        for method, path, body in server.writes()
        if path in (PATH, f"{PATH}/points?wait=true")
    ]
    off, back = ({"indexing_threshold": each} for each in (0, 10_000))
    rows = [("PUT", None)] * (len(reported) - 3)
    assert reported == [("PUT", None), ("PATCH", off), *rows, ("PATCH", back)]
    assert len(rows) > 1
