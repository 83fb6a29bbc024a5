"""The exact requests to servers that cannot be run here: 2.4, 2.5, 2.6 and 3.0.

The pymilvus client sends them to a recording server. The behavior of these versions is taken from
their documentation and source.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymilvus")

from milvus_contract import Recorder
from milvus_helpers import NAME, carry_out, plan
from pymilvus.grpc_gen import common_pb2, schema_pb2

from qadapt.errors import AddressError, InputError, StoreError, UnsupportedError
from qadapt.model import Batch, Kind, Metric, Quantization, Rescore, State, Vector
from qadapt.stores.base import SearchRequest, silent
from qadapt.stores.change import ChangeRequest
from qadapt.stores.milvus.store import MilvusStore

Opened = tuple[MilvusStore, Recorder]


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


def test_an_in_place_change_is_flush_release_drop_create_load(at: Callable[[str], Opened]) -> None:
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
    assert recorder.order(*calls) == ["Flush"], "a second run changes nothing"
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


def test_refine_k_is_sent_and_reported(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    text = 'scalar:native={"refine":true,"refine_type":"FP16"}'
    store.create(NAME, {"": Vector(8)}, {"": Quantization.parse(text)})
    query = np.ones((1, 8), dtype=np.float32)
    hits = store.search(NAME, query, SearchRequest(k=10, rescore=Rescore(2.5, "codes")))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert json.loads(params["params"]).items() >= {"ef": "64", "refine_k": "2.55"}.items()
    assert (hits.how.rescorer, hits.how.rescored_on, hits.how.candidates) == ("store", "codes", 25)
    store.search(NAME, query, SearchRequest(k=10, rescore=Rescore(source="off")))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert "refine_k" not in json.loads(params["params"])


def test_rabitq_query_bits_use_the_effective_parameter_name(at: Callable[[str], Opened]) -> None:
    """Facts, gotcha 1: the documented ``rbq_query_bits`` is a no-op."""
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(8)}, {"": Quantization.parse("rotational:bits=1")})
    query = np.ones((1, 8), dtype=np.float32)
    store.search(NAME, query, SearchRequest(k=10, options={"rbq_bits_query": 8}))
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
def test_unsupported_parameters_are_never_sent(at: Callable[[str], Opened], text: str) -> None:
    store, recorder = at("v2.4.23")
    with pytest.raises(UnsupportedError):
        store.create(NAME, {"": Vector(8)}, {"": Quantization.parse(text)})
    assert recorder.requests == []


@pytest.mark.parametrize("version", ["v2.4.23", "v2.5.27"])
def test_sign_bits_are_a_second_field_from_2_4(at: Callable[[str], Opened], version: str) -> None:
    store, recorder = at(version)
    store.create(NAME, {"": Vector(12)}, {"": Quantization.parse("binary")})
    made = schema_pb2.CollectionSchema.FromString(recorder.named("CreateCollection")[0].schema)
    fields = {each.name: each for each in made.fields}
    assert fields["vector"].data_type == schema_pb2.DataType.FloatVector
    assert fields["qadapt_bits_vector"].data_type == schema_pb2.DataType.BinaryVector
    assert {p.key: p.value for p in fields["qadapt_bits_vector"].type_params} == {"dim": "16"}
    kinds = {
        each.field_name: {pair.key: pair.value for pair in each.extra_params}
        for each in recorder.named("CreateIndex")
    }
    assert kinds["vector"]["index_type"] == "HNSW"
    assert kinds["qadapt_bits_vector"]["index_type"] == "BIN_FLAT"
    assert kinds["qadapt_bits_vector"]["metric_type"] == "HAMMING"
    vector = store.info(NAME).vectors[""]
    assert (str(vector.quantization), vector.status.state) == ("binary", State.ACTIVE)

    rows = np.array([[1, -1, 0] * 4, [-1] * 12], dtype=np.float32)
    store.write(NAME, Batch([1, 2], {"": rows}, [{"a": 1}, {}]))
    columns = {each.field_name: each for each in recorder.named("Upsert")[0].fields_data}
    assert columns["qadapt_bits_vector"].vectors.binary_vector == b"\x92\x40\x00\x00"
    assert list(columns["vector"].vectors.float_vector.data) == rows.ravel().tolist()

    hits = store.search(NAME, rows[:1], SearchRequest(k=10, filter={"a": 1}))
    sent = recorder.named("Search")[-1]
    params = {pair.key: pair.value for pair in sent.search_params}
    assert (params["anns_field"], params["metric_type"]) == ("qadapt_bits_vector", "HAMMING")
    assert "exists" in sent.dsl
    assert hits.how.scores == "approximate"
    assert not plan(store, "binary")

    (off,) = plan(store, "none")
    carry_out(store, [off])
    assert store.info(NAME).vectors[""].quantization.kind is Kind.NONE
    store.search(NAME, rows[:1], SearchRequest(k=10))
    params = {pair.key: pair.value for pair in recorder.named("Search")[-1].search_params}
    assert params["anns_field"] == "vector"
    (on,) = plan(store, "binary")
    assert on.request == off.reverse
    assert len(recorder.named("CreateIndex")) == 2, "nothing is built for it"


def test_sign_bits_of_an_existing_collection_are_in_a_second_one(
    at: Callable[[str], Opened],
) -> None:
    """A field cannot be added before 2.6."""
    store, _ = at("v2.5.27")
    store.create(NAME, {"": Vector(8)}, {})
    (step,) = plan(store, "binary")
    assert step.request["op"] == "milvus.bits"
    assert "second collection" in step.action


@pytest.mark.parametrize(
    ("version", "datatype", "wire", "kind", "queried"),
    [
        ("v2.4.23", "bfloat16", schema_pb2.DataType.BFloat16Vector, "bfloat16_vector",
         common_pb2.PlaceholderType.BFloat16Vector),
        ("v2.4.23", "float16", schema_pb2.DataType.Float16Vector, "float16_vector",
         common_pb2.PlaceholderType.Float16Vector),
        ("2.6.22", "int8", schema_pb2.DataType.Int8Vector, "int8_vector",
         common_pb2.PlaceholderType.Int8Vector),
    ],
)  # fmt: skip
def test_smaller_datatypes_are_sent_as_bytes(
    at: Callable[[str], Opened], version: str, datatype: Any, wire: int, kind: str, queried: int
) -> None:
    store, recorder = at(version)
    store.create(NAME, {"": Vector(4, datatype=datatype)}, {})
    made = schema_pb2.CollectionSchema.FromString(recorder.named("CreateCollection")[0].schema)
    assert [each.data_type for each in made.fields if each.name == "vector"] == [wire]
    assert sent(recorder)[0] == "HNSW"
    row = np.array([[1.0, -0.5, 0.25, 0.0]], dtype=np.float32)
    store.write(NAME, Batch([1], {"": row}))
    (column,) = [
        each for each in recorder.named("Upsert")[0].fields_data if each.field_name == "vector"
    ]
    values = {
        "bfloat16_vector": b"\x80\x3f\x00\xbf\x80\x3e\x00\x00",
        "float16_vector": row.astype(np.float16).tobytes(),
        "int8_vector": np.array([127, -64, 32, 0], dtype=np.int8).tobytes(),
    }
    assert getattr(column.vectors, kind) == values[kind]
    store.search(NAME, row, SearchRequest(k=5))
    group = common_pb2.PlaceholderGroup.FromString(recorder.named("Search")[-1].placeholder_group)
    assert (group.placeholders[0].type, group.placeholders[0].values[0]) == (queried, values[kind])
    vector = store.info(NAME).vectors[""]
    assert vector.datatype == datatype
    assert vector.float_bytes == {"int8": 1}.get(datatype, 2) * 4 * recorder.rows


def test_int8_and_bfloat16_are_refused_on_older_versions(at: Callable[[str], Opened]) -> None:
    for version, datatype in (("v2.5.27", "int8"), ("v2.3.5", "bfloat16"), ("2.6.22", "uint8")):
        store, recorder = at(version)
        with pytest.raises(UnsupportedError, match=datatype):
            store.create(NAME, {"": Vector(4, datatype=datatype)}, {})  # type: ignore[arg-type]
        assert recorder.requests == []
    store, _ = at("2.6.22")
    with pytest.raises(UnsupportedError, match="int8"):
        wanted = Quantization.parse('scalar:native={"index_type":"IVF_SQ8"}')
        store.create(NAME, {"": Vector(4, datatype="int8")}, {"": wanted})


def test_rows_that_do_not_fit_int8_are_refused(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(2, Metric.DOT, "int8")}, {})
    with pytest.raises(InputError, match="integers from -128 to 127"):
        store.write(NAME, Batch([1, 2], {"": [[1, 2], [3.5, 0]]}))
    assert recorder.named("Upsert") == []
    store.write(NAME, Batch([1], {"": [[-128, 127]]}))


def test_codes_on_disk_use_mmap_from_2_4(at: Callable[[str], Opened]) -> None:
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(8)}, {"": Quantization.parse("scalar:codes=disk")})
    params = recorder.index_params()
    assert params["mmap.enabled"] == "true"
    assert "mmap" not in params["params"]
    quantization = store.info(NAME).vectors[""].quantization
    assert (quantization.codes, quantization.bits) == ("disk", 8)
    assert not plan(store, "scalar:codes=disk")
    assert not plan(store, "scalar"), "where codes are is left when nothing is asked"
    (step,) = plan(store, "scalar:codes=ram")
    assert step.request["index"]["params"]["mmap.enabled"] == "false"
    older, recorder = at("v2.3.5")
    mapped = older.map(Quantization.parse("scalar:codes=disk"), Vector(8))
    assert "mmap" in mapped.match.differences[0]


@pytest.mark.parametrize(
    ("version", "text", "target_vector", "kinds"),
    [
        ("2.6.22", "rotational:bits=1", None, {"vector": "IVF_RABITQ"}),
        ("v2.5.27", "binary", None, {"vector": "HNSW", "qadapt_bits_vector": "BIN_FLAT"}),
        ("2.6.22", None, Vector(12, datatype="int8"), {"vector": "HNSW"}),
        ("v2.4.23", None, Vector(12, datatype="bfloat16"), {"vector": "HNSW"}),
    ],
)
def test_a_change_by_alias_copies_and_switches(
    at: Callable[[str], Opened],
    version: str,
    text: str | None,
    target_vector: Vector | None,
    kinds: dict[str, str],
) -> None:
    store, recorder = at(version)
    recorder.rows = 0
    store.create(f"{NAME}_v1", {"": Vector(12)}, {})
    store.connection.client.create_partition(f"{NAME}_v1", "red")
    store.switch_alias(NAME, f"{NAME}_v1")
    wanted = None if text is None else Quantization.parse(text)
    request = ChangeRequest(store.inspect(NAME), "", wanted, target_vector, "alias")
    change = store.plan_change(request)
    steps = [*change.recreation, *change.steps]
    recorder.requests.clear()
    carry_out(store, steps)
    writes = ("CreateCollection", "CreatePartition", "LoadCollection", "Flush", "AlterAlias",
              "AlterCollection", "DropIndex", "ReleaseCollection")  # fmt: skip
    assert recorder.order(*writes) == [
        "CreateCollection",
        "CreatePartition",
        "LoadCollection",
        "Flush",
        "AlterCollection",
        "AlterAlias",
    ]
    made = recorder.named("CreateCollection")[0]
    assert made.collection_name == f"{NAME}_v2"
    assert {p.key: p.value for p in made.properties}["qadapt.copy_of"] == f"{NAME}_v1"
    fields = schema_pb2.CollectionSchema.FromString(made.schema).fields
    assert [each.name for each in fields if not each.is_dynamic] == ["qadapt_id", *kinds]
    built = {
        each.field_name: {pair.key: pair.value for pair in each.extra_params}["index_type"]
        for each in recorder.named("CreateIndex")
    }
    assert built == kinds
    (moved,) = recorder.named("AlterAlias")
    assert (moved.alias, moved.collection_name) == (NAME, f"{NAME}_v2")
    assert store.info(NAME).config["alias_of"] == f"{NAME}_v2"
    recorder.requests.clear()
    carry_out(store, steps)
    assert recorder.order(*writes) == [], "a second run changes nothing"
    assert steps[0].reverse is not None
    store.run(NAME, steps[0].reverse, silent, 30)
    assert recorder.aliases == {NAME: f"{NAME}_v1"}


def test_float16_is_a_field_type_from_2_4(at: Callable[[str], Opened]) -> None:
    """2.3.5 creates this field and never builds its index."""
    store, recorder = at("v2.4.23")
    store.create(NAME, {"": Vector(8, datatype="float16")}, {})
    assert store.info(NAME).vectors[""].datatype == "float16"
    older, recorder = at("v2.3.5")
    with pytest.raises(UnsupportedError, match=r"2\.4"):
        older.create(NAME, {"": Vector(8, datatype="float16")}, {})
    assert recorder.requests == []


def test_searches_use_the_consistency_level_of_the_collection_by_default(
    at: Callable[[str], Opened],
) -> None:
    """Facts section 4: Strong takes 259 ms, Session 5, and Bounded does not return earlier writes
    of the client."""
    store, recorder = at("2.6.22")
    store.create(NAME, {"": Vector(8)}, {})
    query = np.ones((1, 8), dtype=np.float32)
    hits = store.search(NAME, query, SearchRequest(k=10))
    assert recorder.named("Search")[-1].consistency_level == 1
    assert "Session" in hits.how.notes[0]
    hits = store.search(NAME, query, SearchRequest(k=10, options={"consistency_level": "Bounded"}))
    assert recorder.named("Search")[-1].consistency_level == 2
    assert "may not see the newest writes" in hits.how.notes[0]
    by_address, recorder = at("2.6.22?consistency=Strong")
    by_address.create(NAME, {"": Vector(8)}, {})
    hits = by_address.search(NAME, query, SearchRequest(k=10))
    assert recorder.named("Search")[-1].consistency_level == 0
    assert "260 ms" in hits.how.notes[0]
    assert by_address.info(NAME).config["consistency"] == "Strong"
    hits = by_address.search(
        NAME, query, SearchRequest(k=10, options={"consistency_level": "Eventually"})
    )
    assert recorder.named("Search")[-1].consistency_level == 3
    with pytest.raises(AddressError, match="Sesion"):
        at("2.6.22?consistency=Sesion")
