"""Requests that LanceDB accepts and ignores: docs/engines/lancedb.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lancedb_helpers import DIM, ROWS, nearest, table

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import SpecError, TooFewRowsError
from qadapt.testing.data import Sample, clustered

OFF = qa.Rescore(source="off")


def status(collection: Collection) -> Any:
    return collection.info().vectors[""].status


def codes(collection: Collection) -> list[str]:
    return [each.code for each in collection.doctor().findings]


def test_product_codes_of_few_rows_are_listed_and_empty(database: Database, raw: Any) -> None:
    """An index of 255 rows is created without an error, and holds none of them."""
    from lancedb.index import IvfPq

    sample = clustered(255, 32, queries=4)
    made = database.create("few", dim=32)
    made.write(qa.Batch(range(255), {"": sample.rows}))
    with pytest.raises(TooFewRowsError, match="256"):
        made.plan("product:ratio=16")
    handle = raw.open_table("few")
    handle.create_index("vector", config=IvfPq(distance_type="cosine", num_sub_vectors=8))
    (listed,) = handle.list_indices()
    assert (listed.index_type, listed.num_indexed_rows) == ("IvfPq", 0)
    assert status(made).state is qa.State.IGNORED
    assert "need 256 rows" in status(made).reason
    assert "empty-index" in codes(made)
    made.write(qa.Batch([255], {"": sample.rows[:1] * -1}))
    assert status(made).state is qa.State.BUILDING
    made.plan("product:ratio=16").apply(yes=True)
    assert status(made).state is qa.State.ACTIVE


def test_cosine_distances_double_until_a_row_is_written(
    articles: Collection, raw: Any, sample: Sample
) -> None:
    """The scores of qadapt have the same scale with and without rows that are not in the index."""
    articles.plan("scalar").apply(yes=True)
    handle, query = raw.open_table("articles"), sample.queries[0]

    def distance() -> float:
        handle.checkout_latest()
        found = handle.search(query, vector_column_name="vector").limit(1)
        return float(found.select(["_distance"]).to_arrow()["_distance"][0].as_py())

    exact = 1 - float((sample.rows @ query).max())
    assert distance() == pytest.approx(2 * exact, rel=0.1)
    before = articles.search(query, k=1, rescore=OFF)
    assert before.scores[0, 0] == pytest.approx(1 - exact, abs=0.02)
    articles.write(qa.Batch([ROWS], {"": -sample.rows[:1]}))
    assert distance() == pytest.approx(exact, rel=0.01)
    after = articles.search(query, k=1, rescore=OFF)
    assert after.scores[0, 0] == pytest.approx(1 - exact, abs=0.02)
    assert "1 rows are not in the index yet" in after.how.notes[0]
    assert "rows-not-indexed" in codes(articles)


def test_a_metric_other_than_that_of_the_index_scans_all_rows(
    articles: Collection, raw: Any, sample: Sample
) -> None:
    """An index of another client with another metric: its own one is used and reported."""
    from lancedb.index import IvfRq

    raw.open_table("articles").create_index(
        "vector", config=IvfRq(distance_type="l2", num_bits=1), replace=True
    )
    vector = articles.info().vectors[""]
    assert vector.metric is qa.Metric.EUCLIDEAN
    assert vector.status.state is qa.State.ACTIVE
    plan = raw.open_table("articles").search(sample.queries[0], vector_column_name="vector")
    assert "ANNSubIndex" not in plan.distance_type("cosine").limit(3).explain_plan(True)
    options = {"distance_type": "cosine", "refine_factor": 1}
    found = [each.code for each in articles.doctor(options=options).findings]
    assert "other-metric" in found and "distances-of-codes" not in found


def test_partitions_that_are_not_probed_are_not_refined_back(database: Database, raw: Any) -> None:
    """With 72 partitions a client gets fewer rows than it asks for; qadapt gets all."""
    sample = clustered(3000, 32, queries=20)
    made = database.create("many", dim=32)
    made.write(qa.Batch(range(3000), {"": sample.rows}))
    made.plan('rotational:bits=4,native={"num_partitions":72}').apply(yes=True)
    client = raw.open_table("many").search(sample.queries[0], vector_column_name="vector")
    assert len(client.limit(2900).refine_factor(1).select(["id", "_distance"]).to_arrow()) < 2900
    hits = made.search(sample.queries[0], k=2900, rescore=1)
    assert len({*hits.ids[0].tolist()} - {None}) == 2900
    assert made.info().vectors[""].index["num_partitions"] == 72
    assert "few-probes" in codes(made)
    assert any("probes 20" in note for note in made.plan("rotational:bits=2").notes)
    few = made.search(sample.queries, k=10, rescore=10, options={"nprobes": 1})
    all_of_them = made.search(sample.queries, k=10, rescore=10, options={"nprobes": 72})
    truth = [nearest(sample.rows, query, 10) for query in sample.queries]

    def recall(hits: qa.Hits) -> float:
        pairs = zip(hits.ids.tolist(), truth, strict=True)
        return sum(len({*row} & {*best}) for row, best in pairs) / (10 * len(truth))

    assert recall(few) < 0.9 < 0.98 < recall(all_of_them)


def test_ranges_of_a_parallel_copy_are_disjoint(articles: Collection, raw: Any) -> None:
    """``with_fragments`` of the engine returns the whole table; qadapt divides the ids."""
    articles.write(qa.Batch([ROWS + 1], {"": np.ones((1, DIM))}))
    handle = raw.open_table("articles")
    whole = ROWS + 1
    assert len(handle.search().select(["id"]).with_fragments([0]).to_arrow()) == whole
    found = [
        key
        for part in articles.scan_ranges(4)
        for page in articles.read(scan_range=part, vectors=(), payload=False)
        for key in page.ids
    ]
    assert len(found) == whole == len({*found})


def test_an_undo_keeps_the_rows_that_were_written_since(
    articles: Collection, raw: Any, sample: Sample
) -> None:
    """``restore`` of the engine loses them, so the former index is built again."""
    articles.plan("rotational:bits=4").apply(yes=True)
    change = articles.plan("scalar").apply(yes=True)
    articles.write(qa.Batch([ROWS], {"": -sample.rows[:1]}))
    articles.delete([3])
    change.undo()
    vector = articles.info().vectors[""]
    assert vector.quantization == qa.rotational(bits=4)
    assert vector.status.state is qa.State.ACTIVE
    assert (articles.count(), articles.fetch([ROWS, 3]).ids) == (ROWS, [ROWS])
    handle = raw.open_table("articles")
    handle.restore(2)
    handle.checkout_latest()
    assert handle.count_rows("id = 3") == 1, "restore of the engine brings deleted rows back"


def test_an_undo_without_writes_restores_the_version(articles: Collection, raw: Any) -> None:
    articles.plan("rotational:bits=4").apply(yes=True)
    (before,) = raw.open_table("articles").list_indices()
    change = articles.plan("scalar:rescore=2").apply(yes=True)
    change.undo()
    (after,) = raw.open_table("articles").list_indices()
    assert after.index_uuid == before.index_uuid, "the same index, not one that was built again"
    assert articles.info().vectors[""].quantization == qa.rotational(bits=4)


def test_the_older_of_two_indexes_serves(articles: Collection, raw: Any) -> None:
    from lancedb.index import IvfRq, IvfSq

    handle = raw.open_table("articles")
    handle.create_index("vector", config=IvfSq(distance_type="cosine"), name="one")
    handle.create_index("vector", config=IvfRq(distance_type="cosine"), name="two")
    vector = articles.info().vectors[""]
    assert vector.quantization == qa.scalar()
    assert vector.status.state is qa.State.ACTIVE
    assert "unused-index" in codes(articles)
    articles.plan("rotational:bits=1").apply(yes=True)
    handle.checkout_latest()
    assert [each.name for each in handle.list_indices()] == ["one"]
    assert articles.info().vectors[""].quantization == qa.rotational(bits=1)


def test_an_open_handle_of_a_client_keeps_the_former_index(
    articles: Collection, raw: Any, sample: Sample
) -> None:
    """qadapt sees changes of other clients; their handles see its changes after checkout_latest."""
    handle = raw.open_table("articles")
    articles.plan("scalar").apply(yes=True)
    assert handle.list_indices() == []
    handle.checkout_latest()
    assert len(handle.list_indices()) == 1
    assert articles.search(sample.queries[0], k=1).how.scores == "approximate"
    handle.drop_index("vector_idx")
    assert status(articles).state is qa.State.ABSENT
    assert articles.search(sample.queries[0], k=1).how.scores == "exact"
    assert "checkout_latest" in articles.client_params().code["lancedb"]


def test_text_behind_a_semicolon_of_a_condition_is_refused(articles: Collection, raw: Any) -> None:
    """The engine ignores it and counts the rows of the first part."""
    assert raw.open_table("articles").count_rows("id = 1; nonsense") == 1
    with pytest.raises(SpecError, match="';'"):
        articles.count(filter="id = 1; nonsense")
    assert articles.count(filter="id = 1 OR id = 2") == 2
    assert articles.count(filter="'a;b' = 'a;b'") == ROWS


def test_add_of_an_existing_id_makes_a_second_row(articles: Collection, raw: Any) -> None:
    """Rows that other clients doubled are found; qadapt itself replaces rows."""
    articles.write(qa.Batch([1], {"": np.ones((1, DIM))}, [{"group": 77}]))
    assert articles.count() == ROWS
    assert articles.fetch([1]).payloads == [{"group": 77}]
    handle = raw.open_table("articles")
    handle.add(handle.search().where("id < 2").to_arrow())
    assert articles.count() == ROWS + 2
    assert "repeated-ids" in codes(articles)
    number, some = articles._store.hidden_rows("articles")
    assert (number, sorted(some)) == (2, [0, 1])
    read = [key for page in articles.read(page=300, vectors=()) for key in page.ids]
    assert read == list(range(ROWS))


def test_a_metric_that_is_not_recorded_is_l2(database: Database, raw: Any, sample: Sample) -> None:
    """A table of another program without an index: its searches use l2, and so does qadapt."""
    made = table({"id": range(300), "emb": sample.rows[:300]})
    raw.create_table("plain", made)
    plain = database["plain"]
    info = plain.info()
    assert info.vectors["emb"].metric is qa.Metric.EUCLIDEAN
    assert "not recorded" in info.notes[0]
    assert "metric-not-recorded" in codes(plain)
    plan = plain.plan(metric="cosine")
    assert plan.steps[0].request["metric"] == "cosine"
    plan.apply(yes=True)
    assert database["plain"].info().vectors["emb"].metric is qa.Metric.COSINE
    assert "metric-not-recorded" not in codes(plain)


def test_many_small_files_are_reported(database: Database, sample: Sample) -> None:
    made = database.create("files", dim=DIM)
    for at in range(20):
        made.write(qa.Batch([at], {"": sample.rows[at : at + 1]}))
    assert "small-files" in codes(made)
