"""Quantization and Rescore: options, ranges and messages."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from slow import examples

from qadapt.errors import SpecError
from qadapt.model import (
    Kind,
    Metric,
    Quantization,
    Rescore,
    binary,
    float16,
    none,
    product,
    rotational,
    scalar,
)


@pytest.mark.parametrize(
    ("quantization", "text"),
    [
        (none(), "none"),
        (float16(), "float16"),
        (scalar(), "scalar"),
        (scalar(7), "scalar:bits=7"),
        (scalar(quantile=0.99, per="dimension"), "scalar:quantile=0.99,per=dimension"),
        (rotational(), "rotational:bits=4"),
        (rotational(1.5, query_bits=8), "rotational:bits=1.5,query_bits=8"),
        (binary(), "binary"),
        (binary(query_bits=8), "binary:query_bits=8"),
        (binary(rescore=4, codes="ram"), "binary:rescore=4,codes=ram"),
        (binary(rescore=Rescore(2, "codes")), "binary:rescore=2@codes"),
        (binary(rescore="off"), "binary:rescore=off"),
        (scalar(codes="cached"), "scalar:codes=cached"),
        (rotational(originals="none"), "rotational:bits=4,originals=none"),
        (binary(rescore=Rescore(candidates=200)), "binary:candidates=200"),
        (scalar(rescore="candidates=200@codes"), "scalar:candidates=200@codes"),
        (product(), "product:ratio=16"),
        (scalar(dims=256), "scalar:dims=256"),
        (none(dims=256), "none:dims=256"),
        (binary(query_bits=8, dims=256, rescore=4), "binary:query_bits=8,dims=256,rescore=4"),
        (product(segments=48, centroids=256), "product:segments=48,centroids=256"),
        (scalar(native={"b": [1, "x,y"], "a": None}), 'scalar:native={"a":null,"b":[1,"x,y"]}'),
    ],
)
def test_text(quantization: Quantization, text: str) -> None:
    assert str(quantization) == text
    assert Quantization.parse(text) == quantization
    assert Quantization.of(quantization) is quantization
    assert Quantization.parse(f"  {text.replace('=', ' = ')}  ") == quantization
    assert hash(Quantization.parse(text)) == hash(quantization)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("binry", "did you mean 'binary'?"),
        ("binary:bit=1", "did you mean 'bits'?"),
        (
            "binary:quantile=0.9",
            "known: bits, query_bits, dims, rescore, candidates, codes, originals, native",
        ),
        ("binary:bits", "not of the form option=value"),
        ("binary:bits=x", "bits must be a number"),
        ("binary:bits=8", "bits must be one of 1, 1.5, 2"),
        ("scalar:bits=5", "bits must be one of 4, 6, 7, 8"),
        ("binary:query_bits=3", "query_bits must be one of 1, 4, 8, 32"),
        ("scalar:quantile=0.4", "quantile must be a number from 0.5 to 1"),
        ("scalar:quantile=nan", "quantile must be a number from 0.5 to 1"),
        ("scalar:per=row", "per must be one of collection, dimension"),
        ("binary:codes=rom", "codes must be one of ram, cached, disk"),
        ("none:originals=none", "originals=none keeps codes only"),
        ("rotational:rescore=4,originals=none", "rescoring needs the original vectors"),
        ("scalar:dims=0", "dims must be an integer from 1 to 65536"),
        ("scalar:dims=1.5", "dims must be an integer"),
        ("product:ratio=1", "ratio must be a number from 2 to 256"),
        ("product:segments=1.5", "segments must be an integer from 1 to 65536"),
        ("product:segments=nan", "segments must be an integer"),
        ("product:centroids=inf", "centroids must be an integer"),
        ("product:ratio=8,segments=48", "ratio or segments, not both"),
        ("none:rescore=4", "rescoring has no effect without quantization"),
        ("binary:rescore=x", "rescore must be a number"),
        ("scalar:native=5", "native must be a JSON object"),
        ("scalar:native={", "native must be a JSON object"),
        ('scalar:native={"a":NaN}', "native must be JSON-serializable"),
        ('scalar:native={"a":1e400}', "native must be JSON-serializable"),
        ("none:bits=8", "unknown option 'bits'"),
    ],
)
def test_mistakes(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Quantization.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("native", [5, "text", [1], {"a": {1, 2}}, {"a": math.nan}, {(1, 2): 3}])
def test_native_settings_must_be_json(native: Any) -> None:
    with pytest.raises(SpecError, match="native must be"):
        scalar(native=native)


@pytest.mark.parametrize("text", ['"', "\\", '\\"', '",', "}", "{", '],"', ",bits=7", '\\\\",x'])
def test_native_text_of_any_kind_survives(text: str) -> None:
    quantization = scalar(native={text: [text, {"b": text}]}, codes="ram")
    assert Quantization.parse(str(quantization)) == quantization


def test_native_is_a_copy() -> None:
    given_native = {"a": [1, (2,)]}
    quantization = scalar(native=given_native)
    given_native["a"] = []
    assert quantization.native == {"a": [1, [2]]}


@pytest.mark.parametrize(
    ("quantization", "dim", "size"),
    [
        (none(), 384, 0),
        (float16(), 384, 768),
        (scalar(), 384, 384),
        (scalar(4), 3, 2),
        (binary(), 384, 48),
        (binary(1.5), 384, 72),
        (binary(), 9, 2),
        (rotational(), 384, 192),
        (product(), 384, 96),
        (product(segments=48), 384, 48),
    ],
)
def test_code_bytes(quantization: Quantization, dim: int, size: int) -> None:
    assert quantization.code_bytes(dim) == size


def test_codes_only() -> None:
    full = binary(query_bits=8, rescore=4, codes="ram", originals="disk", native={"a": 1})
    assert full.codes_only == binary(query_bits=8, native={"a": 1})
    assert full.codes_only != full


def test_kinds_and_metrics_equal_their_names() -> None:
    assert [str(kind) for kind in Kind] == [kind.value for kind in Kind]
    assert Metric.of("dot") is Metric.DOT and f"{Metric.DOT}" == "dot"
    with pytest.raises(SpecError, match="unknown metric 'cosin'") as caught:
        Metric.of("cosin")
    assert "did you mean 'cosine'?" in str(caught.value)


# -- rescore -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "rescore"),
    [
        (4, Rescore(4)),
        (1.5, Rescore(1.5)),
        ("4", Rescore(4)),
        (" 2.5@codes ", Rescore(2.5, "codes")),
        ("off", Rescore(source="off")),
        (False, Rescore(source="off")),
        ({"oversampling": 2, "source": "codes"}, Rescore(2, "codes")),
        (None, None),
    ],
)
def test_rescore_of(value: Any, rescore: Rescore | None) -> None:
    assert Rescore.of(value) == rescore
    assert Rescore.of(rescore) is rescore


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0.5, "must be 1 or more"),
        (math.nan, "must be 1 or more"),
        (math.inf, "must be 1 or more"),
        (10**400, "must be 1 or more"),
        (True, "must be a number"),
        ([4], "must be a number"),
        ("", "rescore must be a number"),
        ("4@code", "did you mean 'codes'?"),
        ("2@off", "oversampling without rescoring"),
        ({"oversampling": "x"}, "oversampling"),
        ({"over": 4}, "unknown field 'over'"),
    ],
)
def test_rescore_mistakes(value: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Rescore.of(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("oversampling", "k", "candidates"),
    [
        (1, 10, 10),
        (1.1, 10, 11),  # 1.1 * 10 is 11.000000000000002 in binary
        (1.1, 1, 2),
        (1.15, 100, 115),
        (2.5, 3, 8),
        (4, 10, 40),
        (1.0001, 10, 11),
        (1 + 1e-10, 1, 2),
        (3.3, 10_000, 33_000),
        (1.000000001, 1, 2),
    ],
)
def test_candidates(oversampling: float, k: int, candidates: int) -> None:
    assert Rescore(oversampling).count(k) == candidates


@settings(max_examples=examples(300), deadline=None)
@given(st.floats(1, 1e6), st.integers(1, 10_000))
@example(1.1, 10)
def test_candidates_are_the_ceiling_of_the_decimal(oversampling: float, k: int) -> None:
    found = Rescore(oversampling).count(k)
    assert isinstance(found, int) and found >= k
    numerator, denominator = Decimal(repr(oversampling)).as_integer_ratio()
    assert found * denominator >= numerator * k > (found - 1) * denominator


@pytest.mark.parametrize(
    ("candidates", "k", "count", "factor"),
    [(200, 10, 200, 20.0), (200, 100, 200, 2.0), (200, 7, 200, 200 / 7), (20, 100, 100, 1.0)],
)
def test_a_number_of_candidates_is_the_same_for_any_k(
    candidates: int, k: int, count: int, factor: float
) -> None:
    rescore = Rescore(candidates=candidates)
    assert (rescore.count(k), rescore.factor(k)) == (count, pytest.approx(factor))
    assert int(rescore.engine_factor(k) * k) == count  # as Qdrant computes it
    assert rescore.text == f"{candidates} candidates by originals"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"candidates": 0}, "candidates must be an integer from 1 to 1,000,000, got 0"),
        ({"candidates": True}, "candidates must be an integer"),
        ({"candidates": 2.5}, "candidates must be an integer"),
        ({"candidates": 200, "oversampling": 4}, "oversampling or candidates, not both"),
        ({"candidates": 200, "source": "off"}, "candidates without rescoring have no effect"),
    ],
)
def test_invalid_numbers_of_candidates_are_rejected(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Rescore(**given)


def test_candidates_and_a_factor_exclude_each_other() -> None:
    with pytest.raises(SpecError, match="rescore and candidates are both given"):
        Quantization.parse("binary:rescore=4,candidates=200")
    with pytest.raises(SpecError, match="candidates must be an integer from 1 to 1,000,000"):
        Quantization.parse("binary:candidates=x")


def test_rescore_off() -> None:
    assert not Rescore(source="off").on and Rescore(1).on
    assert (str(Rescore(source="off")), str(Rescore(4)), str(Rescore(1.5, "codes"))) == (
        "off",
        "4",
        "1.5@codes",
    )


def test_a_duplicate_option_is_an_error() -> None:
    with pytest.raises(SpecError, match="bits is given twice"):
        Quantization.parse("binary:bits=1,bits=2")
