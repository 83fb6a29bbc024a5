"""Parquet of other programs: columns by name, one JSON form per type, errors by row."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qadapt as qa
from qadapt.api import Database
from qadapt.cli.app import app
from qadapt.errors import InputError, SpecError

pytest.importorskip("qdrant_edge")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

DIM = 4
X = np.arange(1, 3 * DIM + 1, dtype=np.float32).reshape(3, DIM)
IDS = [1, 2, 3]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Database]:
    """An empty folder of the embedded engine."""
    with qa.open(f"edge:{tmp_path / 'edge'}") as database:
        yield database


def fixed(rows: Any = X) -> Any:
    """Vectors as a list of a fixed size."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def imported(edge: Database, tmp_path: Path, columns: Any, **words: Any) -> qa.Batch:
    """Rows of an imported file, ordered by id."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, tmp_path / "theirs.parquet")
    words.setdefault("metric", "dot")
    done = qa.import_file(tmp_path / "theirs.parquet", (edge, "x"), **words)
    rows = qa.Batch.concat(list(edge["x"].read()))
    assert len(rows) == done.rows
    return rows


def refused(edge: Database, tmp_path: Path, columns: Any, **words: Any) -> str:
    """Return the error for a file, and check that no collection was created."""
    with pytest.raises(InputError) as told:
        imported(edge, tmp_path, columns, **words)
    assert edge.collections() == []
    return str(told.value)


# -- vectors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "list_(float32)", "list_(float64)", "large_list(float64)", "list_(float16)",
        "large_list(float16)", "list_(int8)", "list_(uint8)", "list_(int64)",
    ],
)  # fmt: skip
def test_lists_of_any_layout_are_vectors(edge: Database, tmp_path: Path, kind: str) -> None:
    outer, inner = kind.rstrip(")").split("(")
    column = pa.array(X.astype(getattr(pa, inner)().to_pandas_dtype()).tolist() if "int" in inner
                      else [[np.float16(each) if inner == "float16" else float(each)
                             for each in row] for row in X],
                      type=getattr(pa, outer)(getattr(pa, inner)()))  # fmt: skip
    words = {"kind": "numbers"} if inner in ("int8", "uint8") else {}  # they may be packed bits
    columns = {"id": IDS, "vector": column, "title": ["a", "b", "c"]}
    rows = imported(edge, tmp_path, columns, **words)
    assert rows.vectors[""].tolist() == X.tolist()
    assert [dict(each) for each in rows.payloads or ()] == [{"title": each} for each in "abc"]


def test_half_floats_of_a_fixed_size(edge: Database, tmp_path: Path) -> None:
    column = fixed(X.astype(np.float16))
    assert imported(edge, tmp_path, {"id": IDS, "emb": column}).vectors["emb"].tolist() == (
        X.tolist()
    )


def test_columns_are_chosen_by_name(edge: Database, tmp_path: Path) -> None:
    columns = {
        "id": ["not", "the", "id"],
        "doc": IDS,
        "title_emb": X.tolist(),
        "body_emb": (X + 1).tolist(),
        "box": [[0.0, 1.0]] * 3,
    }
    told = refused(edge, tmp_path, columns)
    assert "several columns of lists of floats: title_emb, body_emb, box" in told
    assert "--vectors title_emb" in told
    rows = imported(edge, tmp_path, columns, id="doc", vectors=["title_emb", "body_emb"])
    assert rows.vectors["body_emb"].tolist() == (X + 1).tolist()
    assert rows.ids == IDS
    assert dict((rows.payloads or [])[0]) == {"id": "not", "box": [0.0, 1.0]}
    edge.drop("x")
    rows = imported(edge, tmp_path, columns, id="doc", vectors={"": "title_emb"})
    assert rows.vectors[""].tolist() == X.tolist()
    edge.drop("x")
    rows = imported(edge, tmp_path, columns, id="doc", vectors="body_emb")
    assert list(rows.vectors) == ["body_emb"]


def test_columns_that_are_no_ids_or_vectors_are_named(edge: Database, tmp_path: Path) -> None:
    columns = {"key": IDS, "vector": fixed(), "title": ["a", "b", "c"], "x": [0.5, 1.5, 2.5]}
    assert "--id COLUMN" in refused(edge, tmp_path, columns)
    assert "did you mean 'key'" in refused(edge, tmp_path, columns, id="kee")
    assert "cannot contain ids" in refused(edge, tmp_path, columns, id="x")
    assert "cannot contain vectors" in refused(edge, tmp_path, columns, id="key", vectors="title")
    told = refused(edge, tmp_path, {"id": IDS, "title": ["a", "b", "c"]})
    assert "no column of vectors" in told
    assert "title (string)" in told
    rows = imported(edge, tmp_path, columns, number_rows=True)
    assert rows.ids == [0, 1, 2]
    assert (rows.payloads or [])[2]["key"] == 3


# -- ids -----------------------------------------------------------------------------------------

KEYS = [uuid.UUID(int=number) for number in (7, 8, 2**127 + 9)]


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pa.array(IDS, pa.int8()), IDS),
        (pa.array([1, 2, 2**64 - 1], pa.uint64()), [1, 2, 2**64 - 1]),
        (pa.array([Decimal(each) for each in (1, 2, 2**64 - 1)], pa.decimal128(20)),
         [1, 2, 2**64 - 1]),
        (pa.array([str(key) for key in KEYS], pa.large_string()), [str(key) for key in KEYS]),
        (pa.array([str(key) for key in KEYS]).dictionary_encode(), [str(key) for key in KEYS]),
        (pa.array([key.bytes for key in KEYS], pa.binary(16)), [str(key) for key in KEYS]),
        (pa.array([key.bytes for key in KEYS], pa.binary()), [str(key) for key in KEYS]),
    ],
)  # fmt: skip
def test_ids_of_any_type(edge: Database, tmp_path: Path, column: Any, wanted: list[Any]) -> None:
    assert imported(edge, tmp_path, {"id": column, "vector": fixed()}).ids == wanted


def test_the_index_of_a_dataframe(edge: Database, tmp_path: Path) -> None:
    about = {b"pandas": json.dumps({"index_columns": ["__index_level_0__"]}).encode()}
    table = pa.table({"vector": fixed(), "t": ["a", "b", "c"], "__index_level_0__": [7, 8, 9]})
    rows = imported(edge, tmp_path, table.replace_schema_metadata(about))
    assert rows.ids == [7, 8, 9]
    assert dict((rows.payloads or [])[0]) == {"t": "a"}
    edge.drop("x")
    # With ids, the index contains only row numbers.
    table = table.append_column("id", pa.array(IDS)).replace_schema_metadata(about)
    rows = imported(edge, tmp_path, table)
    assert (rows.ids, dict((rows.payloads or [])[0])) == (IDS, {"t": "a"})


def test_a_dataframe(edge: Database, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "vector": list(X.astype(np.float64)),
            "topic": pd.Categorical(["art", "law", "art"]),
            "when": pd.to_datetime(
                ["2025-03-28T00:00:00", None, "2025-03-28T12:00:00.5"], format="ISO8601"
            ),
            "price": [1.5, None, 2.5],
        },
        index=pd.Index([11, 12, 13], name="doc"),
    )
    frame.to_parquet(tmp_path / "frame.parquet")
    qa.import_file(tmp_path / "frame.parquet", (edge, "x"), metric="dot")
    rows = edge["x"].fetch([11, 12, 13])
    assert rows.vectors[""].tolist() == X.tolist()
    assert [dict(each) for each in rows.payloads or ()] == [
        {"topic": "art", "when": "2025-03-28T00:00:00", "price": 1.5},
        {"topic": "law"},
        {"topic": "art", "when": "2025-03-28T12:00:00.500000", "price": 2.5},
    ]


# -- payload -------------------------------------------------------------------------------------

WHEN = dt.datetime(2025, 3, 28, 12, 30, 15, 250000)
UTC = dt.timezone.utc
FORMS: list[tuple[str, Any, Any]] = [
    ("bool", pa.array([True, None, False]), [True, None, False]),
    ("int64", pa.array([2**62, None, -1]), [2**62, None, -1]),
    ("uint64", pa.array([2**64 - 1, None, 0], pa.uint64()), [2**64 - 1, None, 0]),
    ("float32", pa.array([0.1, None, 2], pa.float32()), [float(np.float32(0.1)), None, 2.0]),
    ("float16", pa.array(np.array([0.5, 1.5, 2], np.float16)), [0.5, 1.5, 2.0]),
    ("large_string", pa.array(["a", None, ""], pa.large_string()), ["a", None, ""]),
    ("categories", pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    ("timestamp", pa.array([WHEN, None, dt.datetime(1969, 12, 31, 23, 59, 59)]),
     [WHEN.isoformat(), None, "1969-12-31T23:59:59"]),
    ("nanoseconds", pa.array([1, None, -1], pa.timestamp("ns")),
     ["1970-01-01T00:00:00.000000001", None, "1969-12-31T23:59:59.999999999"]),
    ("utc", pa.array([WHEN.replace(tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
     [WHEN.replace(tzinfo=UTC).isoformat(), None, None]),
    ("zone", pa.array([WHEN.replace(tzinfo=UTC), None, None], pa.timestamp("ms", "Asia/Tokyo")),
     [WHEN.replace(tzinfo=UTC).isoformat(), None, None]),
    ("date32", pa.array([WHEN.date(), None, dt.date(1900, 1, 1)]),
     ["2025-03-28", None, "1900-01-01"]),
    ("date64", pa.array([WHEN.date(), None, dt.date(1900, 1, 1)], pa.date64()),
     ["2025-03-28", None, "1900-01-01"]),
    ("time64", pa.array([WHEN.time(), None, dt.time(1)]), ["12:30:15.250000", None, "01:00:00"]),
    ("time32", pa.array([WHEN.time(), None, dt.time(1)], pa.time32("ms")),
     ["12:30:15.250000", None, "01:00:00"]),
    ("duration", pa.array([dt.timedelta(days=1, seconds=2.5), None, dt.timedelta(-1)]),
     ["PT86402.5S", None, "-PT86400S"]),
    ("decimal", pa.array([Decimal("12.50"), None, Decimal("-0.01")]), ["12.50", None, "-0.01"]),
    ("binary", pa.array([b"\x00\xff", None, b""]), ["AP8=", None, ""]),
    ("fixed binary", pa.array([b"abcd", None, b"efgh"], pa.binary(4)),
     ["YWJjZA==", None, "ZWZnaA=="]),
    ("list", pa.array([[1, None], None, []], pa.large_list(pa.int64())), [[1, None], None, []]),
    ("dates in lists", pa.array([[WHEN.date()], [None], None]), [["2025-03-28"], [None], None]),
    ("struct", pa.array([{"a": 1, "b": {"c": Decimal("1.0")}}, None, {"a": None, "b": None}]),
     [{"a": 1, "b": {"c": "1.0"}}, None, {"a": None, "b": None}]),
    ("map", pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
     [{"a": 1}, None, {}]),
    ("map by numbers", pa.array([[(1, "a")], None, []], pa.map_(pa.int64(), pa.string())),
     [[{"key": 1, "value": "a"}], None, []]),
    ("null", pa.nulls(3), [None] * 3),
]  # fmt: skip


def test_every_type_has_one_form(edge: Database, tmp_path: Path) -> None:
    columns = {name: column for name, column, _ in FORMS}
    rows = imported(edge, tmp_path, {"id": IDS, "vector": fixed(), **columns})
    for row, payload in enumerate(rows.payloads or ()):
        wanted = {name: values[row] for name, _, values in FORMS if values[row] is not None}
        assert dict(payload) == wanted


def test_nested_values_of_a_slice_are_those_of_their_rows(edge: Database, tmp_path: Path) -> None:
    count = 12_000  # more than two pages
    lists = [[at, at + 1] if at % 3 else None for at in range(count)]
    inner = [{"n": at, "d": dt.date(2025, 1, 1 + at % 28)} for at in range(count)]
    table = pa.table({
        "id": range(count), "vector": fixed(np.ones((count, DIM), np.float32)), "l": lists,
        "s": inner, "m": pa.array([[(f"k{at}", at)] for at in range(count)],
                                  pa.map_(pa.string(), pa.int32())),
    })  # fmt: skip
    imported(edge, tmp_path, table)
    found = edge["x"].fetch([5_001, 11_999])
    assert [dict(each) for each in found.payloads or ()] == [
        {"s": {"n": 5_001, "d": "2025-01-18"}, "m": {"k5001": 5_001}},
        {"l": [11_999, 12_000], "s": {"n": 11_999, "d": "2025-01-16"}, "m": {"k11999": 11_999}},
    ]


def test_the_column_payload(edge: Database, tmp_path: Path) -> None:
    base = {"id": IDS, "vector": fixed()}
    texts = ['{"a": 1}', None, '{"a": {"b": []}}']
    rows = imported(edge, tmp_path, {**base, "payload": texts, "payload.a": [1, None, None],
                                     "more": [1, 2, None]})  # fmt: skip
    assert [dict(each) for each in rows.payloads or ()] == [
        {"a": 1, "more": 1}, {"more": 2}, {"a": {"b": []}},
    ]  # fmt: skip
    edge.drop("x")
    structs = [{"a": 1, "b": None}, None, {"a": None, "b": "x"}]
    rows = imported(edge, tmp_path, {**base, "payload": structs})
    assert [dict(each) for each in rows.payloads or ()] == [{"a": 1}, {}, {"b": "x"}]
    edge.drop("x")
    rows = imported(edge, tmp_path, {**base, "payload": ["plain", "text", None]})
    assert [dict(each) for each in rows.payloads or ()] == [
        {"payload": "plain"}, {"payload": "text"}, {},
    ]  # fmt: skip
    edge.drop("x")
    told = refused(edge, tmp_path, {**base, "payload": ['{"a": 1}', "[]", "no"]})
    assert "not a JSON object in column 'payload': rows 1, 2" in told
    told = refused(edge, tmp_path, {**base, "payload": texts, "a": [None, 1, 2]})
    assert "the field 'a' in both 'payload' and 'a': row 2" in told
    told = refused(edge, tmp_path, {**base, "t": IDS, "payload.t": IDS})
    assert "two columns for the payload field 't'" in told


# -- errors --------------------------------------------------------------------------------------


def test_errors_are_reported_by_row(edge: Database, tmp_path: Path) -> None:
    nan = X.copy()
    nan[1, 0], nan[2, 3] = np.nan, np.inf
    told = refused(edge, tmp_path, {"id": IDS, "vector": fixed(nan)})
    assert "NaN or infinity in column 'vector': rows 1, 2" in told
    big = X.astype(np.float64)
    big[2] = 1e300
    assert "beyond float32 in column 'vector': row 2" in refused(
        edge, tmp_path, {"id": IDS, "vector": big.tolist()}
    )
    lists = X.tolist()
    assert "not 4 numbers in column 'vector': row 2" in refused(
        edge, tmp_path, {"id": IDS, "vector": [*lists[:2], [1.0]]}
    )
    assert "null in column 'vector': row 1" in refused(
        edge, tmp_path, {"id": IDS, "vector": [lists[0], None, lists[2]]}
    )
    assert "null among the numbers in column 'vector': row 2" in refused(
        edge, tmp_path, {"id": IDS, "vector": [*lists[:2], [1.0, None, 2.0, 3.0]]}
    )
    # Row 1 has no id, which is not the id 1.
    missing = refused(edge, tmp_path, {"id": [1, None, 2], "vector": fixed()})
    assert "null in the id column 'id': row 1" in missing and "duplicate" not in missing
    assert "null in the id column 'id': row 1" in refused(
        edge, tmp_path, {"id": [1, None, 3], "vector": fixed()}
    )
    assert "not a UUID" in refused(
        edge, tmp_path, {"id": [b"ab", b"", b"x" * 16], "vector": fixed()}
    )
    told = refused(edge, tmp_path, {"id": ["a", "b", "a"], "vector": fixed()})
    assert "duplicate id 'a': rows 0, 2" in told
    told = refused(edge, tmp_path, {"id": IDS, "vector": fixed(), "x": [0.5, np.nan, None]})
    assert "NaN or infinity in column 'x': row 1" in told
    told = refused(edge, tmp_path, {"id": IDS, "vector": fixed(), "x": [[0.5], [], [1, np.inf]]})
    assert "NaN or infinity in column 'x': row 2" in told
    zero = X.copy()
    zero[1] = 0
    told = refused(edge, tmp_path, {"id": IDS, "vector": fixed(zero)}, metric="cosine")
    assert "zero vectors under cosine in the vector: row 1" in told
    assert imported(edge, tmp_path, {"id": IDS, "vector": fixed(zero)}).ids == IDS


def test_ids_that_occur_twice_pages_apart(edge: Database, tmp_path: Path) -> None:
    count = 11_000
    ids = list(range(count))
    ids[10_999] = 3
    told = refused(edge, tmp_path, {"id": ids, "vector": fixed(np.ones((count, 2), np.float32))})
    assert "duplicate id 3: rows 3, 10999" in told


def test_rows_without_a_vector_are_imported_if_allowed(edge: Database, tmp_path: Path) -> None:
    lists = X.tolist()
    columns = {"id": IDS, "vector": [lists[0], None, lists[2]]}
    rows = imported(edge, tmp_path, columns, allow=["missing-vectors"])
    assert rows.missing[""].tolist() == [False, True, False]
    with pytest.raises(SpecError, match="did you mean 'missing-vectors'"):
        qa.import_file(tmp_path / "theirs.parquet", (edge, "y"), allow=["missing-vector"])


def test_unsupported_tables_are_refused(edge: Database, tmp_path: Path) -> None:
    empty = pa.table(
        {"id": pa.array([], pa.int64()), "vector": pa.array([], pa.list_(pa.float64()))}
    )
    assert "its dimension is unknown" in refused(edge, tmp_path, empty)
    twice = pa.Table.from_arrays([pa.array(IDS)] * 2 + [fixed()], names=["id", "id", "vector"])
    assert "duplicate column names: id" in refused(edge, tmp_path, twice)
    fitting = pa.table({"id": pa.array([], pa.int64()),
                        "vector": pa.array([], pa.list_(pa.float32(), DIM))})  # fmt: skip
    pq.write_table(fitting, tmp_path / "empty.parquet")
    done = qa.import_file(tmp_path / "empty.parquet", (edge, "x"))
    assert (done.rows, edge["x"].info().vectors[""].dim) == (0, DIM)


def test_the_command_line_names_columns(edge: Database, tmp_path: Path) -> None:
    table = pa.table({"doc": ["a", "b", "c"], "emb": X.tolist(), "t": IDS})
    pq.write_table(table, tmp_path / "theirs.parquet")
    url = str(edge._store.address)
    words = ["import", str(tmp_path / "theirs.parquet"), f"{url}#x", "--metric", "dot"]
    run = CliRunner()
    out = run.invoke(app, words)
    assert (out.exit_code, "--id COLUMN" in out.output) == (2, True)
    out = run.invoke(app, [*words, "--id", "doc", "--vectors", "=emb"])
    assert out.exit_code == 0, out.output
    assert "id from 'doc'; vector from 'emb'; payload from 't'" in out.output
    assert edge["x"].info().vectors[""].dim == DIM
    out = run.invoke(app, [*words, "--id", "doc", "--number-rows", "--add"])
    assert (out.exit_code, "both determine the ids" in out.output) == (2, True)
