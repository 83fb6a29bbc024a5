"""Fidelity of values in typed fields, and payload indexes by version, without a server."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from qadapt.model import Quantization, State
from qadapt.stores.milvus import payload as milvus_payload
from qadapt.stores.milvus import payload_indexes
from qadapt.stores.milvus.status import Observation, Segment, status_of
from qadapt.stores.milvus.version import ServerVersion

REAL = ServerVersion("2.3.5")
LITE = ServerVersion("3.2.2", "lite")
NEW = ServerVersion("2.6.6")

VALUES: list[tuple[Any, str, dict[str, Any], str]] = [
    ("äöüäö", "VARCHAR", {"max_length": 10}, "exact"),
    ("äöüäöü", "VARCHAR", {"max_length": 10}, "dropped"),
    ("", "VARCHAR", {"max_length": 1}, "exact"),
    (1, "VARCHAR", {"max_length": 10}, "dropped"),
    (2**63 - 1, "INT64", {}, "exact"),
    (2**63, "INT64", {}, "dropped"),
    (-(2**63), "INT64", {}, "exact"),
    (True, "INT64", {}, "dropped"),
    (1.0, "INT64", {}, "dropped"),
    (-129, "INT8", {}, "dropped"),
    (0.5, "FLOAT", {}, "exact"),
    (0.1, "FLOAT", {}, "dropped"),
    (1, "FLOAT", {}, "lossy"),
    (2**24 + 1, "FLOAT", {}, "dropped"),
    (1e300, "FLOAT", {}, "dropped"),
    (math.inf, "DOUBLE", {}, "dropped"),
    (0.1, "DOUBLE", {}, "exact"),
    (2**53, "DOUBLE", {}, "lossy"),
    (2**53 + 1, "DOUBLE", {}, "dropped"),
    (True, "DOUBLE", {}, "dropped"),
    (0, "BOOL", {}, "dropped"),
    (None, "BOOL", {}, "dropped"),
    ({}, "JSON", {}, "exact"),
    ('{"a": 1}', "JSON", {}, "dropped"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "params", "kept"), VALUES)
def test_values_are_exact_lossy_or_dropped(
    value: Any, kind: str, params: dict[str, Any], kept: str
) -> None:
    assert milvus_payload.value_fidelity(value, {"type": kind, "params": params}, REAL) == kept


def test_lengths_count_characters_in_lite_and_bytes_on_a_server() -> None:
    field = {"type": "VARCHAR", "params": {"max_length": 5}}
    assert [milvus_payload.value_fidelity("äöüäö", field, each) for each in (LITE, REAL)] == [
        "exact",
        "dropped",
    ]


def test_null_is_stored_unless_the_field_has_a_default() -> None:
    field = {"type": "INT64", "nullable": True}
    assert milvus_payload.value_fidelity(None, field, NEW) == "exact"
    assert milvus_payload.value_fidelity(None, {**field, "default_value": 7}, NEW) == "dropped"


def test_lists_are_checked_by_count_type_and_length() -> None:
    field = {
        "type": "ARRAY", "element_type": "VARCHAR", "params": {"max_capacity": 2, "max_length": 2},
    }  # fmt: skip
    assert milvus_payload.value_fidelity([], field, NEW) == "exact"
    assert milvus_payload.value_fidelity(["a"] * 3, field, NEW) == "dropped"
    assert milvus_payload.value_fidelity([1], field, NEW) == "dropped"
    assert [milvus_payload.value_fidelity(["abc"], field, each) for each in (REAL, NEW)] == [
        "exact",
        "dropped",
    ]
    floats = {"type": "ARRAY", "element_type": "FLOAT", "params": {"max_capacity": 2}}
    assert milvus_payload.value_fidelity([1, 0.5], floats, NEW) == "lossy"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('$meta["city"]', "city"), ("$meta['a']['b']", "a.b"), ("/a/b", "a.b"), ("city", "city"),
        ('doc["a"]', "doc.a"),
    ],
)  # fmt: skip
def test_json_paths_are_read_in_every_form(text: str, key: str) -> None:
    assert payload_indexes.path_of(text) == key


def test_payload_indexes_of_newer_servers() -> None:
    """Expected requests; these servers do not run here."""
    text = {"t": {"name": "t", "type": "VARCHAR"}}
    fit = payload_indexes.adapt
    assert fit("t", "keyword", {"index_type": "BITMAP"}, text, True, NEW) == (
        {"index_type": "BITMAP"}, None,
    )  # fmt: skip
    assert fit("t", "keyword", {"index_type": "BITMAP"}, text, True, ServerVersion("2.4.1")) == (
        {"index_type": "INVERTED"}, None,
    )  # fmt: skip
    assert fit("city", "keyword", {}, {}, True, NEW) == ({"index_type": "INVERTED"}, None)
    assert "2.5.11" in str(fit("city", "keyword", {}, {}, True, ServerVersion("2.5.10"))[1])
    assert "kind geo" in str(fit("city", "geo", {}, {}, True, NEW)[1])
    assert "addresses the elements of a list" in str(
        fit("tags[].name", "keyword", {}, {}, True, NEW)[1]
    )
    assert "field 'city' does not exist" in str(fit("city", "keyword", {}, {}, False, NEW)[1])
    assert "has no index of the kind integer" in str(fit("t", "integer", {}, text, True, NEW)[1])


def test_a_segment_reporting_a_scalar_index_leaves_codes_unknown() -> None:
    """The names as 2.3.5 returned them for an unchanged collection."""
    index = {"index_type": "IVF_SQ8", "index_name": "v_ix", "params": {"nlist": "16"}}
    seen = Observation(
        count=3000, quantization=Quantization.of("scalar"), index=index, loaded=True, sealed=3000,
        segments=[Segment(3000, "t_ix")], scalars=frozenset({"t_ix", "n_ix"}),
    )  # fmt: skip
    assert status_of(seen).state is State.UNKNOWN
    reported = [Segment(3000, "v_ix"), Segment(3000, "n_ix")]
    two = replace(seen, count=6000, sealed=6000)
    assert status_of(replace(two, segments=reported)).state is State.ACTIVE
    other = [Segment(3000, "of_an_index_that_was_dropped")]
    assert status_of(replace(seen, segments=other)).state is State.BUILDING
