"""Resuming, catching up and cutting over."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from migration_help import DIM, everything, rows

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import (
    NotFoundError,
)

Ends = Callable[[str], Database]
ENGINES = ["edge", "lite", "local", "milvus", "weaviate"]


def test_a_completed_migration_copies_nothing(source: Collection, ends: Ends) -> None:
    there = ends("edge")
    with pytest.raises(NotFoundError, match="no earlier run"):
        qa.migrate(source, (there, "docs"), resume=True)
    assert qa.migrate(source, (there, "docs")).metrics.rows == 500
    again = qa.migrate(source, (there, "docs"), resume=True)
    assert (again.resumed, again.metrics.rows, again.metrics.rows_before) == (True, 0, 500)
    there["docs"].delete([5])
    assert qa.migrate(source, (there, "docs")).state == "check failed"
    assert qa.migrate(source, (there, "docs"), restart=True).state == "done"
    there.drop("docs")
    assert qa.migrate(source, (there, "docs")).metrics.rows == 500


@pytest.mark.parametrize("entry", [None, "at"])
def test_catch_up_applies_added_changed_and_deleted_rows(
    edge: Database, ends: Ends, name: str, entry: str | None
) -> None:
    """https://github.com/zilliztech/vts lists this as planned."""
    made = edge.create("docs", dim=DIM, metric="dot")
    vectors = rows(300)
    made.write(qa.Batch(range(300), {"": vectors}, [{"at": at} for at in range(300)]))
    there = ends("lite")
    qa.migrate(made, (there, name), updated_at=entry)
    made.delete([1, 2, 3])
    made.write(qa.Batch([5, 400, 401], {"": rows(3, seed=9)}, [{"at": 900}] * 3))
    assert not qa.check(made, (there, name)).passed
    done = qa.migrate(made, (there, name), updated_at=entry, catch_up=True)
    caught = done.catch_up
    assert caught is not None
    assert (caught.added, caught.deleted) == (2, 3)
    assert done.state == "done"
    assert everything(there[name]) == everything(made)
    if entry is None:
        assert caught.changed == 1
        again = qa.migrate(made, (there, name), catch_up=True).catch_up
        assert again is not None
        assert (again.added, again.changed, again.deleted) == (0, 0, 0)


@pytest.mark.parametrize("engine", ["local", "milvus", "weaviate"])
def test_the_alias_is_switched_only_after_the_check_has_passed(
    source: Collection, ends: Ends, name: str, engine: str
) -> None:
    there = ends(engine)
    old = there.create(f"{name}_old", dim=DIM, metric="dot")
    old.write(qa.Batch([str(uuid.UUID(int=1))], {"": rows(1)}))
    alias = f"{name}_live"
    there.switch_alias(alias, f"{name}_old")
    qa.migrate(source, (there, name))
    gone = there[name].sample(1).ids
    lost = there[name].fetch(gone)
    there[name].delete(gone)
    failed = qa.migrate(source, (there, name), cutover=alias)
    assert (failed.state, failed.cutover) == ("check failed", None)
    assert there.aliases()[alias] == f"{name}_old"
    there[name].write(lost)
    done = qa.migrate(source, (there, name), cutover=alias)
    assert done.cutover is not None
    assert (done.cutover.previous, done.cutover.current) == (f"{name}_old", name)
    assert there.aliases()[alias] == name
    assert there[alias].count() == 500
    assert done.cutover.rollback.endswith(f"{alias} {name}_old")
    there.switch_alias(alias, f"{name}_old")
    there.drop_alias(alias)
