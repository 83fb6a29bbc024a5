"""How entries of the payload are declared comes along: types, lengths, indexes and their settings.

Other tools lose VARCHAR lengths, and texts that look like JSON with them
(https://github.com/zilliztech/vts/issues/79).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mig_help import JSON, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, StoreError, UnsupportedError
from qadapt.migration.text import plan_lines
from qadapt.stores.milvus import fitting, typed
from qadapt.stores.milvus.engine import Engine

Ends = Callable[[str], Database]
DIM = 4
REAL = Engine("2.3.5")
LITE = Engine("3.2.2", "lite")

# -- Milvus --------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "title": ("VARCHAR", {"max_length": 10}),
    "small": ("INT8", {}),
    "middle": ("INT16", {}),
    "whole": ("INT32", {}),
    "big": ("INT64", {}),
    "single": ("FLOAT", {}),
    "double": ("DOUBLE", {}),
    "flag": ("BOOL", {}),
    "nested": ("JSON", {}),
    "tags": ("ARRAY", {"element_type": "VARCHAR", "max_capacity": 3, "max_length": 8}),
    "counts": ("ARRAY", {"element_type": "INT64", "max_capacity": 4}),
}  # fmt: skip
LIMITS: list[dict[str, Any]] = [
    {
        "title": "äöüäö", "small": -128, "middle": 2**15 - 1, "whole": -(2**31), "big": 2**63 - 1,
        "single": 0.10000000149011612, "double": 0.1, "flag": False,
        "nested": {"a": {"b": [1, None]}},
        "tags": ["ä", ""], "counts": [], "loose": '{"a": 1}', "deep": {"x": [1, {"y": None}]},
    },
    {
        "title": '{"a": 1}', "small": 127, "middle": 0, "whole": 2**31 - 1, "big": -(2**63),
        "single": 3.4028234663852886e38, "double": 5e-324, "flag": True, "nested": {},
        "tags": [], "counts": [2**63 - 1, -(2**63), 0, 1],
    },
    {
        "title": "", "small": 0, "middle": -(2**15), "whole": 0, "big": 2**53 + 1,
        "single": -0.5, "double": -1.7976931348623157e308, "flag": True, "nested": {"t": "[1, 2]"},
        "tags": ["[]", "null", "1"], "counts": [7], "year": 1999,
    },
]  # fmt: skip


def typed_collection(
    database: Database,
    name: str,
    fields: Mapping[str, tuple[str, dict[str, Any]]],
    data: Sequence[Mapping[str, Any]],
    *,
    key: tuple[str, dict[str, Any]] = ("INT64", {}),
    ids: Sequence[Any] | None = None,
    dynamic: bool = True,
    field: str = "embedding",
    **options: Any,
) -> Collection:
    """A collection as somebody made it with the client."""
    from pymilvus import DataType

    client = database._store.connection.client  # type: ignore[attr-defined]
    made = client.create_schema(
        auto_id=options.pop("auto_id", False), enable_dynamic_field=dynamic, description="of books"
    )
    made.add_field("pk", getattr(DataType, key[0]), is_primary=True, **key[1])
    for label, (kind, given_options) in fields.items():
        told = dict(given_options)
        if "element_type" in told:
            told["element_type"] = getattr(DataType, told["element_type"])
        made.add_field(label, getattr(DataType, kind), **told)
    made.add_field(field, DataType.FLOAT_VECTOR, dim=DIM)
    client.create_collection(name, schema=made, consistency_level="Session", **options)
    indexes = client.prepare_index_params()
    indexes.add_index(field, index_type="FLAT", metric_type="IP")
    client.create_index(name, indexes)
    client.load_collection(name)
    vectors = rows(len(data), dim=DIM)
    keys = list(range(len(data))) if ids is None else list(ids)
    written = [{**row, "pk": keys[at], field: vectors[at].tolist()} for at, row in enumerate(data)]
    if written:
        client.insert(name, written)
    return database[name]


def add_index(collection: Collection, key: str, kind: str) -> None:
    """An index of a scalar field, made with the client."""
    client = collection._store.connection.client  # type: ignore[attr-defined]
    params = client.prepare_index_params()
    params.add_index(key, index_type=kind, index_name=f"{key}_of_theirs")
    client.create_index(collection.name, params)


@pytest.mark.parametrize(
    ("here", "there"),
    [("milvus", "milvus"), ("lite", "lite"), ("milvus", "lite"), ("lite", "milvus")],
)
def test_typed_fields_and_values_at_their_limits_come_along(
    ends: Ends, name: str, here: str, there: str
) -> None:
    """https://github.com/zilliztech/vts/issues/79: lengths and JSON-like texts were lost."""
    first = ends(here)
    target = first if here == there else ends(there)
    source = typed_collection(first, f"{name}_a", FIELDS, LIMITS)
    plan = qa.plan_migration(source, (target, f"{name}_b"))
    assert plan.losses == ()
    lines = plan_lines(plan)
    assert ("field", "pk: INT64, primary key") in lines
    assert ("field", "title: VARCHAR(10)") in lines
    assert ("field", "counts: ARRAY of INT64, at most 4") in lines
    assert json.loads(plan.to_json())["beside"]["schema"]["entries"]["title"] == "VARCHAR(10)"
    assert type(plan).from_json(plan.to_json()).beside == plan.beside
    done = qa.migrate(source, (target, f"{name}_b"))
    assert done.state == "done"
    copy = target[f"{name}_b"]
    assert everything(copy) == everything(source)
    schemas = [each._store.beside(each.name).schema for each in (source, copy)]
    if here == there:
        assert schemas[0] == schemas[1]
    assert schemas[1]["key"] == {"name": "pk", "type": "INT64"}
    assert schemas[1]["fields"][0]["params"]["max_length"] == 10
    # What the original refuses, the copy refuses: the length is the server's, not ours.
    client = copy._store.connection.client  # type: ignore[attr-defined]
    row = {**LIMITS[0], "pk": 99, "embedding": [1.0] * DIM, "title": "x" * 11}
    with pytest.raises(Exception, match=r"max length|max_length"):
        client.insert(copy.name, [row])


