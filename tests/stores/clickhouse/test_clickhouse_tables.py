"""Tables of other programs, filters, ids, and what a write replaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clickhouse_helpers import Raw
from filter_rows import PAYLOADS, meant

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError, NotFoundError, SpecError, UnsupportedError

FILTERS: list[dict[str, Any]] = [
    {"topic": "art"},
    {"topic": ["music", "1990"]},
    {"year": 1990},
    {"year": {"gte": 1980, "lt": 2000}},
    {"price": {"gt": 1.5}},
    {"sold": True},
    {"sold": 1},
    {"tags": "b"},
    {"tags": 3},
    {"tags": {"exists": True}},
    {"tags": {"missing": True}},
    {"topic": None},
    {"author.name": "Ann"},
    {"author.age": {"lte": 30}},
    {"my key": "x"},
    {"größe": 4},
    {"big": 2**53 + 1},
    {"big": 2**53},
    {"big": {"gt": 2**53}},
    {"day": {"gte": "2024-05-01T11:00:00Z"}},
    {"when": {"lt": "2021-01-01"}},
    {"not": {"topic": "art"}},
    {"any": [{"topic": "music"}, {"year": -5}]},
]


def test_filters_of_documents_select_the_rows_of_the_common_form(database: Database) -> None:
    made = database.create("documents", dim=12)
    made.write(qa.Batch(list(range(len(PAYLOADS))), {"": np.eye(len(PAYLOADS), 12) + 1}, PAYLOADS))
    for filter in FILTERS:
        found = [key for page in made.read(filter=filter) for key in page.ids]
        assert found == meant(filter), filter


def test_a_table_of_another_program(raw: Raw, database: Database) -> None:
    """Columns with types are payload, and filters compare them."""
    raw.run(
        "CREATE TABLE {t}shop (key UUID, v Array(Float32), w Array(BFloat16), topic "
        "LowCardinality(String), year Nullable(Int32), sold Bool, day DateTime('UTC'), "
        "tags Array(String), attributes Map(String, String)) "
        "ENGINE = MergeTree ORDER BY key COMMENT 'my shop'"
    )
    made = database["shop"]
    ids = [f"00000000-0000-0000-0000-{at:012x}" for at in range(3)]
    payloads: list[dict[str, Any]] = [
        {"topic": "a'b", "year": 1990, "sold": True, "day": "2024-05-01 12:00:00",
         "tags": ["x", "y"], "attributes": {"k": "1"}},
        {"topic": "c", "sold": False, "day": "2020-01-01 00:00:00", "tags": [], "attributes": {}},
        {"topic": "c", "year": -1, "sold": True, "day": "2024-05-02 00:00:00", "tags": ["z"],
         "attributes": {}},
    ]  # fmt: skip
    rows = np.array([[0.1, 2], [3, 4], [5, 6]], dtype=np.float32)
    raw.run(
        "INSERT INTO {t}shop (key, v, w) VALUES ('ffffffff-0000-0000-0000-000000000000', "
        "[1, 2], [1, 2])"
    )
    made.write(qa.Batch(ids, {"v": rows, "w": rows}, payloads))
    made.delete(["ffffffff-0000-0000-0000-000000000000"])
    assert made.fetch(ids).payloads == payloads
    assert made.fetch(ids).vectors["v"].tobytes() == rows.tobytes()
    info = made.info()
    assert {name: each.datatype for name, each in info.vectors.items()} == {
        "v": "float32", "w": "bfloat16",
    }  # fmt: skip
    for filter, expected in (
        ({"topic": "a'b"}, [0]),
        ({"year": {"lt": 0}}, [2]),
        ({"year": {"missing": True}}, [1]),
        ({"sold": True}, [0, 2]),
        ({"tags": "x"}, [0]),
        ({"day": {"gte": "2024-05-02"}}, [2]),
        ({"key": ids[0]}, None),
    ):
        if expected is None:
            with pytest.raises(SpecError, match="key"):
                made.count(filter=filter)
            continue
        found = [key for page in made.read(filter=filter) for key in page.ids]
        assert found == [ids[at] for at in expected], filter
    with pytest.raises(UnsupportedError, match="Map"):
        made.count(filter={"attributes": "x"})
    with pytest.raises(InputError, match="'color', which is not a column"):
        made.write(qa.Batch(ids[:1], {"v": rows[:1], "w": rows[:1]}, [{"color": 1}]))
    made.write(qa.Batch(ids[:1], {"v": -rows[:1]}, [payloads[0]]))
    assert made.count() == 3
    assert made.fetch(ids[:1]).vectors["v"].tobytes() == (-rows[:1]).tobytes()
    assert made.search([-0.1, -2], k=1, vector="v").ids.tolist() == [[ids[0]]]


def test_rows_of_one_id_are_reported_and_read_once(raw: Raw, database: Database) -> None:
    raw.run("CREATE TABLE {t}double (id Int64, v Array(Float32)) ENGINE = MergeTree ORDER BY id")
    raw.insert("double", np.ones((3, 4), dtype=np.float32))
    raw.insert("double", np.ones((2, 4), dtype=np.float32), first=2)
    made = database["double"]
    (finding,) = [each for each in made.doctor().findings if each.code == "duplicate-ids"]
    assert "1 rows share the id of another row, such as 2" in finding.message
    assert [key for page in made.read(page=2) for key in page.ids] == [0, 1, 2, 3]


def test_the_metric_of_a_table_without_index_is_assumed(
    raw: Raw, database: Database, address: str
) -> None:
    raw.run("CREATE TABLE {t}plain (id Int64, v Array(Float32)) ENGINE = MergeTree ORDER BY id")
    raw.insert("plain", np.eye(4, dtype=np.float32))
    made = database["plain"]
    assert made.info().vectors["v"].metric is qa.Metric.COSINE
    assert "unknown-metric" in {each.code for each in made.doctor().findings}
    with qa.open(f"{address}&metric=dot") as other:
        assert other["plain"].info().vectors["v"].metric is qa.Metric.DOT
        hits = other["plain"].search([0, 0, 3, 1], k=2)
    assert hits.scores.tolist() == [[3, 1]]


def test_a_table_without_a_column_for_ids_names_the_option(raw: Raw, database: Database) -> None:
    raw.run(
        "CREATE TABLE {t}keyless (a Float32, b Int64, v Array(Float32)) "
        "ENGINE = MergeTree ORDER BY (a, b) SETTINGS allow_floating_point_partition_key = 1"
    )
    raw.run("INSERT INTO {t}keyless VALUES (1, 2, [1, 2])")
    with pytest.raises(UnsupportedError, match="no column for ids") as error:
        list(database["keyless"].read())
    assert "?id=COLUMN" in str(error.value.hint)


def test_columns_of_bit_planes_are_named_and_not_copied(raw: Raw, database: Database) -> None:
    raw.run(
        "CREATE TABLE {t}planes (id Int64, v Array(Float32), q QBit(Float32, 8)) "
        "ENGINE = MergeTree ORDER BY id"
    )
    made = database["planes"]
    assert any("QBit(Float32, 8)" in note for note in made.info().notes)
    assert list(made.info().vectors) == ["v"]
    with pytest.raises(NotFoundError, match="'q'"):
        made.search(np.ones(8), vector="q")


def test_a_replaced_row_is_deleted_after_it_was_written_again(raw: Raw, database: Database) -> None:
    made = database.create("articles", dim=4)
    made.write(qa.Batch([1, 2], {"": np.eye(2, 4)}, [{"a": 1}, {"a": 2}]))
    made.write(qa.Batch([2, 3], {"": np.ones((2, 4))}, [{"a": 3}, {"a": 4}]))
    assert raw.rows("SELECT count() AS n FROM {t}articles") == [(3,)]
    assert made.fetch([1, 2, 3]).payloads == [{"a": 1}, {"a": 3}, {"a": 4}]


@pytest.mark.parametrize("name", ["a`b'c\\d naïve ☃", "select"])
def test_names_are_quoted(database: Database, name: str) -> None:
    made = database.create(name, dim=8)
    made.write(qa.Batch([1], {"": np.ones((1, 8))}))
    made.plan("binary:rescore=2").apply(yes=True)
    assert made.info().vectors[""].status.state is qa.State.ACTIVE
    made.plan("rotational:bits=1").apply(yes=True)
    assert made.info().vectors[""].status.state is qa.State.ACTIVE
    assert database.collections() == [name]
    database.drop(name)
