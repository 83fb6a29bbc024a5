"""Names of other systems for the common quantizations and metrics."""

from __future__ import annotations

from typing import Any

import pytest

from qadapt.errors import SpecError
from qadapt.model import Kind, Metric, Quantization
from qadapt.model.synonyms import METRICS, QUANTIZATIONS


@pytest.mark.parametrize(
    ("name", "common"),
    [
        ("int8", "scalar"),
        ("SQ8", "scalar"),
        ("sq4", "scalar:bits=4"),
        ("pq", "product:ratio=16"),
        ("BQ", "binary"),
        ("rq", "rotational:bits=8"),
        ("RaBitQ", "rotational:bits=1"),
        ("turbo", "rotational:bits=4"),
        ("fp16", "float16"),
        ("Binary", "binary"),
        ("NONE", "none"),
        ("float32", "none"),
    ],
)
def test_synonyms_parse_to_common_names_in_any_case(name: str, common: str) -> None:
    assert str(Quantization.parse(name)) == common


def test_synonym_takes_further_options() -> None:
    assert str(Quantization.parse("bq:rescore=4,query_bits=8")) == "binary:query_bits=8,rescore=4"
    assert Quantization.parse("sq8:bits=8") == Quantization.parse("scalar")


def test_option_against_the_name_is_refused() -> None:
    with pytest.raises(SpecError, match="'sq8' has bits=8; got 'bits=4'") as caught:
        Quantization.parse("sq8:bits=4")
    assert caught.value.hint == "use scalar:bits=4"


def test_each_synonym_is_valid_and_no_common_name() -> None:
    for name in QUANTIZATIONS:
        assert name not in {kind.value for kind in Kind}
        assert Quantization.parse(name)
    for name in METRICS:
        assert name not in {metric.value for metric in Metric}
        assert Metric.of(name.upper()) == METRICS[name]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("sq8:rescore=2", "'sq8' means scalar (bits=8)"),
        ("PQ", "'PQ' means product:ratio=16"),
        ("rabitq", "'rabitq' means rotational:bits=1"),
        ("BBQ", "'BBQ' means binary (bits=1)"),  # what Elasticsearch calls its sign bits
        ("fp16", "'fp16' means float16"),
        ("scalar", None),
        (None, None),
    ],
)
def test_note_names_the_quantization_and_its_defaults(text: Any, note: str | None) -> None:
    assert Quantization.synonym_note(text) == note


@pytest.mark.parametrize("name", ["int7", "sq 8", "", "quantized"])
def test_unknown_names_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(SpecError, match="unknown quantization"):
        Quantization.parse(name)
