"""Tables that qadapt did not create."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import AuthError, InputError, NotFoundError, UnsupportedError
from qadapt.testing.data import Sample

KEYS = {
    "int": [1, 2, -3],
    "smallint": [1, 2, 3],
    "uuid": [f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3)],
    "text": ["b", "A", "ä"],
    "varchar(20)": ["b", "c d", "x%y"],
}


def ids_of(collection: Any) -> list[Any]:
    return [key for page in collection.read(page=2, vectors=()) for key in page.ids]


@pytest.mark.parametrize("kind", KEYS)
def test_primary_keys(database: Database, raw: Any, name: str, kind: str) -> None:
    raw.execute(f'CREATE TABLE {name} ("Key %" {kind} PRIMARY KEY, embedding vector(3))')
    collection, ids = database[name], KEYS[kind]
    collection.write(qa.Batch(ids, {"": np.eye(3)}))
    collection.write(qa.Batch(ids[:1], {"": [[0, 0, 5]]}))
    assert sorted(map(str, ids_of(collection))) == sorted(map(str, ids))
    assert collection.fetch([ids[2], ids[0]]).ids == [ids[2], ids[0]]
    assert collection.fetch(ids[:1]).vectors[""].tolist() == [[0, 0, 5]]
    assert collection.search([0, 1, 0], k=1).ids.tolist() == [[ids[1]]]
    collection.delete([ids[1], "unknown", 77])
    assert collection.count() == 2


def test_a_table_without_a_key(database: Database, raw: Any, name: str) -> None:
    raw.execute(f"CREATE TABLE {name} (a int, b int, embedding vector(3), PRIMARY KEY (a, b))")
    raw.execute(f"INSERT INTO {name} VALUES (1, 2, '[1,0,0]')")
    assert database[name].info().count == 1
    with pytest.raises(UnsupportedError, match="no primary key of one column"):
        database[name].search([1, 0, 0], k=1)


def test_typed_columns_are_payload(database: Database, raw: Any, name: str) -> None:
    raw.execute(
        f"CREATE TABLE {name} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "title text NOT NULL, price numeric, ratio float8, tags text[], raw bytea, at timestamptz, "
        "more jsonb, length int GENERATED ALWAYS AS (length(title)) STORED, embedding vector(2))"
    )
    collection = database[name]
    payload = {
        "title": "x", "price": 1.25, "ratio": "NaN", "tags": ["a", "b"], "raw": "\\x00ff",
        "at": "2024-05-01T10:00:00+00:00", "more": {"k": [1, None]},
    }  # fmt: skip
    raw.execute("SET TimeZone = 'UTC'")
    collection.write(qa.Batch([5], {"": [[1, 0]]}, [payload]))
    (found,) = collection.fetch([5]).payloads or [{}]
    assert found["length"] == 1
    assert {key: each for key, each in found.items() if key not in ("length", "at")} == {
        key: each for key, each in payload.items() if key != "at"
    }
    collection.write(qa.Batch([5], {"": [[1, 0]]}, [{"title": "longer"}]))
    assert collection.fetch([5]).payloads == [{"title": "longer", "length": 6}]
    with pytest.raises(InputError, match="'color'"):
        collection.write(qa.Batch([6], {"": [[1, 0]]}, [{"title": "y", "color": "red"}]))
    with pytest.raises(InputError, match="null value"):
        collection.write(qa.Batch([7, 8], {"": np.eye(2)}, [{"title": "y"}, {}]))
    assert collection.count() == 1


@pytest.mark.parametrize(
    ("vector", "key"),
    [("id", "d"), ("d", "fields"), ("fields", "id"), ("candidates", "r"), ("r", "candidates")],
)
def test_columns_may_have_the_names_that_qadapt_uses_in_sql(
    database: Database, raw: Any, name: str, vector: str, key: str
) -> None:
    names = {"id", "d", "fields", "candidates", "r", "s", "k", "c0", "x"} - {vector, key}
    columns = ", ".join(f'"{each}" int' for each in sorted(names))
    raw.execute(f'CREATE TABLE {name} ("{key}" int PRIMARY KEY, "{vector}" vector(8), {columns})')
    collection = database[name]
    rows = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    payloads = [dict.fromkeys(names, row) for row in range(20)]
    collection.write(qa.Batch(list(range(20)), {vector: rows}, payloads))
    raw.execute(
        f'CREATE INDEX ON {name} USING hnsw ((binary_quantize("{vector}")::bit(8)) bit_hamming_ops)'
    )
    for exact in (True, False):
        hits = collection.search(
            rows[3], 1, with_payload=True, exact=exact, rescore=None if exact else 20
        )
        assert [(hit.id, hit.payload) for hit in hits] == [(3, payloads[3])]
        only = collection.search(
            rows[3], 1, filter={"x": 3}, exact=exact, rescore=None if exact else 20
        )
        assert only.ids.tolist() == [[3]]
    assert collection.fetch([7]).payloads == [payloads[7]]


def test_several_vectors_and_missing_ones(database: Database, raw: Any, name: str) -> None:
    raw.execute(
        f"CREATE TABLE {name} (id int PRIMARY KEY, a vector(2), b halfvec(3), c sparsevec(9))"
    )
    collection = database[name]
    collection.write(
        qa.Batch([1, 2], {"a": np.eye(2), "b": np.ones((2, 3))}, None,
                 {"b": np.array([True, False])})
    )  # fmt: skip
    batch = collection.fetch([1, 2])
    assert batch.missing["b"].tolist() == [True, False]
    info = collection.info()
    assert [(each.name, each.count, each.datatype) for each in info.vectors.values()] == [
        ("a", 2, "float32"), ("b", 1, "float16"),
    ]  # fmt: skip
    assert collection.search([1, 1, 1], k=5, vector="b").ids.tolist()[0][:2] == [2, None]
    assert collection.search([1, 1, 1], k=1, vector="b", exact=True).how.scores == "approximate"


def test_other_schemas_and_quoted_names(database: Database, raw: Any, name: str) -> None:
    raw.execute(f'CREATE SCHEMA "{name} S"')
    try:
        raw.execute(f'CREATE TABLE "{name} S"."T%" (id int PRIMARY KEY, embedding vector(2))')
        collection = database[f"{name} S.T%"]
        assert f"{name} S.T%" in database.collections()
        collection.write(qa.Batch([1], {"": [[1, 0]]}))
        assert collection.search([1, 0], k=1).ids.tolist() == [[1]]
        with pytest.raises(NotFoundError):
            database[f"{name}.T%"]
    finally:
        raw.execute(f'DROP SCHEMA "{name} S" CASCADE')


def test_the_extension_in_another_schema(url: str, raw: Any, name: str, sample: Sample) -> None:
    """Types, operators and operator classes are qualified."""
    raw.execute(f"CREATE DATABASE {name}")
    try:
        other = url.rpartition("/")[0] + f"/{name}"
        with qa.open(url):
            pass
        import psycopg

        with psycopg.connect(other, autocommit=True) as at:
            at.execute("CREATE SCHEMA ext")
            at.execute("CREATE EXTENSION vector SCHEMA ext")
        with qa.open(other) as database:
            collection = database.create("notes", dim=48)
            collection.write(qa.Batch(list(range(2000)), {"": sample.rows[:2000]}))
            collection.plan("binary:rescore=4").apply(yes=True)
            assert collection.info().vectors[""].status.state is qa.State.ACTIVE
            assert collection.search(sample.queries, k=10).how.rescorer == "store"
    finally:
        raw.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_without_the_extension(url: str, raw: Any, name: str) -> None:
    raw.execute(f"CREATE DATABASE {name}")
    try:
        with pytest.raises(UnsupportedError, match="does not have the extension pgvector") as found:
            qa.open(url.rpartition("/")[0] + f"/{name}")
        assert "CREATE EXTENSION vector" in str(found.value)
    finally:
        raw.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_partitioned_table(database: Database, raw: Any, name: str, sample: Sample) -> None:
    """Concurrent builds work on partitions only."""
    raw.execute(
        f"CREATE TABLE {name} (id bigint PRIMARY KEY, embedding vector(48)) PARTITION BY HASH (id)"
    )
    for part in range(2):
        raw.execute(
            f"CREATE TABLE {name}_{part} PARTITION OF {name} "
            f"FOR VALUES WITH (MODULUS 2, REMAINDER {part})"
        )
    collection = database[name]
    collection.write(qa.Batch(list(range(3000)), {"": sample.rows}))
    change = collection.plan("binary:rescore=4").apply(yes=True)
    assert collection.info().vectors[""].status.state is qa.State.ACTIVE
    assert collection.search(sample.queries, k=10).how.candidates == 40
    change.undo()
    assert collection.info().vectors[""].quantization == qa.none()
    assert not raw.execute(
        "SELECT 1 FROM pg_class WHERE relname LIKE %s AND relkind IN ('i', 'I')", [f"{name}%bit%"]
    ).fetchall()


def test_a_view_is_searched_and_not_changed(database: Database, raw: Any, articles: Any) -> None:
    raw.execute(f"CREATE VIEW {articles.name}_v AS SELECT * FROM {articles.name}")
    view = database[f"{articles.name}_v"]
    assert view.info().count == articles.count()
    with pytest.raises(UnsupportedError, match="view cannot have indexes"):
        view.plan("binary")


def test_a_role_that_may_only_read(url: str, raw: Any, articles: Any, sample: Sample) -> None:
    role = f"{articles.name}_reader"
    raw.execute(f"CREATE ROLE {role} LOGIN")
    try:
        raw.execute(f"GRANT SELECT ON {articles.name} TO {role}")
        articles.plan("binary").apply(yes=True)
        with qa.open(url.replace("postgres@", f"{role}@")) as database:
            reader = database[articles.name]
            assert reader.info().vectors[""].status.state is qa.State.ACTIVE
            assert reader.verify(k=10, queries=20).recall is not None
            with pytest.raises(UnsupportedError, match="only the owner") as found:
                reader.plan("none")
            assert "OWNER TO" in str(found.value)
            with pytest.raises(AuthError, match="permission denied") as denied:
                reader.delete([1])
            assert f"GRANT SELECT, DELETE ON table {articles.name} TO" in str(denied.value.hint)
    finally:
        raw.execute(f"DROP OWNED BY {role}")
        raw.execute(f"DROP ROLE {role}")


def test_policies_apply_to_searches_and_writes(
    url: str, raw: Any, articles: Any, sample: Sample
) -> None:
    """A tenth of the rows are visible; COPY does not support policies."""
    role = f"{articles.name}_tenant"
    raw.execute(f"CREATE ROLE {role} LOGIN")
    articles.plan("binary:rescore=20").apply(yes=True)
    try:
        raw.execute(f"ALTER TABLE {articles.name} ENABLE ROW LEVEL SECURITY")
        raw.execute(f"CREATE POLICY own ON {articles.name} USING (payload->>'group' = '3')")
        with qa.open(url.replace("postgres@", f"{role}@")) as database:
            tenant = database[articles.name]
            for privileges in ("SELECT", "SELECT, INSERT, UPDATE"):
                with pytest.raises(AuthError) as denied:
                    tenant.write(qa.Batch([3], {"": sample.rows[:1]}, [{"group": 3}]))
                assert "GRANT SELECT, INSERT, UPDATE ON" in str(denied.value.hint)
                raw.execute(f"GRANT {privileges} ON {articles.name} TO {role}")
            tenant.write(qa.Batch([3, 9003], {"": sample.rows[:2]}, [{"group": 3}] * 2))
            assert tenant.count() == 301
            hits = tenant.search(sample.queries, 10)
            found = [row for row in hits.ids.ravel().tolist() if row is not None]
            assert len(found) == 10 * len(sample.queries)
            assert {row % 10 for row in found} == {3}
            with pytest.raises(AuthError, match="row-level security policy"):
                tenant.write(qa.Batch([9004], {"": sample.rows[:1]}, [{"group": 4}]))
    finally:
        raw.execute(f"DROP OWNED BY {role}")
        raw.execute(f"DROP ROLE {role}")


def test_triggers_and_row_security_are_named(
    database: Database, raw: Any, articles: Any, name: str
) -> None:
    raw.execute(
        f"CREATE FUNCTION {name}_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    )
    raw.execute(
        f"CREATE TRIGGER t BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {name}_f()"
    )
    raw.execute("ALTER ROLE postgres SET hnsw.ef_search = 77")
    try:
        notes = " ".join(articles.plan("binary").notes)
    finally:
        raw.execute("ALTER ROLE postgres RESET hnsw.ef_search")
        raw.execute(f"DROP FUNCTION {name}_f() CASCADE")
    assert "1 triggers" in notes
    assert "hnsw.ef_search=77" in notes
