"""Mapping of a quantization to a Milvus index and back, by version, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.model import Kind, MatchLevel, Quantization, Vector
from qadapt.stores.milvus import mapping, native_mapping
from qadapt.stores.milvus.connection import CLOUD, LITE, SERVER
from qadapt.stores.milvus.version import ServerVersion

V = Vector(384)
VERSIONS = ("2.3.5", "2.4.23", "2.5.27", "2.6.0", "2.6.6", "2.6.8", "2.6.22", "3.0.1")
ENGINES = [*(ServerVersion(version) for version in VERSIONS), ServerVersion("3.2.2", LITE)]
GRAPH = {"M": "16", "efConstruction": "200"}
HNSW = {"index_type": "HNSW", "params": {"M": "32", "efConstruction": "400"}}
IVF = {"index_type": "IVF_FLAT", "params": {"nlist": "1024"}}


def native(text: str, engine: ServerVersion, current: Any = None, vector: Vector = V) -> Any:
    """The index, or None where it is unsupported."""
    mapped = mapping.to_native(Quantization.parse(text), vector, engine, current)
    return None if mapped.match.level is MatchLevel.UNSUPPORTED else mapped.native


@pytest.mark.parametrize(
    ("version", "text", "kind", "params"),
    [
        ("2.3.5", "none", "HNSW", GRAPH),
        ("2.3.5", "scalar", "IVF_SQ8", {"nlist": "128"}),
        ("2.4.23", "scalar", "IVF_SQ8", {"nlist": "128"}),
        ("2.5.27", "scalar", "HNSW_SQ", {**GRAPH, "sq_type": "SQ8"}),
        ("2.5.27", "scalar:bits=6", "HNSW_SQ", {**GRAPH, "sq_type": "SQ6"}),
        ("2.6.8", "scalar:bits=4", "HNSW_SQ", {**GRAPH, "sq_type": "SQ4U"}),
        ("2.5.27", "float16", "HNSW_SQ", {**GRAPH, "sq_type": "FP16"}),
        ("2.3.5", "product:ratio=16", "IVF_PQ", {"m": "96", "nbits": "8", "nlist": "128"}),
        ("2.5.27", "product:ratio=16", "HNSW_PQ", {**GRAPH, "m": "96", "nbits": "8"}),
        ("2.6.0", "rotational:bits=1", "IVF_RABITQ", {"nlist": "128"}),
        ("3.0.1", "rotational:bits=4", "IVF_RABITQ", {"nlist": "128", "rbq_bits": "4"}),
        ("2.6.0", "binary", "IVF_RABITQ", {"nlist": "128"}),
        ("2.3.5", "binary", "BIN_FLAT", {}),
    ],
)
def test_each_version_gets_its_index(
    version: str, text: str, kind: str, params: dict[str, str]
) -> None:
    assert native(text, ServerVersion(version)) == {"index_type": kind, "params": params}


@pytest.mark.parametrize(
    ("version", "text", "needs"),
    [
        ("2.3.5", "scalar:bits=6", "2.5"),
        ("2.5.27", "scalar:bits=4", "2.6.8"),
        ("2.6.6", "scalar:bits=4", "2.6.8"),
        ("2.4.23", "float16", "2.5"),
        ("2.5.27", "rotational:bits=1", "2.6"),
        ("2.6.22", "rotational:bits=4", "3.0"),
        ("2.5.27", 'scalar:native={"index_type":"IVF_SQ8","refine":true,"refine_type":"SQ8"}',
         "2.6.6"),
        ("2.6.22", 'rotational:bits=1,native={"index_type":"IVF_RABITQ_FASTSCAN"}', "3.0"),
    ],
)  # fmt: skip
def test_an_unsupported_index_names_the_version_that_supports_it(
    version: str, text: str, needs: str
) -> None:
    mapped = mapping.to_native(Quantization.parse(text), V, ServerVersion(version))
    assert mapped.match.level is MatchLevel.UNSUPPORTED
    assert any(needs in line for line in mapped.match.support)


@pytest.mark.parametrize(
    "text",
    [
        "scalar:bits=4",
        "scalar:bits=6",
        "product",
        "rotational:bits=1",
        "binary",
        "float16",
        'scalar:native={"sq_type":"SQ4U"}',
        'scalar:native={"refine":true,"refine_type":"FP16"}',
        'product:native={"index_type":"SCANN"}',
    ],
)
def test_parameters_that_lite_ignores_are_refused(text: str) -> None:
    """Facts section 4: sq_type FOO, refine and refine_type are silently accepted."""
    assert native(text, ServerVersion("3.2.2", LITE)) is None


def test_the_cloud_service_has_no_native_index() -> None:
    assert native("scalar", ServerVersion("2.6.8", CLOUD)) is None
    assert native("none", ServerVersion("2.6.8", CLOUD)) is not None


def test_a_graph_index_keeps_its_parameters() -> None:
    kept = {"M": "32", "efConstruction": "400"}
    assert native("scalar", ServerVersion("2.6.8"), HNSW)["params"] == {**kept, "sq_type": "SQ8"}
    assert native("product", ServerVersion("2.6.8"), HNSW)["index_type"] == "HNSW_PQ"
    assert (
        native("none", ServerVersion("2.6.8"), {**HNSW, "index_type": "HNSW_SQ"})["params"] == kept
    )


def test_an_ivf_index_stays_ivf_if_possible() -> None:
    assert native("scalar", ServerVersion("2.6.8"), IVF) == {
        "index_type": "IVF_SQ8",
        "params": {"nlist": "1024"},
    }
    assert native("product", ServerVersion("2.6.8"), IVF)["index_type"] == "IVF_PQ"
    assert native("none", ServerVersion("2.6.8"), {**IVF, "index_type": "IVF_SQ8"})["params"] == {
        "nlist": "1024"
    }
    # IVF_SQ8 supports 8 bits only.
    assert native("scalar:bits=6", ServerVersion("2.6.8"), IVF)["index_type"] == "HNSW_SQ"


def test_refine_without_a_type_is_refused() -> None:
    """Facts, gotcha 2: `refine.value_or(false) && refine_type.has_value()`."""
    wanted = Quantization.parse('scalar:native={"refine":true}')
    mapped = mapping.to_native(wanted, V, ServerVersion("2.6.8"))
    assert mapped.match.level is MatchLevel.UNSUPPORTED
    assert "refine_type" in mapped.match.differences[0]


def test_booleans_are_lower_case() -> None:
    """knowhere#966: "True" makes the build always fail before 2.5.8."""
    text = 'scalar:native={"refine":true,"refine_type":"FP16"}'
    assert native(text, ServerVersion("2.6.8"))["params"]["refine"] == "true"
    text = 'product:native={"index_type":"SCANN","with_raw_data":true}'
    assert native(text, ServerVersion("2.3.5"))["params"]["with_raw_data"] == "true"


