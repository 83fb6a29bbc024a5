"""Documents as rows: ids, payload fields, diversity. No framework is needed."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.errors import AddressError, AlreadyExistsError, InputError
from qadapt.integrations import mmr
from qadapt.integrations.documents import DocumentRows, SearchOptions, StoredDocument
from qadapt.integrations.ids import RowIds
from qadapt.integrations.opening import NewCollection, open_collection

ALL = SearchOptions()
UUID = "0b0f2f5e-34d5-4b0e-9d0a-3d0f8f0c1a11"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[qa.Database]:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path}") as opened:
        yield opened


@pytest.fixture
def collection(database: qa.Database) -> qa.Collection:
    return database.create("notes", dim=2, metric="cosine")


def document(key: str, x: float = 1.0, y: float = 0.0, **payload: object) -> StoredDocument:
    return StoredDocument(key, dict(payload), f"text of {key}", np.array([x, y], np.float32))


def test_ids_of_any_text_are_kept(collection: qa.Collection) -> None:
    ids = ["7", "007", UUID, UUID.upper(), "any text, ünd 7", "0", "1" * 30]
    rows = DocumentRows(collection)
    rows.write([document(key, 1.0, at) for at, key in enumerate(ids)])
    assert collection.count() == len(ids)
    assert [each.id for each in rows.fetch(ids[::-1])] == ids[::-1]
    assert {each.id for each in rows.search([1, 0], 10, ALL)} == set(ids)
    assert {each.id for each in rows.read()} == set(ids)
    assert all(each.payload == {} for each in rows.read()), "the field of the id is not metadata"
    rows.write([document(key, 0.0, 1.0, new=True) for key in ids])
    assert collection.count() == len(ids), "the same ids are the same rows"
    rows.delete(["007", UUID.upper(), "unknown"])
    assert {each.id for each in rows.read()} == set(ids) - {"007", UUID.upper()}


def test_the_row_of_a_derived_uuid_is_not_the_document(collection: qa.Collection) -> None:
    """The UUID that "a" is stored as is the id of another document only by its own text."""
    rows = DocumentRows(collection)
    rows.write([document("a")])
    derived = str(collection.sample(1).ids[0])
    assert uuid.UUID(derived).version == 5
    assert rows.fetch([derived]) == []
    rows.delete([derived])
    assert [each.id for each in rows.fetch(["a"])] == ["a"]


def test_ids_are_stored_unchanged_where_the_database_can() -> None:
    assert RowIds(None).key("any text") == "any text"
    assert RowIds(None).key("7") == 7
    assert RowIds(lambda key: False).key("any text") == RowIds(lambda key: False).key("any text")
    for wrong in ("", 7, None):
        with pytest.raises(InputError, match="nonempty string"):
            RowIds(None).key(wrong)  # type: ignore[arg-type]


def test_rows_of_other_clients_are_documents(collection: qa.Collection) -> None:
    payloads = [{"body": f"text {row}", "year": 1990 + row} for row in range(3)]
    collection.write(qa.Batch(range(3), {"": np.eye(3, 2) + 0.1}, payloads))
    rows = DocumentRows(collection, text_field="body")
    (found,) = rows.fetch(["1"])
    assert (found.id, found.text, found.payload) == ("1", "text 1", {"year": 1991})
    rows.delete(["1"])
    assert collection.count() == 2


def test_metadata_in_an_object(collection: qa.Collection) -> None:
    rows = DocumentRows(collection, text_field="page_content", metadata_field="metadata")
    rows.write([document("1", text="a", year=1999), document("2", text="b", year=None)])
    stored = collection.fetch([1]).payloads
    assert stored == [{"metadata": {"text": "a", "year": 1999}, "page_content": "text of 1"}]
    for filter, expected in (
        ({"year": {"gte": 1990}}, ["1"]),
        ({"year": None}, ["2"]),
        ({"year": {"exists": True}}, ["1"]),
        ({"not": {"any": [{"text": "a"}, {"text": ["x"]}]}}, ["2"]),
        ({}, ["1", "2"]),
    ):
        found = rows.search([1, 0], 10, SearchOptions(filter))
        assert sorted(each.id for each in found) == expected, filter
    assert rows.fetch(["1"])[0].payload == {"text": "a", "year": 1999}


@pytest.mark.parametrize("field", ["text", "qadapt_id"])
def test_metadata_never_replace_text_or_id(collection: qa.Collection, field: str) -> None:
    with pytest.raises(InputError, match="nothing was written") as caught:
        DocumentRows(collection).write([document("1"), document("2", **{field: "x"})])
    assert "metadata_field" in str(caught.value)
    assert collection.count() == 0


def test_fields_have_different_names(collection: qa.Collection) -> None:
    with pytest.raises(InputError, match="three names"):
        DocumentRows(collection, text_field="a", metadata_field="a")


def test_a_wrong_dimension_is_reported_and_nothing_written(collection: qa.Collection) -> None:
    three = StoredDocument("1", {}, "x", np.ones(3, np.float32))
    with pytest.raises(qa.errors.DimensionError):
        DocumentRows(collection).write([three])
    with pytest.raises(InputError):
        DocumentRows(collection).write([document("2"), three])
    assert collection.count() == 0


def greedy(query: np.ndarray, rows: np.ndarray, k: int, weight: float) -> list[int]:
    """Maximal marginal relevance by its definition, one candidate after the other."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    chosen = [max(range(len(rows)), key=lambda row: cosine(query, rows[row]))]
    while len(chosen) < min(k, len(rows)):
        left = [row for row in range(len(rows)) if row not in chosen]
        chosen.append(
            max(
                left,
                key=lambda row: (
                    (1 - weight) * cosine(query, rows[row])
                    - weight * max(cosine(rows[row], rows[other]) for other in chosen)
                ),
            )
        )
    return chosen


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9, 1.0])
def test_diversity_by_its_definition(weight: float) -> None:
    random = np.random.default_rng(3)
    rows = random.normal(size=(30, 8)).astype(np.float32)
    query = random.normal(size=8).astype(np.float32)
    assert mmr.select(query, rows, 12, weight) == greedy(query, rows, 12, weight)
    assert sorted(mmr.select(query, rows, 99, weight)) == list(range(30))
    with pytest.raises(InputError, match="from 0 to 1"):
        mmr.select(query, rows, 3, 1.5)


