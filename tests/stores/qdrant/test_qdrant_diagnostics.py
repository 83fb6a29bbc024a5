"""Findings from telemetry and configuration of a server, in the format of the recordings."""

from __future__ import annotations

from typing import Any

from qdrant_helpers import info_of, serve, telemetry_of

from qadapt.model import Finding, Severity

UNNAMED = {"size": 96, "distance": "Cosine"}
DISK = {**UNNAMED, "on_disk": True}
SCALAR = {"scalar": {"type": "int8", "always_ram": True}}


def found(
    vectors: Any, codes: Any, segments: Any, options: Any = None, **info: Any
) -> dict[str, Finding]:
    """The findings of an unchanging server, by code."""
    server = serve(info_of(vectors, codes, **info), telemetry_of("articles", segments))
    store = server.store()
    return {each.code: each for each in store.findings(store.info("articles"), options)}


def test_a_healthy_server_has_no_findings() -> None:
    assert found(DISK, SCALAR, [{"": (2000, "hnsw", SCALAR)}]) == {}


def test_a_green_collection_without_scalar_codes_is_found() -> None:
    reported = found(DISK, SCALAR, [{"": (2000, "plain", None)}])
    assert set(reported) == {"schema-only", "small-segments"}
    assert "green" in reported["schema-only"].message
    assert "2,000 of 2,000" in reported["small-segments"].message
    assert "threshold of 1,000 KB" in reported["small-segments"].message


def test_unindexed_rows_are_found() -> None:
    segments = [{"": (900, "hnsw", SCALAR)}, {"": (1100, "plain", None)}]
    assert set(found(DISK, SCALAR, segments)) == {"small-segments"}
    few = [{"": (1900, "hnsw", SCALAR)}, {"": (100, "plain", None)}]
    assert found(DISK, SCALAR, few) == {}


def test_binary_codes_in_unindexed_segments_have_no_findings() -> None:
    binary = {"binary": {"always_ram": True}}
    assert found(DISK, binary, [{"": (2000, "plain", binary)}]) == {}


def test_originals_in_ram_search_parameters_and_a_broken_quantile() -> None:
    codes = {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}
    options = {"quantization": {"oversampling": 2.0}}
    reported = found(UNNAMED, codes, [{"": (2000, "hnsw", codes)}], options)
    assert set(reported) == {
        "originals-in-ram",
        "parameter-without-effect",
        "oversampling-without-rescoring",
    }
    assert reported["originals-in-ram"].severity is Severity.WARNING
    assert "originals=disk" in reported["originals-in-ram"].command


def test_a_server_without_telemetry_is_reported() -> None:
    server = serve(info_of(DISK, SCALAR))
    store = server.store()
    assert store.findings(store.info("articles")) == []