def test_invalid_product_segments_suggest_the_nearest() -> None:
    wanted = Quantization.parse("product:ratio=10")
    mapped = mapping.to_native(wanted, V, ServerVersion("2.3.5"))
    assert mapped.match.level is MatchLevel.UNSUPPORTED
    nearest = Quantization.parse(mapped.match.support[0])
    assert mapping.to_native(nearest, V, ServerVersion("2.3.5")).match.level is MatchLevel.EXACT


def test_differences_of_the_nearest_equivalent_are_reported() -> None:
    found = mapping.to_native(Quantization.parse("binary"), V, ServerVersion("2.6.8"))
    assert found.match.level is MatchLevel.DIFFERS
    assert found.target.kind is Kind.ROTATIONAL
    assert "RaBitQ" in found.match.differences[0]
    asked = Quantization.parse("scalar:per=collection")
    found = mapping.to_native(asked, V, ServerVersion("2.3.5"))
    assert found.match.differences == (mapping.PER_DIMENSION,)


def test_autoindex_maps_to_the_default_of_its_version() -> None:
    """milvus#47386: silently four bits from 2.6.10."""
    index = {"index_type": "AUTOINDEX", "params": {}}
    assert native_mapping.from_native(index, V, ServerVersion("2.6.9")).kind is Kind.NONE
    now = native_mapping.from_native(index, V, ServerVersion("2.6.10"))
    assert (now.kind, now.bits) == (Kind.SCALAR, 4)
    assert native_mapping.from_native(index, V, ServerVersion("3.2.2", LITE)).kind is Kind.NONE


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("FLAT", {}, "none"),
        ("IVF_SQ8", {"nlist": "64"}, "scalar:per=dimension"),
        ("HNSW_SQ", {"sq_type": "SQ6"}, "scalar:bits=6,per=dimension"),
        ("HNSW_SQ", {"sq_type": "SQ4U"}, "scalar:bits=4,per=collection"),
        ("HNSW_SQ", {"sq_type": "FP16"}, "float16"),
        ("IVF_PQ", {"m": "96", "nbits": "8"}, "product:ratio=16"),
        ("IVF_PQ", {"m": "96", "nbits": "4"}, "product:ratio=32"),
        ("SCANN", {}, 'product:ratio=16,native={"index_type":"SCANN"}'),
        ("DISKANN", {}, 'product:ratio=8,native={"index_type":"DISKANN"}'),
        ("HNSW_PRQ", {"m": "96", "nrq": "2"}, 'product:ratio=8,native={"index_type":"HNSW_PRQ"}'),
        ("IVF_RABITQ", {"rbq_bits": "4"}, "rotational:bits=4"),
    ],
)
def test_indexes_of_other_clients_are_mapped(
    kind: str, params: dict[str, str], expected: str
) -> None:
    found = native_mapping.from_native({"index_type": kind, "params": params}, V)
    assert found == Quantization.parse(expected)


