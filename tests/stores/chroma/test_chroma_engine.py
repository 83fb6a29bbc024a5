"""What Chroma accepts and does not do, and what qadapt makes of it (docs/engines/chroma.md)."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    AddressError,
    BusyError,
    InputError,
    NonFiniteError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from qadapt.stores.chroma import snapshot
from qadapt.testing.data import Sample

EYE = np.eye(4, dtype=np.float32)
HNSW = {"hnsw": {"space": "cosine"}}


def configure(native: Any, **parameters: int) -> None:
    """Change parameters of the graph, without the client's warning of its embedding function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        native.modify(configuration={"hnsw": parameters})


def findings(collection: Collection, code: str) -> list[qa.model.Finding]:
    return [each for each in collection.doctor().findings if each.code == code]


# -- quantization --------------------------------------------------------------------------------


def test_a_requested_spann_index_is_dropped_silently(client: Any, database: Database) -> None:
    """The returned configuration is the evidence, not the request."""
    made = client.create_collection(
        "asked", embedding_function=None, configuration={"spann": {"space": "cosine"}}
    )
    assert made.configuration_json["spann"] is None
    made.add(ids=["a"], embeddings=EYE[:1])
    vector = database["asked"].info().vectors[""]
    assert vector.index["type"] == "hnsw"
    assert vector.metric is qa.Metric.COSINE
    assert (vector.quantization, vector.status.state) == (qa.none(), qa.State.ABSENT)
    evidence = {each.signal: each.value for each in vector.status.evidence}
    assert evidence["index in the returned configuration"] == "hnsw"


def test_quantize_in_a_returned_schema_is_unknown_and_none_is_absent() -> None:
    """Never observed: Chroma Cloud."""
    index = {"spann": {"quantize": snapshot.RABITQ}}
    assert snapshot.quantize_of({"keys": {"#embedding": [{"config": index}]}}) == snapshot.RABITQ
    assert snapshot.quantize_of({"keys": {"#embedding": {"spann": {"quantize": "none"}}}}) is None
    assert snapshot.quantize_of({"hnsw": {"ef_search": 100}, "spann": None}) is None


def test_a_change_of_max_neighbors_is_reported_and_the_graph_keeps_the_old_one(
    articles: Collection, client: Any
) -> None:
    configure(client.get_collection("articles"), max_neighbors=64)
    vector = articles.info().vectors[""]
    assert vector.index["max_neighbors"] == 64, "the configuration reports the change"
    (found,) = findings(articles, "max-neighbors-ignored")
    assert "built with 16" in found.message


def test_metadata_of_hnsw_has_no_effect_after_the_creation(made: Any, database: Database) -> None:
    made.modify(metadata={"hnsw:search_ef": 500, "mine": 1})
    info = database["notes"].info()
    assert info.vectors[""].index["ef_search"] == 100
    assert info.config["metadata"] == {"hnsw:search_ef": 500, "mine": 1}
    (found,) = findings(database["notes"], "metadata-without-effect")
    assert "ef_search" in found.command
    configure(made, ef_search=500)
    assert database["notes"].info().vectors[""].index["ef_search"] == 500
    assert not findings(database["notes"], "metadata-without-effect")


# -- rows ----------------------------------------------------------------------------------------


def test_add_of_an_existing_id_is_ignored_and_a_write_of_qadapt_replaces(
    made: Any, database: Database
) -> None:
    made.add(ids=["a"], embeddings=[[9, 9, 9, 9]], metadatas=[{"n": 9}])
    notes = database["notes"]
    assert notes.fetch(["a"]).vectors[""].tolist() == [[1, 0, 0, 0]]
    notes.write(qa.Batch(["a"], {"": [[9, 9, 9, 9]]}, [{"n": 9}]))
    assert notes.fetch(["a"]).vectors[""].tolist() == [[9, 9, 9, 9]]
    assert notes.fetch(["a"]).payloads == [{"n": 9}]


