"""Requests that build and search refinements: finer codes that rescore the candidates."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from milvus_contract import Recorder
from milvus_helpers import NAME

from qadapt.errors import UnsupportedError
from qadapt.model import Quantization, Rescore, Vector
from qadapt.stores.base import SearchRequest
from qadapt.stores.milvus.store import MilvusStore

Opened = tuple[MilvusStore, Recorder]


def test_a_tier_of_finer_codes_is_built_and_searched(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    wanted = Quantization.parse("binary:rescore=4@int8")
    mapped = store.map(wanted, Vector(8))
    assert mapped.native is not None
    assert mapped.native["params"].items() >= {"refine": "true", "refine_type": "SQ8"}.items()
    store.create(NAME, {"": Vector(8)}, {"": wanted})
    query = np.ones((1, 8), dtype=np.float32)
    hits = store.search(NAME, query, SearchRequest(k=10, rescore=Rescore(4, "int8")))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert json.loads(params["params"])["refine_k"] == "4"
    assert (hits.how.rescored_on, hits.how.scores) == ("codes", "approximate")
    with pytest.raises(UnsupportedError, match="keeps SQ8 to rescore with, not bfloat16"):
        store.search(NAME, query, SearchRequest(k=10, rescore=Rescore(4, "bfloat16")))


@pytest.mark.parametrize(
    ("source", "refine"), [("int8", "SQ8"), ("float16", "FP16"), ("bfloat16", "BF16")]
)
def test_each_tier_is_a_refine_type(at: Callable[[str], Opened], source: str, refine: str) -> None:
    store, _ = at("2.6.22")
    native = store.map(Quantization.parse(f"scalar:rescore=4@{source}"), Vector(8)).native
    assert native is not None and native["params"]["refine_type"] == refine


def test_a_server_without_refinement_refuses_tiers(at: Callable[[str], Opened]) -> None:
    store, _ = at("2.4.23")
    found = store.map(Quantization.parse("scalar:rescore=4@int8"), Vector(8))
    assert found.native is None and "needs Milvus" in found.match.differences[0]
