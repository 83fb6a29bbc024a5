"""The evidence in the engine's files, and the computed size of codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_helpers import carry_out, fill, plan

from qadapt.model import Batch, Metric, Vector
from qadapt.stores.qdrant import mapping, memory
from qadapt.stores.qdrant.edge import schema, segment_files
from qadapt.stores.qdrant.edge.store import EdgeStore

KINDS: list[dict[str, Any]] = [
    {"scalar": {"type": "int8"}},
    *({"binary": {"encoding": word}} for word in mapping.BINARY_ENCODINGS.values()),
    *({"product": {"compression": word}} for word in mapping.RATIOS.values()),
    *({"turbo": {"bits": word}} for word in mapping.TURBO_BITS.values()),
]


@pytest.mark.parametrize(
    ("dim", "metric"),
    [
        pytest.param(10, "euclidean", marks=pytest.mark.long),
        pytest.param(100, "cosine", marks=pytest.mark.long),
        (129, "dot"),  # is padded by each kind
    ],
)
def test_bytes_of_codes_match_the_computed_size(tmp_path: Path, dim: int, metric: str) -> None:
    """Every kind, with all its padding, against the size of the engine's own file."""
    edge = pytest.importorskip("qdrant_edge")
    vector, count = Vector(dim, Metric(metric)), 300
    word = {"dot": "Dot", "euclidean": "Euclid", "cosine": "Cosine"}[metric]
    params = edge.EdgeVectorParams(size=dim, distance=getattr(edge.Distance, word))
    optimizers = edge.EdgeOptimizersConfig(indexing_threshold=1)
    shard = edge.EdgeShard.create(str(tmp_path), edge.EdgeConfig(params, optimizers=optimizers))
    rows = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    shard.update(
        edge.UpdateOperation.upsert_points([edge.Point(at, row) for at, row in enumerate(rows)])
    )
    shard.close()
    for kind in KINDS:
        request = {"vector": "", "quantization_config": kind}
        schema.write(tmp_path, schema.configured(schema.read(tmp_path), request))
        shard = edge.EdgeShard.load(str(tmp_path))
        shard.optimize()
        shard.close()
        (found,) = [segment for segment in segment_files.read(tmp_path)[""] if segment.indexed]
        assert found.matches(kind)
        assert found.rows == count
        assert found.code_bytes == memory.code_bytes(kind, vector, count), kind
        assert found.float_bytes == pytest.approx(4 * dim * count, abs=16)


def test_segments_of_a_live_shard(store: EdgeStore) -> None:
    rng = np.random.default_rng(0)
    vectors = {"": Vector(64), "title": Vector(8)}
    missing = {"title": np.arange(300) % 3 == 0}
    batch = Batch(
        list(range(300)),
        {"": rng.standard_normal((300, 64)), "title": rng.standard_normal((300, 8))},
        None,
        missing,
    )
    fill(store, batch, vectors)
    folder = store.address.path / "c"
    found = segment_files.read(folder)
    assert [(s.indexed, s.rows, s.code_bytes) for s in found[""]] == [(False, 300, 0)]
    assert [s.rows for s in found["title"]] == [200]
    carry_out(store, plan(store, "scalar", "title"))
    store.write("c", Batch([1000], {"": rng.standard_normal((1, 64))}))
    found = segment_files.read(folder)
    assert sorted((s.indexed, s.rows) for s in found[""]) == [(False, 1), (True, None)]
    assert sorted((s.indexed, s.rows, s.code_bytes) for s in found["title"]) == [
        (False, 0, 0),
        (True, 300, 300 * 20),
    ]
    (indexed,) = [s for s in found["title"] if s.indexed]
    assert indexed.config == indexed.code_config == {"scalar": {"type": "int8"}}
    assert indexed.index["m"] == 16
    # The evidence is in the codes themselves: without their file there is no evidence.
    store.close()
    (codes,) = folder.glob("segments/*/vector_storage-title/quantized.data")
    codes.unlink()
    assert not next(s for s in segment_files.read(folder)["title"] if s.indexed).matches(
        {"scalar": {"type": "int8"}}
    )


def test_changing_or_damaged_folders_are_read(store: EdgeStore, tmp_path: Path) -> None:
    assert segment_files.read(tmp_path / "nowhere") == {}
    rng = np.random.default_rng(0)
    fill(store, Batch(list(range(10)), {"": rng.standard_normal((10, 4))}))
    store.close()
    folder = store.address.path / "c"
    (segment,) = (folder / "segments").iterdir()
    shutil.copytree(segment, folder / "segments" / "gone.deleted")
    (folder / "segments" / "torn").mkdir()
    (folder / "segments" / "torn" / "segment.json").write_text('{"config"')
    assert [s.segment for s in segment_files.read(folder)[""]] == [segment.name]
    for path in segment.glob("vector_storage/*/status.dat"):
        path.unlink()
    (unknown,) = segment_files.read(folder)[""]
    assert unknown.rows is None
    assert not unknown.empty


def test_editing_the_file(tmp_path: Path) -> None:
    before = {
        "vectors": {"": {"size": 4, "on_disk": True}, "b": {"quantization_config": {"turbo": {}}}},
        "quantization_config": {"binary": {}},
        "optimizers": {"indexing_threshold": None, "max_segment_size": 5},
        "hnsw_config": {"m": 16},
    }
    text = json.dumps(before)
    request = {
        "vector": "",
        "quantization_config": None,
        "memory": "cold",
        "on_disk": None,
        "optimizers": {"indexing_threshold": 7},
    }
    wanted = schema.configured(before, request)
    assert json.dumps(before) == text
    assert wanted["vectors"] == {
        "": {"size": 4, "memory": "cold"},
        "b": {"quantization_config": {"turbo": {}}},
    }
    assert "quantization_config" not in wanted
    assert wanted["optimizers"] == {"indexing_threshold": 7, "max_segment_size": 5}
    schema.write(tmp_path, wanted)
    assert schema.read(tmp_path) == wanted
    assert [path.name for path in tmp_path.iterdir()] == [schema.FILE]
    assert schema.settings(wanted) == {
        "vectors": wanted["vectors"],
        "optimizers": {"indexing_threshold": 7, "max_segment_size": 5},
    }
    assert schema.quantization_config(before, "") == {"binary": {}}
    assert schema.quantization_config(before, "b") == {"turbo": {}}