@st.composite
def quantizations(draw: st.DrawFn) -> Quantization:
    """Any quantization without native fields."""
    kind = draw(st.sampled_from(list(Kind)))
    knobs: dict[str, Any] = {}
    if kind is Kind.SCALAR:
        knobs = {
            "bits": draw(st.sampled_from([4, 6, 7, 8])),
            "per": draw(st.sampled_from([None, "collection", "dimension"])),
        }
    elif kind is Kind.ROTATIONAL:
        knobs = {"bits": draw(st.sampled_from([1, 1.5, 2, 4, 8]))}
    elif kind is Kind.BINARY:
        knobs = {
            "bits": draw(st.sampled_from([1, 1.5, 2])),
            "query_bits": draw(st.sampled_from([None, 1, 8])),
        }
    elif kind is Kind.PRODUCT:
        knobs = {"ratio": draw(st.sampled_from([4, 8, 16, 17, 32, 64]))}
    return Quantization(kind, **knobs)


@given(
    quantizations(),
    st.sampled_from(ENGINES),
    st.sampled_from([None, HNSW, IVF]),
    st.sampled_from([8, 96, 384, 1000]),
)
def test_a_sent_index_is_read_back_as_the_target(
    wanted: Quantization, engine: ServerVersion, current: Any, dim: int
) -> None:
    vector = Vector(dim)
    mapped = mapping.to_native(wanted, vector, engine, current)
    if mapped.match.level is MatchLevel.UNSUPPORTED:
        assert mapped.native is None
        assert mapped.match.support, "a refusal says what would do"
        return
    assert mapped.native is not None
    assert all(type(value) is str for value in mapped.native["params"].values())
    if mapped.native["index_type"] != mapping.BITS:
        assert native_mapping.from_native(mapped.native, vector, engine) == mapped.target
        assert native_mapping.satisfies(mapped.native, mapped.native, wanted.native)
    if mapped.match.level is MatchLevel.EXACT:
        assert mapped.target.kind is wanted.kind
        assert mapped.target.bits == wanted.bits


def test_a_server_with_lite_in_its_version_is_a_server() -> None:
    """The package `milvus` reports v2.3.5-lite, but is the full server."""
    assert native("product", ServerVersion("2.3.5-lite", SERVER)) is not None


def test_cached_codes_are_a_memory_map() -> None:
    mapped = mapping.to_native(
        Quantization.parse("scalar:codes=cached"), V, ServerVersion("2.6.10")
    )
    assert mapped.native is not None and mapped.native["params"][native_mapping.MMAP] == "true"
    assert mapped.match.differences == (mapping.CACHED,)
