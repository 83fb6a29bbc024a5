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

import qadapt as qa
from qadapt.api import Change, Collection
from qadapt.errors import IntegrityError, NotFoundError, QadaptError, StoreError
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
    monkeypatch.setattr("os.fsync", lambda _: None)  # nothing is killed here, and much is written
    monkeypatch.setattr("qadapt.stores.polling.PAUSE", 0)
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


def damaged_files(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    for name in (journal.PLAN, journal.JOURNAL):
        for told, damage in corruptions.of_file(folder / name, len(name)):
            yield f"{name}: {told}", damage
    for told, damage in corruptions.of_json(folder / journal.PLAN):
        yield f"{journal.PLAN}: {told}", damage
    for told, damage in corruptions.of_lines(folder / journal.JOURNAL):
        yield f"{journal.JOURNAL}: {told}", damage
    yield "no files", lambda: [path.unlink() for path in folder.iterdir()] and None
    yield "a file", lambda: shutil.rmtree(folder) or folder.touch()
    yield "a dangling link", lambda: shutil.rmtree(folder) or folder.symlink_to("nowhere")
    yield "renamed", lambda: folder.rename(folder.with_name("other")) and None


@pytest.mark.parametrize("make", [applied, failed])
def test_damaged_records_raise_qadapt_errors(
    make: Callable[[Stores], str], stores: Stores, state_folder: Path, tmp_path: Path
) -> None:
    change = make(stores)
    store = stores["ill"]
    before = store.quantization
    good = tmp_path / "good"
    shutil.copytree(state_folder, good)
    folder = journal.changes_dir() / change
    tried = isolated = 0
    every = list(damaged_files(folder))
    for told, damage in random.Random(4).sample(every, 300) + every[-4:]:
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
    assert tried >= 300
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
        if bad.id != "other":  # a renamed folder is looked up by what its files tell
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


def _refused(change: str, work: Callable[[], Any]) -> None:
    with pytest.raises(IntegrityError) as caught:
        work()
    assert change in str(caught.value)


# -- what a damage may cost ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (journal.PLAN, b'"to": "scalar"', b'"to": "binary"'),
        (journal.JOURNAL, b'"step": 0', b'"step": 1'),
        (journal.JOURNAL, b'"applied"', b'"undone"'),
    ],
)
def test_a_change_that_still_parses_is_noticed(
    stores: Stores, name: str, old: bytes, new: bytes
) -> None:
    """What would be carried out or taken back is under a checksum."""
    path = journal.changes_dir() / applied(stores) / name
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    (bad,) = qa.history().damaged
    assert "modified" in bad.problem


def test_a_time_is_not_under_the_checksum(stores: Stores) -> None:
    path = journal.changes_dir() / applied(stores) / journal.JOURNAL
    path.write_bytes(path.read_bytes().replace(b'"at": "20', b'"at": "19'))
    assert not qa.history().damaged


def test_the_collection_is_known_when_both_files_are_gone(stores: Stores) -> None:
    folder = journal.changes_dir() / applied(stores)
    shutil.rmtree(folder)
    folder.write_bytes(b"\0\0")
    with pytest.raises(IntegrityError, match=folder.name):
        articles(stores, "ill").plan("none")
    articles(stores, "well").plan("binary")


def test_a_record_of_a_newer_qadapt_blocks_only_its_collection(stores: Stores) -> None:
    change = applied(stores)
    path = journal.changes_dir() / change / journal.PLAN
    text = path.read_text(encoding="utf-8")
    for newer in (
        text.replace('"format": 1', '"format": 2, "sharding": {}'),
        text.replace('"notes": [', '"sharding": {}, "notes": ['),
    ):
        path.write_text(newer.replace(f'"qadapt": "{qa.__version__}"', '"qadapt": "9.2.0"'))
        (bad,) = qa.history().damaged
        assert "written by qadapt 9.2.0" in bad.problem
        assert f"this is qadapt {qa.__version__}" in bad.problem
        assert "pip install --upgrade qadapt-vectors" in bad.hint
        assert articles(stores, "well").plan("binary").apply(yes=True).state == "applied"
        articles(stores, "well").plan("none").apply(yes=True)
        with pytest.raises(IntegrityError, match=r"written by qadapt 9\.2\.0"):
            articles(stores, "ill").plan("binary")


def test_a_journal_of_a_newer_format_is_named(stores: Stores) -> None:
    change = applied(stores)
    path = journal.changes_dir() / change / journal.JOURNAL
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"format": 1', '"format": 3').replace(qa.__version__, "9.9.1"),
        encoding="utf-8",
    )
    (bad,) = qa.history().damaged
    assert "written by qadapt 9.9.1 in format 3" in bad.problem


def test_a_folder_of_changes_that_is_a_file(state_folder: Path, stores: Stores) -> None:
    (state_folder / "changes").write_text("")
    with pytest.raises(IntegrityError, match="changes"):
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
    assert (Path(done.path) / journal.PLAN).exists(), "nothing is deleted"
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
    folder = journal.changes_dir() / applied(stores)
    (folder / journal.PLAN).write_text("{")
    store = stores["ill"]
    monkeypatch.setattr(store, "drop", lambda _: None)
    qa.api.Database(store).drop("articles")
    assert not qa.history().damaged
    assert (state_folder / "abandoned" / folder.name / "record" / journal.JOURNAL).exists()


# -- order ---------------------------------------------------------------------------------------


def test_the_order_of_changes_does_not_depend_on_the_clock(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change is begun an hour before the one that was begun before it."""
    hours = iter(range(20, 0, -1))
    moment = {"at": "2026-01-01T23:00:00.000+00:00"}
    monkeypatch.setattr(journal, "utc_now", lambda: moment["at"])
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
