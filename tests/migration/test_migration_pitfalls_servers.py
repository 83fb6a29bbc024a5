"""Failures of other migration tools: result windows, endless loops, ignored errors.

They run on real Milvus 2.3.5 and Weaviate servers where the failure depends on the server.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from migration_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError, UnsupportedError

Ends = Callable[[str], Database]


# -- out of Milvus -------------------------------------------------------------------------------


def test_quoted_ids_and_more_rows_than_the_window_of_a_milvus_server(ends: Ends, name: str) -> None:
    """qdrant/migration does not escape quotes in VARCHAR keys, and vecparity pages by offset, which
    a server limits to 16,384."""
    here, there = ends("edge"), ends("milvus")
    there_made = there.create(name, dim=4, metric="dot")
    signs = ['"', "'", "\\", '\\"', '" or qadapt_id != "', "%", "\n", "'; --"]
    keys = [f"{signs[at % 8]}{at}{signs[at % 8]}" for at in range(17_000)]
    there_made.write(qa.Batch(keys, {"": rows(17_000, dim=4)}))
    done = qa.migrate(there_made, (here, "docs"), check="sample")
    assert done.check is not None
    assert (done.state, done.metrics.rows) == ("done", 17_000)
    assert (done.check.missing, done.check.unexpected, done.check.different) == (0, 0, 0)
    sent = set(keys)
    assert set(everything(here["docs"])) == sent


def test_rows_from_weaviate_are_searchable_in_milvus_at_once(ends: Ends, name: str) -> None:
    """https://github.com/langgenius/dify/issues/30726: after Weaviate -> Milvus retrieval is empty;
    https://github.com/zilliztech/vts/issues/63 and /117: out of Milvus again, which it cannot."""
    here, there = ends("weaviate"), ends("milvus")
    made = here.create(name, dim=DIM, metric="cosine")
    keys = [str(uuid.UUID(int=at)) for at in range(400)]
    payloads = [{"text": f"row {at}", "dataset": f"d{at % 3}"} for at in range(400)]
    vectors = rows(400)
    made.write(qa.Batch(keys, {"": vectors}, payloads))
    assert qa.migrate(made, (there, name), gate="recall@10>=0.95").state == "done"
    hits = there[name].search(vectors[:20], k=1)
    assert hits.ids[:, 0].tolist() == keys[:20]
    found = there[name].search(vectors[:1], k=5, filter={"dataset": "d0"})
    assert found.ids[0, 0] == keys[0]
    # Also with the Milvus client and a filter expression on the payload.
    client = there._store.connection.client  # type: ignore[attr-defined]
    (own,) = client.search(
        name, data=vectors[:1].tolist(), limit=5, filter='dataset == "d0"', output_fields=["text"]
    )
    assert len(own) == 5
    assert own[0]["entity"]["text"] == "row 0"
    back = ends("edge")
    assert qa.migrate((there, name), (back, "docs")).state == "done"
    assert back["docs"].count() == 400


# -- ignored errors ------------------------------------------------------------------------------


