"""Tests behind the mark ``contract`` of the matrix.

A kind and width is tested here by its exact request at the first version that supports it and at
the newest, and by its refusal before. Every other claim names its test.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qadapt.model import Kind, MatchLevel, Quantization, Rule, Support, Vector
from qadapt.model.capabilities import older
from qadapt.stores import registry
from qadapt.stores.base import MappedQuantization
from qadapt.stores.elastic.opensearch import profile as opensearch
from qadapt.stores.milvus import mapping as milvus_mapping
from qadapt.stores.milvus import profile as milvus
from qadapt.stores.milvus.version import ServerVersion as MilvusEngine
from qadapt.stores.qdrant import mapping as qdrant_mapping
from qadapt.stores.qdrant.server import profile as qdrant
from qadapt.stores.weaviate import mapping as weaviate_mapping
from qadapt.stores.weaviate import profile as weaviate
from qadapt.stores.weaviate.version import ServerVersion as WeaviateEngine

REPO = Path(__file__).resolve().parents[2]
PREFIX = "native-"
WIDE = Vector(384)
RULES: Mapping[str, tuple[Rule, ...]] = {
    "milvus": milvus.SERVER_RULES,
    "opensearch": opensearch.RULES,
    "qdrant": qdrant.RULES,
    "weaviate": weaviate.RULES,
}
# The newest version that each contract was written for.
NEWEST = {"milvus": "3.0.1", "qdrant": "1.20.0", "weaviate": "1.39.0"}


def mapped(store: str, text: str, version: str) -> MappedQuantization:
    """A setting as the store's own request."""
    wanted = Quantization.parse(text)
    if store == "milvus":
        return milvus_mapping.to_native(wanted, WIDE, MilvusEngine(version))
    if store == "weaviate":
        return weaviate_mapping.to_native(wanted, WIDE, WeaviateEngine(version))
    vector = Vector(384, datatype="float16") if wanted.kind is Kind.FLOAT16 else WIDE
    return qdrant_mapping.to_native(wanted, vector, version)


# -- kinds and widths ----------------------------------------------------------------------------


def graph(kind: str, **own: str) -> dict[str, Any]:
    return {"index_type": kind, "params": {"M": "16", "efConstruction": "200", **own}}


def lists(kind: str, **own: str) -> dict[str, Any]:
    return {"index_type": kind, "params": {"nlist": "128", **own}}


def codes(**block: Any) -> dict[str, Any]:
    return {"quantization_config": block}


def hnsw(**block: Any) -> dict[str, Any]:
    return {"vectorIndexType": "hnsw", "vectorIndexConfig": block}


def rq(bits: int, limit: int) -> dict[str, Any]:
    return hnsw(rq={"enabled": True, "bits": bits, "rescoreLimit": limit})


