"""Tables of other programs: names of columns, engines, and rows that the engine refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clickhouse_helpers import Raw

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import QadaptError, StoreError, UnsupportedError

ROWS = np.eye(6, 8, dtype=np.float32) + 1


def create(raw: Raw, more: str = "", engine: str = "MergeTree") -> None:
    raw.run(
        f"CREATE TABLE {{t}}own (id Int64, v Array(Float32){more}) ENGINE = {engine} ORDER BY id"
    )


def test_columns_have_any_name(raw: Raw, database: Database) -> None:
    """A statement gives no name to a result that a column could have: a filter of ``d`` would
    compare the distance."""
    words = ("k", "d", "n", "h", "p", "p0", "v0", "q")
    create(raw, "".join(f", {each} Int64" for each in words))
    made = database["own"]
    payloads = [{word: row * 10 + at for at, word in enumerate(words)} for row in range(6)]
    made.write(qa.Batch(range(6), {"v": ROWS}, payloads))
    for word in words:
        filter = {word: payloads[4][word]}
        assert [key for page in made.read(filter=filter) for key in page.ids] == [4], word
        assert made.count(filter) == 1
        found = made.search(ROWS[0], k=3, vector="v", filter=filter, with_payload=True)
        assert found.ids.tolist() == [[4, None, None]], word
        assert next(iter(found)).payload == payloads[4]
    assert made.fetch([3]).payloads == [payloads[3]]
    made.plan("rotational:bits=1", vector="v").apply(yes=True)
    assert made.search(ROWS[2], k=1, vector="v", rescore=6).ids.tolist() == [[2]]


@pytest.mark.parametrize("name", ["d", "k", "n"])
@pytest.mark.parametrize("setting", ["none", "scalar:bits=4,rescore=2"])
def test_vectors_have_any_name(database: Database, name: str, setting: str) -> None:
    made = database.create("named", vectors={name: qa.Vector(8)})
    rows = np.eye(8, dtype=np.float32) + 0.1
    made.write(qa.Batch(range(8), {name: rows}))
    if setting != "none":
        made.plan(setting, vector=name).apply(yes=True)
    assert made.search(rows[5], k=1, vector=name).ids.tolist() == [[5]]
    assert np.array_equal(made.fetch([5]).vectors[name], rows[5:6])


def test_columns_without_values_are_not_read(raw: Raw, database: Database) -> None:
    create(
        raw, ", word String EPHEMERAL, twice Array(Float32) MATERIALIZED arrayMap(x -> 2 * x, v)"
    )
    raw.insert("own", ROWS)
    made = database["own"]
    assert [page.ids for page in made.read()] == [list(range(6))]
    made.plan("rotational:bits=1", vector="v").apply(yes=True)
    kinds = (
        "SELECT name, default_kind FROM system.columns "
        f"WHERE table = 'own' AND database = '{raw.database}' ORDER BY position"
    )
    assert raw.rows(kinds)[2:] == [("word", "EPHEMERAL"), ("twice", "MATERIALIZED")]


@pytest.mark.parametrize(
    ("more", "engine"),
    [
        (", sign Int8", "CollapsingMergeTree(sign)"),
        (", sign Int8, version UInt8", "VersionedCollapsingMergeTree(sign, version)"),
        (", total Int64", "SummingMergeTree(total)"),
        ("", "AggregatingMergeTree"),
    ],
)
def test_engines_that_combine_rows_are_not_written_to(
    raw: Raw, database: Database, more: str, engine: str
) -> None:
    """Rows without a sign are stored without an error and never returned."""
    create(raw, more, engine)
    with pytest.raises(UnsupportedError, match="does not write to 'own'") as error:
        database["own"].write(qa.Batch([1], {"v": ROWS[:1]}))
    assert error.value.hint


@pytest.mark.parametrize(
    ("more", "payload"),
    [
        (", year Int32", {"year": "no number"}),
        (", year Int32, CONSTRAINT late CHECK year > 1900", {"year": 1800}),
    ],
    ids=["type", "constraint"],
)
def test_a_refused_row_does_not_delete_the_former_one(
    raw: Raw, database: Database, more: str, payload: Any
) -> None:
    create(raw, more)
    made = database["own"]
    made.write(qa.Batch([1, 2], {"v": ROWS[:2]}, [{"year": 2001}, {"year": 2002}]))
    with pytest.raises(QadaptError):
        made.write(qa.Batch([2, 3], {"v": ROWS[2:4]}, [payload, {"year": 2003}]))
    found = made.fetch([1, 2, 3])
    assert (found.ids, found.payloads) == ([1, 2], [{"year": 2001}, {"year": 2002}])
    assert np.array_equal(found.vectors["v"], ROWS[:2])
    made.write(qa.Batch([2], {"v": ROWS[2:3]}, [{"year": 2004}]))
    assert np.array_equal(made.fetch([2]).vectors["v"], ROWS[2:3])
    assert made.count() == 2


@pytest.mark.parametrize("setting", ["rotational:bits=1", "rotational:bits=2"])
def test_codecs_that_need_a_multiple_of_8_dimensions_are_refused(
    database: Database, setting: str
) -> None:
    made = database.create("hundred", dim=100)
    with pytest.raises(UnsupportedError, match="a multiple of 8 dimensions; the vector has 100"):
        made.plan(setting)
    made.write(qa.Batch([1], {"": np.ones((1, 100), np.float32)}))
    assert made.plan("scalar:bits=4").apply(yes=True).status.state is qa.State.ACTIVE


def test_rows_that_the_engine_drops_without_an_error_are_reported(
    raw: Raw, database: Database
) -> None:
    """``send_insert`` of chDB succeeds although a constraint refuses the rows."""
    made = database.create("checked", dim=8)
    made.write(qa.Batch([1, 2], {"": ROWS[:2]}))
    raw.run("ALTER TABLE {t}checked ADD CONSTRAINT small CHECK id < 100")
    with pytest.raises(StoreError, match="stored 0 of 2 rows") as error:
        made.write(qa.Batch([2, 100], {"": ROWS[2:4]}))
    assert "free disk space" in str(error.value.hint)
    found = made.fetch([1, 2, 100])
    assert found.ids == [1, 2]
    assert np.array_equal(found.vectors[""], ROWS[:2])


def test_rows_of_a_table_without_rows_determine_its_dimensions(
    raw: Raw, database: Database
) -> None:
    create(raw)
    made = database["own"]
    made.write(qa.Batch([7], {"v": ROWS[:1]}))
    assert np.array_equal(made.fetch([7]).vectors["v"], ROWS[:1])
    assert made.info().vectors["v"].dim == 8
