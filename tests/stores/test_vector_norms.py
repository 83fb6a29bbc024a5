"""Every write keeps the direction of a row, or refuses it before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import InputError, NonFiniteError, ZeroVectorError

SIZES = [3e37, 1e30, 1e20, 1.0, 3e-4, 1e-10, 1e-20, 1e-30, 1e-38]
DIRECTIONS = np.random.default_rng(0).standard_normal((len(SIZES), 6))
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
ROWS = DIRECTIONS * np.array(SIZES)[:, None]
NAN, INF = float("nan"), float("inf")


@pytest.fixture(params=["edge", "local", "lite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A store that needs no server."""
    if request.param == "local":
        client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
        with qa.wrap(client) as opened:
            yield opened
        return
    if request.param == "lite":
        pytest.importorskip("milvus_lite")
    address = {"edge": f"edge:{tmp_path}/edge", "lite": f"milvus:{tmp_path}/m.db"}[request.param]
    with qa.open(address) as opened:
        yield opened


def check_kept(collection: Any) -> None:
    """Each row is found by its direction, with the score 1."""
    hits = collection.search(DIRECTIONS, k=1)
    assert hits.ids[:, 0].tolist() == list(range(len(SIZES)))
    assert np.abs(hits.scores - 1).max() < 1e-5


def test_rows_of_any_size_are_found_under_cosine(database: Any) -> None:
    collection = database.create("a", dim=6)
    collection.write(qa.Batch(range(len(SIZES)), {"": ROWS}))
    check_kept(collection)


def test_queries_of_any_length_have_the_same_scores(database: Any) -> None:
    """An engine that does not normalize short queries returns small scores; huge queries are
    refused or normalized."""
    collection = database.create("a", dim=6)
    collection.write(qa.Batch(range(len(SIZES)), {"": DIRECTIONS}))
    for size in (1e-4, 1e-8, 1e10):
        hits = collection.search(DIRECTIONS * size, k=1)
        assert hits.ids[:, 0].tolist() == list(range(len(SIZES)))
        assert np.abs(hits.scores - 1).max() < 1e-5


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ([0.0] * 6, ZeroVectorError),
        ([1, NAN, 0, 0, 0, 0], NonFiniteError),
        ([1, INF, 0, 0, 0, 0], NonFiniteError),
        ([1, 1e39, 0, 0, 0, 0], NonFiniteError),
    ],
)
def test_rows_without_a_direction_are_refused(
    database: Any, row: list[float], error: type[Exception]
) -> None:
    collection = database.create("a", dim=6)
    with pytest.raises(error, match="the unnamed vector, rows: 1") as reported:
        collection.write(qa.Batch([7, 8, 9], {"": [[1.0] * 6, row, [2.0] * 6]}))
    assert "(ids 8)" in str(reported.value)
    with pytest.raises(error):
        collection.search(row, k=1)
    assert collection.count() == 0


def test_zero_vectors_are_valid_under_other_metrics(database: Any) -> None:
    for metric in ("dot", "euclidean"):
        collection = database.create(f"a_{metric}", dim=6, metric=metric)
        collection.write(qa.Batch([1, 2], {"": [[0.0] * 6, [1e-30] * 6]}))
        assert collection.fetch([1, 2]).vectors[""].max() == np.float32(1e-30)


@pytest.mark.parametrize(("metric", "size"), [("dot", 2e19), ("euclidean", 1e19)])
def test_rows_whose_scores_overflow_are_refused(database: Any, metric: str, size: float) -> None:
    """Edge left them out of the results; other engines returned infinite distances."""
    collection = database.create("a", dim=6, metric=metric)
    with pytest.raises(
        InputError, match="overflows float32 in the unnamed vector, rows: 1"
    ) as told:
        collection.write(qa.Batch([7, 8], {"": DIRECTIONS[:2] * [[1], [size]]}))
    assert "(ids 8)" in str(told.value) and "nothing was written" in str(told.value)
    with pytest.raises(InputError, match="overflows float32 in queries"):
        collection.search(DIRECTIONS[0] * size, k=1)
    assert collection.count() == 0
    largest = DIRECTIONS[:1] * size * 0.89
    collection.write(qa.Batch([7, 8], {"": np.concatenate([largest, -largest])}))
    hits = collection.search(largest, k=2)
    assert hits.ids.tolist() == [[7, 8]] and np.isfinite(hits.scores).all()


