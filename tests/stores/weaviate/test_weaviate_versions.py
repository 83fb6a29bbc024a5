"""The gates by version, against recordings of 1.27.27, 1.31.22 and 1.35.23."""

from __future__ import annotations

from typing import Any

import pytest
from recorded import recorded
from weaviate_recordings import observation, shard

import qadapt as qa
from qadapt.errors import NotFoundError, QadaptError, UnsupportedError
from qadapt.model import State, Vector
from qadapt.stores.weaviate import filters, mapping, vector_index_config
from qadapt.stores.weaviate import version as since
from qadapt.stores.weaviate.errors import CompressingError, by_status
from qadapt.stores.weaviate.status import status_of
from qadapt.stores.weaviate.version import ServerVersion

VERSIONS = ("1.27.27", "1.31.22", "1.35.23")
SPECS = {
    "pq": "product:ratio=16",
    "bq": "binary",
    "sq": "scalar:per=collection",
    "rq8": "rotational:bits=8",
    "rq4": "rotational:bits=4",
    "rq1": "rotational:bits=1",
}


def answer(version: str, name: str) -> dict[str, Any]:
    """A server's response: ``status`` and ``body``."""
    found: dict[str, Any] = recorded(f"weaviate-{version}", name)["response"]
    return found


def has(version: str, name: str, kind: str) -> bool:
    """Whether a server accepted and stored a quantizer of these bits."""
    reported = answer(version, name)
    if reported["status"] != 200:
        return False
    block = reported["body"]["vectorIndexConfig"].get(kind[:2]) or {}
    bits = int(kind[2:] or 0)
    return bool(block.get("enabled")) and bits in (0, block.get("bits"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", SPECS)
def test_a_quantizer_is_offered_if_the_server_stored_it(version: str, kind: str) -> None:
    quantization = qa.Quantization.parse(SPECS[kind])
    native = mapping.to_native(quantization, Vector(32), ServerVersion(version)).native
    kept = has(version, f"create_hnsw_{kind}", kind)
    assert (native is not None) == kept == has(version, f"update_none_to_{kind}", kind)
    if kept:
        (found,) = answer(version, f"nodes_after_none_to_{kind}")["body"]["nodes"][0]["shards"]
        assert found["compressed"], "codes by an update of a filled collection"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["bq", "rq8", "rq1"])
def test_a_quantizer_on_flat_is_offered_if_the_server_stored_it(version: str, kind: str) -> None:
    quantization = qa.Quantization.parse(SPECS[kind]).replace(native={"vectorIndexType": "flat"})
    native = mapping.to_native(quantization, Vector(32), ServerVersion(version)).native
    assert (native is not None) == has(version, f"create_flat_{kind}", kind)
    assert answer(version, "update_flat_none_to_bq")["status"] == 422


@pytest.mark.parametrize("version", VERSIONS)
def test_other_version_gates(version: str) -> None:
    engine = ServerVersion(version)
    assert engine.has(since.SINCE_ALIAS) == (answer(version, "alias_create")["status"] == 200)
    assert engine.has(since.SINCE_ADD_VECTOR) == (answer(version, "add_vector")["status"] == 200)
    skip = answer(version, "create_skip")["body"]["vectorIndexConfig"].get(vector_index_config.SKIP)
    assert engine.has(since.SINCE_SKIP_DEFAULT) == bool(skip)
    assert engine.has(since.SINCE_HFRESH) == (answer(version, "create_hfresh")["status"] == 200)
    for gate, name in (
        (since.SINCE_AGGREGATE, "grpc_aggregate"),
        (since.SINCE_VECTORS, "grpc_vectors"),
        (filters.NOT_SINCE, "grpc_not"),
    ):
        assert engine.has(gate) == (answer(version, name)["status"] == "OK"), name


AT_CREATION = {"bq": State.ACTIVE, "pq": State.IGNORED, "sq": State.IGNORED, "rq8": State.ACTIVE}


@pytest.mark.parametrize(
    ("version", "kind", "state"),
    [
        (version, kind, state)
        for version in VERSIONS
        for kind, state in AT_CREATION.items()
        if has(version, f"create_hnsw_{kind}", kind)
    ],
)
def test_status_of_a_quantizer_set_at_creation(version: str, kind: str, state: State) -> None:
    (reported,) = answer(version, f"nodes_hnsw_{kind}")["body"]["nodes"][0]["shards"]
    config = answer(version, f"create_hnsw_{kind}")["body"]["vectorIndexConfig"]
    native = {"vectorIndexType": "hnsw", "vectorIndexConfig": config}
    snapshot = shard(compressed=reported["compressed"], state=reported["vectorIndexingStatus"])
    assert status_of(observation(native, count=1000, shards=[snapshot])).state is state


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["bq", "sq"])
def test_a_disabled_quantizer_stays_in_use(version: str, kind: str) -> None:
    reported = answer(version, f"update_off_{kind}")
    assert reported["status"] == 200
    config = reported["body"]["vectorIndexConfig"]
    (found,) = answer(version, f"nodes_after_off_{kind}")["body"]["nodes"][0]["shards"]
    native = {"vectorIndexType": "hnsw", "vectorIndexConfig": config}
    snapshot = shard(compressed=found["compressed"], state=found["vectorIndexingStatus"])
    status = status_of(observation(native, count=1000, shards=[snapshot]))
    assert status.state is State.IGNORED
    assert "keeps the codes" in status.reason


@pytest.mark.parametrize(
    ("status", "words", "kind", "hint"),
    [
        # 1.27.27, of GET /v1/schema/C/tenants/T.
        (405, "method GET is not allowed, but [HEAD] are", UnsupportedError, "version"),
        # 1.27.27, 1.31.22, 1.35.23: a write while PQ trains; 1.39.0 writes four words.
        (
            500,
            "store is read-only due to: UpdateVectorIndexConfig",
            CompressingError,
            "building codes",
        ),
        (500, "store is read-only due to: update vector index config", CompressingError, "codes"),
        # 1.35.23, of an alias to a collection that does not exist.
        (422, "class does not exist: bad request", NotFoundError, ""),
    ],
)
def test_errors_of_older_servers(
    status: int, words: str, kind: type[QadaptError], hint: str
) -> None:
    error = by_status(status, words, "write")
    assert type(error) is kind
    assert hint in (error.hint or "")
