"""Codes in a column of the type QBit: added, read by as many planes as requested, and dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clickhouse_helpers import DIM, ROWS, WIDE, Raw

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.model import MatchLevel, Symbol, Vector
from qadapt.stores.clickhouse.mapping import to_native
from qadapt.testing.data import Sample


def recall(found: Any, sample: Sample) -> float:
    pairs = zip(found.ids.tolist(), sample.truth.tolist(), strict=True)
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in pairs]))


def evidence(articles: Collection) -> dict[str, Any]:
    return {each.signal: each.value for each in articles.info().vectors[""].status.evidence}


def test_a_column_beside_the_vectors_is_built_and_dropped_by_undo(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    plan = articles.plan("scalar:bits=4,rescore=4")
    assert plan.steps[0].symbol is Symbol.BACKGROUND
    change = plan.apply(yes=True)
    vector = articles.info().vectors[""]
    assert vector.quantization == qa.scalar(bits=4, rescore=4)
    assert vector.status.state is qa.State.ACTIVE
    assert vector.code_bytes == ROWS * DIM // 2
    off = articles.search(sample.queries, k=10, rescore=qa.Rescore(source="off"))
    on = articles.search(sample.queries, k=10)
    assert (off.how.scores, on.how.scores, on.how.candidates) == ("approximate", "exact", 40)
    assert recall(off, sample) < recall(on, sample)
    exact = articles.search(sample.queries, k=10, exact=True)
    np.testing.assert_allclose(np.sort(on.scores[:, :5]), np.sort(exact.scores[:, :5]), atol=0.05)
    qa.undo(change.id)
    assert articles.info().vectors[""].quantization == qa.none()
    columns = raw.rows("SELECT name FROM system.columns WHERE table = 'articles'")
    assert not [name for (name,) in columns if name.endswith("__qbit")]


def test_other_widths_read_the_same_planes(articles: Collection, sample: Sample) -> None:
    articles.plan("scalar:bits=4").apply(yes=True)
    plan = articles.plan("scalar:bits=7")
    assert [each.symbol for each in plan.steps] == [Symbol.IN_PLACE]
    found = []
    for bits in (4, 7):
        articles.plan(f"scalar:bits={bits}").apply(yes=True)
        off = articles.search(sample.queries, k=10, rescore=qa.Rescore(source="off"))
        found.append(recall(off, sample))
        (step,) = articles.plan(f"scalar:bits={bits}").steps
        assert step.symbol is Symbol.NOTHING
    assert found[0] < found[1]


def test_rows_of_other_clients_have_codes(raw: Raw, articles: Collection) -> None:
    articles.plan("scalar:bits=6").apply(yes=True)
    query = np.random.default_rng(5).normal(size=DIM).astype(np.float32)
    text = ", ".join(map(repr, query.tolist()))
    raw.run(
        "INSERT INTO {t}articles (id, embedding, payload, qadapt_version) "
        f"VALUES (77777, [{text}], '{{}}', 1)"
    )
    assert articles.search(query, k=1).ids[0, 0] == 77777
    assert evidence(articles)["system.parts_columns: rows of parts without them"] == 0


def test_parts_without_the_column_are_building_until_apply(raw: Raw, database: Database) -> None:
    raw.run(
        "CREATE TABLE {t}plain (id Int64, v Array(Float32)) ENGINE = MergeTree ORDER BY id "
        f"{WIDE}"
    )
    rows = np.random.default_rng(1).normal(size=(200, DIM)).astype(np.float32)
    raw.insert("plain", rows)
    made = database["plain"]
    made.plan("scalar:bits=6", vector="v").apply(yes=True)
    raw.run("ALTER TABLE {t}plain CLEAR COLUMN v__qbit SETTINGS mutations_sync = 2")
    vector = made.info().vectors["v"]
    assert vector.status.state is qa.State.BUILDING
    assert "200 rows are in parts without" in vector.status.reason
    made.plan("scalar:bits=6", vector="v").apply(yes=True)
    assert made.info().vectors["v"].status.state is qa.State.ACTIVE
    assert np.array_equal(raw.vectors("plain"), rows)


def test_planes_replace_a_codec_and_are_replaced_by_an_index(
    articles: Collection, sample: Sample
) -> None:
    for setting in ("rotational:bits=1", "scalar:bits=4", "scalar"):
        articles.plan(setting).apply(yes=True)
        vector = articles.info().vectors[""]
        assert (str(vector.quantization), vector.status.state) == (setting, qa.State.ACTIVE)
    found = articles.fetch(list(range(ROWS)))
    assert np.array_equal(found.vectors[""], sample.rows)


def test_planes_survive_the_choice_of_the_type_of_ids(database: Database) -> None:
    """The first rows of an empty table replace it."""
    made = database.create("texts", dim=DIM, quantization="scalar:bits=4")
    rows = np.random.default_rng(2).normal(size=(50, DIM)).astype(np.float32)
    made.write(qa.Batch([f"row {at}" for at in range(50)], {"": rows}))
    vector = made.info().vectors[""]
    assert (vector.quantization, vector.status.state) == (qa.scalar(bits=4), qa.State.ACTIVE)


def test_filters_are_applied_before_the_planes_are_compared(
    articles: Collection, sample: Sample
) -> None:
    articles.plan("scalar:bits=4,rescore=4").apply(yes=True)
    found = articles.search(sample.queries, k=10, filter={"group": 3})
    assert (found.ids % 10 == 3).all()


def test_a_codec_beside_the_planes_keeps_its_vectors(raw: Raw, database: Database) -> None:
    """The mutation that builds the planes writes no column with a codec."""
    raw.run(
        "CREATE TABLE {t}both (id Int64, v Array(Float32) CODEC(Quantized('rabitq', 32)), "
        f"w Array(Float32) DEFAULT v) ENGINE = MergeTree ORDER BY id {WIDE}, "
        "enable_quantized_codec = 1"
    )
    rows = np.random.default_rng(3).normal(size=(200, DIM)).astype(np.float32)
    raw.insert("both", rows)
    made = database["both"]
    made.plan("scalar:bits=6", vector="w").apply(yes=True)
    assert made.info().vectors["w"].status.state is qa.State.ACTIVE
    assert np.array_equal(raw.vectors("both"), rows)


@pytest.mark.parametrize(
    ("setting", "metric", "version", "reason"),
    [
        ("scalar:bits=4", "euclidean", None, "serve the cosine distance"),
        ("scalar:bits=4", "cosine", "26.6.1", "require ClickHouse 26.7"),
        ('binary:native={"using":"qbit"}', "cosine", None, "bit planes have scalar codes"),
        ('scalar:bits=6,native={"using":"index"}', "cosine", None, "has no codes of 6 bits"),
        ("binary:dims=8", "cosine", None, "codes of the first dimensions are scalar"),
        ("scalar:dims=65", "cosine", None, "more dimensions than the vectors have"),
    ],
)
def test_other_requests_are_refused_with_the_reason(
    setting: str, metric: str, version: str | None, reason: str
) -> None:
    match = to_native(qa.Quantization.parse(setting), Vector(64, metric), version).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert reason in match.differences[0]
    assert match.support


def test_a_plan_for_dot_products_names_client_side_codes(database: Database) -> None:
    made = database.create("products", dim=DIM, metric="dot")
    with pytest.raises(UnsupportedError, match="serve the cosine distance"):
        made.plan("scalar:bits=4")


def test_code_for_clients_searches_by_the_planes(
    raw: Raw, articles: Collection, sample: Sample
) -> None:
    articles.plan("scalar:bits=4,rescore=4").apply(yes=True)
    params = articles.client_params()
    assert "cosineDistanceTransposedQuantized" in params.code["sql"]
    statement = params.code["sql"].split("\n", 1)[1].rstrip(";")
    found = [row[0] for row in raw.rows(statement, sample.queries[0])]
    assert found == articles.search(sample.queries[0], k=10).ids[0].tolist()
