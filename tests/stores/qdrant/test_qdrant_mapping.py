"""Conversion of quantizations to Qdrant's JSON and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qadapt.errors import QadaptError, UnsupportedError
from qadapt.model import (
    Kind,
    MatchLevel,
    Quantization,
    Rescore,
    Vector,
    binary,
    none,
    product,
    scalar,
)
from qadapt.stores.qdrant import mapping, memory, placement

V = Vector(384)
VERSIONS = (None, "1.14.1", "1.16.3", "1.18.0", "1.19.0", "1.20.0")

words = st.sampled_from(
    ["type", "quantile", "always_ram", "memory", "bits", "encoding", "compression", "x"]
)
values = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(0, 2) | st.text(max_size=3)
natives = st.dictionaries(
    words, values | st.sampled_from(["pinned", "cold", "cached", "int8", "bits2", "x8"]), max_size=2
)


@st.composite
def quantizations(draw: st.DrawFn) -> Quantization:
    """Any valid quantization."""
    kind = draw(st.sampled_from(list(Kind)))
    knobs: dict[str, Any] = {
        "codes": draw(st.sampled_from([None, "ram", "disk"])),
        "originals": draw(st.sampled_from([None, "ram", "disk"])),
        "native": draw(natives),
    }
    if kind is not Kind.NONE:
        knobs["rescore"] = draw(st.sampled_from([None, 1, 4, "off"]))
    if kind is Kind.SCALAR:
        knobs["bits"] = draw(st.sampled_from([4, 6, 7, 8]))
        knobs["quantile"] = draw(st.none() | st.floats(0.5, 1))
        knobs["per"] = draw(st.sampled_from([None, "collection", "dimension"]))
    elif kind is Kind.ROTATIONAL:
        knobs["bits"] = draw(st.sampled_from([1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9]))
        knobs["query_bits"] = draw(st.sampled_from([None, 1, 4, 8, 32]))
    elif kind is Kind.BINARY:
        knobs["bits"] = draw(st.sampled_from([1, 1.5, 2]))
        knobs["query_bits"] = draw(st.sampled_from([None, 1, 4, 8, 32]))
    elif kind is Kind.PRODUCT:
        said = draw(st.sampled_from(["ratio", "segments", "centroids"]))
        knobs[said] = draw(st.sampled_from([4, 8, 16, 17, 24, 32, 64, 96, 256]))
    return Quantization(kind, **knobs)


vectors = st.builds(
    Vector,
    st.sampled_from([1, 10, 96, 384, 1536]),
    st.sampled_from(["cosine", "dot", "euclidean"]),
    st.sampled_from(["float32", "float16", "uint8", "turbo8"]),
)


@given(quantizations(), vectors, st.sampled_from(VERSIONS))
def test_a_mapping_is_read_back_unchanged(
    asked: Quantization, vector: Vector, version: str | None
) -> None:
    mapped = mapping.to_native(asked, vector, version)
    if mapped.match.level is MatchLevel.UNSUPPORTED:
        assert mapped.match.differences and mapped.match.support
        assert mapped.native is None
        return
    read = mapping.from_native(mapped.native)
    if vector.datatype == "float16" and not (mapped.native or {}).get("quantization_config"):
        assert read.kind is Kind.FLOAT16
    assert read == mapped.target
    assert mapping.satisfies(read, mapped.target)
    again = mapping.to_native(mapped.target, vector, version)
    assert again.target == mapped.target


def test_memory_takes_precedence_over_always_ram() -> None:
    asked = Quantization.parse('rotational:bits=1,native={"memory":"pinned","always_ram":false}')
    mapped = mapping.to_native(asked, V, "1.18.0")
    assert mapped.target.codes == "ram"
    assert mapping.to_native(mapped.target, V, "1.18.0").target == mapped.target


@given(st.sampled_from(["scalar", "binary", "product", "turbo"]), natives)
def test_unknown_native_fields_are_preserved(kind: str, fields: dict[str, Any]) -> None:
    read = mapping.from_native({"quantization_config": {kind: fields}})
    written = mapping.to_native(read, V).native or {}
    assert mapping.from_native(written) == read


def test_an_unknown_kind_is_reported() -> None:
    with pytest.raises(UnsupportedError, match="hologram"):
        mapping.from_native({"quantization_config": {"hologram": {}}})


@pytest.mark.parametrize(
    ("asked", "config"),
    [
        ("scalar", {"scalar": {"type": "int8"}}),
        ("scalar:quantile=0.99", {"scalar": {"type": "int8", "quantile": 0.99}}),
        ("scalar:codes=ram", {"scalar": {"type": "int8", "memory": "pinned"}}),
        ("binary", {"binary": {}}),
        ("binary:bits=1.5", {"binary": {"encoding": "one_and_half_bits"}}),
        (
            "binary:bits=2,query_bits=8",
            {"binary": {"encoding": "two_bits", "query_encoding": "scalar8bits"}},
        ),
        (
            "binary:query_bits=1,codes=disk",
            {"binary": {"query_encoding": "binary", "memory": "cold"}},
        ),
        ("product:ratio=16", {"product": {"compression": "x16"}}),
        ("product:segments=48", {"product": {"compression": "x32"}}),
        ("product:segments=96,centroids=256", {"product": {"compression": "x16"}}),
        ("rotational:bits=1.5", {"turbo": {"bits": "bits1_5"}}),
        ("rotational:bits=8", {"turbo": {"bits": "bits8"}}),
    ],
)
def test_native_json_matches_the_server(asked: str, config: dict[str, Any]) -> None:
    mapped = mapping.to_native(Quantization.parse(asked), V)
    assert mapped.native == {"quantization_config": config}
    assert mapping.same_config(mapped.native["quantization_config"], config)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ("scalar", "7 bits"),
        ("scalar:per=dimension", "one range"),
        ("scalar:quantile=0.9", "issues/9902"),
        ("rotational:bits=4,query_bits=8", "no effect"),
    ],
)
def test_differences_of_the_nearest_equivalent_are_reported(asked: str, word: str) -> None:
    match = mapping.to_native(Quantization.parse(asked), V).match
    assert match.level is MatchLevel.DIFFERS
    assert any(word in line for line in match.differences)


@pytest.mark.parametrize(
    "asked",
    ["none", "scalar:bits=7", "binary", "binary:query_bits=8", "product:ratio=8"]
    + [f"rotational:bits={bits}" for bits in ("1", "1.5", "2", "4", "8")],
)
def test_equal_settings_are_exact(asked: str) -> None:
    assert mapping.to_native(Quantization.parse(asked), V).match.level is MatchLevel.EXACT


@pytest.mark.parametrize(
    ("asked", "support"),
    [
        ("scalar:bits=4", "rotational:bits=4"),
        ("scalar:bits=6", "rotational:bits=8"),
        ("rotational:bits=3", "rotational:bits=4"),
        ("rotational:bits=9", "rotational:bits=8"),
        ("binary:query_bits=32", "query_bits=8"),
        ("product:ratio=12", "product:ratio=16"),
        ("product:ratio=100", "product:ratio=64"),
        ("product:segments=50", "product:ratio=32"),
        ("product:centroids=16", "omit centroids"),
        ("float16", "recreate the collection with datatype float16"),
        ("none:codes=ram", "omit `codes` and `native`"),
    ],
)
def test_unsupported_settings_name_alternatives(asked: str, support: str) -> None:
    match = mapping.to_native(Quantization.parse(asked), V).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert support in "; ".join(match.support)


@pytest.mark.parametrize(
    ("asked", "first", "before"),
    [
        ("binary:bits=2", "1.15.0", "1.14.1"),
        ("binary:query_bits=8", "1.15.0", "1.14.1"),
        ("rotational:bits=4", "1.18.0", "1.17.9"),
        ("rotational:bits=8", "1.20.0", "1.19.2"),
    ],
)
def test_older_servers_reject_newer_settings(asked: str, first: str, before: str) -> None:
    quantization = Quantization.parse(asked)
    assert mapping.to_native(quantization, V, first).match.level is MatchLevel.EXACT
    match = mapping.to_native(quantization, V, before).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert before in match.differences[0]


def test_placement_before_1_19_uses_always_ram() -> None:
    asked = binary(codes="ram", originals="disk")
    old = mapping.to_native(asked, V, "1.18.2")
    assert old.native == {"quantization_config": {"binary": {"always_ram": True}}, "on_disk": True}
    new = mapping.to_native(asked, V, "1.19.0")
    assert new.native == {
        "quantization_config": {"binary": {"memory": "pinned"}},
        "memory": "cold",
    }
    assert old.target == new.target == asked
    on_disk = mapping.to_native(binary(codes="disk"), V, "1.16.3")
    assert on_disk.match.differences == (placement.FOLLOWS_ORIGINALS,)


def test_native_fields_are_merged_last() -> None:
    mapped = mapping.to_native(scalar(quantile=0.9, native={"quantile": 0.95, "new": 1}), V)
    assert mapped.native == {
        "quantization_config": {"scalar": {"type": "int8", "quantile": 0.95, "new": 1}}
    }
    assert mapped.target.quantile == 0.95
    assert mapped.target.native == {"new": 1}


def test_float16_requires_the_datatype() -> None:
    half = Vector(384, datatype="float16")
    assert mapping.to_native(Quantization.parse("float16"), half).match.level is MatchLevel.EXACT
    back = mapping.to_native(none(), half)
    assert back.target.kind is Kind.FLOAT16
    assert back.match.level is MatchLevel.DIFFERS
    assert mapping.to_native(binary(), half).target == binary()


def test_an_unrequested_placement_matches_any() -> None:
    kept = binary(codes="disk", originals="disk")
    assert mapping.satisfies(kept, binary(rescore=4))
    assert not mapping.satisfies(binary(), kept)
    assert not mapping.satisfies(kept, binary(bits=2))


@pytest.mark.parametrize(
    ("asked", "default"),
    [
        ("none", None),
        ("scalar", Rescore(source="off")),
        ("product", Rescore(source="off")),
        ("binary:bits=2", Rescore(1)),
        ("rotational:bits=2", Rescore(1)),
        ("rotational:bits=4", Rescore(source="off")),
    ],
)
def test_default_rescoring_of_searches(asked: str, default: Rescore | None) -> None:
    assert mapping.default_rescore(Quantization.parse(asked)) == default


def test_bytes_of_codes_match_the_documentation() -> None:
    hundred = Vector(100)
    sizes = {
        "scalar": 116,
        "binary": 16,
        "binary:bits=1.5": 32,
        "binary:bits=2": 32,
        "product:ratio=64": 7,
        "rotational:bits=1": 21,
        "rotational:bits=4": 58,
        "rotational:bits=8": 104,
    }
    for asked, each in sizes.items():
        native = mapping.to_native(Quantization.parse(asked), hundred).native or {}
        assert memory.code_bytes(native["quantization_config"], hundred, 3) == 3 * each, asked
    assert memory.code_bytes(None, hundred, 3) == 0
    euclidean = Vector(100, "euclidean")  # type: ignore[arg-type]
    assert memory.code_bytes({"turbo": {"bits": "bits4"}}, euclidean, 1) == 62


def test_a_native_target_of_another_store_is_rejected() -> None:
    with pytest.raises(QadaptError):
        Quantization.parse("product:ratio=1000")
    assert mapping.to_native(product(2), V).match.level is MatchLevel.UNSUPPORTED


@pytest.mark.parametrize(
    ("place", "memory"), [("ram", "pinned"), ("cached", "cached"), ("disk", "cold")]
)
def test_each_memory_tier_of_codes_is_a_memory_field(place: str, memory: str) -> None:
    wanted = Quantization.parse(f"scalar:bits=7,per=collection,codes={place}")
    mapped = mapping.to_native(wanted, Vector(64), "1.19.0")
    assert mapped.native == {"quantization_config": {"scalar": {"type": "int8", "memory": memory}}}
    assert mapped.target == mapping.from_native(mapped.native) == wanted


def test_a_server_without_memory_tiers_refuses_cached_codes() -> None:
    mapped = mapping.to_native(Quantization.parse("binary:codes=cached"), Vector(64), "1.18.3")
    assert mapped.native is None
    assert "requires Qdrant 1.19; the server has 1.18.3" in mapped.match.differences[0]
    assert mapped.match.support[0].startswith("codes=ram")
