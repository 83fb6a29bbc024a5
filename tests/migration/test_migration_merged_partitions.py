"""Partitions merged into one collection, and separated again by ``qadapt_partition``."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from migration_help import DIM, rows
from partition_help import SIZES, contents, fill, keys, store_of

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, UnsupportedError
from qadapt.migration.plan import PARTITION

# A server may be busy with other tests.
pytestmark = pytest.mark.timeout(300)
Ends = Callable[[str], Database]


# -- merged ----------------------------------------------------------------------------------------


def test_tenants_are_merged_in_edge_and_restored(ends: Ends, name: str) -> None:
    here, edge = ends("weaviate"), ends("edge")
    fill(here, name, {"red": 30, "blue": 0})
    other = [str(uuid.UUID(int=1000 + at)) for at in range(20)]
    payloads = [{"n": at, PARTITION: "mine"} for at in range(20)]
    here[f"{name}@blue"].write(qa.Batch(other, {"": rows(20, seed=5)}, payloads))
    with pytest.raises(UnsupportedError, match="qadapt_partition") as caught:
        qa.migrate(here[name], (edge, name))
    assert "--allow tenants" in str(caught.value)
    done = qa.migrate(here[name], (edge, name), allow=["tenants"])
    assert done.state == "done"
    assert edge[name].count(filter={PARTITION: "blue"}) == 20
    assert (
        done.plan.payload_indexes[PARTITION]
        == store_of(edge).payload_indexes(name)[PARTITION]
        == "keyword"
    )
    # One row is changed, one deleted, and a tenant added; then the rows are copied on.
    here[f"{name}@red"].delete(keys(1))
    row = here[f"{name}@blue"].fetch(other[:1])
    here[f"{name}@blue"].write(qa.Batch(row.ids, row.vectors, [{"n": -1, PARTITION: "mine"}]))
    store_of(here).create_partitions(name, ["new"])
    new = [str(uuid.UUID(int=5000))]
    here[f"{name}@new"].write(qa.Batch(new, {"": rows(1, seed=8)}, [{"n": 0}]))
    again = qa.migrate(here[name], (edge, name), catch_up=True)
    assert again.catch_up is not None
    reported = again.catch_up
    assert (again.state, reported.added, reported.changed, reported.deleted) == ("done", 1, 1, 1)
    assert qa.migrate((edge, name), (edge, f"{name}_2")).state == "done"
    home = qa.migrate((edge, f"{name}_2"), (here, f"{name}_home"))
    assert home.state == "done"
    assert home.plan.partitions.assigned_by == "payload"
    assert home.plan.partitions.rows == {"red": 29, "blue": 20, "new": 1}
    assert contents(here, f"{name}_home") == contents(here, name)


def test_rows_without_a_partition_name_go_to_the_default_partition(ends: Ends, name: str) -> None:
    edge, lite = ends("edge"), ends("lite")
    made = edge.create(name, dim=DIM, metric="dot")
    payloads: list[dict[str, Any]] = [{PARTITION: "red"}, {}, {PARTITION: "blue-1"}, {PARTITION: 7}]
    made.write(qa.Batch(range(4), {"": rows(4)}, payloads))
    done = qa.migrate(made, (lite, name))
    assert (done.state, done.plan.losses) == ("done", ())
    found = {part: sorted(content) for part, content in contents(lite, name).items()}
    assert found == {"_default": [1, 3], "blue_x2d_1": [2], "red": [0]}
    # A row with a new partition, added later.
    made.write(qa.Batch([9], {"": rows(1, seed=3)}, [{PARTITION: "new"}]))
    again = qa.migrate(made, (lite, name), catch_up=True)
    assert again.state == "done"
    assert list(contents(lite, name)["new"]) == [9]
    assert not qa.check(made, (lite, name)).missing


def test_an_id_of_two_tenants_is_refused_where_tenants_are_merged(
    ends: Ends, tenants: Collection, name: str
) -> None:
    edge = ends("edge")
    with pytest.raises(UnsupportedError, match="duplicate-ids: 40: '0000") as caught:
        qa.migrate(tenants, (edge, name), allow=["tenants"])
    assert f"one by one to separate collections ({name}@NAME)" in str(caught.value)
    assert name not in edge
    for part in ("red", "blue"):
        one = f"{store_of(ends('weaviate')).address}#{name}%40{part}"
        assert qa.migrate(one, (edge, part)).state == "done"
        assert edge[part].count() == SIZES[part]


def test_an_export_refuses_an_id_of_two_tenants(
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
