"""Failures of other migration tools that qadapt must not have, each with its issue or file.

Some are covered elsewhere: ids in ``test_migration_ids``, payload indexes in
``test_migration_payload_indexes``, cutover, catch-up and concurrent runs in
``test_migration_resume`` and ``test_migration_refusals``.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from migration_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnreachableError
from qadapt.stores.base import Progress, ReadRequest

Ends = Callable[[str], Database]


def of_others(database: Database, name: str, metric: str, *more: tuple[str, str]) -> Any:
    """Create a collection with the Milvus client: integer keys and one dense vector.

    Args:
        more: names and types of other vectors.
    """
    pymilvus = pytest.importorskip("pymilvus")
    client = database._store.connection.client  # type: ignore[attr-defined]
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("pk", pymilvus.DataType.INT64, is_primary=True)
    schema.add_field("dense", pymilvus.DataType.FLOAT_VECTOR, dim=4)
    indexes = client.prepare_index_params()
    indexes.add_index("dense", index_type="FLAT", metric_type=metric)
    for field, kind in more:
        sparse = kind == "SPARSE_FLOAT_VECTOR"
        schema.add_field(field, pymilvus.DataType[kind], **({} if sparse else {"dim": 4}))
        if sparse:
            indexes.add_index(field, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        else:
            indexes.add_index(field, index_type="FLAT", metric_type=metric)
    client.create_collection(name, schema=schema, index_params=indexes)
    return client


@pytest.mark.parametrize(("metric", "common"), [("L2", "euclidean"), ("IP", "dot")])
def test_the_metric_is_read_from_the_index(ends: Ends, metric: str, common: str) -> None:
    """qdrant/migration defaults to cosine (cmd/migrate_from_milvus.go)."""
    here, there = ends("lite"), ends("edge")
    client = of_others(here, "theirs", metric)
    vectors = rows(50, dim=4)
    client.insert("theirs", [{"pk": at, "dense": vectors[at].tolist()} for at in range(50)])
    done = qa.migrate((here, "theirs"), (there, "docs"), allow=["typed-fields"])
    assert done.state == "done"
    (info,) = there["docs"].info().vectors.values()
    assert info.metric is qa.Metric.of(common)
    np.testing.assert_array_equal(there["docs"].fetch(range(50)).vectors[info.name], vectors)


def test_sparse_vectors_do_not_become_payload(ends: Ends) -> None:
    """qdrant/migration puts sparse vectors into the payload (cmd/migrate_from_milvus.go)."""
    here, there = ends("lite"), ends("edge")
    client = of_others(here, "theirs", "L2", ("words", "SPARSE_FLOAT_VECTOR"))
    client.insert("theirs", [{"pk": 1, "dense": [1.0, 2.0, 3.0, 4.0], "words": {3: 0.5}}])
    done = qa.migrate((here, "theirs"), (there, "docs"))
    assert done.state == "done"
    found = there._store.fetch("docs", [1], vectors=["words"])
    assert found.payloads == [{}]
    words = found.extras["words"]
    assert words.indices is not None
    assert (words.indices.tolist(), words.values.tolist()) == ([3], [0.5])


def test_paging_by_ids_with_quotes(ends: Ends) -> None:
    """qdrant/migration pages by ``pk > "..."`` without escaping quotes."""
    here, there = ends("lite"), ends("edge")
    made = here.create("theirs", dim=DIM, metric="dot")
    signs = ['"', "'", "\\", '\\"', '" or pk != "', "%", "\n", "'; --", "\\\\", "{}"]
    keys = [f"{sign}{at}{sign}" for at in range(12) for sign in signs]
    made.write(qa.Batch(keys, {"": rows(len(keys))}))
    assert qa.migrate(made, (there, "docs"), batch_bytes=1024).state == "done"
    assert everything(there["docs"]) == everything(made)
    behind = [batch.ids for batch in here._store.read("theirs", ReadRequest(page=7))]
    for last, following in itertools.pairwise(behind):
        again = next(iter(here._store.read("theirs", ReadRequest(page=7, after=last[-1]))))
        assert list(again.ids) == list(following)


def test_pages_are_within_the_result_window_of_milvus(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qadapt.stores.milvus.rows.WINDOW", 100)
    made = ends("lite").create("many", dim=4, metric="dot")
    made.write(qa.Batch(range(250), {"": rows(250, dim=4)}))
    pages = [page.ids for page in made.read(page=1000, payload=False)]
    assert [len(page) for page in pages] == [100, 100, 50]
    assert sorted(key for page in pages for key in page) == list(range(250))


@pytest.mark.long
def test_more_rows_than_the_result_window_of_milvus_are_read(ends: Ends) -> None:
    """vecparity pages by offset, which Milvus limits to 16,384."""
    made = ends("lite").create("many", dim=4, metric="dot")
    made.write(qa.Batch(range(17_000), {"": rows(17_000, dim=4)}))
    found = [key for page in made.read(payload=False) for key in page.ids]
    assert sorted(found) == list(range(17_000))


def test_a_finished_migration_does_not_affect_another_one(source: Collection, ends: Ends) -> None:
    """qdrant/migration deletes the offsets of all runs when one ends (pkg/commons/offsets.go)."""
    one, other = ends("edge"), ends("edge")

    def stop(progress: Progress) -> None:
        if progress.stage == "copying" and progress.done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qa.migrate(
            source, (one, "docs"), batch_bytes=1024, workers=1, trial_copy=False, progress=stop
        )
    assert qa.migrate(source, (other, "docs")).state == "done"
    done = qa.migrate(source, (one, "docs"), resume=True)
    assert done.state == "done"
    assert done.metrics.rows_before > 0
    assert done.metrics.rows_before + done.metrics.rows == 500


def test_vectors_are_preserved_bit_for_bit(edge: Database, ends: Ends) -> None:
    """https://github.com/qdrant/migration/pull/117: they differed after the first decimal."""
    draw = np.random.default_rng(0)
    bits = draw.integers(0, 2**32, (3000, 8), dtype=np.uint64).astype(np.uint32)
    vectors = bits.view(np.float32)
    # All finite numbers, subnormal ones too, but none so large that a product overflows.
    vectors = vectors[(np.isfinite(vectors) & (np.abs(vectors) < 1e15)).all(axis=1)]
    assert len(vectors) > 100
    made = edge.create("docs", dim=8, metric="euclidean")
    made.write(qa.Batch(range(len(vectors)), {"": vectors}))
    lite = ends("lite")
    assert qa.migrate(made, (lite, "docs")).state == "done"
    assert qa.migrate((lite, "docs"), (edge, "home")).state == "done"
    back = edge["home"].fetch(range(len(vectors))).vectors[""]
    assert back.tobytes() == vectors.tobytes()


