"""The limits of a collection's strict mode."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_helpers import Replay, ok, recording, serve, telemetry_of

import qadapt as qa
from qadapt.errors import InputError
from qadapt.stores.base import ReadRequest, SearchRequest
from qadapt.stores.qdrant.server import strict_mode


def limited() -> Replay:
    """The recorded collection, with the limits that the recorded refusals name."""
    info = recording("errors/strict_info")["response"]["body"]["result"]
    assert info["config"]["strict_mode_config"]["enabled"] is True
    info["config"]["strict_mode_config"] = {
        "enabled": True,
        "max_query_limit": 5,
        "search_max_oversampling": 2,
        "search_max_hnsw_ef": 64,
        "search_allow_exact": False,
        "upsert_max_batchsize": 2,
    }
    return serve(info, telemetry_of("s", [{"": (1, "plain", {"binary": {}})}]), name="s", count=1)


@pytest.mark.parametrize(
    ("search", "limit"),
    [
        (SearchRequest(k=6), "max_query_limit"),
        (SearchRequest(k=2, rescore=qa.Rescore(3)), "search_max_oversampling"),
        (SearchRequest(k=2, rescore=qa.Rescore(candidates=5)), "search_max_oversampling"),
        (SearchRequest(k=2, options={"hnsw_ef": 128}), "search_max_hnsw_ef"),
        (SearchRequest(k=2, exact=True), "search_allow_exact"),
    ],
)
def test_limits_are_checked_before_a_request(search: SearchRequest, limit: str) -> None:
    server = limited()
    with pytest.raises(InputError, match=limit):
        server.store().search("s", np.ones((1, 4), dtype=np.float32), search)
    assert not server.bodies("POST", "/collections/s/points/query/batch")


@pytest.mark.parametrize(
    ("rescore", "k", "allowed"),
    [
        (qa.Rescore(candidates=200), 10, qa.Rescore(candidates=20)),
        (qa.Rescore(candidates=200), 100, qa.Rescore(candidates=200)),
        (qa.Rescore(4), 10, qa.Rescore(2)),
    ],
)
def test_a_default_is_limited_to_the_candidates_of_the_search(
    rescore: qa.Rescore, k: int, allowed: qa.Rescore
) -> None:
    assert limited().store().limit_rescore("s", rescore, k) == allowed


def test_pages_and_batches_stay_within_the_limits() -> None:
    server = limited()
    page = {"points": [{"id": 1, "payload": {}, "vector": [1, 0, 0, 0]}], "next_page_offset": None}
    server.on("POST", "/collections/s/points/scroll", ok(page))
    server.on("PUT", "/collections/s/points?wait=true", ok({"status": "completed"}))
    store = server.store()
    assert [len(each) for each in store.read("s", ReadRequest(page=1000))] == [1]
    assert server.bodies("POST", "/collections/s/points/scroll")[0]["limit"] == 5
    store.write("s", qa.Batch(range(5), {"": np.ones((5, 4))}))
    sizes = [
        len(each["points"]) for each in server.bodies("PUT", "/collections/s/points?wait=true")
    ]
    assert sizes == [2, 2, 1]
    assert store.count("s") == 1
    assert not server.bodies("POST", "/collections/s/points/count"), "exact counts are forbidden"


def test_a_rounded_oversampling_stays_within_the_limit() -> None:
    assert strict_mode.factor({"search_max_oversampling": 2.5}, 2.54) == 2.5
    assert strict_mode.factor({}, 2.54) == 2.54
