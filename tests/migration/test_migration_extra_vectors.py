"""Sparse vectors and multivectors are copied where both sides support them, else refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from migration_help import everything

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError, UnsupportedError
from qadapt.migration.compare import same_ragged
from qadapt.migration.text import plan_lines
from qadapt.model import CollectionSchema, ExtraVector, Metric, RaggedArray, Vector
from qadapt.model.ragged_arrays import from_multivectors, from_sparse
from qadapt.stores.milvus import sparse as of_milvus
from qadapt.stores.milvus.version import ServerVersion
from qadapt.stores.qdrant import extra_vectors as of_qdrant
from qadapt.stores.weaviate import multivectors as of_weaviate
from qadapt.stores.weaviate.version import ServerVersion as WeaviateEngine

Ends = Callable[[str], Database]
DIM = 3
WORDS = ExtraVector("sparse", native={"modifier": "idf"})
TOKENS = ExtraVector("multi", DIM, Metric.DOT)
TURNED = ExtraVector("multi", DIM, Metric.COSINE)
MANY = {"tokens": TOKENS, "turned": TURNED}
ALL = {"words": WORDS, **MANY}


def made(
    database: Database, extras: dict[str, ExtraVector], name: str = "docs", dense: str = "d"
) -> None:
    """An empty collection."""
    database._store.create(name, {dense: Vector(4, "dot")}, {}, CollectionSchema(extras=extras))


def ragged(count: int, extras: dict[str, ExtraVector], seed: int = 0, *, full: bool = False) -> Any:
    """Extra vectors of many lengths; with ``full``, none missing or empty, as Milvus requires."""
    draw = np.random.default_rng(seed)

    def sparse(at: int) -> Any:
        if full:
            size = 1 + at % 6
            return draw.choice(2**32 - 2, size, replace=False), draw.random(size) + 0.001
        size = 0 if at % 5 == 0 else at % 6
        indices = draw.choice(30_000, size, replace=False)
        return None if at % 7 == 3 else (indices, draw.standard_normal(size))

    def many(at: int) -> Any:
        rows = draw.standard_normal((1 + at % 4, DIM)) * draw.uniform(0.1, 30)
        return None if at % 5 == 1 else rows

    return {
        name: from_multivectors([many(at) for at in range(count)], DIM)
        if each.kind == "multi"
        else from_sparse([sparse(at) for at in range(count)])
        for name, each in extras.items()
    }


def write(database: Database, extras: dict[str, RaggedArray], name: str = "docs") -> None:
    """The rows 0, 1, ... with a dense vector each."""
    count = len(next(iter(extras.values())))
    rows = np.random.default_rng(1).standard_normal((count, 4))
    payloads = [{"n": at} for at in range(count)]
    database._store.write(name, qa.Batch(range(count), {"d": rows}, payloads, extras=extras))


def fetched(database: Database, name: str, count: int, names: list[str]) -> dict[str, RaggedArray]:
    found = database._store.fetch(name, range(count), vectors=names)
    assert list(found.ids) == list(range(count))
    return dict(found.extras)


# -- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "extras"),
    [
        ("edge", ALL),
        ("local", ALL),
        ("lite", {"words": WORDS}),
        pytest.param("weaviate", MANY, marks=pytest.mark.timeout(300)),
    ],
)
def test_there_and_back(
    edge: Database, ends: Ends, name: str, engine: str, extras: dict[str, ExtraVector]
) -> None:
    there = ends(engine)
    count = 300
    made(edge, extras)
    write(edge, ragged(count, extras, full=engine == "lite"))
    out = qa.migrate((edge, "docs"), (there, name))
    assert (out.state, out.plan.losses) == ("done", ())
    assert set(out.plan.schema.extras) == set(extras)
    back = qa.migrate((there, name), (edge, "home"))
    assert (back.state, back.plan.losses) == ("done", ())
    mine, home = (fetched(edge, each, count, list(extras)) for each in ("docs", "home"))
    for label in extras:
        # Under cosine, local mode normalizes normalized rows again.
        how = "normalized" if (engine, label) == ("local", "turned") else "exact"
        assert same_ragged(mine[label], home[label], how).all(), label
    assert everything(edge["home"]) == everything(edge["docs"])
    if engine in ("edge", "local"):
        assert edge._store.collection_schema("home") == edge._store.collection_schema("docs")


entries = st.dictionaries(st.integers(0, 2**32 - 1), st.floats(width=32, allow_nan=False,
                          allow_infinity=False), max_size=6)  # fmt: skip
token = st.lists(st.floats(-(2.0**50), 2.0**50, width=32), min_size=DIM, max_size=DIM)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.none() | entries, st.none() | st.lists(token, min_size=1, max_size=4)),
        min_size=1,
        max_size=12,
    )
)
def test_any_extra_vectors_are_copied(
    edge: Database, ends: Ends, rows: list[tuple[dict[int, float] | None, Any]]
) -> None:
    extras = {"words": WORDS, "tokens": TOKENS}
    for each in edge.collections():
        edge.drop(each)
    made(edge, extras)
    words = [None if row is None else (row.keys(), row.values()) for row, _ in rows]
    given_ = {
        "words": from_sparse(words),
        "tokens": from_multivectors([row for _, row in rows], DIM),
    }
    write(edge, given_)
    there = ends("edge")
    assert qa.migrate((edge, "docs"), (there, "docs"), trial_copy=False).state == "done"
    found = fetched(there, "docs", len(rows), list(extras))
    for label, each in given_.items():
        assert same_ragged(each, found[label], "exact").all()


@pytest.mark.parametrize("engine", ["edge", "local", "lite", "weaviate"])
def test_without_a_dense_vector(edge: Database, ends: Ends, name: str, engine: str) -> None:
    edge._store.create("docs", {}, {}, CollectionSchema(extras={"tokens": TOKENS}))
    extras = ragged(50, {"tokens": TOKENS})
    edge._store.write("docs", qa.Batch(range(50), {}, extras=extras))
    there = ends(engine)
    if engine == "lite":
        with pytest.raises(UnsupportedError, match="without a dense vector"):
            qa.migrate((edge, "docs"), (there, name))
        return
    assert qa.migrate((edge, "docs"), (there, name)).state == "done"
    assert qa.migrate((there, name), (edge, "home")).state == "done"
    assert same_ragged(
        fetched(edge, "home", 50, ["tokens"])["tokens"], extras["tokens"], "exact"
    ).all()


def test_sparse_vectors_from_a_milvus_collection_of_another_client(ends: Ends) -> None:
    """qdrant/migration puts sparse vectors into the payload (cmd/migrate_from_milvus.go).

    A sparse vector that a function computes from text is refused by name.
    """
    pymilvus = pytest.importorskip("pymilvus")
    here, there = ends("lite"), ends("edge")
    client = here._store.connection.client  # type: ignore[attr-defined]
    kinds = pymilvus.DataType
    schema = client.create_schema()
    schema.add_field("pk", kinds.INT64, is_primary=True)
    schema.add_field("text", kinds.VARCHAR, max_length=99, enable_analyzer=True)
    schema.add_field("dense", kinds.FLOAT_VECTOR, dim=4)
    schema.add_field("words", kinds.SPARSE_FLOAT_VECTOR)
    schema.add_field("bm25", kinds.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        pymilvus.Function(
            name="f",
            function_type=pymilvus.FunctionType.BM25,
            input_field_names=["text"],
            output_field_names=["bm25"],
        )
    )
    indexes = client.prepare_index_params()
    indexes.add_index("dense", index_type="FLAT", metric_type="L2")
    for field, metric in (("words", "IP"), ("bm25", "BM25")):
        indexes.add_index(field, index_type="SPARSE_INVERTED_INDEX", metric_type=metric)
    client.create_collection("theirs", schema=schema, index_params=indexes)
    words = {7: 0.1, 3: 0.5, 4_000_000_000: 2.0}
    client.insert("theirs", [{"pk": 1, "text": "a b", "dense": [1.0, 2, 3, 4], "words": words}])
    with pytest.raises(UnsupportedError, match=r"sparse-vectors: bm25 .* function") as caught:
        qa.migrate((here, "theirs"), (there, "docs"), allow=["typed-fields"])
    assert "words" not in str(caught.value)
    done = qa.migrate((here, "theirs"), (there, "docs"), allow=["typed-fields", "sparse-vectors"])
    assert done.state == "done"
    found = there._store.fetch("docs", [1], vectors=["words"])
    wanted = from_sparse([(words.keys(), words.values())])
    assert same_ragged(found.extras["words"], wanted, "exact").all()
    assert found.payloads is not None
    assert found.payloads[0] == {"text": "a b"}


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "loss", "why"),
    [
        ("lite", "multivectors", "Milvus has no multivectors"),
        ("weaviate", "sparse-vectors", "Weaviate does not support sparse vectors"),
    ],
)
def test_extra_vectors_that_a_store_lacks_are_refused_by_name(
    edge: Database, ends: Ends, name: str, engine: str, loss: str, why: str
) -> None:
    extras = {"words": WORDS, "tokens": TOKENS}
    made(edge, extras)
    write(edge, ragged(20, extras, full=True))
    there = ends(engine)
    allowed = ["missing-vectors"]
    with pytest.raises(UnsupportedError, match=f"{loss}: .*{why}"):
        qa.migrate((edge, "docs"), (there, name), allow=allowed)
    assert name not in there.collections()
    done = qa.migrate((edge, "docs"), (there, name), allow=[*allowed, loss])
    assert done.state == "done"
    (kept,) = there._store.collection_schema(name).extras
    assert kept == ("words" if engine == "lite" else "tokens")


def test_extra_vectors_are_refused_by_server_version() -> None:
    """By declared rules; of these servers only Milvus 2.3.5 runs here."""
    both = {"w": ExtraVector("sparse"), "m": TOKENS}
    assert set(of_qdrant.unsupported(both, "1.6.0", local=False)) == {"extras.w", "extras.m"}
    assert set(of_qdrant.unsupported(both, "1.9.0", local=False)) == {"extras.m"}
    assert of_qdrant.unsupported(both, "1.16.3", local=False) == {}
    assert "2.3.5" in of_milvus.unsupported(both, ServerVersion("2.3.5"))["extras.w"]
    assert set(of_milvus.unsupported(both, ServerVersion("2.4.0"))) == {"extras.m"}
    assert "1.28" in of_weaviate.unsupported(both, WeaviateEngine("1.28.0"))["extras.m"]
    assert set(of_weaviate.unsupported(both, WeaviateEngine("1.39.0"))) == {"extras.w"}


def test_weaviate_refuses_a_multivector_next_to_an_unnamed_vector(
    edge: Database, ends: Ends, name: str
) -> None:
    made(edge, {"tokens": TOKENS}, dense="")
    extras = ragged(10, {"tokens": TOKENS})
    edge._store.write("docs", qa.Batch(range(10), {"": np.ones((10, 4))}, extras=extras))
    there = ends("weaviate")
    with pytest.raises(UnsupportedError, match=r"multivectors: tokens .*unnamed"):
        qa.migrate((edge, "docs"), (there, name))
    assert qa.migrate((edge, "docs"), (there, name), allow=["multivectors"]).state == "done"


def test_sparse_rows_that_milvus_rejects_are_skipped(edge: Database, ends: Ends) -> None:
    made(edge, {"words": WORDS})
    rows = [([1, 2], [0.5, 0.0]), None, ([3], [-1.0]), ([], []), ([4], [0.25])]
    write(edge, {"words": from_sparse(rows)})
    there = ends("lite")
    with pytest.raises(UnsupportedError, match="missing-vectors: 1 rows lack vector 'words'"):
        qa.migrate((edge, "docs"), (there, "docs"))
    with pytest.raises(InputError, match="does not accept"):
        qa.migrate((edge, "docs"), (there, "docs"), allow=["missing-vectors"])
    allow = ["missing-vectors", "rejected-rows"]
    done = qa.migrate((edge, "docs"), (there, "docs"), allow=allow)
    assert done.state == "done"
    assert dict(done.skipped).keys() == {1, 2, 3}
    assert there["docs"].count() == 2
    # Milvus drops the zero entry; the plan notes it, and the check allows for it.
    assert any("whose value is 0" in note for note in done.plan.notes)


def test_invalid_sparse_rows_of_the_source_are_reported(edge: Database, ends: Ends) -> None:
    """edge accepts NaN and repeated indices."""
    engine = pytest.importorskip("qdrant_edge")
    made(edge, {"words": WORDS})
    write(edge, ragged(20, {"words": WORDS}))
    shard = edge._store.shard("docs")  # type: ignore[attr-defined]
    with shard.change("write to") as opened:
        for key, sparse in ((100, ([3, 3], [1.0, 2.0])), (101, ([1], [float("nan")]))):
            vectors = {"d": [1.0, 2.0, 3.0, 4.0], "words": engine.SparseVector(*sparse)}
            point = engine.Point(key, vectors, {})
            opened.update(engine.UpdateOperation.upsert_points([point]))
    there = ends("edge")
    with pytest.raises(InputError, match=r"2 rows of a batch: .*duplicate indices"):
        qa.migrate((edge, "docs"), (there, "docs"))
    done = qa.migrate((edge, "docs"), (there, "docs"), allow=["rejected-rows"])
    assert dict(done.skipped).keys() == {100, 101}


# -- plan and check -------------------------------------------------------------------------------


def test_the_plan_lists_extra_vectors(edge: Database, ends: Ends) -> None:
    made(edge, {"words": WORDS})
    write(edge, ragged(20, {"words": WORDS}, full=True))
    plan = qa.plan_migration((edge, "docs"), (ends("lite"), "docs"))
    lines = plan_lines(plan)
    assert ("vector words", "sparse, float32") in lines
    assert any("idf" in text and "scores will differ" in text for _, text in lines)
    assert plan.to_dict()["schema"]["extras"]["words"]["kind"] == "sparse"
    assert plan.extra_comparisons == {"words": "nonzero"}
    there = plan_lines(qa.plan_migration((edge, "docs"), (ends("edge"), "docs")))
    assert ("vector words", 'sparse, float32, {"modifier": "idf"}') in there


@pytest.mark.parametrize("label", ["words", "tokens", "turned"])
def test_a_changed_value_is_found_and_corrected_by_catch_up(
    edge: Database, ends: Ends, label: str
) -> None:
    made(edge, ALL)
    write(edge, ragged(60, ALL))
    there = ends("edge")
    assert qa.migrate((edge, "docs"), (there, "docs")).state == "done"
    row = there._store.fetch("docs", [22], vectors=["d", *ALL])
    values = row.extras[label].values.copy()
    values.reshape(-1)[-1] += 0.01
    was = row.extras[label]
    changed = {**row.extras, label: RaggedArray(was.offsets, values, was.indices)}
    there._store.write("docs", qa.Batch([22], row.vectors, row.payloads, extras=changed))
    found = qa.check((edge, "docs"), (there, "docs"))
    assert not found.passed
    (reported,) = found.differences
    assert (reported.id, reported.kind) == (22, f"vector {label!r}")
    assert ", expected " in reported.detail
    caught = qa.migrate((edge, "docs"), (there, "docs"), catch_up=True)
    assert caught.state == "done"
    assert caught.catch_up is not None
    assert caught.catch_up.changed == 1


def test_a_missing_or_shorter_multivector_is_found(edge: Database, ends: Ends) -> None:
    extras = {"words": WORDS, "tokens": TOKENS}
    made(edge, extras)
    write(edge, ragged(60, extras))
    there = ends("edge")
    qa.migrate((edge, "docs"), (there, "docs"))
    row = there._store.fetch("docs", [22, 23], vectors=["d", *extras])
    tokens, words = row.extras["tokens"], row.extras["words"]
    shorter = from_multivectors([tokens.values[: tokens.offsets[1] - 1], None], DIM)
    there._store.write(
        "docs",
        qa.Batch([22, 23], row.vectors, row.payloads, extras={"words": words, "tokens": shorter}),
    )
    reported = {
        each.id: each.detail for each in qa.check((edge, "docs"), (there, "docs")).differences
    }
    assert reported == {22: "it has 2 rows, expected 3", 23: "missing in the target"}


def test_collections_without_a_journal_are_compared(
    edge: Database, ends: Ends, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made(edge, ALL)
    write(edge, ragged(60, ALL))
    there = ends("edge")
    qa.migrate((edge, "docs"), (there, "docs"))
    monkeypatch.setenv("QADAPT_STATE_DIR", str(tmp_path / "another machine"))
    assert qa.check((edge, "docs"), (there, "docs")).passed
    made(there, MANY, "fewer")
    with pytest.raises(UnsupportedError, match="the target has no vector 'words'"):
        qa.check((edge, "docs"), (there, "fewer"))


def test_an_existing_target_without_the_extra_vectors(edge: Database, ends: Ends) -> None:
    made(edge, ALL)
    write(edge, ragged(20, ALL))
    there = ends("edge")
    made(there, {"words": WORDS})
    allow = ["existing-target"]
    with pytest.raises(UnsupportedError, match=r"multivectors: tokens .* no vector of that name"):
        qa.migrate((edge, "docs"), (there, "docs"), allow=allow)
    done = qa.migrate((edge, "docs"), (there, "docs"), allow=[*allow, "multivectors"])
    assert done.state == "done"
    found = fetched(there, "docs", 20, ["words"])["words"]
    assert same_ragged(found, fetched(edge, "docs", 20, ["words"])["words"], "exact").all()


# -- files ---------------------------------------------------------------------------------------


def test_parquet_preserves_extra_vectors(edge: Database, ends: Ends, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    made(edge, ALL)
    write(edge, ragged(300, ALL))
    file = tmp_path / "docs.parquet"
    assert set(qa.export_file((edge, "docs"), file).vectors) == {"d", *ALL}
    qa.import_file(file, (edge, "home"))
    assert edge._store.collection_schema("home") == edge._store.collection_schema("docs")
    mine, home = (fetched(edge, each, 300, list(ALL)) for each in ("docs", "home"))
    assert all(same_ragged(mine[each], home[each], "exact").all() for each in ALL)
    lite = ends("lite")
    with pytest.raises(UnsupportedError, match="--allow multivectors"):
        qa.import_file(file, (lite, "docs"))
    assert lite.collections() == []