# Store, feature behind ``native-``: the setting and its request at the newest version.
REQUESTS: Mapping[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("milvus", "scalar"): ("scalar", graph("HNSW_SQ", sq_type="SQ8")),
    ("milvus", "scalar:8"): ("scalar:bits=8", graph("HNSW_SQ", sq_type="SQ8")),
    ("milvus", "scalar:6"): ("scalar:bits=6", graph("HNSW_SQ", sq_type="SQ6")),
    ("milvus", "scalar:4"): ("scalar:bits=4", graph("HNSW_SQ", sq_type="SQ4U")),
    ("milvus", "product"): ("product:ratio=16", graph("HNSW_PQ", m="96", nbits="8")),
    ("milvus", "rotational"): ("rotational:bits=1", lists("IVF_RABITQ")),
    ("milvus", "rotational:1"): ("rotational:bits=1", lists("IVF_RABITQ")),
    ("milvus", "rotational:2"): ("rotational:bits=2", lists("IVF_RABITQ", rbq_bits="2")),
    ("milvus", "rotational:4"): ("rotational:bits=4", lists("IVF_RABITQ", rbq_bits="4")),
    ("milvus", "rotational:8"): ("rotational:bits=8", lists("IVF_RABITQ", rbq_bits="8")),
    ("milvus", "binary"): ("binary", lists("IVF_RABITQ")),
    ("milvus", "binary:1"): (
        'binary:native={"index_type":"BIN_FLAT"}',
        {"index_type": "BIN_FLAT", "params": {}},
    ),
    ("milvus", "float16"): ("float16", graph("HNSW_SQ", sq_type="FP16")),
    ("qdrant", "scalar"): ("scalar", codes(scalar={"type": "int8"})),
    ("qdrant", "scalar:7"): ("scalar:bits=7", codes(scalar={"type": "int8"})),
    ("qdrant", "scalar:8"): ("scalar:bits=8", codes(scalar={"type": "int8"})),
    ("qdrant", "product"): ("product", codes(product={"compression": "x16"})),
    **{
        ("qdrant", f"product:{ratio}"): (
            f"product:ratio={ratio}",
            codes(product={"compression": f"x{ratio}"}),
        )
        for ratio in (4, 8, 16, 32, 64)
    },
    ("qdrant", "binary"): ("binary", codes(binary={})),
    ("qdrant", "binary:1"): ("binary:bits=1", codes(binary={})),
    ("qdrant", "binary:1.5"): ("binary:bits=1.5", codes(binary={"encoding": "one_and_half_bits"})),
    ("qdrant", "binary:2"): ("binary:bits=2", codes(binary={"encoding": "two_bits"})),
    ("qdrant", "rotational"): ("rotational:bits=4", codes(turbo={"bits": "bits4"})),
    **{
        ("qdrant", f"rotational:{bits}"): (
            f"rotational:bits={bits}",
            codes(turbo={"bits": f"bits{bits.replace('.', '_')}"}),
        )
        for bits in ("1", "1.5", "2", "4", "8")
    },
    ("weaviate", "scalar"): ("scalar", rq(8, 20)),
    ("weaviate", "scalar:8"): ("scalar:bits=8", rq(8, 20)),
    ("weaviate", "scalar:4"): ("scalar:bits=4", rq(4, 20)),
    ("weaviate", "product"): (
        "product:ratio=16",
        hnsw(pq={"enabled": True, "segments": 96, "centroids": 256}),
    ),
    ("weaviate", "binary"): ("binary", hnsw(bq={"enabled": True})),
    ("weaviate", "binary:1"): ("binary:bits=1", hnsw(bq={"enabled": True})),
    ("weaviate", "rotational"): ("rotational:bits=8", rq(8, 20)),
    ("weaviate", "rotational:1"): ("rotational:bits=1", rq(1, 512)),
    ("weaviate", "rotational:4"): ("rotational:bits=4", rq(4, 20)),
    ("weaviate", "rotational:8"): ("rotational:bits=8", rq(8, 20)),
}
# Options for the first version: in Weaviate, flat supported it first.
FIRST = {
    ("weaviate", "binary"): 'binary:native={"vectorIndexType":"flat"}',
    ("weaviate", "binary:1"): 'binary:native={"vectorIndexType":"flat"}',
}
# Before this the mapping does not look: Qdrant is supported from 1.16.
FLOOR = {"milvus": "0", "qdrant": "1.5", "weaviate": "0"}
# A datatype, and no request of this form.
ELSEWHERE = {("qdrant", "float16")}


def kinds(support: Support) -> set[tuple[str, str]]:
    """Store and kind, with its width, of the rules that are marked by contract."""
    names = {kind.value for kind in Kind}
    return {
        (store, rule.feature.removeprefix(PREFIX))
        for store, rules in RULES.items()
        for rule in rules
        if rule.checked == "contract"
        and rule.support is support
        and rule.feature.removeprefix(PREFIX).partition(":")[0] in names
    }


def test_every_kind_and_width_by_contract_has_its_request_here() -> None:
    assert kinds(Support.NATIVE) == set(REQUESTS) | ELSEWHERE


@pytest.mark.parametrize("key", REQUESTS, ids=" ".join)
def test_the_request_at_the_newest_version(key: tuple[str, str]) -> None:
    text, request = REQUESTS[key]
    made = mapped(key[0], text, NEWEST[key[0]])
    assert made.match.level is not MatchLevel.UNSUPPORTED
    assert made.native == request


def _since() -> list[tuple[str, str, str]]:
    return [
        (store, rule.feature.removeprefix(PREFIX), rule.since)
        for store, rules in RULES.items()
        for rule in rules
        if rule.since and (store, rule.feature.removeprefix(PREFIX)) in REQUESTS
        if older(FLOOR[store], rule.since)
    ]


@pytest.mark.parametrize(("store", "feature", "since"), _since())
def test_the_first_version_has_it_and_none_before(store: str, feature: str, since: str) -> None:
    text = FIRST.get((store, feature), REQUESTS[store, feature][0])
    first = mapped(store, text, since)
    assert first.match.level is not MatchLevel.UNSUPPORTED, first.match
    assert mapped(store, text, _before(since)).match.level is MatchLevel.UNSUPPORTED


def _before(version: str) -> str:
    """The last one before: 2.6.7 of 2.6.8, 1.32.99 of 1.33, 2.99 of 3.0."""
    numbers = [int(part) for part in version.split(".")]
    while not numbers[-1]:
        numbers.pop()
    numbers[-1] -= 1
    return ".".join(map(str, [*numbers, 99]))


