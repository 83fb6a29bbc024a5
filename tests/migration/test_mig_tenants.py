"""Tenants of Weaviate and partitions of Milvus on their way: each row stays in its part.

Elsewhere they are one heap: an id that two tenants have is one row, and nobody is told.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mig_help import DIM, everything, rows
from test_mig_kill import LANES
from test_mig_kill import _count as count
from test_mig_kill import _killed as killed
from test_mig_kill import _lines as lines
from test_mig_kill import _run as run

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, StoreError, UnsupportedError
from qadapt.migration.carrier import PART
from qadapt.migration.naming import named
from qadapt.model import Beside, Vector
from qadapt.stores.base import Store

# A server may be busy with the tests of others.
pytestmark = pytest.mark.timeout(300)
Ends = Callable[[str], Database]
SIZES = {"red": 60, "blue": 40, "green-1": 20}
PLACES = {"red": "red", "blue": "blue", "green-1": "green_x2d_1"}


def store_of(database: Database) -> Store:
    """Where there is no face for it: making parts."""
    store: Store = database._store
    return store


def keys(count: int) -> list[str]:
    """UUIDs, the same in each part."""
    return [str(uuid.UUID(int=at + 1)) for at in range(count)]


def fill(database: Database, name: str, sizes: dict[str, int]) -> None:
    """A collection with parts; an id is in all of them, and each time another row."""
    beside = Beside(parts=tuple(sizes), parted=True)
    store_of(database).create(name, {"": Vector(DIM, qa.Metric.DOT)}, {}, beside)
    for seed, (part, size) in enumerate(sizes.items()):
        payloads = [{"n": at, "of": part} for at in range(size)]
        batch = qa.Batch(keys(size), {"": rows(size, seed=seed)}, payloads)
        if size:
            database[f"{name}@{part}"].write(batch)


def parts(database: Database, name: str) -> dict[str, dict[Any, Any]]:
    """All rows by part; empty ones too."""
    names = store_of(database).beside(name).parts
    return {part: everything(database[f"{name}@{part}"]) for part in names}


def there(found: dict[str, dict[Any, Any]], places: dict[str, str]) -> dict[str, dict[Any, Any]]:
    """The same under the names of another store."""
    return {places[part]: content for part, content in found.items()}


@pytest.fixture
def tenants(ends: Ends, name: str) -> Collection:
    """Three tenants of Weaviate; ``name`` is theirs."""
    database = ends("weaviate")
    fill(database, name, SIZES)
    return database[name]


# -- from parts to parts -------------------------------------------------------------------------


def test_tenants_to_tenants(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    plan = qa.plan_migration(tenants, (database, f"{name}_b"))
    assert (plan.parting.by, plan.parting.apart) == ("store", True)
    assert plan.parting.counts == SIZES
    assert plan.parting.places == {part: part for part in SIZES}
    assert (plan.losses, plan.ids.duplicate_count) == ((), 0)
    done = qa.migrate(tenants, (database, f"{name}_b"))
    assert done.check is not None
    assert (done.state, done.check.compared, done.check.target_count) == ("done", 120, 120)
    assert done.check.recalls[0].recall > 0.99
    assert parts(database, f"{name}_b") == parts(database, name)


def test_tenants_to_partitions_and_home(ends: Ends, tenants: Collection, name: str) -> None:
    here, over = ends("weaviate"), ends("milvus")
    done = qa.migrate(tenants, (over, name))
    assert done.state == "done"
    assert done.plan.parting.places == PLACES
    found = parts(over, name)
    assert found.pop("_default") == {}
    assert found == there(parts(here, name), PLACES)
    home = qa.migrate((over, name), (here, f"{name}_home"))
    assert home.state == "done"
    assert parts(here, f"{name}_home") == parts(here, name)


def test_partitions_to_partitions_with_codes(ends: Ends, name: str) -> None:
    milvus = ends("milvus")
    fill(milvus, name, {"red": 1500, "blue": 50, "_default": 20, "empty": 0})
    wanted, gate = "scalar", "recall@10>=0.5"  # lists of 16 numbers by chance: the codes are built
    done = qa.migrate((milvus, name), (milvus, f"{name}_b"), quantization=wanted, gate=gate)
    assert done.state == "done"
    assert done.check is not None
    assert done.check.compared == 1570
    assert parts(milvus, f"{name}_b") == parts(milvus, name)
    assert str(done.status[""].state) == "active"


def test_codes_of_each_tenant(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    done = qa.migrate(tenants, (database, f"{name}_b"), quantization="rotational:bits=8")
    assert (done.state, str(done.status[""].state)) == ("done", "active")
    assert parts(database, f"{name}_b") == parts(database, name)


def test_partitions_of_lite(ends: Ends, tenants: Collection, name: str) -> None:
    """Lite keeps an id once in all partitions: such ids are told of, others go."""
    lite = ends("lite")
    plan = qa.plan_migration(tenants, (lite, name))
    (loss,) = plan.refused
    assert loss.name == "duplicate-ids"
    assert "keeps an id once in all of them" in loss.what
    sizes = {"red": 30, "blue": 0}
    fill(lite, f"{name}_a", sizes)
    extra = qa.Batch(["x"], {"": rows(1, seed=9)}, [{"n": 0}])
    lite[f"{name}_a@blue"].write(extra)
    done = qa.migrate((lite, f"{name}_a"), (lite, f"{name}_b"))
    assert done.state == "done"
    assert parts(lite, f"{name}_b") == parts(lite, f"{name}_a")
    assert {part: len(found) for part, found in parts(lite, f"{name}_b").items()} == {
        "_default": 0, "blue": 1, "red": 30,
    }  # fmt: skip


def test_one_part_to_one_part(ends: Ends, tenants: Collection, name: str) -> None:
    """``SRC@red`` to ``DST@red``; the other parts of the target are not touched."""
    database = ends("weaviate")
    fill(database, f"{name}_b", {"red": 0, "blue": 5})
    before = everything(database[f"{name}_b@blue"])
    one, other = (database, f"{name}@red"), (database, f"{name}_b@red")
    done = qa.migrate(one, other, allow=["existing-target"])
    assert (done.state, done.plan.parting.by) == ("done", "nothing")
    assert everything(database[f"{name}_b@red"]) == everything(database[f"{name}@red"])
    assert everything(database[f"{name}_b@blue"]) == before


def test_into_a_collection_that_has_some_of_the_parts(
    ends: Ends, tenants: Collection, name: str
) -> None:
    database = ends("weaviate")
    fill(database, f"{name}_b", {"red": 0})
    done = qa.migrate(tenants, (database, f"{name}_b"), allow=["existing-target"])
    assert done.state == "done"
    assert parts(database, f"{name}_b") == parts(database, name)


# -- where the target has none -------------------------------------------------------------------


def test_tenants_to_edge_and_home(ends: Ends, name: str) -> None:
    here, edge = ends("weaviate"), ends("edge")
    fill(here, name, {"red": 30, "blue": 0})
    other = [str(uuid.UUID(int=1000 + at)) for at in range(20)]
    payloads = [{"n": at, PART: "mine"} for at in range(20)]
    here[f"{name}@blue"].write(qa.Batch(other, {"": rows(20, seed=5)}, payloads))
    with pytest.raises(UnsupportedError, match="qadapt_part") as caught:
        qa.migrate(here[name], (edge, name))
    assert "--allow tenants" in str(caught.value)
    done = qa.migrate(here[name], (edge, name), allow=["tenants"])
    assert done.state == "done"
    assert edge[name].count(filter={PART: "blue"}) == 20
    assert done.plan.indexes[PART] == store_of(edge).payload_indexes(name)[PART] == "keyword"
    # Meanwhile one row changes, one goes and a tenant is new; and it goes over another store.
    here[f"{name}@red"].delete(keys(1))
    row = here[f"{name}@blue"].fetch(other[:1])
    here[f"{name}@blue"].write(qa.Batch(row.ids, row.vectors, [{"n": -1, PART: "mine"}]))
    store_of(here).add_parts(name, ["new"])
    new = [str(uuid.UUID(int=5000))]
    here[f"{name}@new"].write(qa.Batch(new, {"": rows(1, seed=8)}, [{"n": 0}]))
    again = qa.migrate(here[name], (edge, name), catch_up=True)
    assert again.caught_up is not None
    told = again.caught_up
    assert (again.state, told.added, told.changed, told.deleted) == ("done", 1, 1, 1)
    assert qa.migrate((edge, name), (edge, f"{name}_2")).state == "done"
    home = qa.migrate((edge, f"{name}_2"), (here, f"{name}_home"))
    assert home.state == "done"
    assert home.plan.parting.by == "note"
    assert home.plan.parting.counts == {"red": 29, "blue": 20, "new": 1}
    assert parts(here, f"{name}_home") == parts(here, name)


def test_rows_without_a_note_are_in_the_part_that_is_always_there(ends: Ends, name: str) -> None:
    edge, lite = ends("edge"), ends("lite")
    made = edge.create(name, dim=DIM, metric="dot")
    payloads: list[dict[str, Any]] = [{PART: "red"}, {}, {PART: "blue-1"}, {PART: 7}]
    made.write(qa.Batch(range(4), {"": rows(4)}, payloads))
    done = qa.migrate(made, (lite, name))
    assert (done.state, done.plan.losses) == ("done", ())
    found = {part: sorted(content) for part, content in parts(lite, name).items()}
    assert found == {"_default": [1, 3], "blue_x2d_1": [2], "red": [0]}
    # A row that says a new part, later.
    made.write(qa.Batch([9], {"": rows(1, seed=3)}, [{PART: "new"}]))
    again = qa.migrate(made, (lite, name), catch_up=True)
    assert again.state == "done"
    assert list(parts(lite, name)["new"]) == [9]
    assert not qa.check(made, (lite, name)).missing


def test_an_id_of_two_tenants_is_told_of_before_the_copy(
    ends: Ends, tenants: Collection, name: str
) -> None:
    edge = ends("edge")
    with pytest.raises(UnsupportedError, match="duplicate-ids: 40: '0000") as caught:
        qa.migrate(tenants, (edge, name), allow=["tenants"])
    assert f"one by one to collections of their own ({name}@NAME)" in str(caught.value)
    assert name not in edge
    for part in ("red", "blue"):
        one = f"{store_of(ends('weaviate')).address}#{name}%40{part}"
        assert qa.migrate(one, (edge, part)).state == "done"
        assert edge[part].count() == SIZES[part]


def test_a_file_keeps_an_id_once(
    ends: Ends, tenants: Collection, name: str, tmp_path: Path
) -> None:
    database = ends("weaviate")
    with pytest.raises(InputError, match=r"several tenants.* have the same ids") as caught:
        qa.export_file(tenants, tmp_path / "all.npy")
    assert f"#{name}%40NAME" in str(caught.value)
    assert not list(tmp_path.glob("all*"))
    assert qa.export_file(database[f"{name}@red"], tmp_path / "red.npy").rows == 60
    fill(database, f"{name}_b", {"red": 7})
    assert qa.export_file(database[f"{name}_b"], tmp_path / "all.npy").rows == 7


# -- collections of others -----------------------------------------------------------------------


def foreign(milvus: Database, name: str, **entry: bool) -> Any:
    """A collection of Milvus with whole numbers as keys and a field; its client."""
    client = store_of(milvus).connection.client  # type: ignore[attr-defined]
    kinds = pytest.importorskip("pymilvus").DataType
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("id", kinds.INT64, is_primary=True)
    schema.add_field("of", kinds.VARCHAR, max_length=64, **entry)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index)
    return client


def test_a_partition_key_comes_along_or_is_told_of(ends: Ends, name: str) -> None:
    """Milvus divides such a collection by itself; elsewhere the entry of the payload is all."""
    milvus, edge = ends("milvus"), ends("edge")
    client = foreign(milvus, name, is_partition_key=True)
    payloads = [{"of": "red" if at % 2 else "blue"} for at in range(20)]
    milvus[name].write(qa.Batch(range(20), {"vector": rows(20)}, payloads))
    done = qa.migrate((milvus, name), (milvus, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    fields = client.describe_collection(f"{name}_b")["fields"]
    assert [each["name"] for each in fields if each.get("is_partition_key")] == ["of"]
    assert everything(milvus[f"{name}_b"]) == everything(milvus[name])
    plan = qa.plan_migration((milvus, name), (edge, name), probe=False)
    told = {loss.name: loss.what for loss in plan.losses}
    assert "the partition key 'of'" in told["partitions"]
    allowed = [loss.name for loss in plan.losses]
    assert qa.migrate((milvus, name), (edge, name), allow=allowed).state == "done"
    assert edge[name].count(filter={"of": "red"}) == 10


def test_typed_partitions_of_others(ends: Ends, name: str) -> None:
    milvus = ends("milvus")
    client = foreign(milvus, name)
    for seed, part in enumerate(("red", "blue")):
        client.create_partition(name, part)
        payloads = [{"of": part, "n": at} for at in range(30)]
        batch = qa.Batch(range(30), {"vector": rows(30, seed=seed)}, payloads)
        milvus[f"{name}@{part}"].write(batch)
    done = qa.migrate((milvus, name), (milvus, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert parts(milvus, f"{name}_b") == parts(milvus, name)
    weaviate = ends("weaviate")
    there = qa.migrate((milvus, name), (weaviate, name), allow=["typed-fields"])
    assert there.state == "done"
    assert parts(weaviate, name) == {
        part: found for part, found in parts(milvus, name).items() if part != "_default"
    }


def test_tenants_of_others(ends: Ends, name: str) -> None:
    """A class that others made, which nothing says the dimensions of but its rows."""
    database = ends("weaviate")
    store: Any = store_of(database)
    body = {
        "class": name,
        "vectorizer": "none",
        "vectorIndexConfig": {"distance": "dot"},
        "multiTenancyConfig": {"enabled": True},
        "properties": [{"name": "of", "dataType": ["text"]}],
    }
    store.connection.rest("POST", "/v1/schema", body, doing="create")
    store.add_parts(name, ["empty", "red", "blue"])
    for seed, part in enumerate(("red", "blue")):
        batch = qa.Batch(keys(30), {"": rows(30, seed=seed)}, [{"of": part}] * 30)
        store.write(f"{name}@{part}", batch)
    plan = qa.plan_migration((database, name), (database, f"{name}_b"))
    allowed = [loss.name for loss in plan.losses]
    assert not {"tenants", "duplicate-ids"}.intersection(allowed)
    done = qa.migrate((database, name), (database, f"{name}_b"), allow=allowed)
    assert done.state == "done"
    assert parts(database, f"{name}_b") == parts(database, name)


# -- tenants that sleep --------------------------------------------------------------------------


def rest(database: Database, name: str, tenant: str, status: str) -> None:
    """Put a tenant to rest, or wake it."""
    store: Any = store_of(database)
    body = [{"name": tenant, "activityStatus": status}]
    store.connection.rest("PUT", f"/v1/schema/{name}/tenants", body, doing="rest a tenant")


def test_an_inactive_tenant_is_named_before_the_copy(
    ends: Ends, tenants: Collection, name: str
) -> None:
    database = ends("weaviate")
    rest(database, name, "blue", "COLD")
    with pytest.raises(UnsupportedError, match=r"inactive-tenants: 1.*blue") as caught:
        qa.migrate(tenants, (database, f"{name}_b"))
    assert "tenants.activate(['blue'])" in str(caught.value)
    assert f"{name}_b" not in database
    done = qa.migrate(tenants, (database, f"{name}_b"), allow=["inactive-tenants"])
    assert (done.state, done.metrics.rows) == ("done", 80)
    # Awake by then: the second pass brings it.
    rest(database, name, "blue", "HOT")
    again = qa.migrate(tenants, (database, f"{name}_b"), catch_up=True)
    assert again.state == "done"
    assert again.caught_up is not None
    assert (again.caught_up.added, again.caught_up.deleted) == (40, 0)
    assert parts(database, f"{name}_b") == parts(database, name)
    # Asleep again: its rows are not taken for deleted ones; asleep in the target it is told.
    rest(database, name, "blue", "COLD")
    later = qa.migrate(tenants, (database, f"{name}_b"), catch_up=True)
    assert later.caught_up is not None
    assert (later.caught_up.deleted, database[f"{name}_b@blue"].count()) == (0, 40)
    rest(database, f"{name}_b", "red", "COLD")
    with pytest.raises(StoreError, match="not active: red"):
        qa.check(tenants, (database, f"{name}_b"))
    with pytest.raises(StoreError, match="not active: red"):
        qa.migrate(tenants, (database, f"{name}_b"), catch_up=True)


# -- checking and catching up --------------------------------------------------------------------


def test_check_finds_a_row_in_the_wrong_part(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    target = (database, f"{name}_b")
    assert qa.migrate(tenants, target).state == "done"
    assert qa.check(tenants, target).passed
    # The row 50 is in red alone: it moves to blue.
    moved = database[f"{name}_b@red"].fetch(keys(60)[50:51])
    database[f"{name}_b@blue"].write(moved)
    database[f"{name}_b@red"].delete(keys(60)[50:51])
    found = qa.check(tenants, target)
    assert (found.passed, found.missing, found.extra) == (False, 1, 1)
    assert {each.what for each in found.differences} == {"missing", "not in the source"}
    # The same id in the other tenant is another row.
    swapped = database[f"{name}_b@red"].fetch(keys(1))
    database[f"{name}_b@blue"].write(swapped)
    assert qa.check(tenants, target).different == 1


def test_a_note_of_the_wrong_part_is_a_difference(ends: Ends, name: str) -> None:
    lite, edge = ends("lite"), ends("edge")
    fill(lite, name, {"red": 30})
    assert qa.migrate((lite, name), (edge, name), allow=["partitions"]).state == "done"
    row = edge[name].fetch(keys(1))
    assert row.payloads is not None
    edge[name].write(qa.Batch(row.ids, row.vectors, [{**row.payloads[0], PART: "blue"}]))
    found = qa.check((lite, name), (edge, name))
    assert (found.passed, found.different) == (False, 1)
    assert found.differences[0].detail == "'qadapt_part' is 'blue' and not 'red'"


def test_catching_up_goes_part_by_part(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    target = (database, f"{name}_b")
    assert qa.migrate(tenants, target).state == "done"
    # In one tenant gone, in another changed, and a tenant that is new.
    database[f"{name}@red"].delete(keys(1))
    row = database[f"{name}@blue"].fetch(keys(1))
    database[f"{name}@blue"].write(qa.Batch(row.ids, row.vectors, [{"n": -1, "of": "blue"}]))
    store_of(database).add_parts(name, ["new"])
    database[f"{name}@new"].write(qa.Batch(keys(5), {"": rows(5, seed=7)}, [{"n": 0}] * 5))
    done = qa.migrate(tenants, target, catch_up=True)
    assert done.state == "done"
    assert done.caught_up is not None
    told = done.caught_up
    assert (told.added, told.changed, told.deleted) == (5, 1, 1)
    assert parts(database, f"{name}_b") == parts(database, name)


# -- interrupted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["weaviate", "milvus"])
def test_stopped_and_gone_on_with(
    ends: Ends, tenants: Collection, name: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 lost, 0 doubled, each in its part, wherever it stops."""
    database = ends(engine)
    target, kind = (database, f"{name}_b"), type(store_of(database))
    write, written = kind.write, 0

    def failing(self: Any, collection: str, batch: qa.Batch) -> None:
        nonlocal written
        if collection.startswith(f"{name}_b@"):
            written += 1
            if written == 3:
                write(self, collection, batch)  # arrived, and nobody was told
                raise StoreError("pulled out")
        write(self, collection, batch)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "write", failing)
        patch.setattr("qadapt.migration.pace.Pace.rows", property(lambda _: 16))
        with pytest.raises(StoreError, match="pulled out"):
            qa.migrate(tenants, target, workers=1)
    done = qa.migrate(tenants, target, resume=True)
    assert (done.resumed, done.state) == (True, "done")
    assert done.metrics.already > 0
    assert done.metrics.already + done.metrics.rows == 120
    found = parts(database, f"{name}_b")
    found.pop("_default", None)
    places = PLACES if engine == "milvus" else {part: part for part in SIZES}
    assert found == there(parts(ends("weaviate"), name), places)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["weaviate", "milvus"])
