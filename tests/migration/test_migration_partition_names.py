"""Names of partitions in stores with different rules."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import numpy as np
import pytest
from partition_help import store_of

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.migration.partitions import target_name
from qadapt.migration.plan import MigrationPlan
from qadapt.migration.text import plan_lines

# A server may be busy with other tests.
pytestmark = pytest.mark.timeout(300)
Ends = Callable[[str], Database]


# -- names ---------------------------------------------------------------------------------------


def test_partition_names_are_escaped_where_needed(ends: Ends) -> None:
    lite, edge = store_of(ends("lite")), store_of(ends("edge"))
    assert target_name(lite, "red", same_kind=False) == "red"
    assert target_name(lite, "a-b", same_kind=False) == "a_x2d_b"
    assert target_name(lite, "a_x2d_b", same_kind=False) == "a_x5f_x2d_b"
    assert target_name(lite, "a_x2d_b", same_kind=True) == "a_x2d_b"
    with pytest.raises(UnsupportedError, match="letters, digits and _"):
        target_name(lite, "a-b", same_kind=True)
    with pytest.raises(UnsupportedError, match="edge does not support this"):
        target_name(edge, "red", same_kind=False)


@pytest.mark.parametrize("engine", ["weaviate"])
def test_escaping_keeps_partition_names_distinct(ends: Ends, engine: str) -> None:
    lite, other = store_of(ends("lite")), store_of(ends(engine))
    names = ["a-b", "a_b", "a_x2d_b", "a_x2d-b", "a-x2d_b", "-", "--", "_-", "-_", "a_x5f_b", "_x-",
             str(uuid.uuid4()), "x" * 64]  # fmt: skip
    over = [target_name(lite, each, same_kind=False) for each in names]
    assert len(set(over)) == len(names)
    assert [target_name(other, each, same_kind=False) for each in over] == names
    with pytest.raises(UnsupportedError, match="at most 64"):
        target_name(other, "x" * 65, same_kind=False)


def test_the_plan_lists_partitions(ends: Ends, tenants: Collection, name: str) -> None:

    plan = qa.plan_migration(tenants, (ends("lite"), name), trial_copy=False)
    reported = dict(plan_lines(plan))["tenants"]
    assert reported.startswith("3 tenants -> 3 partitions: ")
    assert "green-1 -> green_x2d_1 (20 rows)" in reported
    assert MigrationPlan.from_json(plan.to_json()).partitions == plan.partitions
    edge = qa.plan_migration(tenants, (ends("edge"), name), trial_copy=False)
    assert "-> one collection" in dict(plan_lines(edge))["tenants"]
    assert np.isclose(sum(edge.partitions.rows.values()), edge.count)
