"""Migrations between live engines: planned, copied, compared, taken home.

Weaknesses of other tools that are tests here: schema made by hand, metric guessed
(qdrant/migration), ids always rewritten and named vectors broken (vecparity), no failure when
counts differ (qdrant/migration), JSON-like text and lengths of text lost
(https://github.com/zilliztech/vts/issues/79), nothing out of Milvus
(https://github.com/zilliztech/vts/issues/63, https://github.com/zilliztech/vts/issues/117), an
empty collection after a migration (langgenius/dify#30726), quantization not carried at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mig_help import DIM, everything, rows

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
from qadapt.migration.ids import SOURCE_ID
from qadapt.model import Level

Ends = Callable[[str], Database]
ENGINES = ["edge", "lite", "local", "milvus", "weaviate"]


@pytest.mark.parametrize("engine", ENGINES)
def test_there_and_back_is_the_same(
    source: Collection, edge: Database, ends: Ends, name: str, engine: str
) -> None:
    there = ends(engine)
    done = qa.migrate(source, (there, name))
    assert done.state == "done"
    assert done.check is not None
    assert (done.check.compared, done.check.different, done.check.how) == (500, 0, "all")
    assert done.plan.vectors[""].comparison == "bit for bit"
    assert there[name].info().vectors[""].metric is qa.Metric.DOT
    back = qa.migrate((there, name), (edge, "home"))
    assert back.state == "done"
    assert everything(edge["home"]) == everything(source)


@pytest.mark.parametrize("engine", ENGINES)
def test_ids_of_all_kinds_there_and_back(
    ends: Ends, tmp_path: Path, name: str, engine: str
) -> None:
    """From a store that takes all of them (Milvus), over one that may not, home to Milvus."""
    keys: list[Any] = [0, 1, "1", 2**63, 2**64 - 1, str(uuid.UUID(int=7)), "doc-1", "#5", "ü x",
                       str(uuid.UUID(int=0xABC)).upper(), "a" * 300, "5"]  # fmt: skip
    first, over = ends("lite"), ends(engine)
    made = first.create("Mig_first", dim=DIM, metric="dot")
    payloads = [{"at": at, SOURCE_ID: "mine"} for at in range(len(keys))]
    made.write(qa.Batch(keys, {"": rows(len(keys))}, payloads))
    there = qa.migrate(made, (over, name))
    assert there.state == "done"
    home = qa.migrate((over, name), (first, "Mig_back"))
    assert home.state == "done"
    assert everything(first["Mig_back"]) == everything(made)
    if engine == "weaviate":
        assert there.plan.ids.mapped == len(keys) - 1
        assert home.plan.ids.home == len(keys) - 1


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=8),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["2024-02-29T12:00:00Z", '{"a": 1}', "[1, 2]", "null", "007", "1e5"]),
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
names = st.one_of(
    texts, st.sampled_from(["id", "vector", "_id", "qadapt_id", "vector_x", "$meta", "a.b", "Aa",
                            "qadapt_source_id", "qadapt_entries", "qadapt_payload", "lat", "and",
                            "qadapt_norms", "distance", "_additional"])
)  # fmt: skip
payloads = st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=6)


@pytest.mark.parametrize("engine", ENGINES)
def test_any_payload_there_and_back(ends: Ends, engine: str) -> None:
    """JSON of any shape: nested, null, 64-bit numbers, dates, text that looks like JSON, names
    that a store keeps for itself."""
    here, there = ends("edge"), ends(engine)
    counter = iter(range(10_000))

    @settings(
        max_examples=5,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(payloads)
    def check(drawn: list[dict[str, Any]]) -> None:
        number = next(counter)
        first, over, last = (f"Mig_{word}_{number}" for word in ("a", "b", "c"))
        over += f"_{uuid.uuid4().hex[:8]}"
        made = here.create(first, dim=2, metric="euclidean")
        made.write(qa.Batch(range(len(drawn)), {"": np.ones((len(drawn), 2))}, drawn))
        try:
            done = qa.migrate(made, (there, over), probe=False)
            assert done.check is not None
            assert done.check.differences == ()
            assert done.state == "done"
            qa.migrate((there, over), (here, last), probe=False, check="off")
            assert everything(here[last]) == everything(made)
        finally:
            for database, each in ((there, over), (here, first), (here, last)):
                if each in database:
                    database.drop(each)

    check()


@pytest.mark.parametrize("engine", ["edge", "lite", "weaviate"])
def test_quantization_is_translated_built_once_and_seen(
    edge: Database, ends: Ends, name: str, engine: str
) -> None:
    made = edge.create("docs", dim=64, metric="cosine")
    made.write(qa.Batch(range(2000), {"": rows(2000, dim=64)}))
    made.plan("scalar:rescore=3").apply(yes=True)
    there = ends(engine)
    done = qa.migrate(made, (there, name))
    plan = done.plan.vectors[""]
    # Weaviate answers 8 scalar bits by 8 rotated ones, and the plan says so.
    kinds = (qa.Kind.SCALAR, qa.Kind.ROTATIONAL if engine == "weaviate" else qa.Kind.SCALAR)
    assert (plan.current.kind, plan.becomes.kind) == kinds
    assert plan.match.level is (Level.EXACT if engine == "edge" else Level.DIFFERS)
    info = there[name].info().vectors[""]
    assert info.quantization.kind is plan.becomes.kind
    assert info.status.state is qa.State.ACTIVE
    assert done.status[""].state is qa.State.ACTIVE
    hits = there[name].search(rows(1, dim=64), k=5)
    assert (hits.how.oversampling, hits.how.rescore_from) == (3.0, "collection")


def test_codes_of_qadapt_come_along_as_such(edge: Database, ends: Ends, name: str) -> None:
    there = ends("local")
    made = edge.create("docs", dim=32, metric="cosine")
    made.write(qa.Batch(range(300), {"": rows(300, dim=32)}))
    with qa.open(str(edge.__repr__())[10:-1], disabled=("native-quantization",)) as blind:
        blind["docs"].plan("binary:rescore=4", accept="client").apply(yes=True)
    done = qa.migrate(made, (there, name))
    assert done.plan.vectors[""].held_by == "qadapt"
    info = there[name].info().vectors[""]
    assert (info.held_by, info.status.state) == ("qadapt", qa.State.ACTIVE)


def test_what_has_no_like_is_refused_by_name_before_anything_is_made(
    source: Collection, ends: Ends, name: str
) -> None:
    there = ends("local")
    with pytest.raises(UnsupportedError, match="quantization") as caught:
        qa.migrate(source, (there, name), quantization="binary")
    assert "--allow quantization" in str(caught.value)
    assert there.collections() == []
    done = qa.migrate(source, (there, name), quantization="binary", allow=["quantization"])
    assert done.state == "done"
    assert there[name].info().vectors[""].quantization.kind is qa.Kind.NONE


def test_a_plan_changes_nothing_and_is_plain_data(source: Collection, ends: Ends) -> None:
    there = ends("lite")
    plan = qa.plan_migration(source, (there, "docs"))
    assert there.collections() == []
    assert qa.MigrationPlan.from_json(plan.to_json()) == plan
    assert (plan.count, plan.probe.rows, plan.probe.created) == (500, 100, True)
    assert plan.seconds is not None
    assert plan.probe.entries == {"n": ("int",), "odd": ("bool",)}
    assert qa.migrate(source, (there, "docs"), plan=plan).plan == plan


def test_cosine_says_what_is_lost_and_keep_norms_keeps_it(ends: Ends, edge: Database) -> None:
    """https://github.com/qdrant/qdrant/issues/2573: originals of cosine vectors are gone."""
    first = ends("lite")
    made = first.create("Mig_lengths", dim=DIM, metric="cosine")
    vectors = rows(200)
    made.write(qa.Batch(range(200), {"": vectors}, [{"n": at} for at in range(200)]))
    plain = qa.migrate(made, (edge, "plain"))
    assert plain.plan.vectors[""].comparison == "length 1"
    assert any("length 1" in note for note in plain.plan.notes)
    assert plain.state == "done"
    kept = qa.migrate(made, (edge, "kept"), keep_norms=True)
    assert kept.state == "done"
    home = qa.migrate((edge, "kept"), (first, "Mig_home"))
    assert home.check is not None
    back = first["Mig_home"].fetch(range(200))
    np.testing.assert_allclose(back.vectors[""], vectors, rtol=1e-5, atol=1e-5)
    assert [dict(each) for each in back.payloads or ()] == [{"n": at} for at in range(200)]


