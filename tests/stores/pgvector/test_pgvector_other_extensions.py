"""Indexes of other extensions, such as pgvectorscale and VectorChord, and partial indexes.

No package contains these extensions. The tests register their names, and their access method is
pgvector's hnsw under another name, so that the server builds and uses the indexes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

import qadapt as qa
from qadapt.api import Collection
from qadapt.errors import UnsupportedError

DISKANN = """
CREATE ACCESS METHOD diskann TYPE INDEX HANDLER hnswhandler;
CREATE OPERATOR CLASS vector_cosine_ops FOR TYPE vector USING diskann AS
  OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
  FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 2 vector_norm(vector);
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
  VALUES (99999, 'vectorscale', 10, 2200, true, '0.9.0')
"""


@pytest.fixture
def other_database(url: str, raw: Any, name: str) -> Iterator[str]:
    """The address of a database with the extension vectorscale."""
    raw.execute(f"CREATE DATABASE {name}")
    address = url.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(address, autocommit=True) as at:
        at.execute("CREATE EXTENSION vector")
        at.execute(DISKANN)
    yield address
    raw.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def articles(other_database: str) -> Iterator[Collection]:
    with qa.open(other_database) as db:
        collection = db.create("articles", dim=16)
        rows = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
        collection.write(qa.Batch(list(range(2000)), {"": rows}))
        yield collection


def indexes(address: str) -> set[str]:
    with psycopg.connect(address) as at:
        rows = at.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'articles'")
        return {row[0] for row in rows}


def test_indexes_of_other_extensions_are_named_and_kept(
    articles: Collection, other_database: str
) -> None:
    with psycopg.connect(other_database, autocommit=True) as at:
        at.execute("CREATE INDEX theirs ON articles USING diskann (embedding vector_cosine_ops)")
    info = articles.info().vectors[""]
    assert (info.index["type"], info.index["other_indexes"]) == ("none", ["theirs"])
    assert info.status.state is qa.State.ABSENT
    plan = articles.plan(qa.Quantization.parse("binary").replace(native={"replace": True}))
    assert "indexes of the extensions vectorscale are neither used nor changed" in plan.notes
    assert "drop the index theirs" not in str(plan)
    change = plan.apply(yes=True)
    assert "theirs" in indexes(other_database)
    change.undo()
    assert indexes(other_database) == {"articles_pkey", "theirs"}
    with pytest.raises(UnsupportedError, match=r"'theirs' \(diskann\)"):
        articles.plan(datatype="float16")


def test_a_partial_index_is_not_built_again_without_its_condition(
    articles: Collection, other_database: str
) -> None:
    with psycopg.connect(other_database, autocommit=True) as at:
        at.execute(
            "CREATE INDEX part ON articles USING hnsw (embedding vector_cosine_ops) WHERE id < 100"
        )
    with pytest.raises(UnsupportedError, match="'part'"):
        articles.plan(datatype="float16")