def test_an_upsert_of_the_client_merges_metadata_and_a_write_of_qadapt_replaces_it(
    made: Any, database: Database
) -> None:
    made.upsert(ids=["a"], embeddings=EYE[:1], metadatas=[{"new": 1}], documents=["text"])
    notes = database["notes"]
    assert notes.fetch(["a"]).payloads == [{"n": 0, "new": 1, "document": "text"}]
    notes.write(qa.Batch(["a"], {"": EYE[:1]}, [{"other": True}]))
    assert notes.fetch(["a"]).payloads == [{"other": True}]
    assert made.get(ids=["a"])["documents"] == [None], "an upsert alone cannot remove it"
    notes.write(qa.Batch(["a"], {"": EYE[:1]}))
    assert notes.fetch(["a"]).payloads == [{}]


def test_metadata_keys_with_a_reserved_prefix_are_dropped_silently_and_qadapt_keeps_them(
    made: Any, database: Database
) -> None:
    made.upsert(ids=["a"], embeddings=EYE[:1], metadatas=[{"chroma:x": 1, "n": None}])
    assert made.get(ids=["a"])["metadatas"] == [{}]
    payload = {"chroma:x": 1, "#y": 2, "$z": 3, "": 4, "a.b": 5}
    database["notes"].write(qa.Batch(["a"], {"": EYE[:1]}, [payload]))
    assert database["notes"].fetch(["a"]).payloads == [payload]


def test_rows_are_returned_in_the_requested_order(made: Any, database: Database) -> None:
    assert made.get(ids=["2", "a", "zz"], include=[])["ids"] == ["a", "2"]
    found = database["notes"].fetch(["2", "zz", "a"])
    assert found.ids == ["2", "a"]
    assert found.vectors[""].tolist() == EYE[[3, 0]].tolist()


def test_cosine_vectors_are_off_by_one_rounding_step(database: Database, client: Any) -> None:
    """A copy is compared with this tolerance; l2 and dot product are exact (conformance suite)."""
    rows = np.random.default_rng(0).standard_normal((200, 96)).astype(np.float32)
    collection = database.create("rounded", dim=96, metric="cosine")
    collection.write(qa.Batch(range(200), {"": rows}))
    raw = client.get_collection("rounded").get(ids=["0"], include=["embeddings"])["embeddings"]
    assert raw.dtype == np.float64
    back = collection.fetch(list(range(200))).vectors[""]
    assert 0 < (back != rows).mean() < 0.5
    assert (np.abs(back - rows) <= 2 * np.spacing(np.abs(rows))).all()
    lengths = np.linalg.norm(back, axis=1) / np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


def test_a_deletion_counts_unknown_ids(made: Any, database: Database) -> None:
    assert made.delete(ids=["unknown"])["deleted"] == 1
    store = database._store
    before = store.change_counter("notes")
    database["notes"].delete(["unknown"])
    assert store.change_counter("notes") == before, "nothing was sent"
    database["notes"].delete(["unknown", "a"])
    after = store.change_counter("notes")
    assert after is not None and before is not None
    assert after.accounted(before, deleted=1)


def test_a_query_of_nan_is_answered_and_qadapt_refuses_it(made: Any, database: Database) -> None:
    found = made.query(query_embeddings=np.full((1, 4), np.nan), n_results=2)
    assert len(found["ids"][0]) == 2
    with pytest.raises(NonFiniteError):
        database["notes"].search([np.nan] * 4, k=2)


@pytest.mark.parametrize(
    "name", ["ab", "a" * 513, "_ab", "ab.", "a..b", "1.2.3.4", "naïve", "a b", "a/b"]
)
def test_names_by_the_rules_of_chroma(database: Database, client: Any, name: str) -> None:
    with pytest.raises(Exception, match="Expected a name"):
        client.create_collection(name, embedding_function=None)
    with pytest.raises(InputError, match="3 to 512"):
        database.create(name, dim=4)


@pytest.mark.parametrize("name", ["abc", "a" * 512, "1_2-3.4", "1.2.3", "1.2.3.4.5"])
def test_names_that_chroma_accepts(database: Database, name: str) -> None:
    assert database.create(name, dim=4).name == name


# -- ids -----------------------------------------------------------------------------------------


