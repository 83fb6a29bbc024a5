"""A collection of two vectors is changed vector by vector."""

from __future__ import annotations

import pytest
from plan_helpers import state_of

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import NotFoundError, SpecError
from qadapt.testing import Sample


@pytest.fixture
def books(database: Database, sample: Sample) -> Collection:
    """Two vectors."""
    dim = sample.rows.shape[1]
    vectors = {"title": qa.Vector(dim), "body": qa.Vector(dim, "dot")}
    collection = database.create("books", vectors=vectors)
    columns = {"title": sample.rows, "body": sample.rows[::-1]}
    collection.write(qa.Batch(range(len(sample.rows)), columns))
    return collection


def test_with_two_vectors_one_must_be_named(books: Collection) -> None:
    with pytest.raises(SpecError, match="name one") as caught:
        books.plan("scalar")
    assert "title" in str(caught.value)
    assert "body" in str(caught.value)
    with pytest.raises(NotFoundError, match="'titel'"):
        books.plan("scalar", vector="titel")


def test_two_vectors_change_one_by_one(books: Collection, sample: Sample) -> None:
    first = books.plan("scalar:rescore=2", vector="title").apply(yes=True)
    assert (state_of(books, "title"), state_of(books, "body")) == ("active", "absent")
    second = books.plan("binary:rescore=4", vector="body").apply(yes=True)
    assert (state_of(books, "title"), state_of(books, "body")) == ("active", "active")
    how = books.search(sample.queries, vector="title").how
    assert (how.oversampling, how.rescore_from) == (2, "collection")
    assert books.search(sample.queries, vector="body").how.oversampling == 4
    second.undo()
    assert (state_of(books, "title"), state_of(books, "body")) == ("active", "absent")
    assert books.search(sample.queries, vector="title").how.oversampling == 2
    first.undo()
    assert (state_of(books, "title"), state_of(books, "body")) == ("absent", "absent")


def test_a_change_of_one_vector_depends_on_changes_of_others(books: Collection) -> None:
    """Vectors share one configuration: the first change is undone last, and the error explains
    it."""
    first = books.plan("scalar", vector="title").apply(yes=True)
    second = books.plan("binary", vector="body").apply(yes=True)
    with pytest.raises(qa.QadaptError, match="newer change") as caught:
        first.undo()
    assert second.id in str(caught.value)