def test_killed_at_random_moments(ends: Ends, name: str, tmp_path: Path, engine: str) -> None:
    """kill -9, of tenants whose ids are the same."""
    here, database = ends("weaviate"), ends(engine)
    fill(here, name, dict.fromkeys(SIZES, 1200))
    source = f"{store_of(here).address}#{name}"
    target = f"{store_of(database).address}#{name}_b"
    log, draw = tmp_path / "log", random.Random(int(os.environ.get("QADAPT_SEED", "7")))
    kills = sum(killed(source, target, log, draw) for _ in range(3))
    last = run(source, target, log)
    _, said = last.communicate()
    assert last.returncode == 0, said.decode()
    found = parts(database, f"{name}_b")
    found.pop("_default", None)
    places = PLACES if engine == "milvus" else {part: part for part in SIZES}
    assert found == there(parts(here, name), places)
    written = count(log, "write")
    largest = max(len(ids) for word, ids in lines(log) if word == "write")
    assert kills > 0
    assert 3600 <= written <= 3600 + kills * LANES * largest


def test_many_tenants(ends: Ends, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 tenants: as many lanes as workers, and no counting of each while rows are copied."""
    database = ends("weaviate")
    store: Any = store_of(database)
    sizes = {f"t{at:03}": 3 for at in range(200)}
    fill(database, name, sizes)
    asked: list[str] = []
    ask = type(store.connection).ask_many

    def counting(self: Any, method: str, requests: Any, **how: Any) -> Any:
        requests = list(requests)
        asked.extend([method] * len(requests))
        return ask(self, method, requests, **how)

    monkeypatch.setattr(type(store.connection), "ask_many", counting)
    plan = qa.plan_migration(database[name], (database, f"{name}_b"))
    assert (plan.parts, plan.workers) == (200, 2)
    asked.clear()
    done = qa.migrate(database[name], (database, f"{name}_b"), plan=plan, check="off")
    assert (done.metrics.rows, len(store.beside(f"{name}_b").parts)) == (600, 200)
    assert asked.count("Aggregate") <= 4 * 200  # looks at both ends, and none of a batch
    found = qa.check(database[name], (database, f"{name}_b"))
    assert (found.passed, found.compared) == (True, 600)


def test_a_large_tenant_is_read_in_several_parts(ends: Ends, name: str) -> None:
    database = ends("weaviate")
    fill(database, name, {"large": 6_100, "small": 10})
    plan = qa.plan_migration(database[name], (database, f"{name}_b"), probe=False)
    assert plan.parts == 3
    done = qa.migrate(database[name], (database, f"{name}_b"), plan=plan, check="off")
    assert done.metrics.rows == 6_110
    assert parts(database, f"{name}_b") == parts(database, name)


# -- names ---------------------------------------------------------------------------------------


def test_names_are_written_in_the_words_of_the_target(ends: Ends) -> None:
    lite, edge = store_of(ends("lite")), store_of(ends("edge"))
    assert named(lite, "red", alike=False) == "red"
    assert named(lite, "a-b", alike=False) == "a_x2d_b"
    assert named(lite, "a_x2d_b", alike=False) == "a_x5f_x2d_b"
    assert named(lite, "a_x2d_b", alike=True) == "a_x2d_b"
    with pytest.raises(UnsupportedError, match="letters, digits and _"):
        named(lite, "a-b", alike=True)
    with pytest.raises(UnsupportedError, match="edge has none"):
        named(edge, "red", alike=False)


@pytest.mark.parametrize("engine", ["weaviate"])
def test_no_two_names_become_one(ends: Ends, engine: str) -> None:
    lite, other = store_of(ends("lite")), store_of(ends(engine))
    names = ["a-b", "a_b", "a_x2d_b", "a_x2d-b", "a-x2d_b", "-", "--", "_-", "-_", "a_x5f_b", "_x-",
             str(uuid.uuid4()), "x" * 64]  # fmt: skip
    over = [named(lite, each, alike=False) for each in names]
    assert len(set(over)) == len(names)
    assert [named(other, each, alike=False) for each in over] == names
    with pytest.raises(UnsupportedError, match="at most 64"):
        named(other, "x" * 65, alike=False)


def test_the_plan_tells_of_parts(ends: Ends, tenants: Collection, name: str) -> None:
    from qadapt.migration.plan import MigrationPlan
    from qadapt.migration.text import plan_lines

    plan = qa.plan_migration(tenants, (ends("lite"), name), probe=False)
    told = dict(plan_lines(plan))["tenants"]
    assert told.startswith("3 tenants -> 3 partitions: ")
    assert "green-1 -> green_x2d_1 (20 rows)" in told
    assert MigrationPlan.from_json(plan.to_json()).parting == plan.parting
    edge = qa.plan_migration(tenants, (ends("edge"), name), probe=False)
    assert "-> one collection" in dict(plan_lines(edge))["tenants"]
    assert np.isclose(sum(edge.parting.counts.values()), edge.count)
