"""The status derived from an observation, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from qadapt.model import Quantization, State
from qadapt.stores.milvus.status import IN_SEGMENTS, LEAST, MOST, Observation, Segment, status_of

SQ8 = {"index_name": "v_ivf_sq8", "index_type": "IVF_SQ8", "metric_type": "L2", "params": {}}
REPORTED = {"state": "Finished", "indexed_rows": 5000}


def observation(segments: Any, count: int = 5000, **changes: Any) -> Observation:
    """A collection set to scalar codes, which ``describe_index`` calls finished.

    Rows of segments are live by default.
    """
    changes.setdefault("sealed", sum(each.rows or 0 for each in segments or ()))
    values: dict[str, Any] = {
        "quantization": Quantization.parse("scalar"),
        "index": SQ8,
        "loaded": True,
        "reported": REPORTED,
        **changes,
    }
    return Observation(count=count, segments=segments, **values)


def test_finished_is_not_sufficient() -> None:
    """Facts section 3: searches went over unindexed data for 11 s after Finished."""
    assert status_of(observation([])).state is State.BUILDING
    status = status_of(observation([Segment(5000, None)]))
    assert status.state is State.BUILDING
    signals = {item.signal: item.value for item in status.evidence}
    assert signals["describe_index: state (not sufficient)"] == "Finished"
    assert status_of(observation([Segment(5000, "v_ivf_sq8")])).state is State.ACTIVE


@pytest.mark.parametrize(("rows", "state"), [(1023, State.IGNORED), (1024, State.BUILDING)])
def test_segments_under_1024_rows_are_ignored(rows: int, state: State) -> None:
    """milvus#25234."""
    status = status_of(observation([Segment(rows, None)], count=rows))
    assert status.state is state
    if state is State.IGNORED:
        assert "1,024" in status.reason
        assert status.advice


def test_an_index_with_another_name_does_not_count() -> None:
    assert status_of(observation([Segment(5000, "v_hnsw")])).state is State.BUILDING


def test_rows_without_codes_are_reported() -> None:
    status = status_of(observation([Segment(4000, "v_ivf_sq8"), Segment(300, None)], count=5000))
    assert status.state is State.ACTIVE
    assert "300 rows" in status.reason
    assert "700 rows" in status.reason


def test_more_growing_than_coded_rows_is_building() -> None:
    assert status_of(observation([Segment(2000, "v_ivf_sq8")], count=9000)).state is State.BUILDING


@pytest.mark.parametrize("lite", [False, True])
@pytest.mark.parametrize(
    ("segments", "sealed", "count", "state"),
    [
        # Every row was replaced: the segment reports 6,000 rows, and none is live.
        ([6000], 0, 6000, State.BUILDING),
        # All but one.
        ([6000], 1, 6000, State.BUILDING),
        # 90 % deleted, with a tail in growing segments.
        ([6000], 600, 3600, State.BUILDING),
        ([6000], 600, 1400, State.BUILDING),
        ([6000], 600, 1100, State.ACTIVE),
        # Flushed and indexed: the dead segment stays until it is compacted.
        ([6000, 6000], 6000, 6000, State.ACTIVE),
    ],
)
def test_deleted_and_replaced_rows_do_not_count_as_coded(
    lite: bool, segments: list[int], sealed: int, count: int, state: State
) -> None:
    index = "IVF_SQ8" if lite else "v_ivf_sq8"
    found = [Segment(rows, index) for rows in segments]
    status = status_of(observation(found, count=count, sealed=sealed, lite=lite))
    assert status.state is state
    reported = {item.signal: item.value for item in status.evidence}
    assert reported[LEAST] == reported[MOST] == sealed
    assert reported[IN_SEGMENTS] == sum(segments)
    if not sealed:
        assert "deleted or replaced" in status.reason


def test_deleted_rows_of_small_segments_leave_bounds() -> None:
    """600 live rows among 6,000 with codes and 900 without: they may be among the 900."""
    segments = [Segment(6000, "v_ivf_sq8"), Segment(900, None)]
    status = status_of(observation(segments, count=600, sealed=600))
    assert status.state is State.UNKNOWN
    assert "at most 600 of 600 rows" in status.reason
    status = status_of(observation(segments, count=1000, sealed=1000))
    assert status.state is State.ACTIVE
    assert "up to 900 rows" in status.reason
    # All live rows are in the segment without codes.
    dead = [Segment(0, "v_ivf_sq8"), Segment(900, None)]
    assert status_of(observation(dead, count=900, sealed=900)).state is State.IGNORED


def test_uncounted_live_rows_are_unknown() -> None:
    status = status_of(observation([Segment(5000, "v_ivf_sq8")], sealed=None))
    assert status.state is State.UNKNOWN


def test_an_unloaded_collection_is_ignored() -> None:
    status = status_of(observation(None, loaded=False))
    assert status.state is State.IGNORED
    assert "not loaded" in status.reason


def test_unlisted_segments_are_unknown() -> None:
    assert status_of(observation(None)).state is State.UNKNOWN
    assert status_of(observation([], count=0)).state is State.UNKNOWN
    other = [Segment(5000, "title_hnsw_sq")]
    assert status_of(observation(other, several=2)).state is State.UNKNOWN


def test_lite_status_comes_from_its_files() -> None:
    lite: dict[str, Any] = {"lite": True}
    assert status_of(observation([], **lite)).state is State.BUILDING
    assert status_of(observation([Segment(None, None)], **lite)).state is State.BUILDING
    assert status_of(observation([Segment(5000, "IVF_SQ8")], **lite)).state is State.ACTIVE
    partly = [Segment(2500, "IVF_SQ8"), Segment(2500, None)]
    assert status_of(observation(partly, **lite)).state is State.BUILDING
    # A wrapped client may not expose the location of its files.
    assert status_of(observation(None, **lite)).state is State.UNKNOWN


def test_no_quantization_is_absent_loaded_or_not() -> None:
    plain = {**SQ8, "index_type": "HNSW"}
    none = Quantization.parse("none")
    assert status_of(observation([], quantization=none, index=plain)).state is State.ABSENT
    status = status_of(observation(None, quantization=none, index=None, loaded=False))
    assert (status.state, status.reason) == (State.ABSENT, "the vector has no index")
    shared: dict[str, Any] = {"quantization": none, "index": plain, "loaded": False}
    assert "not loaded" in status_of(observation([], **shared)).reason
    # A process loads a collection of Lite when it first searches.
    assert status_of(observation([], lite=True, **shared)).reason == ""
