"""Native settings that a store does not have are refused, with those that it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from qadapt.errors import SpecError
from qadapt.model import Quantization, Vector
from qadapt.stores.clickhouse import mapping as clickhouse
from qadapt.stores.elastic.elasticsearch import mapping as elasticsearch
from qadapt.stores.elastic.opensearch import mapping as opensearch
from qadapt.stores.lancedb import mapping as lancedb
from qadapt.stores.native_keys import check_native
from qadapt.stores.pgvector import mapping as pgvector

WORDS = {"using": ("access method", ("hnsw", "ivf"))}
INTEGERS = {"m": (2, 100), "lists": (1, 32_768), "least": (100, 200), "most": (1, 8)}
KEYS = (*WORDS, *INTEGERS, "other")

# The mapping of each store, and the words that select an index with and without a graph.
MAPPINGS: dict[str, tuple[Callable[..., Any], dict[str, str], dict[str, str]]] = {
    "clickhouse": (clickhouse._checked, {}, {}),
    "elasticsearch": (elasticsearch._native_options, {}, {"index": "flat"}),
    "opensearch": (opensearch._checked, {}, {}),
    "lancedb": (lancedb.checked_native, {"index": "hnsw"}, {"index": "ivf"}),
    "pgvector": (pgvector._native_options, {}, {"using": "ivfflat"}),
}


def check(native: dict[str, Any]) -> None:
    check_native(native, KEYS, "a store", words=WORDS, integers=INTEGERS)


@pytest.mark.parametrize(
    "native",
    [{}, {"using": "ivf"}, {"m": 2, "lists": 32_768}, {"m": 100, "most": 8}, {"other": object()}],
)
def test_known_keys_and_values_are_accepted(native: dict[str, Any]) -> None:
    check(native)


@pytest.mark.parametrize(
    ("native", "message"),
    [
        ({"mm": 3}, "unknown native key 'mm' in a store"),
        ({"using": "flat"}, "unknown access method 'flat' in native.using"),
        ({"m": 1}, "m must be an integer from 2 to 100; got 1"),
        ({"m": 101}, "m must be an integer from 2 to 100; got 101"),
        ({"m": True}, "m must be an integer from 2 to 100; got True"),
        ({"m": 16.0}, "m must be an integer from 2 to 100; got 16.0"),
        ({"lists": 32_769}, "lists must be an integer from 1 to 32,768; got 32769"),
        ({"using": "ivf", "lists": "16"}, "lists must be an integer from 1 to 32,768; got '16'"),
        ({"least": 99}, "least must be an integer from 100 to 200; got 99"),
        ({"most": 9}, "most must be an integer from 1 to 8; got 9"),
    ],
)
def test_others_are_refused(native: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(native)
    assert caught.value.message == message
    if "integer" in message:
        example = json.loads(caught.value.hint.partition("native=")[2])
        assert set(example) == set(native)
        check(example)  # the hint is valid


@pytest.mark.parametrize("store", MAPPINGS)
def test_each_store_names_an_unknown_key_and_a_wrong_number(store: str) -> None:
    checked, graph, without_graph = MAPPINGS[store]
    assert checked({**graph, "m": 16})
    with pytest.raises(SpecError, match=f"unknown native key 'mm' in {store}"):
        checked({"mm": 16})
    with pytest.raises(SpecError, match=r"m must be an integer from 2 to [\d,]+; got 1\n") as told:
        checked({**graph, "m": 1})
    checked(json.loads(told.value.hint.partition("native=")[2]))  # the hint is valid
    if without_graph:
        with pytest.raises(SpecError, match=r"graph|hnsw indexes|not a parameter of ivfflat"):
            checked({**without_graph, "m": 1})


def test_a_plan_has_the_message_of_the_mapping() -> None:
    with pytest.raises(SpecError, match=r"unknown access method 'hnws' in native\.using"):
        pgvector.to_native(
            Quantization.parse("binary").replace(native={"using": "hnws"}), Vector(8)
        )