def test_a_file_with_rows_whose_scores_overflow_is_refused(database: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.npy"
    np.save(source, (DIRECTIONS[:3] * [[1], [1], [1e30]]).astype(np.float32))
    with pytest.raises(InputError, match="overflow"):
        qa.import_file(source, (database, "a"), metric="euclidean")
    assert database.collections() == []


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_a_migration_names_rows_whose_scores_overflow(database: Any, tmp_path: Path) -> None:
    """Rows that another program wrote."""
    pytest.importorskip("milvus_lite")
    with qa.open(f"milvus:{tmp_path}/source.db") as source:
        made = source.create("a", dim=6, metric="euclidean")
        made.write(qa.Batch(range(3), {"": DIRECTIONS[:3]}))
        by_hand(source, {1: (DIRECTIONS[1] * 1e30).astype(np.float32)})
        target = (database, "b")
        with pytest.raises(InputError, match=r"1 .*scores overflow float32"):
            qa.migrate((source, "a"), target)
        assert "scores that may be infinite" in str(made.doctor())
        result = qa.migrate((source, "a"), target, allow=["rejected-rows"], restart=True)
        assert [key for key, _ in result.skipped] == [1] and database["b"].count() == 2


def test_a_file_keeps_directions(database: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.npy"
    np.save(source, ROWS.astype(np.float32))
    qa.import_file(source, (database, "a"))
    check_kept(database["a"])


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_a_migration_keeps_directions(database: Any, tmp_path: Path) -> None:
    """Rows that another program wrote to a store that keeps lengths."""
    pytest.importorskip("milvus_lite")
    with qa.open(f"milvus:{tmp_path}/source.db") as source:
        source.create("a", dim=6).write(qa.Batch(range(len(SIZES)), {"": DIRECTIONS}))
        by_hand(source, dict(enumerate(ROWS.astype(np.float32))))
        assert np.allclose(source["a"].fetch([1]).vectors[""], ROWS[1], rtol=1e-6)
        result = qa.migrate((source, "a"), (database, "b"), check="all", gate="recall@1>=0.01")
    assert result.check is not None and result.check.different == 0
    check_kept(database["b"])


def by_hand(source: Any, rows: dict[int, Any]) -> None:
    """Write rows to Milvus Lite with its client, which does not validate them."""
    layout = source._store.reader.layout("a")
    field = layout.vectors[""].field
    keys = layout.keys.checked(list(rows))
    source._store.connection.client.upsert(
        "a",
        [
            {layout.keys.field: key, field: row}
            for key, row in zip(keys, rows.values(), strict=True)
        ],
    )


def test_a_file_with_a_bad_row_leaves_nothing(database: Any, tmp_path: Path) -> None:
    rows = ROWS.astype(np.float32)
    rows[5] = 0
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(InputError, match=r"cannot be imported: .*row 5"):
        qa.import_file(tmp_path / "rows.npy", (database, "a"))
    assert database.collections() == []


def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    with qa.open(f"edge:{tmp_path}/edge") as database:
        for metric in ("dot", "euclidean"):
            made = {"": qa.Vector(2, metric, "float16")}
            collection = database.create(f"a_{metric}", vectors=made)
            with pytest.raises(InputError, match="float16 can store"):
                collection.write(qa.Batch([1, 2], {"": [[1, 1], [70000, 1]]}))
            with pytest.raises(InputError, match="float16 can store"):
                collection.search([70000, 1], k=1)
            assert collection.count() == 0
        collection = database.create("b", vectors={"": qa.Vector(2, "cosine", "float16")})
        collection.write(qa.Batch([1, 2], {"": [[70000, 0], [0, 1e-30]]}))
        assert collection.fetch([1, 2]).vectors[""].tolist() == [[1, 0], [0, 1]]


def test_a_migration_names_values_beyond_the_target_datatype(tmp_path: Path) -> None:
    with qa.open(f"edge:{tmp_path}/edge") as database:
        rows = np.eye(3, 4)
        rows[1] *= 1e6
        database.create("a", dim=4, metric="dot").write(qa.Batch([1, 2, 3], {"": rows}))
        target = (database, "b")
        with pytest.raises(InputError, match=r"2 .*outside the range of float16"):
            qa.migrate((database, "a"), target, datatype="float16")
        result = qa.migrate(
            (database, "a"), target, datatype="float16", allow=["rejected-rows"], restart=True
        )
        assert [key for key, _ in result.skipped] == [2] and database["b"].count() == 2


def test_a_code_index_keeps_directions(tmp_path: Path) -> None:
    with qa.CodeIndex.create(tmp_path / "index", dim=6, rescore_codes=None) as index:
        index.add(range(len(SIZES)), ROWS)
        hits = index.search(DIRECTIONS, k=1, fetch=lambda ids: ROWS[ids], source="originals")
        assert hits.ids[:, 0].tolist() == list(range(len(SIZES)))
        with pytest.raises(ZeroVectorError):
            index.add([100], [[0.0] * 6])


def test_a_code_index_refuses_norms_whose_scores_overflow(tmp_path: Path) -> None:
    with qa.CodeIndex.create(tmp_path / "index", dim=6, metric="euclidean") as index:
        with pytest.raises(InputError, match="overflows float32 in vectors, rows: 1"):
            index.add([1, 2], DIRECTIONS[:2] * [[1], [1e30]])
        assert len(index) == 0
