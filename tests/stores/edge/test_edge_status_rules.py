"""The status of segments, judged without an engine."""

from __future__ import annotations

from typing import Any

from embeddings import DIM

from qadapt.model import State, Vector
from qadapt.stores.qdrant.edge.segment_files import SegmentVector
from qadapt.stores.qdrant.edge.status import Observation, status_of

TARGET = {"scalar": {"type": "int8"}}


def segment(**changes: Any) -> SegmentVector:
    """An indexed segment of 100 rows with scalar codes, but for ``changes``."""
    base: dict[str, Any] = {
        "segment": "s",
        "indexed": True,
        "index": {"type": "hnsw"},
        "datatype": "float32",
        "rows": 100,
        "config": TARGET,
        "code_config": TARGET,
        "code_bytes": 2000,
        "float_bytes": 6400,
        "live": 100,
    }
    return SegmentVector(**{**base, **changes})


def judged(*segments: SegmentVector, target: Any = TARGET, threshold: int = 10_000) -> State:
    widest = {item.segment: 6.25 for item in segments if not item.indexed}
    observation = Observation(Vector(16), 100, target, threshold, segments, widest)
    return status_of(observation).state


def test_active_and_inactive_segments() -> None:
    empty = segment(segment="e", indexed=False, rows=0, config=None, code_config=None, code_bytes=0)
    assert judged(segment(), empty) is State.ACTIVE
    assert judged(segment(config={"scalar": {"type": "int8", "memory": None}})) is State.ACTIVE
    assert judged(segment(code_bytes=0)) is State.BUILDING
    assert judged(segment(code_config=None)) is State.BUILDING
    assert judged(segment(config={"binary": {}})) is State.BUILDING
    assert judged(segment(code_config={"scalar": {"type": "int8", "quantile": 0.9}})) is (
        State.BUILDING
    )
    assert judged(segment(), segment(code_config={"binary": {}})) is State.BUILDING
    growing = segment(segment="g", indexed=False, config=None, code_config=None, code_bytes=0)
    assert judged(growing, empty) is State.IGNORED
    assert judged(growing, empty, threshold=6) is State.BUILDING
    assert judged(segment(), growing, threshold=7) is State.ACTIVE
    assert judged(segment(), growing, threshold=6) is State.BUILDING
    assert judged(growing, target={"binary": {}}) is State.BUILDING
    assert judged(segment(), target=None) is State.BUILDING
    assert judged(empty, growing, target=None) is State.ABSENT
    assert judged(target=None) is State.ABSENT


def test_deletions_in_an_indexed_segment_may_be_unknown() -> None:
    """Without the count of the engine: rows that cannot be in the growing segment are certain."""
    indexed = segment(rows=500, live=None)
    growing = segment(
        segment="g", indexed=False, rows=60, live=None, config=None, code_config=None, code_bytes=0
    )
    for count, expected in ((60, State.UNKNOWN), (61, State.ACTIVE)):
        found = Observation(Vector(DIM), count, TARGET, 750, [indexed, growing], {"g": 90.0})
        assert status_of(found).state is expected