@pytest.mark.parametrize(("store", "feature"), sorted(kinds(Support.UNSUPPORTED)))
def test_unsupported_kinds_are_refused(store: str, feature: str) -> None:
    kind, _, bits = feature.partition(":")
    made = mapped(store, f"{kind}:bits={bits}" if bits else kind, NEWEST[store])
    assert made.match.level is MatchLevel.UNSUPPORTED


# -- everything else -----------------------------------------------------------------------------

HELD_BY: Mapping[tuple[str, str], str] = {
    ("milvus", "native-quantization"): "milvus/test_milvus_requests.py::test_the_index_request",
    ("milvus", "native-rescore"): (
        "milvus/test_milvus_requests.py::test_refine_k_is_sent_and_reported"
    ),
    ("milvus", "native-oversampling"): (
        "milvus/test_milvus_requests.py::test_refine_k_is_sent_and_reported"
    ),
    ("milvus", "native-undo"): (
        "milvus/test_milvus_requests.py::test_an_in_place_change_is_flush_release_drop_create_load"
    ),
    ("milvus", "native-filter"): (
        "milvus/test_milvus_filters.py::test_filters_match_the_expected_rows_on_a_server"
    ),
    ("milvus", "named-vectors"): "milvus/test_milvus_requests.py::test_several_vectors_from_2_4",
    ("opensearch", "native-float16"): (
        "opensearch/test_opensearch_mapping.py::"
        "test_faiss_is_written_only_by_name_and_says_that_it_was_not_run"
    ),
    ("qdrant", "native-quantization"): (
        "qdrant/test_qdrant_lifecycle.py::"
        "test_a_lifecycle_sends_the_recorded_requests_and_is_active_after_each_step"
    ),
    ("qdrant", "native-rescore"): (
        "qdrant/test_qdrant_rows.py::test_the_recorded_searches_are_sent_and_read"
    ),
    ("qdrant", "native-oversampling"): (
        "qdrant/test_qdrant_silent_search.py::test_oversampling_is_never_sent_without_rescoring"
    ),
    ("qdrant", "native-undo"): (
        "qdrant/test_qdrant_lifecycle.py::test_undo_restores_the_former_configuration"
    ),
    ("qdrant", "native-filter"): (
        "qdrant/test_qdrant_rows.py::test_filters_select_the_rows_of_the_common_syntax"
    ),
    ("qdrant", "named-vectors"): (
        "qdrant/test_qdrant_rows.py::test_named_vectors_payload_filter_and_options_are_passed_on"
    ),
    ("qdrant", "native-float16"): (
        "qdrant/test_qdrant_mapping.py::test_float16_requires_the_datatype"
    ),
    ("weaviate", "native-quantization"): (
        "weaviate/test_weaviate_mapping.py::test_the_server_stored_the_mapped_fields"
    ),
    ("weaviate", "native-rescore"): (
        "weaviate/test_weaviate_mapping.py::test_the_rule_of_rescoring"
    ),
    ("weaviate", "native-oversampling"): (
        "weaviate/test_weaviate_search.py::test_oversampling_uses_the_limit"
    ),
    ("weaviate", "native-undo"): (
        "weaviate/test_weaviate_quantization.py::test_bq_and_pq_in_place_on_hnsw_and_back_by_a_copy"
    ),
    ("weaviate", "native-filter"): (
        "weaviate/test_weaviate_filters.py::test_a_filter_selects_the_rows_of_the_common_form"
    ),
    ("weaviate", "named-vectors"): (
        "weaviate/test_weaviate_status.py::"
        "test_named_vectors_and_a_legacy_collection_with_a_named_one"
    ),
}


def test_every_other_claim_by_contract_names_its_test() -> None:
    marked = {
        (store, rule.feature)
        for store, rules in RULES.items()
        for rule in rules
        if rule.checked == "contract"
    }
    here = {(store, PREFIX + kind) for store, kind in REQUESTS}
    refused = {(store, PREFIX + kind) for store, kind in kinds(Support.UNSUPPORTED)}
    assert marked == here | refused | set(HELD_BY)


def test_all_contract_marks_are_checked() -> None:
    stores, broken = registry.load_all()
    assert not broken
    marked = {
        name
        for name, store in stores.items()
        if store.store.startswith("qadapt.")
        for deployment in store.deployments
        for each in store.declared_capabilities(None, deployment).features.values()
        if each.checked == "contract"
    }
    assert marked == set(RULES)


@pytest.mark.parametrize("named", sorted(set(HELD_BY.values())))
def test_the_named_tests_exist(named: str) -> None:
    path, _, function = named.partition("::")
    tree = ast.parse((REPO / "tests" / "stores" / path).read_text(encoding="utf-8"))
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function]
    assert found, f"{named} does not exist: the claim has no test"