def test_decimal_texts_of_another_program_stay_texts(made: Any, database: Database) -> None:
    notes = database["notes"]
    assert [key for page in notes.read() for key in page.ids] == ["1", "2", "a", "b"]
    assert notes.fetch([1, "1"]).ids == ["1"]
    with pytest.raises(InputError, match="decimal numbers as texts"):
        notes.write(qa.Batch([7], {"": EYE[:1]}))
    notes.delete([1])
    notes.delete(["1", "2"])
    notes.write(qa.Batch([7, "c"], {"": EYE[:2]}))  # no decimal text is left
    assert [key for page in notes.read() for key in page.ids] == [7, "a", "b", "c"]
    with pytest.raises(InputError, match="write the integer 8"):
        notes.write(qa.Batch(["8"], {"": EYE[:1]}))


# -- processes and clients -----------------------------------------------------------------------


OTHER = """
import sys, chromadb
from chromadb.config import Settings
client = chromadb.PersistentClient(sys.argv[1], settings=Settings(anonymized_telemetry=False))
client.get_collection("notes").upsert(ids=["other"], embeddings=[[0, 0, 0, 50]])
"""


def test_rows_of_another_process_are_counted_but_not_found(
    made: Any, database: Database, folder: Path
) -> None:
    """The graph in memory lacks them: the search is silent, reading vectors fails."""
    notes = database["notes"]
    assert notes.search([0, 0, 0, 50], k=1).ids.tolist() == [["2"]]
    subprocess.run([sys.executable, "-c", OTHER, str(folder)], check=True, timeout=100)
    assert notes.count() == 5
    hits = notes.search([0, 0, 0, 50], k=1)
    assert hits.ids.tolist() == [["2"]]
    assert any("another client wrote" in note for note in hits.how.notes)
    with pytest.raises(BusyError, match="Error finding id") as caught:
        notes.fetch(["other"])
    assert "open the folder again" in str(caught.value)


def test_a_folder_that_the_program_has_open_with_other_settings(folder: Path) -> None:
    chromadb = pytest.importorskip("chromadb")
    with chromadb.PersistentClient(str(folder)) as client:
        with pytest.raises(StoreError, match="different settings") as caught:
            qa.open(f"chroma:{folder}")
        assert "qa.wrap(client)" in str(caught.value)
        client.create_collection("notes", embedding_function=None).add(
            ids=["a"], embeddings=EYE[:1]
        )
        with qa.wrap(client) as database:
            assert database["notes"].search(EYE[0], k=1).ids.tolist() == [["a"]]
            assert database._store.address.path == folder
        assert client.heartbeat(), "the client of the program stays open"
        with pytest.raises(UnsupportedError, match="Collection cannot be wrapped"):
            qa.wrap(client.get_collection("notes"))


def test_telemetry_is_off(client: Any) -> None:
    assert client.get_settings().anonymized_telemetry is False


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AddressError, match="is a file"):
        qa.open(f"chroma:{tmp_path / 'file'}")
    with pytest.raises(AddressError, match="tennant"):
        qa.open(f"chroma:{tmp_path / 'x'}?tennant=a")
    with pytest.raises(NotFoundError, match="nobody"):
        qa.open(f"chroma:{tmp_path / 'x'}?tenant=nobody")


# -- collections of other programs ---------------------------------------------------------------


def test_dimensions_are_unknown_until_the_first_row(client: Any, database: Database) -> None:
    client.create_collection("empty", embedding_function=None, configuration=HNSW)
    assert list(database["empty"].info().unknown_dimensions) == [""]
    database["empty"].write(qa.Batch(["a"], {"": EYE[:1]}))
    assert database["empty"].info().vectors[""].vector == qa.Vector(4)


def test_a_collection_that_was_created_again_is_recognized(made: Any, database: Database) -> None:
    notes = database["notes"]
    assert notes.count() == 4
    client = database._store.connection.client  # type: ignore[attr-defined]
    client.delete_collection("notes")
    client.create_collection("notes", embedding_function=None, configuration=HNSW)
    assert notes.count() == 0
    assert database.drop("notes") is None
    with pytest.raises(NotFoundError, match="notes"):
        notes.count()


