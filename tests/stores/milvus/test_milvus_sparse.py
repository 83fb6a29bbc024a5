"""Sparse vectors of Milvus: on Lite, and refused by the server 2.3.5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError, UnsupportedError
from qadapt.model import CollectionSchema, ExtraVector, RaggedArray, Vector
from qadapt.model.ragged_arrays import from_sparse
from qadapt.stores.base import SearchRequest

WORDS = CollectionSchema(extras={"words": ExtraVector("sparse")})
ROWS = [([7, 3], [0.5, 0.25]), ([2**32 - 2], [1e-45]), ([0], [3e38])]


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Database]:
    """Milvus Lite 3 in a file."""
    pytest.importorskip("milvus_lite")
    with qa.open(f"milvus:{tmp_path / 'lite.db'}") as database:
        database._store.create("docs", {"": Vector(2, "dot")}, {}, WORDS)
        yield database


def batch(words: RaggedArray | None, count: int = 3) -> qa.Batch:
    extras = {} if words is None else {"words": words}
    return qa.Batch(range(count), {"": np.ones((count, 2))}, extras=extras)


def test_sparse_rows_are_read_back_unchanged(lite: Database) -> None:
    store = lite._store
    store.write("docs", batch(from_sparse(ROWS)))
    found = store.fetch("docs", [2, 0, 1], vectors=["words"])
    wanted = from_sparse([ROWS[2], ROWS[0], ROWS[1]])
    read = found.extras["words"]
    assert read.indices is not None
    assert wanted.indices is not None
    assert read.indices.tolist() == wanted.indices.tolist()
    assert read.values.tobytes() == wanted.values.tobytes()
    assert read.offsets.tolist() == wanted.offsets.tolist()
    assert set(next(iter(store.read("docs"))).vectors) == {""}
    assert (
        store.collection_schema("docs").extras["words"].native["index_type"]
        == "SPARSE_INVERTED_INDEX"
    )
    assert store.uncopied("docs") == {}
    with pytest.raises(UnsupportedError, match="SPARSE_FLOAT_VECTOR"):
        store.search("docs", np.ones((1, 2)), SearchRequest(k=1, vector="words"))


def test_zero_entries_are_dropped(lite: Database) -> None:
    """Why ``keeps_explicit_zeros`` is False: observed on 3.2.2."""
    lite._store.write("docs", batch(from_sparse([([1, 2], [0.0, 0.5])]), 1))
    read = lite._store.fetch("docs", [0], vectors=["words"]).extras["words"]
    assert read.values.tolist() == [0.5]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([([1], [-1.0])], "negative values"),
        ([([], [])], "no nonzero entry"),
        ([([1], [0.0])], "no nonzero entry"),
        ([([2**32 - 1], [1.0])], r"2\*\*32 - 1"),
        ([None], "is missing in some rows"),
    ],
)
def test_invalid_sparse_rows_are_refused(
    lite: Database, rows: list[tuple[list[int], list[float]] | None], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        lite._store.write("docs", batch(from_sparse(rows), 1))
    with pytest.raises(InputError, match="is missing in some rows"):
        lite._store.write("docs", batch(None, 1))
    assert lite["docs"].count() == 0


def test_milvus_refuses_the_same_sparse_rows(lite: Database) -> None:
    """Lite itself rejects each; otherwise qadapt's refusal would be out of date."""
    client = lite._store.connection.client  # type: ignore[attr-defined]
    for words in ({1: -1.0}, {}, {1: 0.0}, {2**32 - 1: 1.0}, None):
        with pytest.raises(Exception, match=r"(?i)sparse|nonzero|scalars"):
            client.insert("docs", [{"qadapt_id": "x", "vector": [1.0, 2.0], "vector_words": words}])


@pytest.mark.timeout(300)
def test_sparse_vectors_are_refused_on_2_3_5(live: Callable[[str], str], tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    with qa.open(live("milvus")) as there, qa.open(f"edge:{tmp_path / 'edge'}") as here:
        version = there._store.server().version or ""
        if not version.startswith("2.3"):
            pytest.skip(f"this server is {version}, which has them")
        reported = there._store.unsupported_schema(WORDS)
        assert "sparse vectors need Milvus 2.4" in reported["extras.words"]
        here._store.create("docs", {"": Vector(2, "dot")}, {}, WORDS)
        here._store.write("docs", batch(from_sparse(ROWS)))
        with pytest.raises(UnsupportedError, match=r"sparse-vectors: words .*2\.4"):
            qa.migrate((here, "docs"), (there, "Sparse_refused"))
        assert "Sparse_refused" not in there.collections()
