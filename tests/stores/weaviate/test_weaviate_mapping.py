"""The mapping in both directions, on schemas recorded from 1.39.0 and by documentation."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from weaviate_recordings import recorded_layout

import qadapt as qa
from qadapt.model import Kind, MatchLevel, Metric, Quantization, Rescore, Vector
from qadapt.stores.weaviate import mapping, native_rescore, vector_index_config
from qadapt.stores.weaviate.version import ServerVersion

WIDE = Vector(384)
ON = {"enabled": True}


def native(index: str = "hnsw", **config: Any) -> dict[str, Any]:
    return {"vectorIndexType": index, "vectorIndexConfig": config}


def mapped(text: str, *, index: str = "hnsw", vector: Vector = WIDE, version: str | None = None):
    current = native(index)
    return mapping.to_native(Quantization.parse(text), vector, ServerVersion(version), current)


# -- against recordings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recording", "text"),
    [
        ("schema_hnsw_none", "none"),
        ("schema_hnsw_pq", "product:ratio=16"),
        ("schema_hnsw_bq", "binary"),
        ("schema_hnsw_sq", "scalar:per=collection"),
        ("schema_hnsw_rq8", "rotational:bits=8"),
        ("schema_hnsw_rq4", "rotational:bits=4"),
        ("schema_hnsw_rq1", "rotational:bits=1"),
        ("schema_flat_none", "none"),
        ("schema_flat_bq", "binary"),
        ("schema_flat_rq8", "rotational:bits=8"),
        ("schema_flat_rq1", "rotational:bits=1"),
        ("schema_hfresh", "rotational:bits=1"),
        ("schema_dynamic", "rotational:bits=8"),
        ("schema_after_none_to_pq", "product:ratio=16"),
        ("schema_after_none_to_sq", "scalar:per=collection"),
    ],
)
def test_a_recorded_schema_maps_to_its_quantization(recording: str, text: str) -> None:
    field = recorded_layout(recording).field("")
    wanted = Quantization.parse(text)
    assert mapping.from_native(field.native, WIDE) == wanted
    again = mapping.to_native(wanted, WIDE, ServerVersion("1.39.0"), field.native)
    assert again.match.level is MatchLevel.EXACT
    assert again.native is not None
    assert mapping.satisfies(field.native, again.native, WIDE, {})


@pytest.mark.parametrize(
    ("recording", "text"),
    [
        ("schema_hnsw_bq", "binary"),
        ("schema_hnsw_sq", "scalar:per=collection"),
        ("schema_hnsw_rq8", "scalar"),
        ("schema_hnsw_rq1", "rotational:bits=1"),
        ("schema_hnsw_rq4", "scalar:bits=4"),
        ("schema_hfresh", "rotational:bits=1"),
    ],
)
def test_the_server_stored_the_mapped_fields(recording: str, text: str) -> None:
    field = recorded_layout(recording).field("")
    sent = mapped(text, index=field.index).native
    assert sent is not None
    assert vector_index_config.differences(field.config, sent["vectorIndexConfig"]) == {}


# -- kinds, indexes, versions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "text", "block"),
    [
        ("hnsw", "scalar", {"rq": {"enabled": True, "bits": 8, "rescoreLimit": 20}}),
        ("hnsw", "scalar:per=collection", {"sq": {"enabled": True, "rescoreLimit": 20}}),
        ("hnsw", "scalar:bits=4", {"rq": {"enabled": True, "bits": 4, "rescoreLimit": 20}}),
        ("hnsw", "rotational:bits=1", {"rq": {"enabled": True, "bits": 1, "rescoreLimit": 512}}),
        ("hnsw", "binary", {"bq": {"enabled": True}}),
        ("hnsw", "product:segments=48", {"pq": {**ON, "segments": 48, "centroids": 256}}),
        ("flat", "binary", {"bq": {"enabled": True, "rescoreLimit": 500, "cache": True}}),
        (
            "flat",
            "scalar",
            {"rq": {"enabled": True, "bits": 8, "rescoreLimit": 20, "cache": True}},
        ),
        ("hfresh", "binary", {"rq": {"enabled": True, "bits": 1, "rescoreLimit": 350}}),
        ("hnsw", "none", {"skipDefaultQuantization": True}),
        ("flat", "none", {"skipDefaultQuantization": True}),
    ],
)
def test_every_rescore_limit_is_sent(index: str, text: str, block: dict[str, Any]) -> None:
    found = mapped(text, index=index)
    assert found.native == {"vectorIndexType": index, "vectorIndexConfig": block}


def test_a_dynamic_index_has_two_configurations() -> None:
    config = (mapped("binary", index="dynamic").native or {})["vectorIndexConfig"]
    assert config["hnsw"] == {"bq": {"enabled": True}}
    assert config["flat"]["bq"]["rescoreLimit"] == 500
    config = (mapped("product", index="dynamic").native or {})["vectorIndexConfig"]
    assert config["hnsw"]["pq"]["enabled"]
    assert config["flat"] == {"skipDefaultQuantization": True}
    config = (mapped("rotational:bits=4", index="dynamic").native or {})["vectorIndexConfig"]
    assert config["hnsw"]["rq"]["bits"] == 4
    assert "rq" not in config["flat"], "flat does not support 4-bit rotational codes"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scalar", "rotated"),
        ("scalar:bits=4", "rotated"),
        ("binary:query_bits=8", "5 bits"),
        ("scalar:per=collection,quantile=0.99", "quantile"),
        ("rotational:bits=4,query_bits=32", "8 bits, not 32"),
        ("binary:codes=disk", "cannot be configured"),
    ],
)
def test_a_nearest_equivalent_lists_its_differences(text: str, says: str) -> None:
    match = mapped(text).match
    assert match.level is MatchLevel.DIFFERS
    assert any(says in each for each in match.differences)


@pytest.mark.parametrize(
    ("index", "text", "version"),
    [
        ("flat", "product", None),
        ("flat", "scalar:per=collection", None),
        ("flat", "rotational:bits=4", None),
        ("hfresh", "none", None),
        ("hfresh", "scalar", None),
        ("hfresh", "product", None),
        ("hnsw", "float16", None),
        ("hnsw", "scalar:bits=6", None),
        ("hnsw", "binary:bits=2", None),
        ("hnsw", "rotational:bits=2", None),
        ("hnsw", "product:segments=50", None),
        ("hnsw", "product:centroids=512", None),
        ("hnsw", "rotational:bits=4", "1.38.3"),
        ("hnsw", "rotational:bits=1", "1.32.0"),
        ("hnsw", "rotational:bits=8", "1.31.4"),
        ("hnsw", "scalar", "1.25.9"),
        ("flat", "rotational:bits=8", "1.33.0"),
        ("dynamic", "binary", "1.24.9"),
        ("hfresh", "binary", "1.35.1"),
    ],
)
def test_unsupported_quantizations_are_refused_with_alternatives(
    index: str, text: str, version: str | None
) -> None:
    found = mapped(text, index=index, version=version)
    assert found.native is None
    assert found.match.level is MatchLevel.UNSUPPORTED
    assert found.match.support


@pytest.mark.parametrize(
    ("text", "version", "key"),
    [("scalar", "1.31.0", "sq"), ("scalar", "1.32.0", "rq"), ("binary", "1.27.0", "bq")],
)
def test_older_servers_get_supported_fields_only(text: str, version: str, key: str) -> None:
    config = (mapped(text, version=version).native or {})["vectorIndexConfig"]
    assert list(config) == [key]


def test_skip_default_is_not_sent_to_a_server_without_default() -> None:
    assert (mapped("none", version="1.32.0").native or {})["vectorIndexConfig"] == {}


def test_native_fields_take_precedence_and_may_set_the_index() -> None:
    wanted = qa.rotational(
        bits=8, native={"vectorIndexType": "flat", "rq": {"rescoreLimit": 90}, "ef": 64}
    )
    found = mapping.to_native(wanted, WIDE).native or {}
    assert found["vectorIndexType"] == "flat"
    assert found["vectorIndexConfig"]["rq"]["rescoreLimit"] == 90
    assert found["vectorIndexConfig"]["ef"] == 64


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"pq": {"enabled": True, "segments": 7}}, "cannot be cut"),
        ({"sq": {"enabled": True}}, "only one quantizer"),
        ({"rq": {"bits": 2}}, "1, 4 or 8"),
        ({"vectorIndexType": "hfresh", "rq": {"bits": 1, "rescoreLimit": 0}}, "fails in every"),
        ({"vectorIndexType": "ivf"}, "unknown index"),
    ],
)
def test_configurations_that_fail_later_are_refused(fields: dict[str, Any], says: str) -> None:
    kind = qa.rotational(bits=1) if "hfresh" in str(fields) else qa.rotational(bits=8)
    if "pq" in fields:
        kind = qa.none()
    found = mapping.to_native(kind.replace(native=fields), WIDE)
    assert found.match.level is MatchLevel.UNSUPPORTED
    assert says in found.match.differences[0]


def test_hfresh_does_not_support_dot() -> None:
    found = mapped("binary", index="hfresh", vector=Vector(384, Metric.DOT))
    assert found.match.level is MatchLevel.UNSUPPORTED


@hypothesis.given(
    text=st.sampled_from(
        ["scalar", "scalar:bits=4", "scalar:per=collection", "binary", "binary:query_bits=4"]
        + [f"rotational:bits={bits}" for bits in (1, 4, 8)]
        + [f"product:ratio={ratio}" for ratio in (4, 8, 16, 32, 64)]
        + ["none", "product:segments=1"]
    ),
    index=st.sampled_from(["hnsw", "flat", "dynamic", "hfresh"]),
    dim=st.integers(1, 4096),
    metric=st.sampled_from(list(Metric)),
)
def test_round_trip(text: str, index: str, dim: int, metric: Metric) -> None:
    vector = Vector(dim, metric)
    found = mapped(text, index=index, vector=vector)
    if found.native is None:
        assert found.match.level is MatchLevel.UNSUPPORTED
        return
    assert mapping.from_native(found.native, vector) == found.target
    again = mapping.to_native(found.target, vector, current=found.native)
    assert again.match.level is MatchLevel.EXACT
    assert mapping.satisfies(found.native, again.native or {}, vector, {})
    if found.match.level is MatchLevel.EXACT and found.target.kind is not Kind.PRODUCT:
        assert found.target == Quantization.parse(text)


# -- sizes and rescoring -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dim", "sq", "rq8", "rq4", "rq1", "bq", "pq"),
    [
        (128, 3.76, 3.56, 6.4, 12.8, 32, 8),
        (384, 3.92, 3.84, 7.38, 27.4, 32, 16),
        (768, 3.96, 3.92, 7.68, 29.5, 32, 24),
        (1536, 3.98, 3.96, 7.84, 30.7, 32, 24),
        (3072, 3.99, 3.98, 7.92, 31.4, 32, 32),
    ],
)
def test_code_sizes_match_the_engines_layouts(
    dim: int, sq: float, rq8: float, rq4: float, rq1: float, bq: float, pq: float
) -> None:
    on = {"enabled": True}
    blocks = {
        "sq": {"sq": on},
        "rq8": {"rq": {**on, "bits": 8}},
        "rq4": {"rq": {**on, "bits": 4}},
        "rq1": {"rq": {**on, "bits": 1}},
        "bq": {"bq": on},
        "pq": {"pq": {**on, "segments": 0}},
    }
    ratios = {
        name: 4 * dim / mapping.code_bytes(native(**block), Vector(dim))
        for name, block in blocks.items()
    }
    expected = {"sq": sq, "rq8": rq8, "rq4": rq4, "rq1": rq1, "bq": bq, "pq": pq}
    assert ratios == pytest.approx(expected, rel=0.003)


@pytest.mark.parametrize(
    ("found", "k", "candidates", "default"),
    [
        (native(ef=-1, rq={"enabled": True, "bits": 8, "rescoreLimit": 20}), 10, 20, Rescore(2)),
        (native(ef=-1, rq={"enabled": True, "bits": 8, "rescoreLimit": 20}), 21, 168, Rescore(2)),
        (native(ef=-1, rq={"enabled": True, "bits": 1, "rescoreLimit": 512}), 10, 100, Rescore(10)),
        (native(ef=64, sq={"enabled": True, "rescoreLimit": 5}), 10, 64, Rescore(6.4)),
        (native(ef=-1, sq={"enabled": True, "rescoreLimit": 0}), 10, 0, Rescore(source="off")),
        (native(ef=-1, bq={"enabled": True}), 10, 100, Rescore(10)),
        (native(ef=16, pq={"enabled": True}), 10, 16, Rescore(1.6)),
        (native("flat", bq={"enabled": True, "rescoreLimit": -1}), 10, 10, Rescore(1)),
        (native("flat", bq={"enabled": True, "rescoreLimit": 500}), 10, 500, Rescore(50)),
        (native("hfresh", rq={"rescoreLimit": 350}), 10, 350, Rescore(35)),
        (native(ef=-1), 10, 0, None),
    ],
)
def test_the_rule_of_rescoring(
    found: dict[str, Any], k: int, candidates: int, default: Rescore | None
) -> None:
    ef = int(found["vectorIndexConfig"].get("ef", -1))
    assert native_rescore.of(found).candidates(found["vectorIndexType"], k, ef) == candidates
    assert native_rescore.default_rescore(found) == default
