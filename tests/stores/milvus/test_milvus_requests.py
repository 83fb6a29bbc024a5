"""The exact requests for servers that cannot be run here: 2.4, 2.5, 2.6 and 3.0.

pymilvus' own client sends them to a server that records. What those versions make of them is from
their documentation and source, and not seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from milvus_contract import Recorder, start
from milvus_help import NAME, carry_out, plan

from qadapt.errors import StoreError, UnsupportedError
from qadapt.model import Quantization, Rescore, State, Vector
from qadapt.model.address import Address
from qadapt.stores.base import Search, silent
from qadapt.stores.milvus.store import MilvusStore

Opened = tuple[MilvusStore, Recorder]


@pytest.fixture
def at() -> Iterator[Callable[[str], Opened]]:
    """``at("2.6.8")``: a store on a recorder that says it is that version."""
    opened: list[Any] = []

    def open_at(version: str) -> Opened:
        recorder = Recorder(version)
        server, port = start(recorder)
        store = MilvusStore.open(Address("milvus", "http", f"127.0.0.1:{port}"))
        opened.append((store, server))
        return store, recorder

    yield open_at
    for store, server in opened:
        store.close()
        server.stop(0).wait()


def sent(recorder: Recorder, at: int = -1) -> tuple[str, dict[str, str]]:
    """Type and parameters of one CreateIndex."""
    params = recorder.index_params(at)
    return params["index_type"], json.loads(params["params"])


@pytest.mark.parametrize(
    ("version", "text", "kind", "params"),
    [
        ("v2.4.23", "scalar", "IVF_SQ8", {"nlist": "128"}),
        ("v2.5.27", "scalar", "HNSW_SQ", {"M": "16", "efConstruction": "200", "sq_type": "SQ8"}),
        ("2.6.22", "scalar:bits=4", "HNSW_SQ",
         {"M": "16", "efConstruction": "200", "sq_type": "SQ4U"}),
        ("2.6.22", "product:ratio=16", "HNSW_PQ",
         {"M": "16", "efConstruction": "200", "m": "16", "nbits": "8"}),
        ("2.6.22", "rotational:bits=1", "IVF_RABITQ", {"nlist": "128"}),
        ("3.0.1", "rotational:bits=4", "IVF_RABITQ", {"nlist": "128", "rbq_bits": "4"}),
        ("2.6.22", 'rotational:bits=1,native={"refine":true,"refine_type":"SQ8"}', "IVF_RABITQ",
         {"nlist": "128", "refine": "true", "refine_type": "SQ8"}),
    ],
)  # fmt: skip
def test_the_index_request(
    at: Callable[[str], Opened], version: str, text: str, kind: str, params: dict[str, str]
) -> None:
    store, recorder = at(version)
    store.create(NAME, {"": Vector(64)}, {"": Quantization.parse(text)})
    assert sent(recorder) == (kind, params)
    assert recorder.index_params()["metric_type"] == "COSINE"
    assert recorder.named("CreateIndex")[-1].field_name == "vector"
    assert store.info(NAME).vectors[""].status.state is State.ACTIVE


def test_a_change_in_place_is_flush_release_drop_create_load(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(64)}, {})
    (step,) = plan(store, "scalar")
    assert "HNSW(M=16, efConstruction=200)" in step.action
    assert step.estimate.stops == "searches"
    recorder.requests.clear()
    store.run(NAME, step.request, silent, 30)
    calls = ("Flush", "ReleaseCollection", "DropIndex", "CreateIndex", "LoadCollection")
    assert recorder.order(*calls) == list(calls)
    assert recorder.named("DropIndex")[0].index_name == "vector_hnsw"
    assert sent(recorder)[0] == "HNSW_SQ"
    recorder.requests.clear()
    store.run(NAME, step.request, silent, 30)
    assert recorder.order(*calls) == ["Flush"], "done twice is done once"
    assert not plan(store, "scalar")


def test_a_refused_index_leaves_the_former_one_loaded(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(64)}, {})
    steps = plan(store, "scalar")
    recorder.refuse = "HNSW_SQ"
    with pytest.raises(StoreError, match="former index HNSW"):
        carry_out(store, steps)
    info = store.info(NAME)
    assert info.vectors[""].index["index_type"] == "HNSW"
    assert recorder.order("LoadCollection", "ReleaseCollection")[-1] == "LoadCollection"


def test_refine_k_is_sent_with_the_search_and_told(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    text = 'scalar:native={"refine":true,"refine_type":"FP16"}'
    store.create(NAME, {"": Vector(8)}, {"": Quantization.parse(text)})
    query = np.ones((1, 8), dtype=np.float32)
    hits = store.search(NAME, query, Search(k=10, rescore=Rescore(2.5, "codes")))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert json.loads(params["params"]).items() >= {"ef": "64", "refine_k": "2.5"}.items()
    assert (hits.how.rescorer, hits.how.rescored_on, hits.how.candidates) == ("store", "codes", 25)
    store.search(NAME, query, Search(k=10, rescore=Rescore(source="off")))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert "refine_k" not in json.loads(params["params"])


def test_the_query_bits_of_rabitq_go_by_the_name_that_acts(at: Callable[[str], Opened]) -> None:
    """Facts, gotcha 1: the documented ``rbq_query_bits`` is a no-op."""
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(8)}, {"": Quantization.parse("rotational:bits=1")})
    query = np.ones((1, 8), dtype=np.float32)
    store.search(NAME, query, Search(k=10, options={"rbq_bits_query": 8}))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert json.loads(params["params"])["rbq_bits_query"] == "8"


def test_several_vectors_from_2_4(at: Callable[[str], Opened]) -> None:
    vectors = {"title": Vector(8), "body": Vector(16)}
    store, recorder = at("v2.4.23")
    store.create(NAME, vectors, {})
    assert [each.field_name for each in recorder.named("CreateIndex")] == [
        "vector_title",
        "vector_body",
    ]
    assert {name: each.vector for name, each in store.info(NAME).vectors.items()} == vectors
    older, recorder = at("v2.3.5")
    with pytest.raises(UnsupportedError, match=r"2\.4"):
        older.create(NAME, vectors, {})
    assert recorder.requests == []


@pytest.mark.parametrize("text", ["scalar:bits=4", "rotational:bits=1", "float16"])
def test_what_a_version_lacks_is_never_sent(at: Callable[[str], Opened], text: str) -> None:
    store, recorder = at("v2.4.23")
    with pytest.raises(UnsupportedError):
        store.create(NAME, {"": Vector(8)}, {"": Quantization.parse(text)})
    assert recorder.requests == []


def test_half_floats_are_a_field_from_2_4(at: Callable[[str], Opened]) -> None:
    """2.3.5 creates such a field and never builds its index."""
    store, recorder = at("v2.4.23")
    store.create(NAME, {"": Vector(8, datatype="float16")}, {})
    assert store.info(NAME).vectors[""].datatype == "float16"
    older, recorder = at("v2.3.5")
    with pytest.raises(UnsupportedError, match=r"2\.4"):
        older.create(NAME, {"": Vector(8, datatype="float16")}, {})
    assert recorder.requests == []


def test_the_level_of_a_search_is_session_unless_said(at: Callable[[str], Opened]) -> None:
    """Facts section 4: Strong takes 259 ms, Session 5, and Bounded does not see own writes."""
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(8)}, {})
    query = np.ones((1, 8), dtype=np.float32)
    hits = store.search(NAME, query, Search(k=10))
    assert recorder.named("Search")[-1].consistency_level == 1
    assert "Session" in hits.how.notes[0]
    hits = store.search(NAME, query, Search(k=10, options={"consistency_level": "Bounded"}))
    assert recorder.named("Search")[-1].consistency_level == 2
    assert "newest writes may not be seen" in hits.how.notes[0]
