"""Tenants and partitions are copied one by one: each row stays in its partition.

In one collection, two rows with the same id would become one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from migration_help import DIM, everything, rows
from partition_help import PLACES, SIZES, contents, fill, keys, renamed, store_of

import qadapt as qa
from qadapt.api import Collection, Database

# A server may be busy with other tests.
pytestmark = pytest.mark.timeout(300)
Ends = Callable[[str], Database]


# -- partitions ---------------------------------------------------------------------------------


def test_tenants_to_tenants(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    plan = qa.plan_migration(tenants, (database, f"{name}_b"))
    assert (plan.partitions.assigned_by, plan.partitions.preserved) == ("store", True)
    assert plan.partitions.rows == SIZES
    assert plan.partitions.names == {part: part for part in SIZES}
    assert (plan.losses, plan.ids.duplicate_count) == ((), 0)
    done = qa.migrate(tenants, (database, f"{name}_b"))
    assert done.check is not None
    assert (done.state, done.check.compared, done.check.target_count) == ("done", 120, 120)
    assert done.check.recalls[0].recall > 0.99
    assert contents(database, f"{name}_b") == contents(database, name)


def test_tenants_to_partitions_and_back(ends: Ends, tenants: Collection, name: str) -> None:
    here, over = ends("weaviate"), ends("milvus")
    done = qa.migrate(tenants, (over, name))
    assert done.state == "done"
    assert done.plan.partitions.names == PLACES
    found = contents(over, name)
    assert found.pop("_default") == {}
    assert found == renamed(contents(here, name), PLACES)
    home = qa.migrate((over, name), (here, f"{name}_home"))
    assert home.state == "done"
    assert contents(here, f"{name}_home") == contents(here, name)


def test_partitions_to_partitions_with_quantization(ends: Ends, name: str) -> None:
    milvus = ends("milvus")
    fill(milvus, name, {"red": 1500, "blue": 50, "_default": 20, "empty": 0})
    wanted, gate = (
        "scalar",
        "recall@10>=0.5",
    )  # 16 random dimensions: low recall, but the codes are built
    done = qa.migrate((milvus, name), (milvus, f"{name}_b"), quantization=wanted, gate=gate)
    assert done.state == "done"
    assert done.check is not None
    assert done.check.compared == 1570
    assert contents(milvus, f"{name}_b") == contents(milvus, name)
    assert str(done.status[""].state) == "active"


def test_quantization_is_built_for_each_tenant(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    done = qa.migrate(tenants, (database, f"{name}_b"), quantization="rotational:bits=8")
    assert (done.state, str(done.status[""].state)) == ("done", "active")
    assert contents(database, f"{name}_b") == contents(database, name)


def test_lite_keeps_an_id_once_per_collection(ends: Ends, tenants: Collection, name: str) -> None:
    """Ids that occur in several partitions are reported, other rows are copied."""
    lite = ends("lite")
    plan = qa.plan_migration(tenants, (lite, name))
    (loss,) = plan.refused
    assert loss.name == "duplicate-ids"
    assert "keeps an id once per collection" in loss.detail
    sizes = {"red": 30, "blue": 0}
    fill(lite, f"{name}_a", sizes)
    extra = qa.Batch(["x"], {"": rows(1, seed=9)}, [{"n": 0}])
    lite[f"{name}_a@blue"].write(extra)
    done = qa.migrate((lite, f"{name}_a"), (lite, f"{name}_b"))
    assert done.state == "done"
    assert contents(lite, f"{name}_b") == contents(lite, f"{name}_a")
    assert {part: len(found) for part, found in contents(lite, f"{name}_b").items()} == {
        "_default": 0, "blue": 1, "red": 30,
    }  # fmt: skip


def test_a_single_partition_is_copied_to_a_single_partition(
    ends: Ends, tenants: Collection, name: str
) -> None:
    """``SRC@red`` to ``DST@red``; other partitions of the target do not change."""
    database = ends("weaviate")
    fill(database, f"{name}_b", {"red": 0, "blue": 5})
    before = everything(database[f"{name}_b@blue"])
    one, other = (database, f"{name}@red"), (database, f"{name}_b@red")
    done = qa.migrate(one, other, allow=["existing-target"])
    assert (done.state, done.plan.partitions.assigned_by) == ("done", "none")
    assert everything(database[f"{name}_b@red"]) == everything(database[f"{name}@red"])
    assert everything(database[f"{name}_b@blue"]) == before


def test_missing_partitions_of_an_existing_target_are_created(
    ends: Ends, tenants: Collection, name: str
) -> None:
    database = ends("weaviate")
    fill(database, f"{name}_b", {"red": 0})
    done = qa.migrate(tenants, (database, f"{name}_b"), allow=["existing-target"])
    assert done.state == "done"
    assert contents(database, f"{name}_b") == contents(database, name)


# -- other clients -------------------------------------------------------------------------------


def foreign(milvus: Database, name: str, **entry: bool) -> Any:
    """Create a collection of Milvus with integer keys and a typed field; returns the client."""
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


def test_a_partition_key_is_copied_to_milvus_and_reported_elsewhere(ends: Ends, name: str) -> None:
    """Milvus assigns these partitions; elsewhere only the payload field remains."""
    milvus, edge = ends("milvus"), ends("edge")
    client = foreign(milvus, name, is_partition_key=True)
    payloads = [{"of": "red" if at % 2 else "blue"} for at in range(20)]
    milvus[name].write(qa.Batch(range(20), {"vector": rows(20)}, payloads))
    done = qa.migrate((milvus, name), (milvus, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    fields = client.describe_collection(f"{name}_b")["fields"]
    assert [each["name"] for each in fields if each.get("is_partition_key")] == ["of"]
    assert everything(milvus[f"{name}_b"]) == everything(milvus[name])
    plan = qa.plan_migration((milvus, name), (edge, name), trial_copy=False)
    reported = {loss.name: loss.detail for loss in plan.losses}
    assert "the partition key 'of'" in reported["partitions"]
    allowed = [loss.name for loss in plan.losses]
    assert qa.migrate((milvus, name), (edge, name), allow=allowed).state == "done"
    assert edge[name].count(filter={"of": "red"}) == 10


def test_typed_partitions_created_by_another_client(ends: Ends, name: str) -> None:
    milvus = ends("milvus")
    client = foreign(milvus, name)
    for seed, part in enumerate(("red", "blue")):
        client.create_partition(name, part)
        payloads = [{"of": part, "n": at} for at in range(30)]
        batch = qa.Batch(range(30), {"vector": rows(30, seed=seed)}, payloads)
        milvus[f"{name}@{part}"].write(batch)
    done = qa.migrate((milvus, name), (milvus, f"{name}_b"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert contents(milvus, f"{name}_b") == contents(milvus, name)
    weaviate = ends("weaviate")
    there = qa.migrate((milvus, name), (weaviate, name), allow=["typed-fields"])
    assert there.state == "done"
    assert contents(weaviate, name) == {
        part: found for part, found in contents(milvus, name).items() if part != "_default"
    }


def test_tenants_created_by_another_client(ends: Ends, name: str) -> None:
    """A class whose dimension is known only from its rows."""
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
    store.create_partitions(name, ["empty", "red", "blue"])
    for seed, part in enumerate(("red", "blue")):
        batch = qa.Batch(keys(30), {"": rows(30, seed=seed)}, [{"of": part}] * 30)
        store.write(f"{name}@{part}", batch)
    plan = qa.plan_migration((database, name), (database, f"{name}_b"))
    allowed = [loss.name for loss in plan.losses]
    assert not {"tenants", "duplicate-ids"}.intersection(allowed)
    done = qa.migrate((database, name), (database, f"{name}_b"), allow=allowed)
    assert done.state == "done"
    assert contents(database, f"{name}_b") == contents(database, name)
