"""Check and catch-up by partition; inactive tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from migration_help import rows
from partition_help import contents, fill, keys, store_of

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError, UnsupportedError
from qadapt.migration.plan import PARTITION

# A server may be busy with other tests.
pytestmark = pytest.mark.timeout(300)
Ends = Callable[[str], Database]


# -- inactive tenants ----------------------------------------------------------------------------


def rest(database: Database, name: str, tenant: str, status: str) -> None:
    """Deactivate or activate a tenant."""
    store: Any = store_of(database)
    body = [{"name": tenant, "activityStatus": status}]
    store.connection.rest("PUT", f"/v1/schema/{name}/tenants", body, doing="rest a tenant")


def test_inactive_tenants_are_refused_skipped_and_copied_once_active(
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
    # Active again: catch-up copies it.
    rest(database, name, "blue", "HOT")
    again = qa.migrate(tenants, (database, f"{name}_b"), catch_up=True)
    assert again.state == "done"
    assert again.catch_up is not None
    assert (again.catch_up.added, again.catch_up.deleted) == (40, 0)
    assert contents(database, f"{name}_b") == contents(database, name)
    # Inactive again: its rows are not deleted. Inactive in the target: an error.
    rest(database, name, "blue", "COLD")
    later = qa.migrate(tenants, (database, f"{name}_b"), catch_up=True)
    assert later.catch_up is not None
    assert (later.catch_up.deleted, database[f"{name}_b@blue"].count()) == (0, 40)
    rest(database, f"{name}_b", "red", "COLD")
    with pytest.raises(StoreError, match="not active: red"):
        qa.check(tenants, (database, f"{name}_b"))
    with pytest.raises(StoreError, match="not active: red"):
        qa.migrate(tenants, (database, f"{name}_b"), catch_up=True)


# -- check and catch-up -------------------------------------------------------------------------


def test_check_finds_a_row_in_the_wrong_partition(
    ends: Ends, tenants: Collection, name: str
) -> None:
    database = ends("weaviate")
    target = (database, f"{name}_b")
    assert qa.migrate(tenants, target).state == "done"
    assert qa.check(tenants, target).passed
    # Row 50 exists only in red; move it to blue.
    moved = database[f"{name}_b@red"].fetch(keys(60)[50:51])
    database[f"{name}_b@blue"].write(moved)
    database[f"{name}_b@red"].delete(keys(60)[50:51])
    found = qa.check(tenants, target)
    assert (found.passed, found.missing, found.unexpected) == (False, 1, 1)
    assert {each.kind for each in found.differences} == {"missing", "unexpected"}
    # The same id in the other tenant is a different row.
    swapped = database[f"{name}_b@red"].fetch(keys(1))
    database[f"{name}_b@blue"].write(swapped)
    assert qa.check(tenants, target).different == 1


def test_check_finds_a_wrong_partition_name_in_the_payload(ends: Ends, name: str) -> None:
    lite, edge = ends("lite"), ends("edge")
    fill(lite, name, {"red": 30})
    assert qa.migrate((lite, name), (edge, name), allow=["partitions"]).state == "done"
    row = edge[name].fetch(keys(1))
    assert row.payloads is not None
    edge[name].write(qa.Batch(row.ids, row.vectors, [{**row.payloads[0], PARTITION: "blue"}]))
    found = qa.check((lite, name), (edge, name))
    assert (found.passed, found.different) == (False, 1)
    assert found.differences[0].detail == "'qadapt_partition' is 'blue', expected 'red'"


def test_catch_up_works_by_partition(ends: Ends, tenants: Collection, name: str) -> None:
    database = ends("weaviate")
    target = (database, f"{name}_b")
    assert qa.migrate(tenants, target).state == "done"
    # One row deleted, one changed, and a new tenant.
    database[f"{name}@red"].delete(keys(1))
    row = database[f"{name}@blue"].fetch(keys(1))
    database[f"{name}@blue"].write(qa.Batch(row.ids, row.vectors, [{"n": -1, "of": "blue"}]))
    store_of(database).create_partitions(name, ["new"])
    database[f"{name}@new"].write(qa.Batch(keys(5), {"": rows(5, seed=7)}, [{"n": 0}] * 5))
    done = qa.migrate(tenants, target, catch_up=True)
    assert done.state == "done"
    assert done.catch_up is not None
    reported = done.catch_up
    assert (reported.added, reported.changed, reported.deleted) == (5, 1, 1)
    assert contents(database, f"{name}_b") == contents(database, name)
