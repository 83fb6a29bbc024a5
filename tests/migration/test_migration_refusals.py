"""Losses that a migration refuses before it writes, and the names that allow them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from migration_help import DIM, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    AlreadyExistsError,
    BusyError,
    InputError,
    NotFoundError,
    SpecError,
    UnsupportedError,
)
from qadapt.local.state import exclusive

Ends = Callable[[str], Database]
ENGINES = ["edge", "lite", "local", "milvus", "weaviate"]


def test_an_existing_target_is_refused_unless_allowed(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    mine = there.create("mine", dim=DIM, metric="dot")
    mine.write(qa.Batch([1000], {"": rows(1)}))
    with pytest.raises(AlreadyExistsError, match="mine"):
        qa.migrate(source, (there, "mine"))
    assert mine.count() == 1
    done = qa.migrate(source, (there, "mine"), allow=["existing-target"])
    assert mine.count() == 501
    assert done.state == "check failed"  # the target has a row that the source lacks
    assert done.check is not None
    assert (done.check.unexpected, done.check.missing) == (1, 0)


def test_source_and_target_must_differ(source: Collection) -> None:
    with pytest.raises(InputError, match="the same"):
        qa.migrate(source, source)


def test_a_missing_source_suggests_the_nearest_name(
    edge: Database, source: Collection, ends: Ends
) -> None:
    with pytest.raises(NotFoundError, match="dcs"):
        qa.migrate((edge, "dcs"), (ends("edge"), "docs"))


def test_unknown_losses_and_invalid_options_are_refused(source: Collection, ends: Ends) -> None:
    with pytest.raises(SpecError, match="loss to allow"):
        qa.migrate(source, (ends("edge"), "docs"), allow=["everything"])
    with pytest.raises(InputError, match="workers"):
        qa.migrate(source, (ends("edge"), "docs"), workers=0)


def test_a_concurrent_run_with_the_same_target_is_refused(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    with exclusive(there._store.address, "docs"), pytest.raises(BusyError, match="docs"):
        qa.migrate(source, (there, "docs"))
    assert there.collections() == []


def test_unsupported_vectors_are_refused_by_name(ends: Ends, name: str) -> None:
    """Multivectors and an unsupported metric, created with Qdrant's client."""
    models = pytest.importorskip("qdrant_client.models")
    here, there = ends("local"), ends("lite")
    client = here._store.connection.client  # type: ignore[attr-defined]
    dense = models.VectorParams(size=4, distance="Dot")
    many = dense.model_copy(
        update={"multivector_config": models.MultiVectorConfig(comparator="max_sim")}
    )
    client.create_collection(
        name,
        vectors_config={
            "a": dense,
            "tokens": many,
            "city": models.VectorParams(size=4, distance="Manhattan"),
        },
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    vectors = {"a": [1, 2, 3, 4], "tokens": [[1, 2, 3, 4]] * 2,
               "words": models.SparseVector(indices=[1], values=[0.5])}  # fmt: skip
    client.upsert(name, [models.PointStruct(id=1, vector=vectors, payload={"n": 1})])
    with pytest.raises(UnsupportedError) as caught:
        qa.migrate((here, name), (there, "docs"))
    assert "other-metrics: city" in str(caught.value)
    assert "multivectors: tokens" in str(caught.value)
    assert there.collections() == []
    done = qa.migrate((here, name), (there, "docs"), allow=["other-metrics", "multivectors"])
    assert done.state == "done"
    assert list(there["docs"].info().vectors) == ["a"]
    assert list(there._store.collection_schema("docs").extras) == ["words"]
