"""Search parameters that Qdrant ignores or changes without an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_helpers import (
    ISSUES,
    Replay,
    info_of,
    ok,
    recording,
    serve,
    telemetry_of,
)

import qadapt as qa
from qadapt.errors import (
    InputError,
)
from qadapt.model import MatchLevel, Vector
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant import mapping
from qadapt.stores.qdrant.server import search as qdrant_search

V = Vector(8)


BINARY = {"binary": {}}


def test_the_effective_quantile_is_reported() -> None:
    mapped = Replay().store().map(qa.scalar(bits=7, quantile=0.99), V)
    assert mapped.match.level is MatchLevel.DIFFERS
    assert mapped.match.differences == (mapping.QUANTILE,)
    assert ISSUES + "9902" in mapping.QUANTILE
    full = Replay().store().map(qa.scalar(bits=7, per="collection"), V)
    assert full.match.level is MatchLevel.EXACT


def params_of(server: Replay) -> Any:
    """The search parameters that were sent last."""
    *_, body = server.bodies("POST", "/collections/articles/points/query/batch")
    return body["searches"][0].get("params")


def searched(codes: Any, search: SearchRequest, *, distance: str = "Cosine", **more: Any) -> Any:
    """The hits of one search in segments with ``codes``, and the parameters sent."""
    info = info_of({"size": 4, "distance": distance}, codes)
    segments = more.pop("segments", [{"": (2000, "hnsw", codes)}])
    server = serve(info, telemetry_of("articles", segments), **more)
    points = [{"id": 8, "version": 1, "score": 3.0}, {"id": 3, "version": 1, "score": 2.0}]
    server.on("POST", "/collections/articles/points/query/batch", ok([{"points": points}]))
    hits = server.store().search("articles", np.ones((1, 4), dtype=np.float32), search)
    return hits, params_of(server)


def test_oversampling_is_never_sent_without_rescoring() -> None:
    """Facts section 2: without rescoring it is a no-op."""
    for factor in (1.0, 2.0, 2.5):
        _, params = searched(BINARY, SearchRequest(k=10, rescore=qa.Rescore(factor)))
        assert params["quantization"]["rescore"] is True
    _, params = searched(BINARY, SearchRequest(k=10, rescore=qa.Rescore(source="off")))
    assert params["quantization"] == {"rescore": False}


def test_rescoring_without_oversampling_reports_its_candidates() -> None:
    """On one segment it changes only the order: qdrant/landing_page/pull/1158."""
    hits, params = searched(BINARY, SearchRequest(k=10, rescore=qa.Rescore(1)))
    assert (hits.how.candidates, hits.how.scores) == (10, "exact")
    assert params["quantization"] == {"rescore": True}


def test_candidates_per_segment_are_reported() -> None:
    two = [{"": (1000, "hnsw", BINARY)}, {"": (1000, "hnsw", BINARY)}]
    hits, params = searched(BINARY, SearchRequest(k=10, rescore=qa.Rescore(3)), segments=two)
    assert hits.how.notes == (qdrant_search.PER_SEGMENT.format(2),)
    assert params["quantization"] == {"rescore": True, "oversampling": 3.0}


@pytest.mark.parametrize(("factor", "k"), [(1.1, 10), (3.3, 10), (2.7, 7), (1.05, 100)])
def test_rounding_of_oversampling_loses_no_candidate(factor: float, k: int) -> None:
    """The server takes int(factor * limit) in 32-bit floats."""
    _, params = searched(BINARY, SearchRequest(k=k, rescore=qa.Rescore(factor)))
    sent = np.float32(params["quantization"]["oversampling"])
    assert int(sent * np.float32(k)) == qa.Rescore(factor).count(k)


def test_scores_of_binary_codes_without_rescoring_are_marked() -> None:
    """Recorded: 172.0 where the cosine is 0.856."""
    scores = recording("life/051_search_no_rescore")["response"]["body"]["result"]["points"]
    assert scores[0]["score"] == 172.0
    hits, _ = searched(BINARY, SearchRequest(k=2, rescore=qa.Rescore(source="off")))
    assert hits.how.scores == "approximate"
    assert qdrant_search.RAW_COUNTS in hits.how.notes


def test_descending_binary_scores_under_euclid_are_not_negated() -> None:
    hits, _ = searched(
        BINARY, SearchRequest(k=2, rescore=qa.Rescore(source="off")), distance="Euclid"
    )
    assert hits.scores.tolist() == [[3.0, 2.0]]
    assert qdrant_search.RAW_COUNTS in hits.how.notes


@pytest.mark.parametrize(
    ("version", "wrong"), [("1.16.3", True), ("1.18.3", True), ("1.19.0", False)]
)
def test_scores_of_scalar_codes_under_euclid_are_marked_before_1_19(
    version: str, wrong: bool
) -> None:
    codes = {"scalar": {"type": "int8"}}
    off = SearchRequest(k=2, rescore=qa.Rescore(source="off"))
    hits, _ = searched(codes, off, distance="Euclid", version=version)
    assert hits.how.scores == "approximate"
    assert (qdrant_search.WRONG_EUCLID in hits.how.notes) is wrong
    assert ISSUES + "9515" in qdrant_search.WRONG_EUCLID


def test_exact_euclid_scores_are_negative_squares() -> None:
    hits, _ = searched(None, SearchRequest(k=2), distance="Euclid")
    assert hits.scores.tolist() == [[-9.0, -4.0]]
    assert hits.how.scores == "exact"


def test_hnsw_ef_of_zero_is_rejected() -> None:
    assert recording("query/params_hnsw_ef0")["response"]["status"] == 200
    with pytest.raises(InputError, match="hnsw_ef"):
        searched(None, SearchRequest(k=2, options={"hnsw_ef": 0}))
