"""A damaged record blocks only its own collection, and raises only qadapt errors.

Real records are damaged in hundreds of ways. In each case, the history lists the other records and
names the damaged one, another collection is planned, applied and undone, and the collection of the
record either works or is refused with an error that names the record. It works again after
`abandon`.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import corruptions
import pytest
from slow import SLOW

import qadapt as qa
from qadapt.api import Change, Collection
from qadapt.errors import IntegrityError, NotFoundError, QadaptError, StorageError, StoreError
from qadapt.local.journal_file import NAME
from qadapt.planning import journal

Stores = dict[str, Any]


@pytest.fixture
def stores(fake_at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Stores:
    """Two servers that are none, by name; ``open_store`` finds them."""
    made = {name: fake_at(f"qdrant+http://{name}:1") for name in ("ill", "well")}

    def found(address: str, **_: Any) -> Any:
        for name, store in made.items():
            if f"//{name}:1" in str(address):
                return store
        raise StoreError(f"no server at {address!r:.80}")

    monkeypatch.setattr("qadapt.api.change.open_store", found)
    # Nothing is killed here, and much is written.
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("qadapt.local.journal_file._SYNCHRONOUS", "OFF")
    monkeypatch.setattr("qadapt.stores.polling.PAUSE", 0)
    # The store is none that is installed; its profile has no cost model.
    monkeypatch.setattr("qadapt.costing.footprints.registry.profile", lambda _: made["ill"].profile)
    return made


def articles(stores: Stores, name: str) -> Collection:
    return Collection(stores[name], "articles")


def applied(stores: Stores) -> str:
    """A record with every event: applied under a guard, undone, applied again."""
    guard = qa.Guard(0.01, k=1, queries=2)
    plan = articles(stores, "ill").plan("scalar:rescore=2", guard=guard)
    plan.apply(yes=True).undo()
    return plan.apply(yes=True).id


def failed(stores: Stores) -> str:
    """A record whose step failed and cannot be rolled back."""
    store = stores["ill"]
    store.reverse, store.failing = None, {"fake.set": StoreError("refused")}
    plan = articles(stores, "ill").plan("binary:rescore=2")
    with pytest.raises(QadaptError, match="refused"):
        plan.apply(yes=True)
    store.reverse, store.failing = {"op": "fake.set", "to": "none"}, {}
    return plan.id


def damages(folder: Path) -> Iterator[corruptions.Damage]:
    for seed in range(3):
        yield from corruptions.of_file(folder / NAME, seed)
    yield from corruptions.of_journal(folder)


def lost(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    place = folder.parent
    yield "no files", lambda: [path.unlink() for path in folder.iterdir()] and None
    yield "a file", lambda: shutil.rmtree(folder) or folder.touch()
    yield "a dangling link", lambda: shutil.rmtree(folder) or folder.symlink_to("nowhere")
    yield "renamed", lambda: folder.rename(folder.with_name("other"))
    yield "in another collection", lambda: place.rename(place.with_name("a" * 24))
    yield "in no collection", lambda: folder.rename(place.parent / folder.name)
    yield "no collection", lambda: shutil.rmtree(place) or place.touch()


@pytest.mark.slow
@pytest.mark.parametrize("make", [applied, failed])
def test_damaged_records_raise_qadapt_errors(
    make: Callable[[Stores], str], stores: Stores, state_folder: Path, tmp_path: Path
) -> None:
    change = make(stores)
    store = stores["ill"]
    before = store.quantization
    good = tmp_path / "good"
    shutil.copytree(state_folder, good)
    folder = journal.find(change).folder
    tried = isolated = 0
    sampled = random.Random(4).sample([*damages(folder)], 400 if SLOW else 20)
    every = [*sampled, *lost(folder)]
    for told, damage in every:
        shutil.rmtree(state_folder)
        shutil.copytree(good, state_folder)
        store.quantization, stores["well"].quantization = before, qa.none()
        damage()
        tried += 1
        try:
            isolated += _holds(stores, whole=tried % 4 == 0)
        except (QadaptError, AssertionError) as error:
            raise AssertionError(f"{told}: {error}") from error
        except Exception as error:
            error.add_note(told) if hasattr(error, "add_note") else None
            raise
    assert isolated > tried / 2, "most corruptions are noticed"
    print(f"{tried} corruptions, {isolated} isolated")


def _holds(stores: Stores, *, whole: bool) -> bool:
    """Inspect and change with one damaged record; returns whether it was reported.

    Args:
        collection_of: apply and undo, not plan alone.
    """
    history = qa.history()
    assert len(history) + len(history.damaged) == 1
    for each in history:
        each.to_dict()
        assert each.outcome.state in ("applied", "undone", "failed", "interrupted")

    plan = articles(stores, "well").plan("binary:rescore=3")
    if whole:
        assert plan.apply(yes=True).state == "applied"
        assert qa.undo(plan.id).state == "undone"

    for bad in history.damaged:
        assert bad.path in str(bad.error()) and bad.id in str(bad.error())
        assert f"qadapt history --abandon {bad.id}" in bad.hint
        if bad.path.startswith(str(journal.changes_dir() / ill())):
            _refused(bad.id, lambda: articles(stores, "ill").plan("binary"))
        _refused(bad.id, lambda bad=bad: qa.undo(bad.id))  # type: ignore[misc]
        done = qa.abandon(bad.id)
        assert os.path.lexists(done.path)
        assert not os.path.lexists(bad.path)
        assert not qa.history().damaged
        plan = articles(stores, "ill").plan("binary:rescore=5")
        if whole:
            assert plan.apply(yes=True).state == "applied"
        return True
    (only,) = history
    for work in (
        lambda: articles(stores, "ill").plan("binary:rescore=5").apply(yes=True, timeout=0.01),
        lambda: qa.undo(only.id, timeout=0.01),
    ):
        try:
            work()
        except QadaptError as error:
            assert error.hint, error
    return False


def ill() -> str:
    """The key of the collection with the damaged record."""
    return journal.key("qdrant+http://ill:1", "articles")


def _refused(change: str, work: Callable[[], Any]) -> None:
    with pytest.raises(IntegrityError) as caught:
        work()
    assert change in str(caught.value)


# -- what a damage may cost ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("plan", '"to": "scalar"', '"to": "binary"'),
        ("3", '"step": 0', '"step": 1'),
        ("%", '"applied"', '"undone"'),
    ],
)
def test_a_modified_record_that_still_parses_is_noticed(
    stores: Stores, key: str, old: str, new: str
) -> None:
    """Each record has a checksum."""
    folder = journal.find(applied(stores)).folder
    corruptions.execute(
        folder,
        f"UPDATE records SET value = replace(value, '{old}', '{new}') WHERE key LIKE '{key}'",
    )
    (bad,) = qa.history().damaged
    assert "checksum" in bad.problem


def test_a_lost_event_is_noticed(stores: Stores) -> None:
    """The last one too."""
    folder = journal.find(applied(stores)).folder
    last = "SELECT max(CAST(key AS INT)) FROM records WHERE kind = 'event'"
    corruptions.execute(
        folder, f"DELETE FROM records WHERE kind = 'event' AND key = CAST(({last}) AS TEXT)"
    )
    (bad,) = qa.history().damaged
    assert "records of the kind 'event' exist" in bad.problem


def test_the_collection_is_known_when_the_file_is_gone(stores: Stores) -> None:
    folder = journal.find(applied(stores)).folder
    shutil.rmtree(folder)
    folder.write_bytes(b"\0\0")
    (bad,) = qa.history().damaged
    assert (bad.address, bad.collection) == ("qdrant+http://ill:1", "articles")
    with pytest.raises(IntegrityError, match=folder.name):
        articles(stores, "ill").plan("none")
    articles(stores, "well").plan("binary")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"address": 1, "collection": []}', '{"address": "x:"}',
             '{"address": "qdrant+http://well:1", "collection": "articles"}', "[" * 50_000],
)  # fmt: skip
def test_a_damaged_collection_name_is_ignored_and_replaced(stores: Stores, text: str) -> None:
    """It is used in messages only."""
    record = journal.find(applied(stores))
    name = record.folder.parent / journal.COLLECTION
    name.write_text(text, encoding="utf-8")
    assert [each.id for each in qa.history()] == [record.id]
    corruptions.execute(record.folder, "DELETE FROM records")
    (bad,) = qa.history().damaged
    assert (bad.address, bad.collection) == ("", "")
    qa.abandon(record.id)
    articles(stores, "ill").plan("none").apply(yes=True)
    assert '"qdrant+http://ill:1"' in name.read_text(encoding="utf-8")


def test_a_record_of_a_newer_qadapt_blocks_only_its_collection(stores: Stores) -> None:
    folder = journal.find(applied(stores)).folder
    plan = journal.find(folder.name).plan.to_dict()
    corruptions.put(folder, "value", "qadapt", "9.2.0")
    for kind, key, newer in (
        ("value", "plan", {**plan, "sharding": {}}),
        ("event", "0", {"at": "2030-01-01T00:00:00+00:00", "event": "optimized"}),
        ("value", "format", 3),
    ):
        corruptions.put(folder, kind, key, newer)
        (bad,) = qa.history().damaged
        assert "written by qadapt 9.2.0" in bad.problem
        assert f"this is qadapt {qa.__version__}" in bad.problem
        assert "pip install --upgrade qadapt-vectors" in bad.hint
        assert f"qadapt history --abandon {bad.id}" in bad.hint
        assert articles(stores, "well").plan("binary").apply(yes=True).state == "applied"
        articles(stores, "well").plan("none").apply(yes=True)
        with pytest.raises(IntegrityError, match=r"written by qadapt 9\.2\.0"):
            articles(stores, "ill").plan("binary")
    assert "in format 3" in bad.problem


def test_a_folder_of_changes_that_is_a_file(state_folder: Path, stores: Stores) -> None:
    (state_folder / "changes").write_text("")
    with pytest.raises(StorageError, match=r"a folder is needed.*changes"):
        qa.history()


# -- abandon -------------------------------------------------------------------------------------


def test_an_irreversible_step_blocks_only_its_collection_and_can_be_abandoned(
    stores: Stores,
) -> None:
    change = failed(stores)
    assert articles(stores, "well").plan("binary").apply(yes=True).state == "applied"
    with pytest.raises(QadaptError) as caught:
        articles(stores, "ill").plan("scalar").apply(yes=True)
    assert f"qadapt history --abandon {change}" in str(caught.value)

    done = qa.abandon(change[:20])
    assert done.id == change
    assert done.left == (
        "between none and binary:rescore=2: set it (started); "
        "set default search parameters: rescore x2 by originals (not started)"
    )
    assert done.next == "qadapt inspect qdrant+http://ill:1 articles"
    assert (Path(done.path) / NAME).exists(), "nothing is deleted"
    note = Path(done.path).parent / "abandoned.json"
    assert type(done).from_json(note.read_text(encoding="utf-8")) == done
    assert [each.id for each in qa.history()] != [change]
    with pytest.raises(NotFoundError, match=change):
        qa.undo(change)
    assert articles(stores, "ill").plan("scalar").apply(yes=True).state == "applied"


def test_a_running_change_cannot_be_abandoned(stores: Stores) -> None:
    plan = articles(stores, "ill").plan("scalar")
    told: list[str] = []

    def meanwhile(_: Any) -> None:
        with pytest.raises(qa.errors.BusyError, match="is being changed by this process"):
            qa.abandon(plan.id)
        told.append("refused")

    assert plan.apply(yes=True, progress=meanwhile).state == "applied"
    assert told


def test_one_id_may_be_abandoned_twice(stores: Stores) -> None:
    plan = articles(stores, "ill").plan("scalar")
    places = []
    for _ in range(2):
        stores["ill"].quantization = qa.none()
        places.append(qa.abandon(plan.apply(yes=True).id).path)
    assert len(set(places)) == 2
    assert all(Path(place).is_dir() for place in places)


def test_an_interrupted_abandon_is_repeated(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = failed(stores)
    with monkeypatch.context() as patch:
        patch.setattr("qadapt.planning.abandoned_records.os.rename", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            qa.abandon(change)
    assert qa.history()[0].state == "failed"
    assert Path(qa.abandon(change).path).parent.name == change


def _cut_off(*_: Any) -> None:
    raise KeyboardInterrupt


def test_dropping_a_collection_abandons_its_damaged_records(
    stores: Stores, state_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = journal.find(applied(stores)).folder
    (folder / NAME).write_text("{")
    store = stores["ill"]
    monkeypatch.setattr(store, "drop", lambda _: None)
    qa.api.Database(store).drop("articles")
    assert not qa.history().damaged
    assert (state_folder / "abandoned" / folder.name / "record" / NAME).exists()


# -- order ---------------------------------------------------------------------------------------


def test_the_order_of_changes_does_not_depend_on_the_clock(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change is begun an hour before the one that was begun before it."""
    hours = iter(range(20, 0, -1))
    moment = {"at": "2026-01-01T23:00:00.000+00:00"}
    for module in ("change_record", "planner"):
        monkeypatch.setattr(f"qadapt.planning.{module}.utc_now", lambda: moment["at"])
    monkeypatch.setattr(journal, "new_id", lambda: f"20260101T{moment['at'][11:13]}-x")
    made = []
    for quantization in ("binary", "scalar", "product"):
        moment["at"] = f"2026-01-01T{next(hours):02}:00:00.000+00:00"
        now = str(stores["ill"].quantization)
        stores["ill"].reverse = {"op": "fake.set", "to": now}
        made.append(articles(stores, "ill").plan(quantization).apply(yes=True).id)
    assert [each.id for each in qa.history()] == made[::-1]
    with pytest.raises(QadaptError, match=made[2]):
        qa.undo(made[0])
    assert [qa.undo().id for _ in made] == made[::-1]
    assert stores["ill"].quantization == qa.none()


def test_two_spellings_of_a_server_share_their_history(fake_at: Callable[..., Any]) -> None:
    one, other = fake_at("qdrant+http://127.0.0.1:6333/"), fake_at("qdrant+grpc://LOCALHOST")
    Collection(one, "articles").plan("binary").apply(yes=True)
    change = Change(qa.history()[0].outcome, other)
    other.quantization = one.quantization
    assert change.undo().state == "undone"
    left = Collection(other, "articles").plan("scalar")
    other.failing = {"fake.set": StoreError("refused")}
    with pytest.raises(QadaptError):
        left.apply(yes=True)
    found = journal.pending("qdrant+http://[::1]:6333", "articles")
    assert found is not None
    assert found.id == left.id
