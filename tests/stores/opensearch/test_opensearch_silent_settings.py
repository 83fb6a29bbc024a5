"""Settings and requests that OpenSearch accepts, and what the engine does with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stores.opensearch.conftest import DIM, ROWS, create, field, filled

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, NotFoundError, SpecError, UnsupportedError
from qadapt.evaluation.exact_neighbors import recall_in
from qadapt.model import Metric
from qadapt.testing.data import Sample


def load(client: Any, name: str, path: str, rows: np.ndarray) -> None:
    """Write rows as an application does."""
    body: list[Any] = []
    for at, row in enumerate(rows):
        body += [{"index": {"_id": f"row-{at}"}}, {path: row.tolist()}]
    answer = client.bulk(index=name, body=body, refresh=True)
    assert not answer["errors"]


def recall(sample: Sample, ids: Any) -> float:
    found = [[int(str(key).removeprefix("row-")) for key in row] for row in ids.tolist()]
    return float(recall_in(sample.rows, sample.queries, Metric.COSINE, found, 10).mean())


def test_the_method_flat_has_codes_of_one_bit(
    database: Database, client: Any, name: str, sample: Sample
) -> None:
    """The mapping mentions no compression."""
    create(client, name, {"embedding": field(DIM, method={"name": "flat"})})
    load(client, name, "embedding", sample.rows)
    shown = client.indices.get_mapping(index=name)[name]["mappings"]["properties"]["embedding"]
    assert "compression_level" not in shown
    assert shown["method"]["parameters"] == {}
    vector = database[name].info().vectors[""]
    assert vector.quantization == qa.Quantization.parse("binary:query_bits=4")
    assert vector.status.state is qa.State.ACTIVE
    assert vector.code_bytes == ROWS * (DIM // 8 + 16)
    off = database[name].search(sample.queries, k=10, rescore="off")
    assert recall(sample, off.ids) < 0.8
    assert "hidden-codes" in {each.code for each in database[name].doctor().findings}


def test_small_oversampling_has_no_effect(database: Database, name: str, sample: Sample) -> None:
    """At least 100 candidates are rescored."""
    coded = filled(database, name, sample, "binary")
    found = [coded.search(sample.queries, k=10, rescore=factor) for factor in (1, 4, 10, 20)]
    assert [each.how.candidates for each in found] == [100, 100, 100, 200]
    assert found[0].ids.tolist() == found[1].ids.tolist() == found[2].ids.tolist()
    assert "40 were requested, 100 are rescored" in " ".join(found[1].how.notes)
    finding = coded.doctor(options={"rescore": {"oversample_factor": 4}})
    assert "parameter-without-effect" in {each.code for each in finding.findings}


def test_a_compression_level_does_not_tell_whether_searches_are_rescored(
    database: Database, client: Any, name: str, sample: Sample
) -> None:
    """4x in memory and on disk have codes of equal size."""
    for mode in ("in_memory", "on_disk"):
        create(client, f"{name}-{mode}", {"v": field(DIM, compression_level="4x", mode=mode)})
        load(client, f"{name}-{mode}", "v", sample.rows)
    memory, disk = (database[f"{name}-{mode}"] for mode in ("in_memory", "on_disk"))
    infos = [each.info().vectors["v"] for each in (memory, disk)]
    assert infos[0].code_bytes == infos[1].code_bytes == ROWS * (DIM + 4)
    assert [each.default_rescore for each in infos] == [qa.Rescore(source="off"), qa.Rescore(3)]
    found = [{each.code for each in one.doctor().findings} for one in (memory, disk)]
    assert ["not-rescored" in each for each in found] == [True, False]
    hits = [each.search(sample.queries, k=10) for each in (memory, disk)]
    assert [each.how.scores for each in hits] == ["approximate", "exact"]
    exact = memory.search(sample.queries, k=10, exact=True)
    assert np.abs(hits[0].scores - exact.scores).max() > 1e-3
    np.testing.assert_allclose(hits[1].scores, exact.scores, atol=1e-5)


def test_the_default_interval_of_seven_bits_loses_recall(
    database: Database, client: Any, name: str, sample: Sample
) -> None:
    create(client, name, {"embedding": field(DIM, {"bits": 7})})
    load(client, name, "embedding", sample.rows)
    found = database[name]
    shown = found.info().vectors[""].quantization
    assert shown == qa.Quantization.parse("scalar:bits=7,quantile=0.94")
    assert "default-interval" in {each.code for each in found.doctor().findings}
    before = recall(sample, found.search(sample.queries, k=10, rescore="off").ids)
    found.plan("scalar:bits=7").apply(yes=True, timeout=120)
    after = recall(sample, found.search(sample.queries, k=10, rescore="off").ids)
    assert before < after


def test_a_reindex_to_a_missing_index_leaves_no_vectors(
    database: Database, client: Any, articles: Collection, name: str
) -> None:
    """The copy of the server has numbers, and is no collection with vectors."""
    articles.count()
    body = {
        "source": {"index": name, "size": 100},
        "max_docs": 100,
        "dest": {"index": f"{name}-copy"},
    }
    answer = client.reindex(body=body, refresh=True)
    assert (answer["created"], answer["failures"]) == (100, [])
    mapping = client.indices.get_mapping(index=f"{name}-copy")[f"{name}-copy"]["mappings"]
    assert mapping["properties"]["embedding"] == {"type": "float"}
    assert f"{name}-copy" not in database.collections()


def test_an_index_without_knn_takes_rows_and_refuses_searches(
    database: Database, client: Any, name: str
) -> None:
    client.indices.create(
        index=name,
        body={"mappings": {"properties": {"v": {"type": "knn_vector", "dimension": 4}}}},
    )
    load(client, name, "v", np.eye(4, dtype=np.float32))
    (note,) = database[name].info().notes
    assert "index.knn is not true" in note
    with pytest.raises(NotFoundError, match="vector 'v' does not exist"):
        database[name].search([1, 0, 0, 0], vector="v")


def test_unknown_fields_and_wrong_dimensions_are_errors(articles: Collection) -> None:
    with pytest.raises(NotFoundError, match="titel"):
        articles.search(np.ones(DIM), vector="titel")
    with pytest.raises(qa.errors.DimensionError):
        articles.search(np.ones(DIM - 1))
    with pytest.raises(SpecError, match="ef_search"):
        articles.search(np.ones(DIM), options={"ef": 10})
    with pytest.raises(InputError, match="ef_search"):
        articles.search(np.ones(DIM), options={"ef_search": 0})


def test_a_field_that_disappears_is_an_error_and_not_an_empty_result(
    database: Database, client: Any, articles: Collection, name: str
) -> None:
    articles.search(np.ones(DIM))
    client.indices.delete(index=name)
    create(client, name, {"other": field(DIM)})
    with pytest.raises(NotFoundError, match="is not knn_vector type"):
        articles.search(np.ones(DIM))


@pytest.fixture
def two(database: Database, name: str, sample: Sample) -> Iterator[Collection]:
    vectors = {"title": qa.Vector(DIM), "body": qa.Vector(DIM), "": qa.Vector(DIM)}
    quantization = {"title": "binary", "body": "scalar:bits=7"}
    made = database.create(name, vectors=vectors, quantization=quantization)
    made.write(qa.Batch(list(range(ROWS)), dict.fromkeys(vectors, sample.rows)))
    yield made


def test_scores_are_the_evidence_where_files_are_shared(two: Collection) -> None:
    """The server reports one file of codes per segment for three fields."""
    found = two.info().vectors
    states = {key: each.status.state for key, each in found.items()}
    assert states == {"title": qa.State.ACTIVE, "body": qa.State.ACTIVE, "": qa.State.ABSENT}
    for key in ("title", "body"):
        evidence = {each.signal: each.value for each in found[key].status.evidence}
        assert evidence["difference of scores without rescoring"] > 1e-4


def test_rows_are_invisible_until_a_refresh_if_it_is_disabled(
    database: Database, client: Any, name: str, sample: Sample
) -> None:
    plain = filled(database, name, sample, "none")
    assert "refresh-disabled" not in {each.code for each in plain.doctor().findings}
    client.indices.put_settings(index=name, body={"index": {"refresh_interval": "-1"}})
    assert "refresh-disabled" in {each.code for each in plain.doctor().findings}


def test_vectors_that_documents_do_not_hold_are_not_read_as_missing(
    database: Database, client: Any, name: str
) -> None:
    fields = {"emb": field(16), "title": {"type": "keyword"}}
    mapping = {"_source": {"excludes": ["emb"]}, "properties": fields}
    client.indices.create(
        index=name, body={"settings": {"index": {"knn": True}}, "mappings": mapping}
    )
    rows = np.eye(16, dtype=np.float32)
    for row in range(3):
        client.index(index=name, id=str(row), body={"emb": rows[row].tolist(), "title": "x"})
    client.indices.refresh(index=name)
    found = database[name]
    assert found.search(rows[2], k=1, vector="emb").ids.tolist() == [["2"]]
    for read in (lambda: list(found.read()), lambda: found.fetch(["1"])):
        with pytest.raises(UnsupportedError, match="cannot be read: `_source` leaves fields out"):
            read()
    assert found.fetch(["1"], vectors=()).payloads == [{"title": "x"}]
    with pytest.raises(UnsupportedError, match="not possible"):
        found.plan("scalar:bits=7", vector="emb").apply(yes=True)
