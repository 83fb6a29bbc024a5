"""Migrations between live engines and back: plan, copy and check.

Known failures of other tools that are tested here: schema created by hand, metric guessed
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
from migration_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    InputError,
    UnsupportedError,
)
from qadapt.migration.plan import SOURCE_ID
from qadapt.model import MatchLevel

Ends = Callable[[str], Database]
ENGINES = ["edge", "lite", "local", "milvus", "weaviate"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_round_trip_preserves_all_rows(
    source: Collection, edge: Database, ends: Ends, name: str, engine: str
) -> None:
    there = ends(engine)
    done = qa.migrate(source, (there, name))
    assert done.state == "done"
    assert done.check is not None
    assert (done.check.compared, done.check.different, done.check.scope) == (500, 0, "all")
    assert done.plan.vectors[""].comparison == "exact"
    assert there[name].info().vectors[""].metric is qa.Metric.DOT
    back = qa.migrate((there, name), (edge, "home"))
    assert back.state == "done"
    assert everything(edge["home"]) == everything(source)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_round_trip_preserves_ids_of_all_kinds(
    ends: Ends, tmp_path: Path, name: str, engine: str
) -> None:
    """From a store that accepts all ids (Milvus) to one that may not, and back to Milvus."""
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
        assert home.plan.ids.restored == len(keys) - 1


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
                            "qadapt_source_id", "qadapt_fields", "qadapt_payload", "lat", "and",
                            "qadapt_norms", "distance", "_additional"])
)  # fmt: skip
payloads = st.lists(st.dictionaries(names, values, max_size=4), min_size=1, max_size=6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_round_trip_preserves_any_json_payload(ends: Ends, engine: str) -> None:
    """Nested values, null, 64-bit numbers, dates, text that looks like JSON, reserved names."""
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
            done = qa.migrate(made, (there, over), trial_copy=False)
            assert done.check is not None
            assert done.check.differences == ()
            assert done.state == "done"
            qa.migrate((there, over), (here, last), trial_copy=False, check="off")
            assert everything(here[last]) == everything(made)
        finally:
            for database, each in ((there, over), (here, first), (here, last)):
                if each in database:
                    database.drop(each)

    check()


@pytest.mark.parametrize("engine", ["edge", "lite", "weaviate"])
def test_quantization_is_mapped_built_and_verified(
    edge: Database, ends: Ends, name: str, engine: str
) -> None:
    made = edge.create("docs", dim=64, metric="cosine")
    made.write(qa.Batch(range(2000), {"": rows(2000, dim=64)}))
    made.plan("scalar:rescore=3").apply(yes=True)
    there = ends(engine)
    done = qa.migrate(made, (there, name))
    plan = done.plan.vectors[""]
    # Weaviate maps scalar quantization to rotational quantization of 8 bits.
    kinds = (qa.Kind.SCALAR, qa.Kind.ROTATIONAL if engine == "weaviate" else qa.Kind.SCALAR)
    assert (plan.source_quantization.kind, plan.target_quantization.kind) == kinds
    assert plan.match.level is (MatchLevel.EXACT if engine == "edge" else MatchLevel.DIFFERS)
    info = there[name].info().vectors[""]
    assert info.quantization.kind is plan.target_quantization.kind
    assert info.status.state is qa.State.ACTIVE
    assert done.status[""].state is qa.State.ACTIVE
    hits = there[name].search(rows(1, dim=64), k=5)
    assert (hits.how.oversampling, hits.how.rescore_from) == (3.0, "collection")


def test_client_side_codes_remain_client_side(edge: Database, ends: Ends, name: str) -> None:
    there = ends("local")
    made = edge.create("docs", dim=32, metric="cosine")
    made.write(qa.Batch(range(300), {"": rows(300, dim=32)}))
    with qa.open(str(edge.__repr__())[10:-1], disabled=("native-quantization",)) as blind:
        blind["docs"].plan("binary:rescore=4", accept="client").apply(yes=True)
    done = qa.migrate(made, (there, name))
    assert done.plan.vectors[""].quantized_by == "qadapt"
    info = there[name].info().vectors[""]
    assert (info.quantized_by, info.status.state) == ("qadapt", qa.State.ACTIVE)


def test_a_quantization_without_equivalent_is_refused_before_the_copy(
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


def test_planning_changes_nothing_and_the_plan_is_serializable(
    source: Collection, ends: Ends
) -> None:
    there = ends("lite")
    plan = qa.plan_migration(source, (there, "docs"))
    assert there.collections() == []
    assert qa.MigrationPlan.from_json(plan.to_json()) == plan
    assert (plan.count, plan.trial_copy.rows, plan.trial_copy.created) == (500, 100, True)
    assert plan.estimated_seconds is not None
    assert plan.trial_copy.payload_types == {"n": ("int",), "odd": ("bool",)}
    assert qa.migrate(source, (there, "docs"), plan=plan).plan == plan


def test_keep_norms_restores_lengths_that_a_target_normalized(ends: Ends, edge: Database) -> None:
    """https://github.com/qdrant/qdrant/issues/2573: lengths of cosine vectors are lost."""
    first = ends("lite")
    made = first.create("Mig_lengths", dim=DIM, metric="cosine")
    vectors = rows(200)
    made.write(qa.Batch(range(200), {"": vectors}, [{"n": at} for at in range(200)]))
    plain = qa.migrate(made, (edge, "plain"))
    assert plain.plan.vectors[""].comparison == "normalized"
    assert any("normalizes cosine" in note for note in plain.plan.notes)
    assert plain.state == "done"
    kept = qa.migrate(made, (edge, "kept"), keep_norms=True)
    assert kept.state == "done"
    home = qa.migrate((edge, "kept"), (first, "Mig_home"))
    assert home.check is not None
    back = first["Mig_home"].fetch(range(200))
    np.testing.assert_allclose(back.vectors[""], vectors, rtol=1e-5, atol=1e-5)
    assert [dict(each) for each in back.payloads or ()] == [{"n": at} for at in range(200)]


