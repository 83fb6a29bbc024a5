"""What qadapt expects of each version, compared with answers of servers of that version.

tests/recordings/elasticsearch-versions: each type of index_options, its rescoring, and all pairs of
types that a mapping accepted.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from recorded import FOLDER

import qadapt as qa
from qadapt.model import MatchLevel, Vector
from qadapt.stores.elastic.elasticsearch import in_place, mapping
from qadapt.stores.elastic.elasticsearch.version import (
    SINCE_BASE64,
    SINCE_BASE64_QUERY,
    SINCE_BFLOAT16,
    SINCE_BYTES_OF_CODES,
    SINCE_RESCORE,
    SINCE_SLICES_BY_ID,
    ServerVersion,
)

FILES = sorted((FOLDER / "elasticsearch-versions").glob("*.json"))
SETTINGS = {
    "flat": qa.none(native={"index": "flat"}),
    "int8_hnsw": qa.scalar(),
    "int4_hnsw": qa.scalar(bits=4),
    "int4_flat": qa.scalar(bits=4, native={"index": "flat"}),
    "bbq_hnsw": qa.binary(),
    "bbq_flat": qa.binary(native={"index": "flat"}),
}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text())
    return found


@pytest.fixture
def version(told: dict[str, Any]) -> ServerVersion:
    return ServerVersion(told["version"])


def test_several_versions_were_recorded() -> None:
    assert {"8.12.2", "8.14.3", "8.15.5", "8.16.6", "8.18.8", "8.19.21"} <= {
        each.stem for each in FILES
    }


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_type_is_refused_where_the_server_refuses_it(
    told: dict[str, Any], version: ServerVersion, kind: str
) -> None:
    refused = isinstance(told["types"][kind], str)
    match = mapping.to_native(SETTINGS[kind], Vector(96), version).match
    assert (match.level is MatchLevel.UNSUPPORTED) == refused
    assert not refused or match.support


def test_the_default_type_of_a_field(told: dict[str, Any], version: ServerVersion) -> None:
    shown = told["types"]["None"]["mapping"]
    expected = shown["type"] if shown else mapping.HNSW
    assert mapping.default_type(Vector(96), version) == expected


def test_pairs_of_types_that_are_accepted_in_place(
    told: dict[str, Any], version: ServerVersion
) -> None:
    kinds = [each for each, what in told["types"].items() if isinstance(what, dict)]
    for kind in kinds:
        seen = set(told["updates"].get(kind, ()))
        assert set(in_place.accepted(kind, version)) & set(kinds) == seen, kind


def test_rescoring_and_other_features(told: dict[str, Any], version: ServerVersion) -> None:
    codes = told["types"]["int8_hnsw"]
    assert (codes["rescore_vector"] == "ok") == version.has(SINCE_RESCORE)
    assert (codes["rescore_vector 0"] == "ok") == version.maps_rescoring
    bits = told["types"]["bbq_hnsw"]
    if isinstance(bits, dict):
        found = mapping.default_rescore(bits["mapping"], version)
        assert found is not None
        assert found.on == ("rescore_vector" in bits["mapping"])
    assert ("off_heap" in codes["statistics"]) == version.has(SINCE_BYTES_OF_CODES)
    assert (told["element bfloat16"] == "ok") == version.has(SINCE_BFLOAT16)
    assert (told["base64 row"] == "ok") == version.has(SINCE_BASE64)
    assert (told["base64 query"] == "ok") == version.has(SINCE_BASE64_QUERY)
    assert (told["slice by id"] == "ok") == version.has(SINCE_SLICES_BY_ID)


def test_confidence_interval_is_refused_where_it_changes_codes() -> None:
    asked = qa.scalar(native={"confidence_interval": 0.9})
    old = mapping.to_native(asked, Vector(96), ServerVersion("8.19.21")).match
    assert old.level is MatchLevel.UNSUPPORTED
    assert "changes codes" in old.differences[0]
    new = mapping.to_native(asked, Vector(96), ServerVersion("9.5.3")).match
    assert any("has no effect" in each for each in new.differences)
