"""Indexes of scalar fields in Milvus: copied with settings, or mapped to the target's types."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from migration_help import rows
from typed_fields_help import DIM, FIELDS, LIMITS, add_index, typed_collection

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.migration.text import plan_lines
from qadapt.stores.milvus.version import ServerVersion

Ends = Callable[[str], Database]
REAL = ServerVersion("2.3.5")
LITE = ServerVersion("3.2.2", "lite")


INDEXED = {
    "milvus": {"title": "Trie", "small": "STL_SORT", "big": "STL_SORT", "double": "STL_SORT"},
    "lite": {"title": "INVERTED", "big": "INVERTED", "single": "INVERTED", "flag": "INVERTED"},
}
KINDS = {
    "title": "keyword", "small": "integer", "big": "integer", "double": "float",
    "single": "float", "flag": "bool",
}  # fmt: skip


def indexed_collection(database: Database, name: str, engine: str) -> Collection:
    """A typed collection with an index of each kind that the engine supports."""
    made = typed_collection(database, name, FIELDS, LIMITS)
    for key, kind in INDEXED[engine].items():
        add_index(made, key, kind)
    return made


@pytest.mark.parametrize("engine", ["milvus", "lite"])
def test_scalar_indexes_are_copied(ends: Ends, name: str, engine: str) -> None:
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
    line = f"title (keyword, index_type {kind}), created after the copy"
    assert ("index", line) in plan_lines(done.plan)
    store.create_payload_index(f"{name}_b", "title", "keyword")  # may be repeated
    assert store.count(f"{name}_b", {"title": "äöüäö"}) == 1
    assert store.count(f"{name}_b", {"big": {"gt": 2**53}}) == 2


def test_scalar_indexes_are_mapped_to_another_deployment(ends: Ends, name: str) -> None:
    here, there = ends("milvus"), ends("lite")
    source = indexed_collection(here, f"{name}_a", "milvus")
    qa.migrate(source, (there, f"{name}_b"))
    assert set(there._store.payload_index_settings(f"{name}_b")) == set(INDEXED["milvus"])
    # Lite supports an index of a BOOL field, 2.3.5 does not.
    back = typed_collection(there, f"{name}_c", {"flag": ("BOOL", {})}, [{"flag": True}])
    add_index(back, "flag", "INVERTED")
    with pytest.raises(UnsupportedError, match=r"payload-indexes: flag \(bool\): Milvus 2.3.5"):
        qa.migrate(back, (here, f"{name}_d"))
    done = qa.migrate(back, (here, f"{name}_d"), allow=["payload-indexes"])
    assert (done.state, done.plan.payload_indexes) == ("done", {})


def test_indexes_between_edge_and_a_typed_collection(ends: Ends, name: str, edge: Database) -> None:
    lite = ends("lite")
    source = indexed_collection(lite, f"{name}_a", "lite")
    done = qa.migrate(source, (edge, "docs"))
    assert (done.state, done.plan.losses) == ("done", ())
    assert edge._store.payload_indexes("docs") == {k: KINDS[k] for k in sorted(INDEXED["lite"])}
    # A typed collection gets the index of a declared field, and no other.
    there = typed_collection(lite, f"{name}_b", FIELDS, [])
    made = edge.create("more", dim=DIM, metric="dot")
    made.write(qa.Batch([1], {"": rows(1, dim=DIM)}, [{**LIMITS[0], "city": "x"}]))
    for key in ("title", "city"):
        edge._store.create_payload_index("more", key, "keyword")
    plan = qa.plan_migration(made, (lite, there.name), allow=["existing-target"])
    assert plan.payload_indexes == {"title": "keyword"}
    reported = {loss.name: loss.detail for loss in plan.losses}
    assert reported["payload-indexes"].startswith("city (keyword): Milvus Lite 3")


def test_quantization_is_built_together_with_a_scalar_index(ends: Ends, name: str) -> None:
    """A loaded segment of 2.3.5 names one index, which may be the scalar index: so quantization is
    verified before another index exists, and later its state may be unknown."""
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