def test_named_vectors_and_gaps(edge: Database, ends: Ends, name: str) -> None:
    """Where vecparity's ``list(point.vector)`` takes the names of vectors for their numbers."""
    vectors = {"title": qa.Vector(4, "dot"), "body": qa.Vector(6, "euclidean")}
    made = edge.create("docs", vectors=vectors)
    gaps = np.arange(50) % 3 == 0
    arrays = {"title": rows(50, dim=4), "body": rows(50, dim=6)}
    made.write(qa.Batch(range(50), arrays, missing={"body": gaps}))
    for engine in ("local", "weaviate"):
        there = ends(engine)
        done = qa.migrate(made, (there, name))
        assert done.state == "done"
        found = there[name].fetch([done.plan.ids.examples[0][1]] if done.plan.ids.mapped else [0])
        assert found.missing["body"].tolist() == [True]
        assert not found.missing.get("title", np.zeros(1)).any()
    lite = ends("lite")
    with pytest.raises(UnsupportedError, match="missing-vectors: 17 rows"):
        qa.migrate(made, (lite, name))
    done = qa.migrate(made, (lite, name), allow=["missing-vectors"])
    assert (done.state, done.metrics.left_out, lite[name].count()) == ("done", 17, 33)
    assert {key for key, _ in done.left_out} <= set(np.flatnonzero(gaps).tolist())


