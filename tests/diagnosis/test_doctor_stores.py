"""Checks of stores: Milvus and Qdrant's local mode live, the others on recorded data."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnosis_helpers import codes, one

import qadapt as qa
from qadapt.cli import main
from qadapt.model import CollectionInfo, Evidence, Server, Status, VectorInfo
from qadapt.model.address import Address
from qadapt.stores.milvus import diagnostics as milvus
from qadapt.stores.milvus.rows import native_rows
from qadapt.stores.qdrant import diagnostics as qdrant
from qadapt.stores.qdrant.server.diagnostics import ONE_BIT
from qadapt.testing import clustered

NAME = "doctor_of_qadapt"
ADDRESS = Address.parse("milvus+http://:secret@host:19530")


def vector(index: dict[str, Any], told: dict[str, Any] | None = None, **more: Any) -> VectorInfo:
    quantization = more.pop("quantization", qa.scalar())
    status = Status(
        more.pop("state", qa.State.ACTIVE),
        more.pop("reason", ""),
        evidence=tuple(Evidence(key, value) for key, value in (told or {}).items()),
    )
    return VectorInfo(
        name="",
        dim=64,
        metric=qa.Metric.COSINE,
        datatype="float32",
        count=more.pop("count", 5000),
        index=index,
        quantization=quantization,
        status=status,
    )


def info(about: VectorInfo, store: str = "milvus") -> CollectionInfo:
    return CollectionInfo("articles", about.count, {"": about}, Server(store))


# -- Milvus, recorded ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "options", "code", "words"),
    [
        ({"index_type": "HNSW_SQ", "params": {"refine": "true"}}, {},
         "parameter-without-effect", "without refine_type"),
        ({"index_type": "IVF_RABITQ", "params": {"rbq_query_bits": "4"}}, {},
         "parameter-without-effect", "rbq_bits_query"),
        ({"index_type": "SCANN", "params": {"with_raw_data": "false"}}, {},
         "parameter-without-effect", "raw data"),
        ({"index_type": "HNSW_SQ", "params": {"refine": "true", "refine_type": "FP32"}}, {},
         "originals-in-ram", "full copy"),
        ({"index_type": "HNSW_SQ", "params": {}}, {"refine_k": 4},
         "oversampling-without-rescoring", "has no refinement"),
        ({"index_type": "HNSW_SQ", "params": {}}, {"params": {"refine_k": "4"}},
         "oversampling-without-rescoring", "has no refinement"),
        ({"index_type": "IVF_SQ8", "params": {}}, {"reorder_k": 100},
         "oversampling-without-rescoring", "no raw vectors"),
        ({"index_type": "IVF_RABITQ", "params": {}}, {"rbq_query_bits": 4},
         "parameter-without-effect", "rbq_bits_query"),
    ],
)  # fmt: skip
def test_ineffective_parameters_of_milvus_are_found(
    index: dict[str, Any], options: dict[str, Any], code: str, words: str
) -> None:
    (found,) = milvus.findings(ADDRESS, info(vector(index)), options)
    assert found.code == code and words in found.message
    assert found.command and found.source and found.evidence
    assert "secret" not in found.command


@pytest.mark.parametrize(
    ("index", "options"),
    [
        ({"index_type": "HNSW_SQ", "params": {"refine": "true", "refine_type": "SQ8"}},
         {"refine_k": 4}),
        ({"index_type": "SCANN", "params": {"with_raw_data": "true"}}, {"reorder_k": 100}),
        ({"index_type": "IVF_RABITQ", "params": {}}, {"rbq_bits_query": 8, "nprobe": 16}),
        ({"index_type": "HNSW", "params": {"M": "16"}}, {"ef": 100}),
    ],
)  # fmt: skip
def test_valid_parameters_of_milvus_have_no_findings(
    index: dict[str, Any], options: dict[str, Any]
) -> None:
    assert milvus.findings(ADDRESS, info(vector(index)), options) == []


# -- Milvus, live --------------------------------------------------------------------------------


@pytest.fixture
def server(live: Callable[[str], str]) -> Iterator[Any]:
    with qa.open(live("milvus")) as db:
        if NAME in db:
            db.drop(NAME)
        yield db
        if NAME in db:
            db.drop(NAME)


def test_duplicate_keys_in_milvus_are_found(server: qa.Database) -> None:
    """A program inserts keys twice; the command of the finding fixes it."""
    rows = clustered(30, 16, queries=1).rows
    articles = server.create(NAME, dim=16)
    articles.write(qa.Batch(range(30), {"": rows}))
    assert codes(articles, only=["duplicate-ids"]) == []
    store = articles._store
    layout = store.reader.layout(NAME)
    again = native_rows(layout, qa.Batch([3, 7], {"": -rows[:2]}), layout.keys.checked([3, 7]))
    store.connection.client.insert(NAME, again)
    told = one(articles, "duplicate-ids")
    assert (
        "2 rows have the primary key of another row" in told.message
        and "keys: 3, 7" in told.message
    )
    assert told.command.startswith("collection.write(collection.fetch([3, 7]))")
    articles.write(articles.fetch([3, 7]))
    assert codes(articles, only=["duplicate-ids"]) == []
    assert articles.count() == 30


def test_unindexed_milvus_segments_reported_as_finished_are_found(server: qa.Database) -> None:
    rows = clustered(1500, 512, queries=1).rows
    articles = server.create(NAME, dim=512, quantization=qa.scalar())
    articles.write(qa.Batch(range(500), {"": rows[:500]}))
    articles.plan("scalar").apply(yes=True)
    found = articles.doctor()
    there = {each.code for each in found.findings}
    assert {"no-effect", "small-segments"} <= there, found.to_json()
    told = one(articles, "schema-only")
    assert "Finished" in told.message
    params = {"refine_k": 4}
    assert "oversampling-without-rescoring" in codes(articles, options=params)
    articles.write(qa.Batch(range(500, 1500), {"": rows[500:]}))
    articles.plan("scalar").apply(yes=True)
    assert codes(articles, skip=["small-segments"]) == []
    before = articles.cost("none").before
    assert before is not None and before.footprint is not None
    assert {"codes", "originals"} <= {part.name for part in before.footprint.components}
    assert before.footprint.native["index_type"] == articles.info().vectors[""].index["index_type"]


# -- Weaviate, live ------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_uncompressed_weaviate_vectors_with_a_compressed_schema_are_found(
    live: Callable[[str], str],
) -> None:
    """Product codes configured at creation are never built automatically.

    docs/engines/weaviate.md#when-compression-starts
    """
    name = "Doctor_of_qadapt"
    rows = clustered(600, 512, queries=1).rows
    ids = [str(uuid.UUID(int=at + 1)) for at in range(len(rows))]
    with qa.open(live("weaviate")) as db:
        if name in db:
            db.drop(name)
        articles = db.create(name, dim=512, quantization=qa.product(segments=64))
        try:
            articles.write(qa.Batch(ids, {"": rows}))
            found = {each.code: each for each in articles.doctor().findings}
            assert {"no-effect", "schema-only"} == set(found)
            assert "the schema has product" in found["schema-only"].message
            assert main([*shlex.split(found["schema-only"].command)[1:], "--yes"]) == 0
            assert codes(articles) == [], "the command fixed it"
            told = articles.cost("binary")
            assert told.before is not None and told.after is not None
            assert told.before.scales[0].ram > told.after.scales[0].ram
        finally:
            db.drop(name)


# -- Qdrant's local mode, live, and a recorded server ----------------------------------------------


def test_unused_quantization_in_local_mode_is_found(tmp_path: Path) -> None:
    qdrant_client = pytest.importorskip("qdrant_client")
    models = qdrant_client.models
    client = qdrant_client.QdrantClient(path=str(tmp_path / "local"))
    quantization = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8"))
    client.create_collection(
        "articles",
        vectors_config={
            "v": models.VectorParams(
                size=512, distance="Cosine", quantization_config=quantization, on_disk=True
            )
        },
    )
    rows = clustered(50, 512, queries=1).rows
    client.upsert(
        "articles",
        [models.PointStruct(id=at, vector={"v": row.tolist()}) for at, row in enumerate(rows)],
    )
    with qa.wrap(client) as db:
        found = {each.code: each for each in db["articles"].doctor().findings}
    client.close()
    assert {"no-effect", "schema-only"} <= set(found)
    assert "echoes" in found["schema-only"].message


def test_other_codes_on_a_green_server_are_found() -> None:
    wrong = vector({}, state=qa.State.IGNORED, reason="3 of 3 segments have no codes")
    address = Address.parse("qdrant+http://host:6333")
    (found,) = qdrant.green_without_codes(address, info(wrong, "qdrant"), "green")
    assert found.code == "schema-only" and "green" in found.message
    assert qdrant.green_without_codes(address, info(wrong, "qdrant"), "yellow") == []
    assert qdrant.green_without_codes(address, info(vector({}), "qdrant"), "green") == []


def test_rows_below_the_threshold_of_a_server_are_found() -> None:
    about = vector({}, count=1000)
    address = Address.parse("qdrant+http://host:6333")
    (found,) = qdrant.small_segments(address, info(about, "qdrant"), about, 600, 10_000)
    assert "600 of 1,000" in found.message
    assert qdrant.small_segments(address, info(about, "qdrant"), about, 150, 10_000) == []


# -- Qdrant, recorded ----------------------------------------------------------------------------


@pytest.mark.parametrize(("allowed", "found"), [(2, ["rescoring-over-the-limit"]), (4, [])])
def test_default_rescoring_above_a_later_limit_is_found(allowed: float, found: list[str]) -> None:
    about = vector({"type": "hnsw"}, quantization=qa.binary(rescore=4))
    told = qdrant.over_the_limit(ADDRESS, info(about, "qdrant"), about, qa.Rescore(allowed))
    assert [each.code for each in told] == found
    if told:
        assert "rescore=2" in told[0].message
        words = shlex.split(told[0].command)
        assert words[:2] == ["qadapt", "apply"]
        assert words[-1] == "binary:rescore=2"


@pytest.mark.parametrize(("rows", "found"), [(5000, ["one-bit-until-indexed"]), (100, [])])
def test_wide_binary_codes_without_an_index_are_found_on_a_server(
    rows: int, found: list[str]
) -> None:
    about = vector({"type": "plain"}, quantization=qa.binary(bits=2))
    told = qdrant.one_bit(ADDRESS, info(about, "qdrant"), about, rows, ONE_BIT)
    assert [each.code for each in told] == found
