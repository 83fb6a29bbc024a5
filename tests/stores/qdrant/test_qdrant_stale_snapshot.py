"""Searches while another process changes the codes: requested parameters are always sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_helpers import NEW, PATH, TELEMETRY, Replay, info_of, ok, recording, serve, telemetry_of

import qadapt as qa
from qadapt.api import Database
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.server import search

QUERY = PATH + "/points/query/batch"
VECTOR = {"size": 4, "distance": "Cosine"}
BINARY: dict[str, Any] = {"binary": {}}
SCALAR: dict[str, Any] = {"scalar": {"type": "int8"}}
ONE = np.ones((1, 4), dtype=np.float32)
OFF = qa.Rescore(source="off")


def collection(codes: Any, **more: Any) -> Replay:
    """A server whose segments hold what is configured."""
    server = serve(info_of(VECTOR, codes), segments(codes), version=NEW, **more)
    server.on("POST", QUERY, ok([{"points": [{"id": 8, "version": 1, "score": 0.5}]}]))
    return server


def segments(codes: Any) -> Any:
    return telemetry_of("articles", [{"": (2000, "hnsw", codes)}])


def changed(server: Replay, codes: Any, held: Any = ...) -> None:
    """Another process has applied ``codes``; segments hold them, or still ``held``."""
    server.on("GET", PATH, ok(info_of(VECTOR, codes)))
    server.on("GET", TELEMETRY, ok(segments(codes if held is ... else held)))


def sent(server: Replay) -> Any:
    """The quantization parameters of the last search."""
    *_, body = server.bodies("POST", QUERY)
    return (body["searches"][0].get("params") or {}).get("quantization")


@pytest.mark.parametrize(
    ("rescore", "params"),
    [
        (qa.Rescore(4), {"rescore": True, "oversampling": 4.0}),
        (qa.Rescore(1), {"rescore": True}),
        (OFF, {"rescore": False}),
    ],
)
def test_requested_rescoring_is_sent_despite_an_older_snapshot(
    rescore: qa.Rescore, params: Any
) -> None:
    server = collection(None)
    store = server.store()
    store.search("articles", ONE, SearchRequest(k=1))
    changed(server, BINARY)
    hits = store.search("articles", ONE, SearchRequest(k=1, rescore=rescore))
    assert sent(server) == params
    assert hits.how.scores == ("exact" if rescore.on else "approximate")


def test_the_recorded_query_is_sent() -> None:
    reported = recording("life/131_query_rescore_x4", NEW)["request"]["body"]["params"][
        "quantization"
    ]
    server = collection(None)
    store = server.store()
    store.search("articles", ONE, SearchRequest(k=1))
    changed(server, BINARY)
    store.search("articles", ONE, SearchRequest(k=1, rescore=qa.Rescore(4)))
    assert sent(server) == reported


def test_default_rescoring_is_sent_with_queries() -> None:
    server = collection(None)
    metadata = {"qadapt": {"vectors": {"": {"rescore": {"oversampling": 4.0}}}}}
    server.on("GET", PATH, ok(info_of(VECTOR, None, metadata=metadata)))
    articles = Database(server.store())["articles"]
    articles.search(ONE, k=1, rescore=qa.Rescore(2))
    assert sent(server) == {"rescore": True, "oversampling": 2.0}


@pytest.mark.parametrize("codes", [BINARY, SCALAR, {"turbo": {"bits": "bits4"}}])
def test_scores_reported_as_exact_were_requested_as_exact(codes: Any) -> None:
    """A search without parameters after a snapshot without codes: they may exist by now."""
    server = collection(None)
    store = server.store()
    store.search("articles", ONE, SearchRequest(k=1))
    changed(server, codes)
    hits = store.search("articles", ONE, SearchRequest(k=1))
    assert hits.how.scores == "exact"
    assert sent(server) == {"rescore": True}, "nothing happens where there are no codes"


def test_a_default_that_rescores_is_requested_so_that_no_change_makes_it_approximate() -> None:
    server = collection(BINARY)
    store = server.store()
    for codes in (BINARY, SCALAR):
        changed(server, codes)
        asked = len(server.sent)
        hits = store.search("articles", ONE, SearchRequest(k=1))
        assert (hits.how.scores, sent(server)) == ("exact", {"rescore": True})
    assert len(server.sent) == asked + 1, "a search is one request"


def test_a_client_without_parameters_reads_the_codes_again() -> None:
    """The configuration changed before the snapshot, the codes after it."""
    server = collection(SCALAR)
    store = server.store()
    none = SearchRequest(k=1, no_params=True)
    changed(server, SCALAR, held=BINARY)
    assert store.search("articles", ONE, none).how.scores == "exact"
    assert sent(server) is None
    changed(server, SCALAR)
    assert store.search("articles", ONE, none).how.scores == "approximate"


def test_mixed_codes_in_segments_are_reported_as_approximate() -> None:
    parts = [{"": (1900, "hnsw", BINARY)}, {"": (100, "hnsw", SCALAR)}]
    server = collection(SCALAR)
    server.on("GET", TELEMETRY, ok(telemetry_of("articles", parts)))
    assert server.store().search("articles", ONE, SearchRequest(k=1)).how.scores == "approximate"


def test_searches_without_codes_are_exact_if_nothing_changed() -> None:
    server = collection(None)
    store = server.store()
    for _ in range(2):
        hits = store.search("articles", ONE, SearchRequest(k=1, rescore=OFF))
        assert hits.how.scores == "exact"
    assert len(server.bodies("GET", TELEMETRY)) == 1


def test_without_telemetry_only_requested_scores_are_exact() -> None:
    server = collection(None)
    server.on("GET", TELEMETRY, ok({"collections": {"collections": []}}))
    store = server.store()
    hits = store.search("articles", ONE, SearchRequest(k=1, rescore=OFF))
    assert (hits.how.scores, hits.how.notes) == ("approximate", (search.MAY_HOLD_CODES,))
    hits = store.search("articles", ONE, SearchRequest(k=1))
    assert (hits.how.scores, sent(server)) == ("exact", {"rescore": True})


@pytest.mark.parametrize(
    ("rescore", "params", "scores"),
    [
        (None, {"rescore": True}, "exact"),
        (4, {"rescore": True, "oversampling": 4.0}, "exact"),
        (OFF, {"rescore": False}, "approximate"),
    ],
)
def test_a_repeated_search_sends_the_same_despite_an_older_snapshot(
    rescore: Any, params: Any, scores: str
) -> None:
    """The second search is resolved already, and the third comes after a change of the codes."""
    server = collection(None)
    articles = Database(server.store())["articles"]
    for _ in range(2):
        articles.search(ONE, k=1, rescore=rescore)
    changed(server, BINARY)
    hits = articles.search(ONE, k=1, rescore=rescore)
    assert sent(server) == params
    assert hits.how.scores == scores
