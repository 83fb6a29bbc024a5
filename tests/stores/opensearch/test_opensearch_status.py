"""The status of codes, from the files of segments that OpenSearch 3.6.0 reported."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from qadapt.model import State
from qadapt.stores.elastic.opensearch import status
from qadapt.stores.elastic.opensearch.schema import Field
from qadapt.stores.elastic.opensearch.status import Observation, status_of
from qadapt.stores.elastic.opensearch.version import ServerVersion

RECORDED = Path(__file__).parents[2] / "recordings" / "opensearch-3.6.0" / "fields.json"
FIELDS: dict[str, Any] = json.loads(RECORDED.read_text())
CODED = ("sq7", "sq7_default_interval", "sq1", "sq1_dim_100", "level_4x", "level_32x", "on_disk",
         "on_disk_4x", "flat")  # fmt: skip


def seen(name: str, **changed: Any) -> Observation:
    recorded = FIELDS[name]
    sizes = recorded["segments"]["file_sizes"]
    files = {kind: each["size_in_bytes"] for kind, each in sizes.items()}
    settings = Field.of(recorded["read"], ServerVersion("3.6.0"))
    docs, segments = recorded["docs"], recorded["segments"]["count"]
    found = Observation(settings, docs["count"], docs["deleted"], docs["count"], segments, files)
    return dataclasses.replace(found, **changed)


@pytest.mark.parametrize("name", CODED)
def test_codes_in_segments_are_active(name: str) -> None:
    found = status_of(seen(name))
    assert found.state is State.ACTIVE
    assert any(each.signal == "_stats: bytes of codes (veq)" for each in found.evidence)


@pytest.mark.parametrize("name", ["plain", "dot", "l2"])
def test_a_field_without_codes_is_absent(name: str) -> None:
    assert status_of(seen(name)).state is State.ABSENT


@pytest.mark.parametrize("name", CODED)
def test_a_mapping_without_codes_in_segments_is_ignored(name: str) -> None:
    """The mapping is no evidence."""
    files = {kind: size for kind, size in (seen(name).files or {}).items() if kind != "veq"}
    found = status_of(seen(name, files=files))
    assert found.state is State.IGNORED
    assert "0 bytes of codes" in found.reason
    assert found.advice


def test_codes_of_another_width_are_ignored() -> None:
    assert status_of(seen("sq7", files=seen("sq1").files)).state is State.IGNORED
    assert status_of(seen("sq1", files=seen("sq7").files)).state is State.IGNORED


def test_codes_of_deleted_rows_are_still_in_segments() -> None:
    of_300 = seen("sq1")
    assert status_of(dataclasses.replace(of_300, present=250, deleted=50)).state is State.ACTIVE
    assert status_of(dataclasses.replace(of_300, present=250)).state is State.IGNORED


def test_without_rows_or_files_the_status_is_unknown() -> None:
    assert status_of(seen("sq1", present=0)).reason == status.NO_ROWS
    assert status_of(seen("sq1", files=None)).reason == status.NO_FILES


def test_codes_that_the_mapping_does_not_mention_are_reported() -> None:
    found = status_of(seen("plain", files=seen("sq1").files))
    assert found.state is State.UNKNOWN
    assert "does not mention" in found.reason


def test_scores_decide_where_several_vectors_share_the_files() -> None:
    """The server reports one file of each kind per segment."""
    shared = seen("sq1", alone=False, files={"veq": 10})
    assert status_of(dataclasses.replace(shared, difference=0.05)).state is State.ACTIVE
    assert status_of(dataclasses.replace(shared, difference=1e-7)).state is State.IGNORED
    assert status_of(dataclasses.replace(shared, difference=None)).state is State.UNKNOWN


def test_codes_of_faiss_are_unknown() -> None:
    settings = Field.of(
        {"dimension": 32, "mode": "on_disk", "method": {"engine": "faiss"}}, ServerVersion("3.6.0")
    )
    found = status_of(seen("sq1", settings=settings))
    assert found.state is State.UNKNOWN
    assert "faiss" in found.reason
