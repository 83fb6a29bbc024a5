"""``dims``: an index over the first dimensions of a column, which keeps all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.costing.footprints import memory
from qadapt.errors import UnsupportedError
from qadapt.model import Metric, Quantization, Vector
from qadapt.stores.pgvector import mapping
from qadapt.stores.pgvector.catalogs import recognize
from qadapt.stores.pgvector.schema import Column
from qadapt.stores.pgvector.version import ExtensionVersion

FULL, KEPT, COUNT = 96, 32, 3000
KINDS = ("none", "float16", "binary")


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Vectors whose first dimensions have most of the length, as those of Matryoshka models."""
    random = np.random.default_rng(11)
    scale = 1 / np.sqrt(1 + np.arange(FULL))
    centers = random.normal(size=(60, FULL)) * 2
    drawn = centers[random.integers(0, 60, COUNT)] + random.normal(size=(COUNT, FULL))
    return (drawn * scale).astype(np.float32)


@pytest.fixture
def collection(database: Database, name: str, rows: np.ndarray) -> Iterator[Collection]:
    made = database.create(name, dim=FULL)
    made.write(qa.Batch(list(range(COUNT)), {"": rows}, [{"part": at % 4} for at in range(COUNT)]))
    yield made


def scores(rows: np.ndarray, queries: np.ndarray, dims: int = FULL) -> np.ndarray:
    """Cosines of the first dimensions, float64."""
    left, right = (each[:, :dims].astype(np.float64) for each in (queries, rows))
    left /= np.linalg.norm(left, axis=1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return left @ right.T


def best(found: np.ndarray, k: int) -> list[set[int]]:
    return [set(each) for each in np.argsort(-found, axis=1, kind="stable")[:, :k].tolist()]


def overlap(hits: Any, wanted: list[set[int]]) -> float:
    return float(
        np.mean([len(set(a) & b) / len(b) for a, b in zip(hits.ids.tolist(), wanted, strict=True)])
    )


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("(subvector(e, 1, 32))::vector(32)", (1, "subvector", 32)),
        ("(subvector(e, 1, 32))::halfvec(32)", (1, "halfvec", 32)),
        ("(binary_quantize(subvector(e, 1, 32)))::bit(32)", (1, "bit", 32)),
        ("(ext.binary_quantize(ext.subvector(e, 1, 32)))::bit(32)", (1, "bit", 32)),
        ("(binary_quantize(subvector(e, 2, 32)))::bit(32)", (1, "other", None)),
        ("(binary_quantize(subvector(e, 1, 32)))::bit(16)", (1, "other", None)),
        ("(subvector(e, 1, 32))::vector(96)", (1, "other", None)),
        ("(binary_quantize(e))::bit(32)", (1, "other", None)),
        ("(binary_quantize(e))::bit(96)", (1, "bit", None)),
    ],
)
def test_expressions_of_indexes_are_recognized(expression: str, found: Any) -> None:
    assert recognize(expression, [Column("e", 1, "vector", FULL, True)]) == found


def test_the_first_dimensions_of_halfvec_are_halfvec() -> None:
    columns = [Column("e", 1, "halfvec", FULL, True)]
    assert recognize("(subvector(e, 1, 32))::halfvec(32)", columns) == (1, "subvector", 32)


def test_dims_are_mapped_to_an_index_of_the_first_dimensions() -> None:
    found = mapping.to_native(Quantization.parse("binary:dims=256"), Vector(768))
    assert found.native == {"codes": "bit", "dims": 256, "using": "hnsw", "options": {}}
    assert str(found.target) == "binary:dims=256"
    same = mapping.to_native(Quantization.parse("none:dims=768"), Vector(768))
    assert same.native == {}
    wide = mapping.to_native(Quantization.parse("float16:dims=256"), Vector(8000))
    assert wide.native is not None
    assert wide.native["codes"] == "halfvec"
    more = mapping.to_native(Quantization.parse("none:dims=3000"), Vector(8000))
    assert more.native is None
    assert "float16:dims=3000" in more.match.support
    old = mapping.to_native(
        Quantization.parse("none:dims=256"), Vector(768), ExtensionVersion("0.6.2")
    )
    assert "0.7.0" in old.match.differences[0]
    assert mapping.to_native(Quantization.parse("binary:dims=800"), Vector(768)).native is None


@pytest.mark.parametrize("kind", KINDS)
def test_codes_of_the_first_dimensions_are_rescored_by_all(
    kind: str, collection: Collection, rows: np.ndarray, raw: Any, name: str
) -> None:
    queries, k = rows[:60], 10
    plan = collection.plan(f"{kind}:dims={KEPT},rescore=8")
    assert f"first {KEPT} of {FULL} dimensions" in plan.steps[0].action
    assert plan.target_vector is None
    assert any("rescoring compares all" in note for note in plan.notes)
    change = plan.apply(yes=True)
    about = collection.info().vectors[""]
    assert (about.dim, about.quantization.dims) == (FULL, KEPT)
    assert about.status.state is qa.State.ACTIVE
    wanted = best(scores(rows, queries), k)
    full = collection.search(queries, k)
    assert (full.how.rescorer, full.how.rescored_on, full.how.candidates) == (
        "store", "originals", 80
    )  # fmt: skip
    exact = scores(rows, queries)
    for at in range(5):
        for key, score in zip(full.ids[at], full.scores[at], strict=True):
            assert score == pytest.approx(exact[at, key], abs=1e-5)
    alone = collection.search(queries, k, rescore=qa.Rescore(source="off"))
    assert overlap(full, wanted) > overlap(alone, wanted)
    if kind != "binary":
        narrow = best(scores(rows, queries, KEPT), k)
        assert overlap(alone, narrow) > 0.97 > overlap(alone, wanted)
    assert explained(collection, raw).count(f"{name}_embedding_") >= 1
    assert collection.plan(f"{kind}:dims={KEPT},rescore=8").steps[0].action == "nothing to do"
    change.undo()
    after = collection.info().vectors[""]
    assert after.is_plain
    assert after.index["type"] == "none"


