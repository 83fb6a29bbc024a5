"""Copies on a real Ray cluster of two nodes, one of which is killed.

Ray has a separate environment: ``make test-ray``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from migration_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import StoreError
from qadapt.stores.base import Progress

# Otherwise Ray replaces 127.0.0.1 by another address of the machine (services.py).
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
ray: Any = pytest.importorskip("ray", reason="needs the environment of `make test-ray`")
pytestmark = [
    pytest.mark.timeout(400),
    # Ray leaves open pipes and sockets, and emits warnings.
    pytest.mark.filterwarnings("ignore"),
]
ROWS = 12_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs no tasks, and two nodes, all on loopback."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    made.add_node(num_cpus=0, node_ip_address="127.0.0.1", include_dashboard=False)
    nodes = [made.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False)
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def source(ends: Callable[[str], Database], name: str) -> Collection:
    """A collection of a server that every node can reach."""
    made = ends("milvus").create(f"{name}_source", dim=DIM, metric="dot")
    vectors = rows(ROWS)
    for start in range(0, ROWS, 4000):
        keys = range(start, start + 4000)
        made.write(qa.Batch(keys, {"": vectors[start : start + 4000]}, [{"n": at} for at in keys]))
    return made


def test_the_copy_survives_the_loss_of_a_node(
    cluster: Any, source: Collection, ends: Callable[[str], Database], name: str
) -> None:
    made, nodes = cluster
    killed = threading.Event()
    seen: list[float] = []

    def on(progress: Progress) -> None:
        if progress.stage != "copying":
            return
        seen.append(progress.done)
        if not killed.is_set() and progress.done > ROWS // 6:
            killed.set()
            made.remove_node(nodes[0], allow_graceful=False)

    there = ends("milvus")
    done = qa.migrate(
        source,
        (there, name),
        on="auto",
        workers=2,
        batch_bytes=1 << 14,
        trial_copy=False,
        check="off",
        progress=on,
    )
    assert killed.is_set()
    assert max(seen) == ROWS
    assert done.metrics.rows == ROWS  # acknowledged once each
    assert there[name].count() == ROWS
    assert everything(there[name]) == everything(source)
    again = qa.migrate(source, (there, name), on="auto", check="off")
    assert (again.resumed, again.metrics.rows) == (True, 0)


def test_tasks_read_one_snapshot_of_postgresql(
    cluster: Any, ends: Callable[[str], Database], name: str
) -> None:
    """Rows that are deleted and written during the copy are in the copy as they were before it."""
    there = ends("pgvector")
    source = there.create(f"{name}_source", dim=DIM, metric="dot")
    source.write(qa.Batch(range(ROWS), {"": rows(ROWS)}, [{"n": at} for at in range(ROWS)]))
    before = everything(source)
    changed = threading.Event()

    def on(progress: Progress) -> None:
        if progress.stage == "copying" and not changed.is_set() and progress.done > ROWS // 6:
            changed.set()
            source.delete(range(ROWS // 2, ROWS))
            source.write(qa.Batch([ROWS + 1], {"": rows(1)}, [{"n": -1}]))

    done = qa.migrate(
        source,
        (there, f"{name}_copy"),
        on="auto",
        workers=2,
        batch_bytes=1 << 14,
        trial_copy=False,
        check="off",
        progress=on,
    )
    assert changed.is_set()
    assert done.metrics.rows == ROWS
    assert source.count() == ROWS // 2 + 1
    assert everything(there[f"{name}_copy"]) == before


def test_local_stores_are_refused_on_a_cluster(
    cluster: Any, ends: Callable[[str], Database]
) -> None:
    here, there = ends("edge"), ends("edge")
    made = here.create("docs", dim=2, metric="dot")
    made.write(qa.Batch([1], {"": np.ones((1, 2))}))
    with pytest.raises(StoreError, match="one process"):
        qa.migrate(made, (there, "docs"), on="auto")
    assert qa.migrate(made, (there, "docs")).state == "done"
