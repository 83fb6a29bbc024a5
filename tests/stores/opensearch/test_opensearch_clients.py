"""Applications without qadapt: their client, their indexes, and the code that they paste."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest
from stores.opensearch.conftest import DIM, ROWS, create, field

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    AddressError,
    InputError,
    ReadOnlyError,
    UnreachableError,
    UnsupportedError,
)
from qadapt.testing.data import Sample


@pytest.mark.parametrize("setting", ["binary:rescore=20", "scalar:bits=7"])
def test_pasted_code_returns_the_ids_of_qadapt(
    articles: Collection, sample: Sample, setting: str
) -> None:
    articles.plan(setting).apply(yes=True, timeout=120)
    code = articles.client_params(k=10).code
    defined: dict[str, Any] = {}
    exec(compile(code["opensearch-py"], "pasted.py", "exec"), defined)  # the code that users paste
    for query in sample.queries[:3]:
        expected = articles.search(query, k=10).ids[0].tolist()
        assert defined["search"](query) == expected
    script = f"{code['rest']}\nsearch '{json.dumps(sample.queries[0].tolist())}'"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == articles.search(sample.queries[0], k=10).ids[0].tolist()


def test_the_parameters_of_an_application_are_shown(articles: Collection) -> None:
    articles.plan("binary:rescore=20").apply(yes=True, timeout=120)
    assert articles.client_params(k=10).params == {"rescore": {"oversample_factor": 20.0}}
    articles.plan("binary:rescore=off").apply(yes=True, timeout=120)
    assert articles.client_params(k=10).params == {"rescore": False}


def test_a_wrapped_client_stays_open(client: Any, articles: Collection, name: str) -> None:
    assert articles.count() == ROWS  # makes the writes of this object visible
    with qa.wrap(client) as database:
        assert database.server().version == "3.6.0"
        assert database[name].count() == ROWS
    assert client.count(index=name)["count"] == ROWS
    with pytest.raises(UnsupportedError, match="AsyncOpenSearch"):
        qa.wrap(_of_type("AsyncOpenSearch"))


def _of_type(kind: str) -> Any:
    """An object of the package of the client."""
    return type(kind, (), {"__module__": "opensearchpy"})()


def test_search_parameters_are_in_the_mapping(
    url: str, client: Any, articles: Collection, name: str
) -> None:
    """Other machines read them; settings of other programs are kept."""
    client.indices.put_mapping(index=name, body={"_meta": {
        **client.indices.get_mapping(index=name)[name]["mappings"]["_meta"], "theirs": 1
    }})  # fmt: skip
    articles.plan("binary:rescore=30").apply(yes=True, timeout=120)
    with qa.open(url) as other:
        assert other[name].search(np.ones(DIM)).how.candidates == 300
    (found,) = client.indices.get_mapping(index=name).values()
    assert found["mappings"]["_meta"]["theirs"] == 1


def test_an_index_of_an_application_is_read_and_changed(
    database: Database, client: Any, name: str, sample: Sample
) -> None:
    """Fields of the document are the payload; ids are texts."""
    fields = {"v": field(DIM), "topic": {"type": "keyword"}, "year": {"type": "integer"}}
    create(client, name, fields, number_of_shards=2)
    body: list[Any] = []
    for at, row in enumerate(sample.rows):
        body += [
            {"index": {"_id": str(at)}},
            {"v": row.tolist(), "topic": "even" if at % 2 == 0 else "odd", "year": at},
        ]
    client.bulk(index=name, body=body, refresh=True)
    found = database[name]
    assert found.fetch(["7"]).payloads == [{"topic": "odd", "year": 7}]
    assert found.count(filter={"topic": "even", "year": {"lt": 100}}) == 50
    whole = qa.Batch.concat(list(found.read(page=250)))
    assert sorted(map(int, whole.ids)) == list(range(ROWS))
    assert np.array_equal(whole.vectors["v"], sample.rows[[int(key) for key in whole.ids]])

    change = found.plan("binary", vector="v").apply(yes=True, timeout=120)
    assert found.info().vectors["v"].status.state is qa.State.ACTIVE
    assert found.fetch(["7"]).payloads == [{"topic": "odd", "year": 7}]
    how = found.search(sample.queries, k=10, rescore=20, vector="v").how
    assert "each of 2 shards rescores its own 200 candidates" in how.notes
    change.undo(timeout=120)
    assert found.info().vectors["v"].status.state is qa.State.ABSENT


def test_filters_are_applied_before_the_nearest_rows_are_selected(
    articles: Collection, sample: Sample
) -> None:
    articles.plan("binary").apply(yes=True, timeout=120)
    hits = articles.search(sample.queries, k=10, filter={"group": 3}, rescore=20)
    assert all(len(row) == 10 for row in hits.ids.tolist())
    assert {key % 10 for row in hits.ids.tolist() for key in row} == {3}


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_vectors_come_back_bit_for_bit_and_scores_in_the_unit_of_the_metric(
    database: Database, name: str, metric: str
) -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((100, 20)).astype(np.float32)
    rows *= random.uniform(1e-3, 400, (100, 1)).astype(np.float32)
    rows[0, :3] = [-0.0, 1e-40, 1e-38]
    collection = database.create(name, dim=20, metric=metric)
    collection.write(qa.Batch(list(range(100)), {"": rows}))
    assert collection.fetch(list(range(100))).vectors[""].tobytes() == rows.tobytes()
    query = rows[5] + 1
    hits = collection.search(query, k=5)
    wide, asked = rows.astype(np.float64), query.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(asked)
    exact = {
        "cosine": wide @ asked / lengths,
        "dot": wide @ asked,
        "euclidean": -((wide - asked) ** 2).sum(axis=1),
    }[metric]
    best = np.argsort(-exact, kind="stable")[:5]
    assert hits.ids[0].tolist() == best.tolist()
    np.testing.assert_allclose(hits.scores[0], exact[best], rtol=1e-5, atol=1e-5)


def test_other_metric_and_fewer_dimensions_are_a_copy(
    database: Database, articles: Collection, name: str, sample: Sample
) -> None:
    database.switch_alias(f"{name}-alias", name)
    behind = database[f"{name}-alias"]
    behind.plan(None, metric="euclidean").apply(yes=True, timeout=120)
    assert behind.info().vectors[""].metric is qa.Metric.EUCLIDEAN
    change = behind.plan("binary:dims=32").apply(yes=True, timeout=120)
    vector = behind.info().vectors[""]
    assert (vector.dim, vector.status.state) == (32, qa.State.ACTIVE)
    assert np.array_equal(behind.fetch([3]).vectors[""][0], sample.rows[3, :32])
    change.undo(timeout=120)
    assert behind.info().vectors[""].dim == DIM
    database.drop_alias(f"{name}-alias")


def test_writes_are_refused_while_the_index_blocks_them(
    client: Any, articles: Collection, name: str
) -> None:
    client.indices.put_settings(index=name, body={"index.blocks.write": True})
    with pytest.raises(ReadOnlyError, match="blocked by"):
        articles.write(qa.Batch([1], {"": np.ones((1, DIM))}))


def test_rows_that_the_server_refuses_are_named(articles: Collection) -> None:
    with pytest.raises(InputError):
        articles.write(qa.Batch(["7"], {"": np.ones((1, DIM))}))
    assert articles.count() == ROWS


def test_addresses_that_do_not_answer(url: str) -> None:
    with pytest.raises(UnreachableError, match="REST port"):
        qa.open("opensearch+http://127.0.0.1:9")
    with pytest.raises(AddressError, match="timeut"):
        qa.open(f"{url}?timeut=3")