def test_rows_that_lack_a_named_vector(edge: Database, ends: Ends, name: str) -> None:
    """vecparity's ``list(point.vector)`` reads the names of the vectors instead of their values."""
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
    assert (done.state, done.metrics.skipped, lite[name].count()) == ("done", 17, 33)
    assert {key for key, _ in done.skipped} <= set(np.flatnonzero(gaps).tolist())


def test_a_zero_vector_is_copied_under_dot(ends: Ends, edge: Database, name: str) -> None:
    first = ends("lite")
    made = first.create("Mig_zero", dim=4, metric="dot")
    vectors = rows(60, dim=4)
    vectors[7] = 0
    made.write(qa.Batch([f"doc-{at}" for at in range(60)], {"": vectors}))
    # Only cosine rejects a zero vector.
    assert qa.migrate(made, (edge, name)).state == "done"


def test_float16_is_planned_and_compared_with_its_precision(source: Collection, ends: Ends) -> None:
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


def test_a_payload_field_with_several_types_is_copied(
    edge: Database, ends: Ends, name: str
) -> None:
    """Schema constraints that some rows violate (https://github.com/zilliztech/vts/issues/79)."""
    odd: list[Any] = ["x", ["x", "y"], 5, [1, "a"], None, {"deep": [1]}, [[1]], True]
    made = edge.create("docs", dim=DIM, metric="dot")
    payloads = [{"tag": odd[at % len(odd)], "n": at} for at in range(80)]
    made.write(qa.Batch(range(80), {"": rows(80)}, payloads))
    there = ends("weaviate")
    done = qa.migrate(made, (there, name), batch_bytes=1024)
    assert done.state == "done"
    assert qa.migrate((there, name), (edge, "home")).state == "done"
    assert everything(edge["home"]) == everything(made)


def test_a_row_with_too_large_a_payload_is_named_and_can_be_skipped(
    edge: Database, ends: Ends, name: str
) -> None:
    made = edge.create("docs", dim=DIM, metric="dot")
    payloads = [{"text": "x" * (80_000 if at == 250 else 10)} for at in range(300)]
    made.write(qa.Batch(range(300), {"": rows(300)}, payloads))
    there = ends("lite")
    with pytest.raises(InputError, match="row 250") as caught:
        qa.migrate(made, (there, name))
    assert "--allow rejected-rows" in str(caught.value)
    done = qa.migrate(made, (there, name), allow=["rejected-rows"])
    assert done.state == "done"
    assert [key for key, _ in done.skipped] == [250]
    assert there[name].count() == 299
