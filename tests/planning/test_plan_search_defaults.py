"""Settings that no longer match a collection: every command works and reports them, and the next
apply deletes them.

Rescoring is saved without quantization, or client-side codes belong to another collection: a
restored folder, a moved alias, a recreated collection, kill -9 during a change.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import PlanStaleError
from qadapt.local.client_operations import Remember
from qadapt.local.settings import read_settings
from qadapt.local.state import index_dir
from qadapt.stores.change import ChangeRequest

ROWS, DIM = 300, 16

pytest.importorskip("qdrant_edge")


def rows(seed: int = 0, dim: int = DIM, count: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


@dataclass
class World:
    """A collection whose saved settings no longer match.

    Attributes:
        says: expected text of the notes or the status.
        change: the change that set them; None for the newest one of the journal.
        undoes: whether undo finds the collection as it was before the change.
        notes: whether a setting is ignored, which a plan notes too.
    """

    database: Database
    name: str
    says: str
    change: qa.Change | None = None
    undoes: bool = False
    notes: bool = False

    @property
    def collection(self) -> Collection:
        return self.database[self.name]


def filled(database: Database, name: str = "a", seed: int = 0, **how: Any) -> Collection:
    made = database.create(name, **(how or {"dim": DIM}))
    vector = next(iter(made.info().vectors))
    dim = made.info().vectors[vector].dim
    made.write(qa.Batch(range(ROWS), {vector: rows(seed, dim)}))
    return made


def replaced(database: Database, name: str = "a", seed: int = 0, **vectors: qa.Vector) -> None:
    """Another client drops and recreates the collection."""
    store = database._store
    store.drop(name)
    wanted = vectors or {"": qa.Vector(DIM)}
    wanted = {key.strip("_"): vector for key, vector in wanted.items()}
    store.create(name, wanted, {})
    parts = {key: rows(seed, vector.dim) for key, vector in wanted.items()}
    store.write(name, qa.Batch(range(ROWS), parts))


# -- situations -----------------------------------------------------------------------------------


def restored(database: Database, folder: Path) -> World:
    """The folder is put back from a backup of before the change."""
    filled(database)
    database._store.close()
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup)
    database["a"].plan("binary:rescore=4").apply(yes=True)
    database._store.close()
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    return World(database, "a", "no quantization", undoes=True, notes=True)


def set_to_none(database: Database, folder: Path) -> World:
    """Another client removes the quantization in place."""
    filled(database).plan("scalar:rescore=2").apply(yes=True)
    store = database._store
    for step in store.plan_change(ChangeRequest(store.inspect("a"), "", qa.none())).steps:
        store.run("a", step.request, lambda _: None, 60)
    return World(database, "a", "no quantization", undoes=True, notes=True)


def killed(database: Database, folder: Path) -> World:
    """``apply none`` ends between its steps, and the quantization is removed elsewhere."""
    filled(database).plan("binary:rescore=4").apply(yes=True)
    plan = database["a"].plan("none")
    assert plan.steps[0].request["op"] == Remember.op, "reset before none is set"

    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(database._store, "run", kill)
        plan.apply(yes=True)
    return World(database, "a", "", undoes=True)


def other_dimensions(database: Database, folder: Path) -> World:
    change = filled(database).plan("scalar:rescore=4@codes", accept="client").apply(yes=True)
    replaced(database, _=qa.Vector(8))
    return World(database, "a", "16 dimensions", change)


def other_metric(database: Database, folder: Path) -> World:
    change = filled(database).plan("binary:rescore=4", accept="client").apply(yes=True)
    replaced(database, _=qa.Vector(DIM, "dot"))
    return World(database, "a", "cosine", change)


def other_vectors(database: Database, folder: Path) -> World:
    change = filled(database).plan("binary:rescore=4", accept="client").apply(yes=True)
    replaced(database, seed=1)
    return World(database, "a", "other vectors", change, undoes=True)


def other_names(database: Database, folder: Path) -> World:
    made = filled(database, vectors={"title": qa.Vector(DIM)})
    change = made.plan("binary:rescore=4", accept="client").apply(yes=True)
    replaced(database, body=qa.Vector(DIM))
    return World(database, "a", "'title'", change, notes=True)


def emptied(database: Database, folder: Path) -> World:
    change = filled(database).plan("binary:rescore=4", accept="client").apply(yes=True)
    database._store.delete("a", range(1, ROWS))
    return World(database, "a", "another client", change, undoes=True)


def codes_gone(database: Database, folder: Path) -> World:
    change = filled(database).plan("binary:rescore=4@codes", accept="client").apply(yes=True)
    shutil.rmtree(index_dir(database._store.address, "a", ""))
    return World(database, "a", "missing", change, undoes=True)


def alias_moved(database: Database, folder: Path) -> World:
    filled(database, "one")
    filled(database, "two", seed=1)
    database.switch_alias("a", "one")
    change = database["a"].plan("binary:rescore=4", accept="client").apply(yes=True)
    database.switch_alias("a", "two")
    return World(database, "a", "switched to the collection 'two'", change, undoes=True)


NATIVE = (restored, set_to_none, killed)
OURS = (other_dimensions, other_metric, other_vectors, other_names, emptied, codes_gone)
CASES = [
    *(("edge", each) for each in NATIVE),
    *(("edge without quantization", each) for each in OURS),
    *(("local", each) for each in (*OURS, alias_moved)),
]
# `make test` tries these only; a test without all commands tries each situation.
SHORT = {
    ("edge", restored),
    ("edge without quantization", other_vectors),
    ("local", other_names),
    ("local", alias_moved),
}


@pytest.fixture(
    params=[
        pytest.param(
            case,
            id=f"{case[0]}: {case[1].__name__}",
            marks=() if case in SHORT else pytest.mark.long,
        )
        for case in CASES
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    where, situation = request.param
    folder = tmp_path / "db"
    folder.mkdir()
    if where == "local":
        client = pytest.importorskip("qdrant_client").QdrantClient(":memory:")
        yield situation(qa.wrap(client), folder)
        return
    disabled = [] if where == "edge" else ["native-quantization"]
    with qa.open(f"edge:{folder}", disabled=disabled) as database:
        yield situation(database, folder)


# -- commands
# ----------------------------------------------------------------------------------------


def vector_of(collection: Collection) -> str:
    return next(iter(collection.info().vectors))


def notes_of(collection: Collection) -> str:
    """Output of inspect."""
    info = collection.info()
    vectors = info.vectors.values()
    return " ".join([*info.notes, *(f"{v.notes} {v.status.reason}" for v in vectors)])


def migrate(world: World, place: Path) -> None:
    made = qa.migrate(world.collection, f"edge:{place / 'copy'}#copy", check="off")
    assert made.state == "done"


def queries_of(collection: Collection) -> np.ndarray:
    return rows(5, next(iter(collection.info().vectors.values())).dim, 4)


VERBS: dict[str, Callable[[World, Path], Any]] = {
    "inspect": lambda world, _: world.collection.info().to_json(),
    "search": lambda world, _: world.collection.search(queries_of(world.collection), k=5),
    "plan as it is": lambda world, _: str(world.collection.plan()),
    "plan none": lambda world, _: str(world.collection.plan("none")),
    "plan": lambda world, _: str(world.collection.plan("scalar:rescore=2", accept="client")),
    "verify": lambda world, _: world.collection.verify(k=3, queries=20),
    "doctor": lambda world, _: world.collection.doctor(sample=50),
    "cost": lambda world, _: world.collection.cost("binary"),
    "export": lambda world, place: qa.export_file(world.collection, place / "rows.npy"),
    "export parquet": lambda world, place: qa.export_file(world.collection, place / "r.parquet"),
    "eval": lambda world, _: world.collection.evaluate(queries=10, k=3, concurrency=()),
    "simulate": lambda world, _: world.collection.simulate("binary", queries=10, k=3),
    "advise": lambda world, _: world.collection.advise(0.5, queries=10, confirm=False),
    "migrate": migrate,
}


def test_every_command_reports_ignored_rescoring(world: World, tmp_path: Path) -> None:
    failed = {}
    for verb, work in VERBS.items():
        try:
            work(world, tmp_path)
        except Exception as error:  # noqa: BLE001 - all commands are reported together
            failed[verb] = f"{type(error).__name__}: {error}"
    assert failed == {}
    collection = world.collection
    told = {
        "inspect": notes_of(collection),
        "doctor": " ".join(each.message for each in collection.doctor().findings),
    }
    if world.notes:
        told["plan"] = " ".join(collection.plan("none").notes)
    assert {verb for verb, text in told.items() if world.says not in text} == set(), told
    _undone(world)
    _applied_anew(world)


def _undone(world: World) -> None:
    """A change of a recreated collection is refused with an explanation."""
    undo = qa.undo if world.change is None else world.change.undo
    if world.undoes:
        assert undo().state == "undone"
    else:
        with pytest.raises(PlanStaleError):
            undo()


def _applied_anew(world: World) -> None:
    """After both solutions, only settings in effect are saved."""
    collection = world.collection
    change = collection.plan("scalar:rescore=2", accept="client").apply(yes=True)
    assert change.state == "applied"
    queries = queries_of(collection)
    hits = collection.search(queries, k=3)
    assert not [note for note in hits.how.notes if "ignored" in note or "not used" in note]
    collection.plan("none").apply(yes=True)
    assert read_settings(collection._store, world.name).vectors == {}
    assert [v.notes for v in collection.info().vectors.values()] == [()]
    assert collection.info().notes == ()
    hits = collection.search(queries, k=3)
    assert hits.how.searcher in ("store", "store exact")
    exact = collection.search(queries, k=3, exact=True)
    assert hits.ids.tolist() == exact.ids.tolist()


def test_searches_report_an_ignored_default_rescoring(tmp_path: Path) -> None:
    for number, situation in enumerate((restored, set_to_none)):
        folder = tmp_path / str(number) / "db"
        folder.mkdir(parents=True)
        with qa.open(f"edge:{folder}") as database:
            collection = situation(database, folder).collection
            hits = collection.search(rows(5, DIM, 4), k=5)
            assert "is ignored: the vector has no quantization" in " ".join(hits.how.notes)
            assert (hits.how.rescorer, hits.how.scores) == ("none", "exact")
            assert hits.how.rescore_from == "store default"