def test_settings_are_kept_beside_the_metadata_of_a_program(made: Any, database: Database) -> None:
    made.modify(metadata={"mine": 1})
    database["notes"].plan("binary:rescore=4", accept="client").apply(yes=True)
    metadata = database._store.connection.client.get_collection("notes").metadata  # type: ignore[attr-defined]
    assert metadata["mine"] == 1
    assert set(metadata) == {"mine", "qadapt"}
    assert database["notes"].search(EYE[0], k=1).how.rescore_from == "collection"


def test_metadata_with_a_space_is_not_changed(client: Any, database: Database) -> None:
    """Chroma refuses any change of such metadata, so settings are kept in the state folder."""
    made = client.create_collection(
        "legacy", embedding_function=None, metadata={"hnsw:space": "ip", "mine": 1}
    )
    made.add(ids=["a", "b"], embeddings=EYE[:2])
    with pytest.raises(ValueError, match="distance function"):
        made.modify(metadata={"hnsw:space": "ip", "mine": 2})
    legacy = database["legacy"]
    assert legacy.info().vectors[""].metric is qa.Metric.DOT
    legacy.plan("scalar:rescore=4", accept="client").apply(yes=True)
    assert legacy.search(EYE[1], k=1).ids.tolist() == [["b"]]
    assert client.get_collection("legacy").metadata == {"hnsw:space": "ip", "mine": 1}
    legacy.write(qa.Batch(["c"], {"": EYE[2:3]}, [{"a": {"b": "c"}, "list": ["x"]}]))
    with pytest.raises(UnsupportedError, match="hnsw:space"):
        legacy.write(qa.Batch([7], {"": EYE[:1]}))


def test_a_repeated_search_is_that_of_the_client(
    articles: Collection, sample: Sample, client: Any
) -> None:
    native = client.get_collection("articles", embedding_function=None)
    for payload in (False, True):
        first, second = (
            articles.search(sample.queries[0], 5, with_payload=payload) for _ in range(2)
        )
        found = native.query(query_embeddings=[sample.queries[0]], n_results=5)
        for hits in (first, second):
            assert hits.ids[0].tolist() == list(map(int, found["ids"][0]))
            assert np.allclose(hits.scores[0], 1 - np.array(found["distances"][0]), atol=1e-6)
            assert hits.payloads == ([found["metadatas"][0]] if payload else None)
        assert second.how == first.how


def test_a_repeated_search_of_a_collection_that_was_made_again(
    articles: Collection, sample: Sample, client: Any
) -> None:
    for _ in range(2):
        articles.search(sample.queries[0], 5)
    client.delete_collection("articles")
    again = client.create_collection("articles", embedding_function=None)
    again.add(ids=["x"], embeddings=sample.rows[:1])
    assert articles.search(sample.queries[0], 5).ids[0].tolist() == ["x", *[None] * 4]


@pytest.mark.parametrize(
    ("message", "repeated"),
    [("disk I/O error", False), ("database is locked", True), ("Collection does not exist", True)],
)
def test_a_repeated_search_reports_errors_that_the_general_search_would_repeat(
    articles: Collection, sample: Sample, monkeypatch: pytest.MonkeyPatch,
    message: str, repeated: bool,
) -> None:  # fmt: skip
    for _ in range(2):
        expected = articles.search(sample.queries[0], 5).ids.tolist()
    server = articles._store.connection.client._server  # type: ignore[attr-defined]
    calls = []

    class Failing:
        """The engine, whose first search fails."""

        def __getattr__(self, name: str) -> Any:
            return getattr(bindings, name)

        def query(self, *args: Any) -> Any:
            calls.append(args)
            if len(calls) == 1:
                raise RuntimeError(message)
            return bindings.query(*args)

    bindings = server.bindings
    monkeypatch.setattr(server, "bindings", Failing())
    if repeated:
        assert articles.search(sample.queries[0], 5).ids.tolist() == expected
    else:
        with pytest.raises(StoreError, match="could not search 'articles': disk I/O error"):
            articles.search(sample.queries[0], 5)
    assert len(calls) == 1 + repeated