def test_rows_that_nothing_can_hold_are_named(ends: Ends, edge: Database, name: str) -> None:
    first = ends("lite")
    made = first.create("Mig_zero", dim=4, metric="dot")
    vectors = rows(60, dim=4)
    vectors[7] = 0
    made.write(qa.Batch([f"doc-{at}" for at in range(60)], {"": vectors}))
    # Under dot a zero vector is fine; as cosine nobody takes it.
    assert qa.migrate(made, (edge, name)).state == "done"


def test_half_floats_are_planned_and_compared_as_such(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    done = qa.migrate(source, (there, "half"), datatype="float16")
    assert done.plan.vectors[""].comparison == "float16"
    assert done.state == "done"
    assert there["half"].info().vectors[""].datatype == "float16"
    back = qa.migrate((there, "half"), (there, "again"))
    assert back.plan.vectors[""].target.datatype == "float16"
    wide = qa.migrate((there, "half"), (ends("lite"), "Mig_wide"))
    assert wide.plan.vectors[""].target.datatype == "float32"
    assert wide.state == "done"


# -- what is refused -----------------------------------------------------------------------------


def test_a_target_that_is_there_is_not_written_to(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    mine = there.create("mine", dim=DIM, metric="dot")
    mine.write(qa.Batch([1000], {"": rows(1)}))
    with pytest.raises(AlreadyExistsError, match="mine"):
        qa.migrate(source, (there, "mine"))
    assert mine.count() == 1
    done = qa.migrate(source, (there, "mine"), allow=["existing-target"])
    assert mine.count() == 501
    assert done.state == "check failed"  # a row is there that the source does not have
    assert done.check is not None
    assert (done.check.extra, done.check.missing) == (1, 0)


def test_the_same_collection_twice_is_refused(source: Collection) -> None:
    with pytest.raises(InputError, match="the same"):
        qa.migrate(source, source)


def test_no_source_names_the_nearest(edge: Database, source: Collection, ends: Ends) -> None:
    with pytest.raises(NotFoundError, match="dcs"):
        qa.migrate((edge, "dcs"), (ends("edge"), "docs"))


def test_unknown_words_are_refused(source: Collection, ends: Ends) -> None:
    with pytest.raises(SpecError, match="loss to allow"):
        qa.migrate(source, (ends("edge"), "docs"), allow=["everything"])
    with pytest.raises(InputError, match="workers"):
        qa.migrate(source, (ends("edge"), "docs"), workers=0)


def test_a_second_run_at_one_target_is_refused(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    with exclusive(there._store.address, "docs"), pytest.raises(BusyError, match="docs"):
        qa.migrate(source, (there, "docs"))
    assert there.collections() == []


# -- again ---------------------------------------------------------------------------------------


def test_the_same_call_again_copies_nothing(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    with pytest.raises(NotFoundError, match="no earlier run"):
        qa.migrate(source, (there, "docs"), resume=True)
    assert qa.migrate(source, (there, "docs")).metrics.rows == 500
    again = qa.migrate(source, (there, "docs"), resume=True)
    assert (again.resumed, again.metrics.rows, again.metrics.already) == (True, 0, 500)
    there["docs"].delete([5])
    assert qa.migrate(source, (there, "docs")).state == "check failed"
    assert qa.migrate(source, (there, "docs"), restart=True).state == "done"
    there.drop("docs")
    assert qa.migrate(source, (there, "docs")).metrics.rows == 500


@pytest.mark.parametrize("entry", [None, "at"])
def test_catching_up(edge: Database, ends: Ends, name: str, entry: str | None) -> None:
    """Added, changed and deleted meanwhile; https://github.com/zilliztech/vts has it to come."""
    made = edge.create("docs", dim=DIM, metric="dot")
    vectors = rows(300)
    made.write(qa.Batch(range(300), {"": vectors}, [{"at": at} for at in range(300)]))
    there = ends("lite")
    qa.migrate(made, (there, name), updated_at=entry)
    made.delete([1, 2, 3])
    made.write(qa.Batch([5, 400, 401], {"": rows(3, seed=9)}, [{"at": 900}] * 3))
    assert not qa.check(made, (there, name)).passed
    done = qa.migrate(made, (there, name), updated_at=entry, catch_up=True)
    caught = done.caught_up
    assert caught is not None
    assert (caught.added, caught.deleted) == (2, 3)
    assert done.state == "done"
    assert everything(there[name]) == everything(made)
    if entry is None:
        assert caught.changed == 1
        again = qa.migrate(made, (there, name), catch_up=True).caught_up
        assert again is not None
        assert (again.added, again.changed, again.deleted) == (0, 0, 0)


@pytest.mark.parametrize("engine", ["local", "milvus", "weaviate"])
def test_cut_over_after_the_check_alone(
    source: Collection, ends: Ends, name: str, engine: str
) -> None:
    there = ends(engine)
    old = there.create(f"{name}_old", dim=DIM, metric="dot")
    old.write(qa.Batch([str(uuid.UUID(int=1))], {"": rows(1)}))
    alias = f"{name}_live"
    there.switch_alias(alias, f"{name}_old")
    qa.migrate(source, (there, name))
    gone = there[name].sample(1).ids
    lost = there[name].fetch(gone)
    there[name].delete(gone)
    failed = qa.migrate(source, (there, name), cutover=alias)
    assert (failed.state, failed.cutover) == ("check failed", None)
    assert there.aliases()[alias] == f"{name}_old"
    there[name].write(lost)
    done = qa.migrate(source, (there, name), cutover=alias)
    assert done.cutover is not None
    assert (done.cutover.before, done.cutover.now) == (f"{name}_old", name)
    assert there.aliases()[alias] == name
    assert there[alias].count() == 500
    assert done.cutover.rollback.endswith(f"{alias} {name}_old")
    there.switch_alias(alias, f"{name}_old")
    there.drop_alias(alias)


def test_an_entry_of_several_types_does_not_stop_the_copy(
    edge: Database, ends: Ends, name: str
) -> None:
    """Schema constraints that are met halfway (https://github.com/zilliztech/vts/issues/79)."""
    odd: list[Any] = ["x", ["x", "y"], 5, [1, "a"], None, {"deep": [1]}, [[1]], True]
    made = edge.create("docs", dim=DIM, metric="dot")
    payloads = [{"tag": odd[at % len(odd)], "n": at} for at in range(80)]
    made.write(qa.Batch(range(80), {"": rows(80)}, payloads))
    there = ends("weaviate")
    done = qa.migrate(made, (there, name), batch_bytes=1024)
    assert done.state == "done"
    assert qa.migrate((there, name), (edge, "home")).state == "done"
    assert everything(edge["home"]) == everything(made)


def test_a_payload_that_is_too_large_is_named_and_can_be_left_out(
    edge: Database, ends: Ends, name: str
) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    payloads = [{"text": "x" * (80_000 if at == 250 else 10)} for at in range(300)]
    made.write(qa.Batch(range(300), {"": rows(300)}, payloads))
    there = ends("lite")
    with pytest.raises(InputError, match="the row 250") as caught:
        qa.migrate(made, (there, name))
    assert "--allow impossible-rows" in str(caught.value)
    done = qa.migrate(made, (there, name), allow=["impossible-rows"])
    assert done.state == "done"
    assert [key for key, _ in done.left_out] == [250]
    assert there[name].count() == 299


def test_what_the_target_cannot_hold_is_said_by_name(ends: Ends, name: str) -> None:
    """Vectors of many rows and of another metric, made by Qdrant's own client."""
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
    assert list(there._store.beside("docs").extras) == ["words"]