def test_nothing_of_ours_is_needed_in_a_copy_without_a_dynamic_field(ends: Ends, name: str) -> None:
    first = ends("milvus")
    data = [{"title": f"t{at}", "nested": {"at": at}} for at in range(30)]
    fields = {"title": FIELDS["title"], "nested": FIELDS["nested"]}
    ids = ["ä" * 4, *(f"#{at}" for at in range(29))]  # 8 bytes; a sign that ours would escape
    source = typed_collection(
        first, f"{name}_a", fields, data, key=("VARCHAR", {"max_length": 8}), ids=ids, dynamic=False
    )
    done = qa.migrate(source, (first, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    copy = first[f"{name}_b"]
    assert everything(copy) == everything(source)
    assert set(everything(copy)) == set(ids)
    schema = copy._store.beside(copy.name).schema
    assert (schema["dynamic"], schema["description"]) == (False, "of books")
    assert schema["key"] == {"name": "pk", "type": "VARCHAR", "params": {"max_length": 8}}


NULLABLE = {
    "title": ("VARCHAR", {"max_length": 10, "nullable": True}),
    "year": ("INT64", {"default_value": 1999}),
}


def test_null_and_defaults_come_along_in_lite(ends: Ends, name: str) -> None:
    first = ends("lite")
    data = [{"title": None, "year": 1}, {"title": "", "year": 2}, {}]
    source = typed_collection(first, f"{name}_a", NULLABLE, data)
    done = qa.migrate(source, (first, f"{name}_b"))
    assert done.state == "done"
    copy = first[f"{name}_b"]
    assert everything(copy) == everything(source)
    assert [each[1] for each in everything(copy).values()] == [
        {"title": None, "year": 1}, {"title": "", "year": 2}, {"title": None, "year": 1999},
    ]  # fmt: skip
    assert ("field", "title: VARCHAR(10), nullable") in plan_lines(done.plan)
    assert ("field", "year: INT64, 1999 by default") in plan_lines(done.plan)


def test_what_a_server_would_forget_is_refused_by_name(ends: Ends, name: str) -> None:
    """2.3.5 takes ``nullable`` and makes a field without it."""
    source = typed_collection(ends("lite"), f"{name}_a", NULLABLE, [{"title": None}, {}])
    target = ends("milvus")
    with pytest.raises(UnsupportedError, match="typed-fields: title is nullable, which Milvus 2"):
        qa.migrate(source, (target, f"{name}_b"))
    assert f"{name}_b" not in target.collections()
    done = qa.migrate(source, (target, f"{name}_b"), allow=["typed-fields"])
    assert (done.state, dict(done.plan.beside.schema)) == ("done", {})
    assert everything(target[f"{name}_b"]) == everything(source)


def test_an_engine_that_forgets_something_is_an_error(
    ends: Ends, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without the knowledge of which server forgets it: what was made is looked at."""
    source = typed_collection(ends("lite"), f"{name}_a", NULLABLE, [{}])
    target = ends("milvus")
    monkeypatch.setattr(typed, "refuses", lambda *_: None)
    with pytest.raises(StoreError, match="does not keep the fields of"):
        qa.migrate(source, (target, f"{name}_b"), probe=False)
    assert f"{name}_b" not in target.collections()


def test_keys_that_milvus_made_itself_are_kept_and_that_they_are_not_made_is_said(
    ends: Ends, name: str
) -> None:
    first = ends("lite")
    fields = {"title": FIELDS["title"]}
    source = typed_collection(first, f"{name}_a", fields, [], auto_id=True)
    client = source._store.connection.client  # type: ignore[attr-defined]
    client.insert(source.name, [{"title": "x", "embedding": [1.0] * DIM}])
    with pytest.raises(UnsupportedError, match="typed-fields: auto_id"):
        qa.migrate(source, (first, f"{name}_b"))
    done = qa.migrate(source, (first, f"{name}_b"), allow=["typed-fields"])
    assert done.state == "done"
    copy = first[f"{name}_b"]
    assert everything(copy) == everything(source)
    assert "title" in copy._store.beside(copy.name).schema["entries"]


def test_a_row_that_became_longer_than_its_field_travels_as_a_note_and_comes_home(
    ends: Ends, name: str
) -> None:
    """Lite counts characters and a server bytes, so Lite may hold what the server refuses."""
    here, there = ends("lite"), ends("milvus")
    fields = {"title": ("VARCHAR", {"max_length": 10}), "note": ("VARCHAR", {"max_length": 10})}
    source = typed_collection(here, f"{name}_a", fields, [{"title": "a", "note": "b"}])
    qa.migrate(source, (there, f"{name}_b"))
    client = source._store.connection.client  # type: ignore[attr-defined]
    late = {"pk": 7, "title": "äöüäöüäöü", "note": "b", "embedding": [0.5] * DIM}
    client.insert(source.name, [late])
    # The field is required: there is no honest value for it.
    with pytest.raises(InputError, match="has no title, which each row") as caught:
        qa.migrate(source, (there, f"{name}_b"), catch_up=True)
    assert "--allow impossible-rows" in str(caught.value)
    done = qa.migrate(source, (there, f"{name}_b"), catch_up=True, allow=["impossible-rows"])
    assert done.check is not None
    assert (done.check.missing, done.check.different) == (1, 0)  # told, and not written wrongly
    # Where the target lets it be absent, the value is a note, and comes home.
    loose = typed_collection(
        here, f"{name}_c", {"title": NULLABLE["title"]}, [{"title": "x"}, {"title": None}]
    )
    back = typed_collection(
        here, f"{name}_d", {"title": ("VARCHAR", {"max_length": 3, "nullable": True})}, []
    )
    client.insert(loose.name, [{"pk": 9, "title": "longer", "embedding": [0.5] * DIM}])
    qa.migrate(loose, (here, back.name), allow=["existing-target"])
    (page,) = back.read()
    raw = dict(zip(page.ids, page.payloads or (), strict=True))
    assert raw[9]["title"] is None
    assert json.loads(raw[9]["qadapt_entries"]) == {"qadapt": {"title": "longer"}}
    assert everything(back) == everything(loose)
    assert qa.check(loose, back).passed


def test_a_partition_key_stays_one(ends: Ends, name: str) -> None:
    first = ends("milvus")
    fields = {"topic": ("VARCHAR", {"max_length": 10, "is_partition_key": True})}
    data = [{"topic": f"t{at % 3}"} for at in range(30)]
    source = typed_collection(first, f"{name}_a", fields, data, num_partitions=4)
    done = qa.migrate(source, (first, f"{name}_b"))
    assert done.state == "done"
    assert ("field", "topic: VARCHAR(10), partition key") in plan_lines(done.plan)
    schemas = [first._store.beside(f"{name}_{each}").schema for each in "ab"]
    assert schemas[0] == schemas[1]
    assert schemas[1]["num_partitions"] == 4
    assert first._store.count(f"{name}_b", {"topic": "t1"}) == 10


def test_typed_rows_stay_in_their_partitions(ends: Ends, name: str) -> None:
    first = ends("milvus")
    source = typed_collection(first, f"{name}_a", {"title": FIELDS["title"]}, [{"title": "a"}] * 3)
    client = source._store.connection.client  # type: ignore[attr-defined]
    client.create_partition(source.name, "red")
    late = [{"pk": 10 + at, "title": "b", "embedding": [0.5] * DIM} for at in range(4)]
    client.insert(source.name, late, partition_name="red")
    done = qa.migrate(source, (first, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert first._store.count(f"{name}_b@red") == 4
    assert everything(first[f"{name}_b"]) == everything(source)
    schemas = [first._store.beside(f"{name}_{each}").schema for each in "ab"]
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("target", ["edge", "weaviate"])
def test_other_families_take_the_values_and_the_declaration_is_told(
    ends: Ends, name: str, target: str
) -> None:
    source = typed_collection(ends("lite"), f"{name}_a", FIELDS, LIMITS)
    done = qa.migrate(source, (ends(target), name))
    assert (done.state, done.plan.losses) == ("done", ())
    (note,) = [each for each in done.plan.notes if each.startswith("typed-fields")]
    assert note.startswith("typed-fields: title (VARCHAR(10)), small (INT8)")
    assert "what was declared does not" in note


# -- Milvus: indexes of scalar fields ------------------------------------------------------------

INDEXED = {
    "milvus": {"title": "Trie", "small": "STL_SORT", "big": "STL_SORT", "double": "STL_SORT"},
    "lite": {"title": "INVERTED", "big": "INVERTED", "single": "INVERTED", "flag": "INVERTED"},
}
KINDS = {
    "title": "keyword", "small": "integer", "big": "integer", "double": "float",
    "single": "float", "flag": "bool",
}  # fmt: skip


def indexed_collection(database: Database, name: str, engine: str) -> Collection:
    """Typed, with an index of each kind that the engine has."""
    made = typed_collection(database, name, FIELDS, LIMITS)
    for key, kind in INDEXED[engine].items():
        add_index(made, key, kind)
    return made


@pytest.mark.parametrize("engine", ["milvus", "lite"])
def test_indexes_of_scalar_fields_come_along(ends: Ends, name: str, engine: str) -> None:
    first = ends(engine)
    source = indexed_collection(first, f"{name}_a", engine)
    done = qa.migrate(source, (first, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    store = first._store
    kinds = {key: KINDS[key] for key in INDEXED[engine]}
    assert store.payload_indexes(f"{name}_b") == store.payload_indexes(f"{name}_a") == kinds
    settings = {key: {"index_type": kind} for key, kind in INDEXED[engine].items()}
    assert store.payload_index_settings(f"{name}_b") == settings
    kind = INDEXED[engine]["title"]
    line = f"title (keyword, index_type {kind}), made after the load"
    assert ("index", line) in plan_lines(done.plan)
    store.index_payload(f"{name}_b", "title", "keyword")  # twice is the same as once
    assert store.count(f"{name}_b", {"title": "äöüäö"}) == 1
    assert store.count(f"{name}_b", {"big": {"gt": 2**53}}) == 2


def test_indexes_go_to_what_another_deployment_has(ends: Ends, name: str) -> None:
    here, there = ends("milvus"), ends("lite")
    source = indexed_collection(here, f"{name}_a", "milvus")
    qa.migrate(source, (there, f"{name}_b"))
    assert set(there._store.payload_index_settings(f"{name}_b")) == set(INDEXED["milvus"])
    # A BOOL has an index in Lite, and none in 2.3.5.
    back = typed_collection(there, f"{name}_c", {"flag": ("BOOL", {})}, [{"flag": True}])
    add_index(back, "flag", "INVERTED")
    with pytest.raises(UnsupportedError, match=r"payload-indexes: flag \(bool\): Milvus 2.3.5"):
        qa.migrate(back, (here, f"{name}_d"))
    done = qa.migrate(back, (here, f"{name}_d"), allow=["payload-indexes"])
    assert (done.state, done.plan.indexes) == ("done", {})


def test_indexes_go_to_edge_and_edge_itself_to_what_is_typed(
    ends: Ends, name: str, edge: Database
) -> None:
    lite = ends("lite")
    source = indexed_collection(lite, f"{name}_a", "lite")
    done = qa.migrate(source, (edge, "docs"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert edge._store.payload_indexes("docs") == {k: KINDS[k] for k in sorted(INDEXED["lite"])}
    # Into a collection that is typed already, an index of the field can be made; another cannot.
    there = typed_collection(lite, f"{name}_b", FIELDS, [])
    made = edge.create("more", dim=DIM, metric="dot")
    made.write(qa.Batch([1], {"": rows(1, dim=DIM)}, [{**LIMITS[0], "city": "x"}]))
    for key in ("title", "city"):
        edge._store.index_payload("more", key, "keyword")
    plan = qa.plan_migration(made, (lite, there.name), allow=["existing-target"])
    assert plan.indexes == {"title": "keyword"}
    told = {loss.name: loss.what for loss in plan.losses}
    assert told["payload-indexes"].startswith("city (keyword): Milvus Lite 3")


def test_codes_are_built_beside_an_index_of_a_scalar_field(ends: Ends, name: str) -> None:
    """A loaded segment of 2.3.5 tells the name of one index, which may be the scalar's: so codes
    are seen to be in force before there is another one, and later that may be unknown."""
    first = ends("milvus")
    fields = {"title": FIELDS["title"], "big": FIELDS["big"]}
    data = [{"title": f"t{at % 7}", "big": at} for at in range(2000)]
    source = typed_collection(first, f"{name}_a", fields, data)
    add_index(source, "title", "Trie")
    done = qa.migrate(source, (first, f"{name}_b"), quantization="scalar")
    assert done.state == "done"
    assert done.status["embedding"].state is qa.State.ACTIVE
    assert first._store.payload_indexes(f"{name}_b") == {"title": "keyword"}
    again = qa.migrate(source, (first, f"{name}_b"), quantization="scalar")
    assert (again.state, again.metrics.rows) == ("done", 0)
    assert again.status["embedding"].state in (qa.State.ACTIVE, qa.State.UNKNOWN)


# -- what is said to come back, does

ROW = st.dictionaries(st.sampled_from([*FIELDS, "loose"]), JSON, max_size=12)
FULL: dict[str, Any] = {**LIMITS[0]}
del FULL["loose"], FULL["deep"]


@pytest.mark.parametrize("engine", ["milvus", "lite"])
def test_a_value_that_fits_a_field_comes_back_as_it_was(ends: Ends, name: str, engine: str) -> None:
    store = typed_collection(ends(engine), f"{name}_a", FIELDS, [])._store
    known = LITE if engine == "lite" else REAL
    declared = {each["name"]: each for each in store.beside(f"{name}_a").schema["fields"]}
    room = store.room(["embedding"], store.beside(f"{name}_a"))
    vector = rows(1, dim=DIM)

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(row=ROW)
    def check(row: dict[str, Any]) -> None:
        good = {key: value for key, value in row.items() if room.keeps(key, value) == "as it is"}  # type: ignore[misc]
        for key, value in good.items():
            assert key == "loose" or fitting.fits(value, declared[key], known) == "as it is"
        payload = {**FULL, **good}
        store.write(f"{name}_a", qa.Batch([1], {"embedding": vector}, [payload]))
        (found,) = store.fetch(f"{name}_a", [1]).payloads or ()
        assert json.dumps(found, sort_keys=True) == json.dumps(payload, sort_keys=True)

    check()
