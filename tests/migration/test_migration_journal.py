"""The journal of a migration: contents after a crash, and errors for damaged or newer files."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import qadapt as qa
from qadapt.errors import IntegrityError, QadaptError
from qadapt.local.journal_file import _encoded
from qadapt.migration.journal import Journal
from qadapt.model import Batch


def test_another_process_reads_what_was_acknowledged(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin([{"from": 1}, {"from": 5}], plan={"a": [1, None]})
    journal.acknowledge(0, 3, 10, 400, {"bad": "why"})
    journal.acknowledge(0, "x", 5, 200)
    journal.finish(1)
    # Not closed, as after a crash.
    again = Journal(tmp_path)
    first, second = again.ranges()
    assert (first.after, first.rows, first.bytes, first.done) == ("x", 15, 600, False)
    assert (second.after, second.rows, second.done) == (None, 0, True)
    assert again.skipped() == {(None, "bad"): "why"}
    assert again.get("plan") == {"a": [1, None]}
    assert again.get("nothing", 7) == 7
    assert (again.rows(), again.all_done()) == (15, False)
    again.close()
    journal.close()


def test_64_bit_ids_are_exact(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin([{}])
    journal.acknowledge(0, 2**64 - 1, 1, 1)
    assert journal.range_progress(0).after == 2**64 - 1
    journal.close()


def test_a_file_that_is_no_database_is_reported_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(IntegrityError, match="cannot be read") as caught:
        Journal(tmp_path)
    assert f"rm -r {tmp_path}" in str(caught.value)


# -- damage --------------------------------------------------------------------------------------

VALUES = ("'x'", "NULL", "-1", "x'00ff'", "1e300", "'{'", "'[1,[2]]'", "'\"2026-99-99\"'")
VALID = "with a checksum"
COLUMNS = ("kind", "key", "value", "sum")
WRONG: tuple[object, ...] = (None, -1, 1e300, "x", [], {}, [1, [2]], {"rows": -1}, "2026-99-99")


def _damages(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    rng = random.Random(1)
    good = path.read_bytes()
    for kind, key in _records(path):
        place = f"kind = '{kind}' AND key = '{key}'"
        for column, value in ((each, value) for each in COLUMNS for value in VALUES):
            yield (
                f"{kind} {key}: {column} is {value}",
                lambda c=column, v=value, p=place: _execute(
                    path, f"UPDATE OR REPLACE records SET {c} = {v} WHERE {p}"
                ),
            )
        yield (
            f"{kind} {key} is lost",
            lambda p=place: _execute(path, f"DELETE FROM records WHERE {p}"),
        )
        for wrong in WRONG:
            yield (
                f"{VALID}: {kind} {key} is {wrong}",
                lambda k=kind, n=key, w=wrong: _put(path, k, n, w),
            )
    for column in COLUMNS:
        yield (
            f"{column} is dropped",
            lambda c=column: _execute(path, f"ALTER TABLE records DROP {c}"),
        )
    for kind in ("value", "scan range", "skipped row", "count"):
        yield (
            f"no {kind}",
            lambda k=kind: _execute(path, f"DELETE FROM records WHERE kind = '{k}'"),
        )
    for content in (b"x" * 5000, b"\0" * 8192, good[: len(good) // 2], good[:100]):
        yield f"{len(content)} bytes", lambda c=content: path.write_bytes(c)
    for _ in range(100):
        at = rng.randrange(len(good))
        yield (
            f"byte {at} is inverted",
            lambda a=at: path.write_bytes(good[:a] + bytes([good[a] ^ 255]) + good[a + 1 :]),
        )
    yield "a folder instead of the file", lambda: path.unlink() or path.mkdir()
    yield (
        "a file instead of the folder",
        lambda: shutil.rmtree(path.parent) or path.parent.write_text(""),
    )


def _records(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT kind, key FROM records").fetchall()


def _put(path: Path, kind: str, key: str, value: object) -> None:
    """Write a record with a valid checksum, as another version of qadapt could."""
    statement = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement, _encoded(kind, key, value))


def _execute(path: Path, statement: str) -> str:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            db.execute(statement)
        except sqlite3.Error:
            return "refused"  # by a constraint of the table
    return "done"


def _sample_journal(folder: Path) -> Path:
    """A closed journal with scan ranges, skipped rows and values."""
    journal = Journal(folder)
    journal.begin([{"from": 1}, {"from": 5}], plan={"a": [1, None]}, created=True, bulk_load={})
    journal.acknowledge(0, 3, 10, 400, {"bad": "why", 7: "why"}, partition="eu")
    journal.close()
    return journal.path


def test_every_damage_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qadapt.local.journal_file._SYNCHRONOUS", "OFF")
    path = _sample_journal(tmp_path / "journal")
    spare = tmp_path / "spare"
    shutil.copytree(path.parent, spare)
    tried = detected = 0
    for label, damage in list(_damages(path)):
        if path.parent.is_dir():
            shutil.rmtree(path.parent)
        else:
            path.parent.unlink()
        shutil.copytree(spare, path.parent)
        if damage() == "refused":
            continue
        tried += 1
        try:
            journal = Journal(path.parent)
            try:
                for key in ("plan", "created", "bulk_load", "nothing"):
                    journal.get(key)
                journal.skipped()
                for each in journal.ranges():
                    journal.acknowledge(journal.range_progress(each.number).number, 9, 1, 1)
                journal.range_progress(1)
                journal.put(created=True)
            finally:
                journal.close()
        except QadaptError as error:
            detected += 1
            assert str(path.parent) in str(error), label
            assert "rm -r" in str(error) or "upgrade" in str(error), label
        except Exception as error:
            raise AssertionError(f"{label}: {type(error).__name__}: {error}") from error
        else:
            # A byte may be in an unused part of the file.
            assert label.startswith(("byte", VALID)), label
    assert tried > 450
    assert detected > 350
    print(f"{tried} damages, {detected} detected")


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin([{}])
    journal.put(format=3, qadapt="9.3")
    journal.close()
    with pytest.raises(IntegrityError, match=r"written by qadapt 9\.3 in format 3") as caught:
        Journal(tmp_path)
    assert "upgrade" in str(caught.value.hint)


def test_a_journal_of_an_earlier_development_version_is_refused(tmp_path: Path) -> None:
    _execute(tmp_path / "journal.sqlite", "CREATE TABLE meta (key, value, sum)")
    with pytest.raises(IntegrityError, match="earlier development version") as caught:
        Journal(tmp_path)
    assert f"rm -r {tmp_path}" in str(caught.value.hint)


def test_a_damaged_journal_blocks_only_its_own_migration(
    tmp_path: Path, state_folder: Path
) -> None:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'a'}") as db, qa.open(f"edge:{tmp_path / 'b'}") as other:
        for name in ("docs", "books"):
            db.create(name, dim=4).write(Batch([1, 2], {"": [[1, 2, 3, 4], [4, 3, 2, 1]]}))
        qa.migrate((db, "docs"), (other, "docs"), trial_copy=False, check="off")
        (folder,) = (state_folder / "migrations").iterdir()
        with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as file:
            file.execute("UPDATE records SET value = '{' WHERE key = 'plan'")
        with pytest.raises(IntegrityError, match="journal"):
            qa.migrate((db, "docs"), (other, "docs"), trial_copy=False, check="off")
        done = qa.migrate((db, "books"), (other, "books"), trial_copy=False, check="off")
        assert done.state == "done"
