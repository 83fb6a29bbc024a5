"""Settings and client-side codes of a collection that is addressed by partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Database
from qadapt.errors import UnsupportedError
from qadapt.testing import clustered

RED = 100


@pytest.fixture
def database(live: Callable[[str], str]) -> Iterator[Database]:
    """``docs``, 500 rows in the default partition and 100 in ``red``."""
    with qa.open(live("milvus-lite")) as opened:
        rows = clustered(500 + RED, 32).rows
        docs = opened.create("docs", dim=32)
        opened._store.connection.client.create_partition("docs", "red")  # type: ignore[attr-defined]
        docs.write(qa.Batch(range(500), {"": rows[:500]}))
        opened["docs@red"].write(qa.Batch(range(500, 500 + RED), {"": rows[500:]}))
        yield opened


def test_a_partition_uses_the_rescoring_of_its_collection(database: Database) -> None:
    database["docs"].plan("scalar:rescore=5").apply(yes=True)
    hits = database["docs@red"].search(np.ones(32), k=3)
    assert (hits.how.oversampling, hits.how.rescore_from) == (5, "collection")


def test_client_side_codes_cover_all_partitions(database: Database) -> None:
    docs, red = database["docs"], database["docs@red"]
    docs.plan("binary:rescore=4", accept="client").apply(yes=True)
    row = clustered(1, 32, seed=9).rows
    red.write(qa.Batch([9_000], {"": row}))
    assert docs.info().vectors[""].status.state is qa.State.ACTIVE
    found = docs.search(row[0], k=1)
    assert (found.ids.tolist(), found.how.searcher) == ([[9_000]], "qadapt")
    only = red.search(np.ones(32), k=200)
    assert only.how.searcher == "store"
    assert {key for key in only.ids[0].tolist() if key is not None} == {
        *range(500, 500 + RED),
        9_000,
    }
    red.delete([9_000])
    assert docs.search(row[0], k=1).ids.tolist() != [[9_000]]


def test_a_plan_for_a_partition_is_refused(database: Database) -> None:
    with pytest.raises(UnsupportedError, match="is a partition") as refused:
        database["docs@red"].plan("binary", accept="client")
    assert "'docs'" in str(refused.value.hint)