def test_diverse_documents_have_scores_and_are_less_alike(collection: qa.Collection) -> None:
    rows = DocumentRows(collection)
    near = [document(str(at), 1.0, at / 1000) for at in range(5)]
    rows.write([*near, document("far", 0.5, 0.9)])
    found = rows.diverse([1, 0], 2, 6, 0.7, ALL)
    assert [each.id for each in found] == ["0", "far"]
    assert found[0].score == pytest.approx(1.0)
    assert rows.diverse([1, 0], 2, 6, 0.7, SearchOptions({"x": 1})) == []


def test_a_new_collection_has_the_quantization(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge")
    address = f"edge:{tmp_path}#notes"
    database, made = open_collection(address, NewCollection(lambda: 8, "dot", "binary:rescore=4"))
    with database:
        about = made.info().vectors[""]
        assert (about.vector.dim, about.vector.metric) == (8, qa.Metric.DOT)
        assert about.quantization is not None and about.quantization.kind == "binary"
    for new in (NewCollection(lambda: 8, "dot"), NewCollection(lambda: 8, None, "scalar")):
        with pytest.raises(AlreadyExistsError, match="has no effect") as caught:
            open_collection(address, new)
        assert "collection.plan" in str(caught.value)
    with pytest.raises(AddressError, match="names no collection"):
        open_collection(f"edge:{tmp_path}")
    database, _ = open_collection(address, NewCollection(lambda: 1 // 0))
    database.close()


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("haystack", "haystack", "haystack"),
    ],
)
def test_a_missing_framework_names_its_extra(module: str, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from qadapt.errors import MissingExtraError\n"
        f"try:\n    import qadapt.integrations.{module}\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"[{extra}]" in done.stdout