def explained(collection: Collection, raw: Any) -> str:
    """The plan of the SQL that clients paste, with the settings that it has."""
    code = collection.client_params(k=10).code["psycopg"]
    names: dict[str, Any] = {}
    exec(code.replace("                SELECT", "SELECT"), names)
    text: list[str] = []
    with raw.transaction():
        for line in code.splitlines():
            if "SET LOCAL" in line:
                raw.execute(line.split('"')[1])
        statement = next(
            each
            for each in names["search"].__code__.co_consts
            if isinstance(each, str) and each.startswith("SELECT id")
        )
        query = str([1.0] * FULL)
        found = raw.execute("EXPLAIN (FORMAT JSON) " + statement, {"query": query}).fetchone()[0]
        text.append(json.dumps(found))
    names["connection"].close()
    return "".join(text)


def test_a_cheaper_setting_of_the_same_column_replaces_it(
    collection: Collection, rows: np.ndarray
) -> None:
    collection.plan(f"binary:dims={KEPT}").apply(yes=True)
    collection.plan("binary").apply(yes=True)
    assert str(collection.info().vectors[""].quantization) == "binary"
    collection.plan(f"float16:dims={KEPT}").apply(yes=True)
    assert str(collection.info().vectors[""].quantization) == f"float16:dims={KEPT}"
    collection.plan("none").apply(yes=True)
    about = collection.info().vectors[""]
    assert about.is_plain
    assert about.index["type"] == "none"


def test_filters_verify_and_simulation_know_the_first_dimensions(
    collection: Collection, rows: np.ndarray
) -> None:
    setting = f"binary:dims={KEPT},rescore=8"
    predicted = next(iter(collection.simulate(setting, queries=100, k=10).results))
    collection.plan(setting).apply(yes=True)
    verified = collection.verify(queries=100, k=10)
    assert not any("of the first" in note for note in verified.notes)
    assert predicted.recall is not None
    assert abs(predicted.recall.value - verified.recall.value) < 0.03
    filtered = collection.search(rows[:20], 10, filter={"part": 1})
    assert {key % 4 for row in filtered.ids.tolist() for key in row} == {1}


def test_more_dimensions_than_the_vectors_have_are_refused(collection: Collection) -> None:
    with pytest.raises(UnsupportedError, match="keeps more dimensions"):
        collection.plan("binary:dims=200")


def test_eval_measures_shortened_codes_beside_whole_ones(collection: Collection) -> None:
    found = collection.evaluate(f"binary:dims={KEPT},rescore=8", "binary:rescore=8", queries=50)
    short, whole = found.results[-2:]
    assert (short.state, whole.state) == ("measured", "measured")
    assert short.quantization.dims == KEPT
    assert short.recall.value < whole.recall.value


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
def test_other_metrics(metric: Metric, database: Database, name: str, rows: np.ndarray) -> None:
    made = database.create(name, dim=FULL, metric=metric.value)
    made.write(qa.Batch(list(range(COUNT)), {"": rows}))
    made.plan(f"float16:dims={KEPT},rescore=8").apply(yes=True)
    assert made.verify(queries=50, k=10).recall.value > 0.9


def test_the_size_of_the_index_is_that_of_the_cost_model(collection: Collection) -> None:
    for kind in KINDS:
        collection.plan(f"{kind}:dims={KEPT}").apply(yes=True)
        about = collection.info().vectors[""]
        setting = Quantization.parse(f"{kind}:dims={KEPT}")
        found = memory(COUNT, Vector(FULL), setting, "pgvector")
        computed = sum(part.disk for part in found.components if part.name != "originals")
        assert computed == pytest.approx(about.index["size"], rel=0.05)


def test_codes_only_change_the_type_of_the_column(
    collection: Collection, raw: Any, name: str
) -> None:
    with pytest.raises(UnsupportedError, match="needs the column") as refused:
        collection.plan("binary:bits=1,originals=none")
    assert "float16:originals=none" in str(refused.value.hint)
    plan = collection.plan("float16:originals=none")
    assert any("irreversible" in note for note in plan.notes)
    assert plan.steps[0].reverse is None
    assert plan.steps[0].estimate.stops == "searches and writes"
    plan.apply(yes=True)
    (kind,) = raw.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attname = 'embedding'",
        [name],
    ).fetchone()
    assert kind == f"halfvec({FULL})"
    assert collection.info().vectors[""].datatype == "float16"
    assert collection.plan("float16:originals=none").steps[0].action == "nothing to do"
    collection.plan(f"none:dims={KEPT},rescore=8").apply(yes=True)
    assert collection.info().vectors[""].status.state is qa.State.ACTIVE
