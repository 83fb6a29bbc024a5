"""How much of a collection each command reads: all its parts share one read of the rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live.traffic import traffic

import qadapt as qa
from qadapt.api import Collection
from qadapt.evaluation.cache_keys import PROBES
from qadapt.evaluation.row_samples import SubsetSample
from qadapt.evaluation.subsets import Subset
from qadapt.stores.base import Progress, ReadRequest
from qadapt.testing import clustered

ROWS, DIM, QUERIES, SAMPLE = 3_000, 32, 40, 800
ENGINES = ["edge", "weaviate", "milvus", "pgvector"]
# The ids that a sample is drawn from: none if the engine draws it.
LISTED = {"pgvector": 0}
# Besides all rows, the key of a cache entry has the first rows: of ground truth, and of results.
KEYS = (0, PROBES, 2 * PROBES)


class Answered(Exception):  # noqa: N818 - it ends a command on purpose
    """Raised at the first answer of ``advise``."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(tmp_path / "cache"))


def made(db: Any, rows: int = ROWS) -> Collection:
    name = f"Traffic_{uuid.uuid4().hex[:8]}"
    collection: Collection = db.create(name, dim=DIM)
    ids: list[Any] = list(range(rows))
    if db._store.name == "weaviate":
        ids = [str(uuid.UUID(int=at + 1)) for at in ids]
    payloads = [{"part": at % 3} for at in range(rows)]
    collection.write(qa.Batch(ids, {"": clustered(rows, DIM).rows}, payloads))
    return collection


@pytest.fixture
def articles(live: Callable[[str], str], request: pytest.FixtureRequest) -> Iterator[Collection]:
    with qa.open(live(request.param)) as db:
        collection = made(db)
        yield collection
        db.drop(collection.name)


