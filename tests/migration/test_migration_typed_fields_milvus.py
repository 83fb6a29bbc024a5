"""Typed fields of Milvus are copied with their types, lengths, defaults and null state.

Other tools lose VARCHAR lengths, and texts that look like JSON with them
(https://github.com/zilliztech/vts/issues/79).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from migration_help import JSON, everything, rows
from slow import examples
from typed_fields_help import DIM, FIELDS, LIMITS, typed_collection

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import InputError, StoreError, UnsupportedError
from qadapt.migration.text import plan_lines
from qadapt.stores.milvus import payload as milvus_payload
from qadapt.stores.milvus import payload_schema
from qadapt.stores.milvus.version import ServerVersion

Ends = Callable[[str], Database]
REAL = ServerVersion("2.3.5")
LITE = ServerVersion("3.2.2", "lite")


@pytest.mark.parametrize(
    ("here", "there"),
    [("milvus", "milvus"), ("lite", "lite"), ("milvus", "lite"), ("lite", "milvus")],
)
def test_typed_fields_and_extreme_values_are_copied(
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
    assert json.loads(plan.to_json())["schema"]["schema"]["entries"]["title"] == "VARCHAR(10)"
    assert type(plan).from_json(plan.to_json()).schema == plan.schema
    done = qa.migrate(source, (target, f"{name}_b"))
    assert done.state == "done"
    copy = target[f"{name}_b"]
    assert everything(copy) == everything(source)
    schemas = [each._store.collection_schema(each.name).schema for each in (source, copy)]
    if here == there:
        assert schemas[0] == schemas[1]
    assert schemas[1]["key"] == {"name": "pk", "type": "INT64"}
    assert schemas[1]["fields"][0]["params"]["max_length"] == 10
    # The server enforces the length in the copy as well.
    client = copy._store.connection.client  # type: ignore[attr-defined]
    row = {**LIMITS[0], "pk": 99, "embedding": [1.0] * DIM, "title": "x" * 11}
    with pytest.raises(Exception, match=r"max length|max_length"):
        client.insert(copy.name, [row])


def test_a_collection_without_a_dynamic_field_gets_no_field_of_qadapt(
    ends: Ends, name: str
) -> None:
    first = ends("milvus")
    data = [{"title": f"t{at}", "nested": {"at": at}} for at in range(30)]
    fields = {"title": FIELDS["title"], "nested": FIELDS["nested"]}
    ids = [
        "ä" * 4,
        *(f"#{at}" for at in range(29)),
    ]  # 8 bytes; a character that qadapt_id would escape
    source = typed_collection(
        first, f"{name}_a", fields, data, key=("VARCHAR", {"max_length": 8}), ids=ids, dynamic=False
    )
    done = qa.migrate(source, (first, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    copy = first[f"{name}_b"]
    assert everything(copy) == everything(source)
    assert set(everything(copy)) == set(ids)
    schema = copy._store.collection_schema(copy.name).schema
    assert (schema["dynamic"], schema["description"]) == (False, "of books")
    assert schema["key"] == {"name": "pk", "type": "VARCHAR", "params": {"max_length": 8}}


NULLABLE = {
    "title": ("VARCHAR", {"max_length": 10, "nullable": True}),
    "year": ("INT64", {"default_value": 1999}),
}


def test_null_and_defaults_are_copied_in_lite(ends: Ends, name: str) -> None:
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


def test_a_declaration_that_the_server_ignores_is_refused(ends: Ends, name: str) -> None:
    """2.3.5 accepts ``nullable`` and creates a field without it."""
    source = typed_collection(ends("lite"), f"{name}_a", NULLABLE, [{"title": None}, {}])
    target = ends("milvus")
    with pytest.raises(UnsupportedError, match="typed-fields: title is nullable, which Milvus 2"):
        qa.migrate(source, (target, f"{name}_b"))
    assert f"{name}_b" not in target.collections()
    done = qa.migrate(source, (target, f"{name}_b"), allow=["typed-fields"])
    assert (done.state, dict(done.plan.schema.schema)) == ("done", {})
    assert everything(target[f"{name}_b"]) == everything(source)


def test_a_declaration_that_is_missing_after_creation_is_an_error(
    ends: Ends, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema is read back after creation, in case a server ignores a declaration silently."""
    source = typed_collection(ends("lite"), f"{name}_a", NULLABLE, [{}])
    target = ends("milvus")
    monkeypatch.setattr(payload_schema, "unsupported_fields", lambda *_: None)
    with pytest.raises(StoreError, match="created other fields of"):
        qa.migrate(source, (target, f"{name}_b"), trial_copy=False)
    assert f"{name}_b" not in target.collections()