def test_a_local_mode_collection_is_copied(ends: Ends, name: str) -> None:
    """https://github.com/qdrant/qdrant-client/issues/237: from local mode to another store."""
    here, there = ends("local"), ends("lite")
    made = here.create(name, dim=DIM, metric="cosine")
    made.write(qa.Batch(range(300), {"": rows(300)}, [{"n": at} for at in range(300)]))
    assert qa.migrate(made, (there, name)).state == "done"
    assert there[name].count() == 300


def test_migrated_rows_are_searchable_at_once(source: Collection, ends: Ends) -> None:
    """https://github.com/langgenius/dify/issues/30726: nothing is found after a migration."""
    there = ends("lite")
    done = qa.migrate(source, (there, "docs"))
    assert done.check is not None
    assert all(each.passed for each in done.check.recalls)
    queries = rows(10, seed=5)
    mine, theirs = (each.search(queries, k=5, exact=True) for each in (source, there["docs"]))
    assert theirs.ids.tolist() == mine.ids.tolist()


def test_equal_counts_with_different_rows_fail_the_check(source: Collection, ends: Ends) -> None:
    """qdrant/migration and qdrant-client's ``migrate`` compare counts only."""
    there = ends("edge")
    qa.migrate(source, (there, "docs"))
    kept = there["docs"].fetch([7])
    there["docs"].write(qa.Batch([7], {"": kept.vectors[""] * np.float32(1.0001)}, kept.payloads))
    found = qa.check(source, (there, "docs"))
    assert (found.passed, found.source_count, found.target_count) == (False, 500, 500)
    assert [(each.id, each.kind) for each in found.differences] == [(7, "vector")]


@pytest.mark.long  # test_a_lost_row_fails_the_migration_under_python_o runs the same check
def test_the_check_fails_under_python_o(source: Collection, ends: Ends) -> None:
    """qdrant-client's ``migrate`` uses ``assert``, which ``python -O`` removes."""
    there = ends("edge")
    qa.migrate(source, (there, "docs"))
    there["docs"].delete([3])
    addresses = [f"{each._store.address}#docs" for each in (source, there)]
    for each in (source, there):
        each._store.close()
    words = [sys.executable, "-O", "-m", "qadapt.cli", "check", *addresses]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 3, done.stderr
    assert "1 missing" in done.stdout


@pytest.mark.parametrize(
    "address",
    ["qdrant+http://127.0.0.1:1", "milvus+http://127.0.0.1:1", "weaviate+http://127.0.0.1:1"],
)
def test_a_connection_error_names_the_address_and_a_fix(source: Collection, address: str) -> None:
    """https://github.com/zilliztech/vts/issues/60, /62, /71: opaque errors of connections."""
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1") as caught:
        qa.migrate(source, f"{address}#docs")
    assert caught.value.hint