@pytest.mark.parametrize("articles", ENGINES, indirect=True)
def test_verify_reads_the_rows_and_their_ids_once(articles: Collection) -> None:
    with traffic(articles._store) as counted:
        found = articles.verify(queries=QUERIES)
    listed = LISTED.get(articles._store.name, ROWS)
    assert counted.rows - ROWS in KEYS
    assert counted.ids == listed
    # The queries are fetched, because the ground truth needs them; the rows whose own vectors are
    # searched for are kept while it reads all rows.
    assert counted.fetched == QUERIES
    sampled = found.reachability.sampled
    assert sampled == 500
    # Where the setting has parameters, also searches of a client that sends none.
    assert counted.queries <= 2 * QUERIES * len(found.results) + sampled
    assert counted.searches <= -(-sampled // 64) + 2 * len(found.results) * -(-QUERIES // 64)


@pytest.mark.parametrize("articles", ENGINES, indirect=True)
def test_simulate_reads_the_rows_and_their_ids_once(articles: Collection) -> None:
    with traffic(articles._store) as counted:
        found = articles.simulate("binary", queries=QUERIES, sample_rows=SAMPLE)
    listed = LISTED.get(articles._store.name, ROWS)
    assert counted.rows - ROWS in KEYS
    assert counted.ids == listed
    assert found.sample_rows == SAMPLE
    assert counted.fetched <= QUERIES + QUERIES * 10  # queries and their neighbors
    assert counted.queries == 0


@pytest.mark.parametrize("articles", ENGINES, indirect=True)
def test_evaluate_lists_the_ids_once_for_queries_and_copy(articles: Collection) -> None:
    with traffic(articles._store) as counted:
        found = articles.evaluate(
            "scalar" if articles._store.name == "weaviate" else "float16",
            queries=QUERIES, copy_rows=SAMPLE, concurrency=(), live=False,
        )  # fmt: skip
    assert found.copy_rows == SAMPLE
    assert counted.ids == LISTED.get(articles._store.name, ROWS)
    assert counted.fetched == QUERIES + SAMPLE


@pytest.mark.parametrize("articles", ENGINES, indirect=True)
def test_the_first_answer_of_advise_reads_the_rows_once(articles: Collection) -> None:
    def on(progress: Progress) -> None:
        if progress.stage.startswith("predicted: "):
            raise Answered

    with traffic(articles._store) as counted, pytest.raises(Answered):
        articles.advise(
            0.5, queries=QUERIES, sample_rows=SAMPLE, codes=("none", "binary"), progress=on
        )
    assert counted.rows < 1.1 * ROWS
    assert counted.ids == LISTED.get(articles._store.name, ROWS)


@pytest.mark.parametrize("articles", ENGINES, indirect=True)
def test_doctor_reads_no_vectors_but_those_of_its_sample(articles: Collection) -> None:
    with traffic(articles._store) as counted:
        articles.doctor(sample=SAMPLE)
    assert (counted.rows, counted.fetched) == (0, SAMPLE)
    assert counted.ids <= ROWS


@pytest.mark.parametrize("articles", ENGINES, indirect=True)
def test_a_seed_draws_the_same_rows_and_a_smaller_sample_begins_a_larger_one(
    articles: Collection,
) -> None:
    store, name = articles._store, articles.name
    large = store.sample_ids(name, 500, seed=3)
    assert len(set(large)) == 500
    assert store.sample_ids(name, 100, seed=3) == large[:100]
    assert articles.sample(100, seed=3).ids == large[:100]
    assert set(store.sample_ids(name, 500, seed=4)) != set(large)
    assert len(set(store.sample_ids(name, 2 * ROWS))) == ROWS
    assert len(store.sample_ids(name, 5, seed=2**70)) == 5
    some = store.sample_ids(name, 50, seed=3, filter={"part": 2})
    assert some == store.sample_ids(name, 80, seed=3, filter={"part": 2})[:50]
    payloads = store.fetch(name, some, vectors=()).payloads
    assert payloads == [{"part": 2}] * 50


@pytest.mark.parametrize("articles", ["edge", "pgvector"], indirect=True)
def test_each_row_is_drawn_equally_often(articles: Collection) -> None:
    draws, size = 40, 750
    times = np.zeros(ROWS)
    for seed in range(draws):
        times[np.asarray(articles._store.sample_ids(articles.name, size, seed=seed))] += 1
    share = size / ROWS
    # Of a binomial distribution; 5 standard errors of its mean square.
    variance = draws * share * (1 - share)
    assert times.mean() == draws * share
    assert np.square(times - times.mean()).mean() == pytest.approx(
        variance, rel=5 * np.sqrt(2 / ROWS)
    )
    assert times[: ROWS // 2].sum() == pytest.approx(draws * size / 2, rel=0.05)


def test_a_simulation_of_all_rows_reads_them_once(
    live: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with qa.open(live("edge")) as db:
        small = made(db, 300)
        with traffic(small._store) as counted:
            found = small.simulate("binary", queries=QUERIES)
        monkeypatch.setattr(SubsetSample, "every_row", lambda _: None)
        again = small.simulate("binary", queries=QUERIES, fresh=True)
    assert counted.rows - 300 in KEYS
    assert counted.fetched == QUERIES
    assert found.sample_rows == 300
    assert [each.recall for each in found.results] == [each.recall for each in again.results]


def test_kept_rows_are_those_that_would_be_fetched(live: Callable[[str], str]) -> None:
    with qa.open(live("edge")) as db:
        small = made(db, 300)
        store, subset = small._store, Subset(small.name)
        kept, fetched = (SubsetSample(store, subset, "", 100, seed=1) for _ in range(2))
        for page in store.read(small.name, pages_of(70)):
            kept.keep(page)
        with traffic(store) as counted:
            one = kept.rows(80)
        other = fetched.rows(80)
        small.delete(one.ids[:5])
        assert fetched.rows(80).ids == other.ids[5:]
    assert counted.fetched == 0
    assert one.ids == other.ids
    assert np.array_equal(one.vectors[""], other.vectors[""])


def pages_of(page: int) -> Any:
    return ReadRequest(vectors=[""], payload=False, page=page)


def test_a_cached_ground_truth_leaves_the_sample_to_be_fetched(live: Callable[[str], str]) -> None:
    with qa.open(live("edge")) as db:
        small = made(db, 600)
        first = small.simulate("binary", queries=QUERIES, sample_rows=200)
        with traffic(small._store) as counted:
            second = small.simulate("binary", queries=QUERIES, sample_rows=200)
    assert counted.rows in KEYS
    assert counted.fetched > 200
    assert [each.recall for each in first.results] == [each.recall for each in second.results]
