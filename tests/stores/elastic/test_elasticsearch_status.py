"""The status of codes and the mapping, from answers that 9.5.3 and 8.19.21 gave."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import qadapt as qa
from qadapt.errors import AlreadyExistsError, InputError, NotFoundError, QadaptError, ReadOnlyError
from qadapt.model import Quantization, Server, State, Vector, VectorInfo
from qadapt.stores.elastic.connection import Connection, Wire
from qadapt.stores.elastic.elasticsearch import mapping, snapshot
from qadapt.stores.elastic.elasticsearch.schema import Elasticsearch
from qadapt.stores.elastic.elasticsearch.status import Observation, status_of
from qadapt.stores.elastic.elasticsearch.version import ServerVersion
from qadapt.stores.elastic.errors import Refused, refused
from qadapt.stores.elastic.schema import parse

FOLDER = Path(__file__).parents[2] / "recordings"
VERSIONS = ("9.5.3", "8.19.21")
RECORDED: dict[str, Any] = {
    each: json.loads((FOLDER / f"elasticsearch-{each}" / "fields.json").read_text())
    for each in VERSIONS
}


class Recorded(Wire):
    """Answers requests for the number of rows and for statistics."""

    def __init__(self, primaries: Any) -> None:
        self.primaries = primaries

    def send(self, method: str, path: str, *rest: Any) -> Any:
        if path.endswith("/_count"):
            return {"count": self.primaries["docs"]["count"]}
        return {"indices": {"rec1": {"primaries": self.primaries}}}

    def close(self) -> None:
        pass


def vector_info(version: str, name: str) -> VectorInfo:
    found, product = RECORDED[version][name], Elasticsearch(version)
    index = parse("rec1", {"rec1": found["index"]}, product)
    connection = Connection(Recorded(found["primaries"]), owned=False)
    taken = snapshot.take_snapshot(connection, product, index)
    server = Server("elasticsearch", version)
    return taken.info(server).vectors[""]


@pytest.mark.parametrize(
    ("name", "kind", "state"),
    [
        ("default", "scalar", State.ACTIVE),
        ("hnsw", "none", State.ABSENT),
        ("flat", "none", State.ABSENT),
        ("int8_hnsw", "scalar", State.ACTIVE),
        ("int4_hnsw", "scalar:bits=4", State.ACTIVE),
        ("bbq_hnsw", "binary", State.ACTIVE),
        ("bbq_flat", "binary", State.ACTIVE),
        ("int8_then_bbq", "binary", State.BUILDING),
        ("int8_then_int4", "scalar:bits=4", State.BUILDING),
        ("hnsw_then_int8", "scalar", State.BUILDING),
        ("int8_flat_then_hnsw", "none", State.BUILDING),
    ],
)
def test_the_bytes_of_segments_decide(name: str, kind: str, state: State) -> None:
    found = vector_info("9.5.3", name)
    wanted = Quantization.parse(kind)
    assert (found.quantization.kind, found.quantization.bits) == (wanted.kind, wanted.bits)
    assert found.status.state is state
    assert bool(found.status.advice) == (state is State.BUILDING)
    if state is State.BUILDING and found.status.progress is not None:
        assert found.status.progress < 0.1


@pytest.mark.parametrize("name", ["int8_hnsw", "bbq_hnsw", "int8_then_bbq"])
def test_without_bytes_the_state_is_unknown(name: str) -> None:
    status = vector_info("8.19.21", name).status
    assert status.state is State.UNKNOWN
    assert "9.1" in status.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_all_types_are_read_from_the_mapping(version: str) -> None:
    for name in ("int8_hnsw", "int4_hnsw", "bbq_hnsw", "bbq_flat", "hnsw", "flat"):
        assert vector_info(version, name).index["type"] == name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dims", InputError), ("zero", InputError), ("type", InputError),
        ("missing", NotFoundError), ("exists", AlreadyExistsError), ("blocked", ReadOnlyError),
    ],
)  # fmt: skip
def test_the_errors_of_the_server(version: str, name: str, kind: type[QadaptError]) -> None:
    answer = RECORDED[version]["refused"][name]
    assert type(refused(Refused(answer["status"], answer), "try it")) is kind


@pytest.mark.parametrize(
    "text", ["none", "scalar", "scalar:bits=4", "binary", "scalar:originals=disk"]
)
@pytest.mark.parametrize("index", ["hnsw", "flat"])
def test_a_mapping_is_read_back_as_it_was_asked_for(text: str, index: str) -> None:
    asked = Quantization.parse(text).replace(native={"index": index})
    mapped = mapping.to_native(asked, Vector(128))
    options = mapping.index_options(mapped.native or {}, {}, None)
    assert mapping.split_type(options["type"])[1] == index
    back = mapping.quantization_of(options)
    assert back.codes_only.replace(query_bits=None) == Quantization.parse(text).codes_only


@pytest.mark.parametrize(
    ("text", "vector", "version", "reason"),
    [
        ("binary", Vector(32), None, "at least 64 dimensions"),
        ("scalar:bits=4", Vector(33), None, "even number"),
        ("binary", Vector(64), "8.15.0", "need Elasticsearch 8.16.0"),
        ("scalar:bits=4", Vector(64), "8.14.0", "need Elasticsearch 8.15.0"),
        ("scalar:bits=6", Vector(64), None, "8 and 4 bits, not 6"),
        ("binary:bits=2", Vector(64), None, "Enterprise licence"),
        ("float16", Vector(64), None, "bfloat16 replaces"),
        ("float16:originals=none", Vector(64), "9.2.0", "needs Elasticsearch 9.3.0"),
        ("scalar:originals=disk", Vector(64), "9.2.0", "needs Elasticsearch 9.3.0"),
        ("product", Vector(64), None, "no product codes"),
        ("binary:query_bits=8", Vector(64), None, "4 bits per dimension"),
    ],
)
def test_what_the_server_does_not_have(
    text: str, vector: Vector, version: str | None, reason: str
) -> None:
    match = mapping.to_native(Quantization.parse(text), vector, ServerVersion(version)).match
    assert match.level.value == "unsupported"
    assert reason in match.differences[0]
    assert match.support


def test_options_that_are_left_out_are_sent() -> None:
    """A request replaces all options, and a graph that had m 32 would get 16."""
    current = {"type": "int8_hnsw", "m": 32, "ef_construction": 200}
    options = mapping.index_options({"codes": "bbq"}, current, qa.Rescore(4))
    assert options == {
        "type": "bbq_hnsw", "m": 32, "ef_construction": 200, "rescore_vector": {"oversample": 4.0}
    }  # fmt: skip
    assert "rescore_vector" not in mapping.index_options({"codes": "bbq"}, {}, qa.Rescore(20))
    assert mapping.mapped_oversampling(qa.Rescore(source="off")) == 0


def test_a_few_vectors_without_codes_are_not_taken_for_an_older_format() -> None:
    """Of 400 vectors, 12 have no codes: on average as many bytes as all codes of 9.1 would have."""
    sizes = {"vec": 400 * 4 * 384, "veq": 388 * (384 + 16)}
    assert sizes["veq"] == 400 * (384 + 4)
    seen = Observation({"type": "int8_hnsw"}, 384, 4, sizes, 2, 0)
    assert status_of(seen).state is State.BUILDING
    assert status_of(dataclasses.replace(seen, correction=4)).state is State.ACTIVE
    whole = {**sizes, "veq": 400 * (384 + 16)}
    assert status_of(dataclasses.replace(seen, sizes=whole)).state is State.ACTIVE