def test_auto_id_keys_are_copied_and_auto_id_is_reported_as_lost(ends: Ends, name: str) -> None:
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
    assert "title" in copy._store.collection_schema(copy.name).schema["entries"]


def test_a_value_longer_than_its_field_is_stored_as_text_or_rejected(ends: Ends, name: str) -> None:
    """Lite counts characters and a server bytes, so a server may reject what Lite stores."""
    here, there = ends("lite"), ends("milvus")
    fields = {"title": ("VARCHAR", {"max_length": 10}), "note": ("VARCHAR", {"max_length": 10})}
    source = typed_collection(here, f"{name}_a", fields, [{"title": "a", "note": "b"}])
    qa.migrate(source, (there, f"{name}_b"))
    client = source._store.connection.client  # type: ignore[attr-defined]
    late = {"pk": 7, "title": "äöüäöüäöü", "note": "b", "embedding": [0.5] * DIM}
    client.insert(source.name, [late])
    # The field is required, so the row cannot be stored without a value.
    with pytest.raises(InputError, match="has no title, which each row") as caught:
        qa.migrate(source, (there, f"{name}_b"), catch_up=True)
    assert "--allow rejected-rows" in str(caught.value)
    done = qa.migrate(source, (there, f"{name}_b"), catch_up=True, allow=["rejected-rows"])
    assert done.check is not None
    assert (done.check.missing, done.check.different) == (
        1,
        0,
    )  # reported, not written with another value
    # A nullable field is null, and the value is kept as text and restored.
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
    assert json.loads(raw[9]["qadapt_fields"]) == {"qadapt": {"title": "longer"}}
    assert everything(back) == everything(loose)
    assert qa.check(loose, back).passed


def test_a_partition_key_is_copied(ends: Ends, name: str) -> None:
    first = ends("milvus")
    fields = {"topic": ("VARCHAR", {"max_length": 10, "is_partition_key": True})}
    data = [{"topic": f"t{at % 3}"} for at in range(30)]
    source = typed_collection(first, f"{name}_a", fields, data, num_partitions=4)
    done = qa.migrate(source, (first, f"{name}_b"))
    assert done.state == "done"
    assert ("field", "topic: VARCHAR(10), partition key") in plan_lines(done.plan)
    schemas = [first._store.collection_schema(f"{name}_{each}").schema for each in "ab"]
    assert schemas[0] == schemas[1]
    assert schemas[1]["num_partitions"] == 4
    assert first._store.count(f"{name}_b", {"topic": "t1"}) == 10


def test_typed_rows_remain_in_their_partitions(ends: Ends, name: str) -> None:
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
    schemas = [first._store.collection_schema(f"{name}_{each}").schema for each in "ab"]
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("target", ["edge", "weaviate"])
def test_other_families_get_values_and_a_note_on_declarations(
    ends: Ends, name: str, target: str
) -> None:
    source = typed_collection(ends("lite"), f"{name}_a", FIELDS, LIMITS)
    done = qa.migrate(source, (ends(target), name))
    assert (done.state, done.plan.losses) == ("done", ())
    (note,) = [each for each in done.plan.notes if each.startswith("typed-fields")]
    assert note.startswith("typed-fields: title (VARCHAR(10)), small (INT8)")
    assert "declarations are not" in note


# -- declared fidelity

ROW = st.dictionaries(st.sampled_from([*FIELDS, "loose"]), JSON, max_size=12)
FULL: dict[str, Any] = {**LIMITS[0]}
del FULL["loose"], FULL["deep"]


@pytest.mark.parametrize("engine", ["milvus", "lite"])
def test_values_that_a_field_preserves_are_read_back_unchanged(
    ends: Ends, name: str, engine: str
) -> None:
    store = typed_collection(ends(engine), f"{name}_a", FIELDS, [])._store
    known = LITE if engine == "lite" else REAL
    declared = {
        each["name"]: each for each in store.collection_schema(f"{name}_a").schema["fields"]
    }
    room = store.row_constraints(["embedding"], store.collection_schema(f"{name}_a"))
    vector = rows(1, dim=DIM)

    @settings(max_examples=examples(40), suppress_health_check=list(HealthCheck))
    @given(row=ROW)
    def check(row: dict[str, Any]) -> None:
        good = {
            key: value for key, value in row.items() if room.payload_fidelity(key, value) == "exact"
        }  # type: ignore[misc]
        for key, value in good.items():
            assert (
                key == "loose"
                or milvus_payload.value_fidelity(value, declared[key], known) == "exact"
            )
        payload = {**FULL, **good}
        store.write(f"{name}_a", qa.Batch([1], {"embedding": vector}, [payload]))
        (found,) = store.fetch(f"{name}_a", [1]).payloads or ()
        assert json.dumps(found, sort_keys=True) == json.dumps(payload, sort_keys=True)

    check()