def test_a_rejected_batch_is_an_error(
    source: Collection, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://github.com/AI-Northstar-Tech/vector-io/issues/93: a failed import to Qdrant reports
    "completed" (import_vdf/qdrant_import.py)."""
    there = ends("edge")
    write = there._store.write

    def refused(name: str, batch: qa.Batch) -> None:
        if 250 in batch.ids:
            raise StoreError("the server rejected it")
        write(name, batch)

    with monkeypatch.context() as patched:
        patched.setattr(there._store, "write", refused)
        with pytest.raises(StoreError, match="the server rejected it"):
            qa.migrate(source, (there, "docs"), trial_copy=False, batch_bytes=2048)
    assert there["docs"].count() < 500
    done = qa.migrate(source, (there, "docs"))  # the same call continues
    assert (done.state, done.resumed, there["docs"].count()) == ("done", True, 500)


def test_a_lost_row_fails_the_migration_under_python_o(source: Collection, ends: Ends) -> None:
    """qdrant-client's ``migrate`` uses ``assert``, which ``python -O`` removes."""
    there = ends("edge")
    qa.migrate(source, (there, "docs"), check="off")
    there["docs"].delete([3])
    addresses = [f"{each._store.address}#docs" for each in (source, there)]
    for each in (source, there):
        each._store.close()
    words = [sys.executable, "-O", "-m", "qadapt.cli", "migrate", *addresses]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 3, done.stderr
    assert "1 missing" in done.stdout


# -- endless loops -------------------------------------------------------------------------------


def test_catch_up_without_a_date_writes_only_changed_rows(source: Collection, ends: Ends) -> None:
    """vecparity without ``updated_at`` copies all rows in every pass (sync/engine.py)."""
    there = ends("edge")
    qa.migrate(source, (there, "docs"), check="off")
    written: list[int] = []
    write = there._store.write

    def counted(name: str, batch: qa.Batch) -> None:
        written.append(len(batch))
        write(name, batch)

    there._store.write = counted  # type: ignore[method-assign]
    idle = qa.migrate(source, (there, "docs"), catch_up=True, check="off").catch_up
    assert idle is not None
    assert (idle.added, idle.changed, idle.deleted, written) == (0, 0, 0, [])
    source.write(qa.Batch([7], {"": rows(1, seed=3)}, [{"n": 7}]))
    busy = qa.migrate(source, (there, "docs"), catch_up=True, check="off").catch_up
    assert busy is not None
    assert (busy.added, busy.changed, busy.deleted, written) == (0, 1, 0, [1])


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", ["SQ8", "PQ4x4", "IVF8,SQ8"])
def test_rows_of_a_quantized_faiss_index_are_imported(
    edge: Database, tmp_path: Path, factory: str
) -> None:
    """qdrant/migration refuses quantized FAISS indexes; their decoded vectors are imported bit for
    bit (docs/migrate.md)."""
    faiss = pytest.importorskip("faiss")
    vectors = rows(500)
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    if factory.startswith("IVF"):
        index.make_direct_map()
    floats = index.reconstruct_n(0, index.ntotal)
    assert not np.array_equal(floats, vectors)  # quantization changed them
    np.save(tmp_path / "index.npy", floats)
    done = qa.import_file(tmp_path / "index.npy", (edge, "docs"), metric="dot")
    assert done.rows == 500
    assert edge["docs"].fetch(range(500)).vectors[""].tobytes() == floats.tobytes()


def test_custom_shard_keys_are_refused_unless_allowed(
    edge: Database,
) -> None:
    """qdrant-client's ``migrate`` refuses them. With recorded responses, not a server."""
    pytest.importorskip("qdrant_client")
    source = _sharded()
    plan = qa.plan_migration((source, "docs"), (edge, "copy"), trial_copy=False)
    assert [(loss.name, loss.allowed) for loss in plan.losses] == [("shard-keys", False)]
    with pytest.raises(UnsupportedError, match="shard-keys: custom"):
        qa.migrate((source, "docs"), (edge, "copy"), trial_copy=False)
    assert edge.collections() == []
    done = qa.migrate(
        (source, "docs"), (edge, "copy"), trial_copy=False, check="off", allow=["shard-keys"]
    )
    assert done.metrics.rows == 3
    assert edge["copy"].count() == 3


def _sharded() -> Database:
    """A Qdrant server with a collection of custom shards and three rows."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "stores" / "qdrant"))
    try:
        from qdrant_helpers import Replay, info_of, ok, telemetry_of
    finally:
        sys.path.pop(0)
    params = {"sharding_method": "custom", "shard_number": 2}
    info = info_of({"size": 2, "distance": "Dot"}, points=3, params=params)
    points: list[dict[str, Any]] = [
        {"id": at, "vector": [1.0, float(at)], "payload": {}, "shard_key": "ab"[at % 2]}
        for at in range(3)
    ]
    page = ok({"points": points, "next_page_offset": None})
    server = Replay()
    server.on("GET", "/collections", ok({"collections": [{"name": "docs"}]}))
    server.on("GET", "/collections/docs", ok(info))
    server.on("GET", "/collections/docs/optimizations", ok({"ongoing": []}))
    reported = telemetry_of("docs", [{"": (3, "plain", None)}])
    server.on("GET", "/telemetry?details_level=4", ok(reported))
    server.on("POST", "/collections/docs/points/count", ok({"count": 3}))
    server.on("POST", "/collections/docs/points/scroll", page)
    server.on("POST", "/collections/docs/points", ok(points))
    return Database(server.store())
