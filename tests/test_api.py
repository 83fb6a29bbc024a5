"""Public API: Database, Collection, plans of several vectors, refused arguments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import (
    AddressError,
    AlreadyExistsError,
    NotFoundError,
    PlanStaleError,
    QadaptError,
    SpecError,
    UnsupportedError,
)
from qadapt.testing import Sample, clustered

DIM = 48


@pytest.fixture(scope="module")
def sample() -> Sample:
    return clustered(500, DIM, queries=20)


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[qa.Database]:
    with qa.open(live("edge")) as opened:
        yield opened


def test_importing_qadapt_brings_no_client_and_no_pydantic() -> None:
    program = (
        "import sys, qadapt\n"
        "heavy = {'qdrant_edge', 'qdrant_client', 'pymilvus', 'weaviate', 'faiss', 'torch',"
        " 'pydantic', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_public_name_exists() -> None:
    for name in qa.__all__:
        assert getattr(qa, name) is not None
    assert set(qa.__all__) <= set(dir(qa))
    with pytest.raises(AttributeError, match="opne"):
        _ = qa.opne


@pytest.mark.parametrize("text", ["", "edge", "http://", 7, None])
def test_an_invalid_address_is_refused(text: Any) -> None:
    with pytest.raises(AddressError):
        qa.open(text)


def test_an_unknown_store_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match="store 'egde'") as caught:
        qa.open("egde:./data")
    assert "'edge'" in str(caught.value)


def test_an_unknown_feature_cannot_be_switched_off(live: Callable[[str], str]) -> None:
    with pytest.raises(SpecError, match="native-rescroe") as caught:
        qa.open(live("edge"), disabled=["native-rescroe"])
    assert "native-rescore" in str(caught.value)


def test_a_database_lists_its_collections(database: qa.Database) -> None:
    assert database.collections() == list(database) == []
    database.create("books", dim=4)
    database.create("articles", dim=4)
    assert database.collections() == list(database) == ["articles", "books"]
    assert "books" in database
    assert "films" not in database
    assert str(database._store.address) in repr(database)
    assert repr(database["books"]) == f"<Collection 'books' of {database._store.address}>"
    assert database.server().store == "edge"
    assert database.capabilities().native("native-quantization")
    with pytest.raises(NotFoundError, match="'boks'") as caught:
        database["boks"]
    assert "did you mean 'books'" in str(caught.value)
    database.drop("books")
    assert list(database) == ["articles"]


def test_an_invalid_metric_is_refused(database: qa.Database) -> None:
    with pytest.raises(SpecError, match="metric 'cosin'"):
        database.create("articles", dim=4, metric="cosin")
    assert database.collections() == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "dim= for one unnamed vector"),
        ({"dim": 4, "vectors": {"a": qa.Vector(4)}}, "dim= for one unnamed vector"),
        ({"dim": 0}, "dim must be"),
        ({"dim": 2.5}, "dim must be"),
        ({"dim": 4, "quantization": "binray"}, "quantization 'binray'"),
        ({"dim": 4, "quantization": {"title": "binary"}}, "vector 'title'"),
        (
            {"vectors": {"a": qa.Vector(4), "b": qa.Vector(4)}, "quantization": "binary"},
            "name those to quantize",
        ),
    ],
)
def test_invalid_collections_are_refused(
    database: qa.Database, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        database.create("articles", **how)
    assert database.collections() == []


def test_an_unsupported_quantization_creates_nothing(database: qa.Database) -> None:
    with pytest.raises(UnsupportedError):
        database.create("articles", dim=8, quantization="scalar:bits=4")
    assert database.collections() == []


def test_creation_with_quantization_and_rescoring(database: qa.Database, sample: Sample) -> None:
    vectors = {"title": qa.Vector(DIM), "body": qa.Vector(DIM)}
    wanted = {"title": "binary:rescore=5", "body": qa.scalar()}
    collection = database.create("books", vectors=vectors, quantization=wanted)
    collection.write(qa.Batch(range(500), {"title": sample.rows, "body": sample.rows}))
    info = collection.info()
    assert info.vectors["title"].quantization.rescore == qa.Rescore(5)
    # This engine builds on request: a configured quantization is not active before that.
    assert info.vectors["title"].status.state is qa.State.BUILDING
    assert info.vectors["body"].status.state is qa.State.IGNORED
    assert collection.search(sample.queries, vector="title").how.rescorer == "none"
    collection.plan("binary:rescore=5", vector="title").apply(yes=True)
    assert collection.info().vectors["title"].status.state is qa.State.ACTIVE
    how = collection.search(sample.queries, vector="title").how
    assert (how.oversampling, how.rescore_from) == (5, "collection")


def test_settings_of_a_former_collection_do_not_apply_to_a_new_one(
    database: qa.Database, sample: Sample
) -> None:
    first = database.create("articles", dim=DIM, quantization="binary:rescore=7")
    assert first.info().vectors[""].default_rescore == qa.Rescore(7)
    database.drop("articles")
    again = database.create("articles", dim=DIM)
    again.write(qa.Batch(range(500), {"": sample.rows}))
    assert again.info().vectors[""].default_rescore is None
    assert again.search(sample.queries).how.rescore_from == "store default"
    with pytest.raises(AlreadyExistsError, match="'articles'"):
        database.create("articles", dim=DIM, quantization="binary:rescore=7")
    assert again.info().vectors[""].default_rescore is None, "a refused create leaves nothing"


def test_rows_are_written_and_read(database: qa.Database, sample: Sample) -> None:
    collection = database.create("articles", dim=DIM)
    payloads = [{"group": row % 3} for row in range(500)]
    collection.write(qa.Batch(range(500), {"": sample.rows}, payloads))
    assert collection.count() == 500
    assert collection.count({"group": 1}) == 167
    drawn = collection.sample(50, seed=1)
    assert len(set(drawn.ids)) == 50
    assert drawn.ids == collection.sample(50, seed=1).ids != collection.sample(50, seed=2).ids
    np.testing.assert_allclose(drawn.vectors[""], sample.rows[drawn.ids], atol=1e-6)
    assert len(collection.sample(9_999)) == 500
    with pytest.raises(qa.errors.InputError, match="at least 1"):
        collection.sample(0)
    pages = list(collection.read(page=200, vectors=(), filter={"group": 2}))
    assert sum(map(len, pages)) == 166
    assert collection.fetch([3, 9_999, 1], vectors=()).ids == [3, 1]


def test_a_search_accepts_array_likes(database: qa.Database, sample: Sample) -> None:
    collection = database.create("articles", dim=DIM)
    collection.write(qa.Batch(range(500), {"": sample.rows}))
    expected = collection.search(sample.queries[:1]).ids.tolist()
    for given in (
        sample.queries[0],
        sample.queries[0].tolist(),
        sample.queries[:1].astype(np.float64),
        [tuple(sample.queries[0].tolist())],
        np.asfortranarray(sample.queries[:1]),
    ):
        assert collection.search(given).ids.tolist() == expected
    assert collection.search(sample.queries[:0]).ids.shape == (0, 10)
    document = collection.search(sample.queries[:2], k=3, with_payload=True).to_dict()
    assert np.shape(document["ids"]) == (2, 3)
    assert document["how"]["searcher"] == "store"


@pytest.mark.parametrize("rescore", [0.5, "much", "4@nothing", "nan", [4], True])
def test_an_invalid_rescore_is_refused(database: qa.Database, sample: Sample, rescore: Any) -> None:
    collection = database.create("articles", dim=DIM)
    with pytest.raises(SpecError):
        collection.search(sample.queries, rescore=rescore)


def test_oversampling_without_rescoring_is_refused() -> None:
    """ "Oversampling without rescoring is meaningless", as in ScyllaDB's review of #27677:
    https://github.com/scylladb/scylladb/pull/27677
    """
    with pytest.raises(SpecError, match="no effect"):
        qa.Rescore(4, source="off")
    with pytest.raises(SpecError, match="no effect"):
        qa.none(rescore=4)


def test_rescoring_is_saved_locally_if_the_store_drops_it(
    database: qa.Database, sample: Sample
) -> None:
    """A rescore in a collection's configuration is silently dropped by Qdrant, although its
    documentation once advised it: https://github.com/qdrant/landing_page/pull/2630
    """
    collection = database.create("articles", dim=DIM)
    collection.write(qa.Batch(range(500), {"": sample.rows}))
    collection.plan("scalar:rescore=3").apply(yes=True)
    assert collection.info().vectors[""].default_rescore == qa.Rescore(3)
    how = collection.search(sample.queries, k=10).how
    assert (how.rescorer, how.oversampling, how.candidates) == ("store", 3, 30)


def test_a_plan_lists_blocked_operations(database: qa.Database, sample: Sample) -> None:
    """Milvus needs release, drop, create, load, and does not report that beforehand:
    https://github.com/milvus-io/milvus/issues/36421
    """
    collection = database.create("articles", dim=DIM)
    collection.write(qa.Batch(range(500), {"": sample.rows}))
    for text in ("scalar", "binary", "rotational:bits=2", "none"):
        plan = collection.plan(text)
        assert all(step.reason and step.estimate.stops for step in plan.steps)
        stops = any(step.estimate.stops != "nothing" for step in plan.steps)
        assert plan.needs_consent == stops
        change = plan.apply(yes=True)
        vector = collection.info().vectors[""]
        assert vector.quantization.codes_only == plan.target.codes_only
        wanted = qa.State.ABSENT if text == "none" else qa.State.ACTIVE
        assert change.status.state is vector.status.state is wanted


# -- several plans, a spec file ------------------------------------------------------------------


@pytest.fixture
def books(database: qa.Database, sample: Sample) -> qa.Collection:
    vectors = {"title": qa.Vector(DIM), "body": qa.Vector(DIM)}
    collection = database.create("books", vectors=vectors)
    collection.write(qa.Batch(range(500), {"title": sample.rows, "body": sample.rows}))
    return collection


def test_plans_made_together_are_applied_together(books: qa.Collection) -> None:
    """Each plan changes the configuration from which the next one was planned."""
    plans = [books.plan("binary:rescore=2", vector=name) for name in ("title", "body")]
    changes = list(qa.apply_plans(plans, yes=True))
    assert [change.state for change in changes] == ["applied", "applied"]
    assert [change.outcome.vector for change in changes] == ["title", "body"]
    states = {name: each.status.state for name, each in books.info().vectors.items()}
    assert states == {"title": qa.State.ACTIVE, "body": qa.State.ACTIVE}
    for change in reversed(changes):
        change.undo()
    states = {name: each.status.state for name, each in books.info().vectors.items()}
    assert states == {"title": qa.State.ABSENT, "body": qa.State.ABSENT}


def test_plans_made_stale_by_another_client_are_refused(books: qa.Collection) -> None:
    plans = [books.plan("binary", vector=name) for name in ("title", "body")]
    books.plan("scalar", vector="body").apply(yes=True)
    with pytest.raises(PlanStaleError):
        list(qa.apply_plans(plans, yes=True))


def test_a_spec_file_applied_twice_does_nothing_the_second_time(
    live: Callable[[str], str], books: qa.Collection, database: qa.Database, tmp_path: Path
) -> None:
    path = tmp_path / "quantization.yaml"
    path.write_text(
        f"store: {live('edge')}\n"
        "collections:\n"
        "  books:\n"
        "    vectors:\n"
        "      title: {quantization: binary, rescore: 4}\n"
        "      body: {quantization: scalar}\n"
        "    guard: {recall@10: 0.1, queries: 20}\n",
        encoding="utf-8",
    )
    database.close()
    for expected in ("applied", "nothing"):
        with qa.plan_spec(qa.load_spec(path)) as plans:
            assert [plan.vector for plan in plans] == ["title", "body"]
            assert [str(plan.guard) for plan in plans] == ["recall@10>=0.1"] * 2
            changes = list(qa.apply_plans(plans, yes=True))
        assert [change.state for change in changes] == [expected] * 2
    assert len(qa.history()) == 2


# -- errors --------------------------------------------------------------------------------------


def test_the_errors_are_one_tree_with_exit_codes() -> None:
    codes = {
        qa.errors.InputError: 2,
        qa.errors.AddressError: 2,
        qa.errors.GuardMissedError: 3,
        qa.errors.PlanStaleError: 4,
        qa.errors.ConsentRequiredError: 4,
        qa.errors.StoreError: 1,
        qa.errors.ApplyError: 1,
    }
    for kind, code in codes.items():
        assert issubclass(kind, QadaptError)
        assert kind.exit_code == code
