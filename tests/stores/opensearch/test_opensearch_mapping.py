"""Quantizations and fields of the type knn_vector, against recordings of OpenSearch 3.6.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qadapt.errors import SpecError, UnsupportedError
from qadapt.model import Kind, Match, MatchLevel, Metric, Quantization, Rescore, Vector
from qadapt.stores.elastic.opensearch import mapping
from qadapt.stores.elastic.opensearch.schema import Field, OpenSearch
from qadapt.stores.elastic.opensearch.version import ServerVersion

RECORDED = Path(__file__).parents[2] / "recordings" / "opensearch-3.6.0" / "fields.json"
FIELDS: dict[str, Any] = json.loads(RECORDED.read_text())
RUN = ServerVersion("3.6.0")
NEWEST = ServerVersion()
# Header and footer of the file with codes in one segment.
HEADER = 128

READ = {
    "plain": "none", "plain_graph": "none", "dot": "none", "l2": "none",
    "sq7": "scalar:bits=7", "sq7_dynamic": "scalar:bits=7",
    "sq7_default_interval": "scalar:bits=7,quantile=0.95",
    "sq7_dim_100": "scalar:bits=7,quantile=0.9336",
    "level_4x": "scalar:bits=7,quantile=0.95", "on_disk_4x": "scalar:bits=7,quantile=0.95",
    "in_memory_4x": "scalar:bits=7,quantile=0.95",
    "sq1": "binary:query_bits=4", "sq1_dim_100": "binary:query_bits=4",
    "level_32x": "binary:query_bits=4", "on_disk": "binary:query_bits=4",
    "flat": "binary:query_bits=4",
}  # fmt: skip


def field(name: str) -> Field:
    return Field.of(FIELDS[name]["read"], RUN)


@pytest.mark.parametrize(("name", "text"), READ.items())
def test_a_field_is_read_as_the_codes_that_its_segment_has(name: str, text: str) -> None:
    """``level``, ``mode`` and the method flat have codes that the mapping does not mention."""
    found = field(name)
    assert found.quantization == Quantization.parse(text)
    assert found.engine == "lucene"
    sizes = FIELDS[name]["segments"]["file_sizes"]
    codes = sizes.get("veq", {"size_in_bytes": 0})["size_in_bytes"]
    assert found.code_bytes is not None
    least = found.code_bytes * FIELDS[name]["docs"]["count"]
    assert least <= codes <= least + HEADER
    assert found.has_graph == ("vex" in sizes)


@pytest.mark.parametrize("name", READ)
def test_the_server_returns_the_field_as_it_was_sent(name: str) -> None:
    sent, read = FIELDS[name]["sent"], FIELDS[name]["read"]
    method = {"parameters": {}, **sent["method"]}
    assert read == {**sent, "method": method} or read == {
        **sent, "method": method, "space_type": method["space_type"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("none", "plain"),
        ("scalar:bits=7", "sq7"),
        ("binary", "sq1"),
        ("binary:query_bits=4", "sq1"),
    ],
)
def test_a_quantization_is_written_as_a_recorded_field(text: str, name: str) -> None:
    asked = Quantization.parse(text)
    mapped = mapping.to_native(asked, Vector(32), RUN)
    sent = FIELDS[name]["sent"]
    made = OpenSearch("3.6.0").new_field(Vector(32), mapped.native or {})
    assert made["method"] == {"parameters": {}, **sent["method"]}
    assert Field.of(made, RUN).quantization == mapped.target == field(name).quantization


@pytest.mark.parametrize(
    ("metric", "space"), [("cosine", "cosinesimil"), ("dot", "innerproduct"), ("euclidean", "l2")]
)
def test_a_new_field_always_names_engine_and_space(metric: str, space: str) -> None:
    made = OpenSearch("3.6.0").new_field(Vector(8, Metric.of(metric)), {})
    assert made["method"] == {
        "name": "hnsw", "engine": "lucene", "parameters": {}, "space_type": space
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("scalar", "8 bits"),
        ("scalar:bits=6", "6 bits"),
        ("scalar:bits=4", "OpenSearch 3.9"),
        ("scalar:bits=7,quantile=0.8", "confidence_interval is at least 0.9"),
        ("scalar:bits=7,per=dimension", "one interval"),
        ("binary:bits=2", "OpenSearch 3.9"),
        ("binary:bits=1.5", "1.5 bits"),
        ("binary:query_bits=8", "queries have 4 bits"),
        ("float16", "float16"),
        ("product:ratio=16", "product"),
        ("rotational:bits=4", "rotational"),
        ("binary:originals=none", "originals"),
        ("binary:rescore=4@int8", "int8"),
    ],
)
def test_what_the_engine_lacks_is_refused_with_an_alternative(text: str, word: str) -> None:
    match: Match = mapping.to_native(Quantization.parse(text), Vector(96), RUN).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert word in match.differences[0]
    assert match.support


def test_later_versions_have_more_widths() -> None:
    for text in ("scalar:bits=4", "binary:bits=2"):
        mapped = mapping.to_native(Quantization.parse(text), Vector(96), NEWEST)
        assert mapped.match.level is MatchLevel.DIFFERS
    assert mapping.to_native(
        Quantization.parse("binary"), Vector(96), ServerVersion("3.5")
    ).match == (
        Match.unsupported(
            "codes of 1 bit need OpenSearch 3.6; this is OpenSearch 3.5",
            "a newer server",
            mapping.CLIENT,
        )
    )


def test_a_quantile_is_the_confidence_interval_of_seven_bits() -> None:
    mapped = mapping.to_native(Quantization.parse("scalar:bits=7,quantile=0.95"), Vector(96), RUN)
    encoder = (mapped.native or {})["method"]["parameters"]["encoder"]
    assert encoder["parameters"] == {"bits": 7, "confidence_interval": 0.95}
    assert mapped.target == Quantization.parse("scalar:bits=7,quantile=0.95")


def test_native_settings_are_checked() -> None:
    def made(**native: Any) -> Any:
        return mapping.to_native(Quantization(Kind.BINARY, native=native), Vector(96), RUN)

    assert made(m=8).native["method"]["parameters"]["m"] == 8
    assert made(method="flat").native["method"] == {
        "name": "flat", "engine": "lucene", "parameters": {}
    }  # fmt: skip
    for wrong in ({"m": 1}, {"m": True}, {"ef": 1}, {"engine": "nmslib"}, {"method": "ivf"}):
        with pytest.raises(SpecError):
            made(**wrong)
    with pytest.raises(SpecError, match="confidence_interval"):
        made(confidence_interval=0.5)
    flat = Quantization(Kind.SCALAR, bits=7, native={"method": "flat"})
    assert mapping.to_native(flat, Vector(96), RUN).match.level is MatchLevel.UNSUPPORTED


def test_default_rescoring_follows_the_mode_and_not_the_level() -> None:
    """4x in memory and 4x on disk have the same codes; one of them is rescored."""
    assert field("in_memory_4x").default_rescore(RUN) == Rescore(source="off")
    assert field("level_4x").default_rescore(RUN) == Rescore(source="off")
    assert field("on_disk_4x").default_rescore(RUN) == Rescore(3)
    assert field("sq1").default_rescore(RUN) == field("flat").default_rescore(RUN) == Rescore(2)
    assert field("plain").default_rescore(RUN) is None


def test_fields_that_qadapt_does_not_read_are_named() -> None:
    product = OpenSearch("3.6.0")
    for definition, word in (
        ({"type": "knn_vector", "dimension": 8, "data_type": "byte"}, "data_type byte"),
        ({"type": "knn_vector", "dimension": 8, "data_type": "BINARY"}, "data_type binary"),
        ({"type": "knn_vector", "dimension": 8, "space_type": "linf"}, "space_type linf"),
        ({"type": "knn_vector", "model_id": "m"}, "model 'm'"),
    ):
        parsed = product.parse_vector(definition)
        assert parsed.vector is None
        assert word in parsed.problem
    for vector in (Vector(8, datatype="float16"), Vector(16_001)):
        with pytest.raises(UnsupportedError):
            product.new_field(vector, {})


# -- the engine faiss, by contract only: no test creates a field of it -----------------


@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        ({"name": "sq", "parameters": {"type": "fp16"}}, "float16"),
        ({"name": "sq", "parameters": {"bits": 16}}, "float16"),
        ({"name": "binary", "parameters": {"bits": 1}}, "binary"),
        ({"name": "binary", "parameters": {"bits": 2}}, "binary:bits=2"),
        ({"name": "pq", "parameters": {"m": 8, "code_size": 8}}, "product:segments=8"),
        ({"name": "flat"}, "none"),
    ],
)
def test_encoders_of_faiss_are_read(encoder: dict[str, Any], text: str) -> None:
    read = {
        "type": "knn_vector", "dimension": 32,
        "method": {"name": "hnsw", "engine": "faiss", "parameters": {"encoder": encoder}},
    }  # fmt: skip
    found = Field.of(read, RUN)
    assert found.quantization == Quantization.parse(text)
    assert found.code_bytes in (None, 0)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"compression_level": "2x"}, "float16"),
        ({"compression_level": "16x"}, "binary:bits=2"),
        ({"compression_level": "32x"}, "binary"),
        ({"mode": "on_disk"}, "binary"),
        ({}, "none"),
    ],
)
def test_a_field_without_an_engine_is_of_faiss(more: dict[str, Any], text: str) -> None:
    found = Field.of({"type": "knn_vector", "dimension": 32, **more}, RUN)
    assert (found.engine, found.quantization) == ("faiss", Quantization.parse(text))


@pytest.mark.parametrize("text", ["float16", "binary", "binary:bits=2"])
def test_faiss_is_written_only_by_name_and_says_that_it_was_not_run(text: str) -> None:
    asked = Quantization.parse(text).replace(native={"engine": "faiss"})
    mapped = mapping.to_native(asked, Vector(32), RUN)
    assert mapped.native is not None
    assert mapped.native["method"]["engine"] == "faiss"
    assert mapping.FAISS_READ in mapped.match.differences
    assert Field.of(mapped.native | {"dimension": 32}, RUN).quantization == Quantization.parse(text)
