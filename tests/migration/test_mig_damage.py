"""A damaged journal of a migration: an error that names it, and no other migration is barred."""

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
from qadapt.migration.journal import Journal
from qadapt.model import Batch

VALUES = ("'x'", "NULL", "-1", "x'00ff'", "1e300", "'{'", "'[1,[2]]'", "'\"2026-99-99\"'")
PLACES = (
    ("meta", "value"), ("meta", "sum"), ("parts", "part"), ("parts", "after"), ("parts", "rows"),
    ("parts", "bytes"), ("parts", "done"), ("parts", "no"), ("left_out", "id"), ("left_out", "why"),
)  # fmt: skip


def _damages(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    rng = random.Random(1)
    good = path.read_bytes()
    for table, column in PLACES:
        for value in VALUES:
            yield (
                f"{table}.{column} is {value}",
                lambda t=table, c=column, v=value: _set(
                    path, f"UPDATE OR REPLACE {t} SET {c} = {v}"
                ),
            )
        yield f"no {column}", lambda t=table, c=column: _set(path, f"ALTER TABLE {t} DROP {c}")
    yield "no rows of meta", lambda: _set(path, "DELETE FROM meta")
    yield "no parts", lambda: _set(path, "DELETE FROM parts")
    for content in (b"", b"x" * 5000, b"\0" * 8192, good[: len(good) // 2], good[:100]):
        yield f"{len(content)} bytes", lambda c=content: path.write_bytes(c)
    for _ in range(60):
        at = rng.randrange(len(good))
        yield (
            f"byte {at}",
            lambda a=at: path.write_bytes(good[:a] + bytes([good[a] ^ 255]) + good[a + 1 :]),
        )
    yield "a folder", lambda: path.unlink() or path.mkdir()
    yield "no folder", lambda: shutil.rmtree(path.parent) or path.parent.write_text("")


def _set(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            db.execute(statement)
        except sqlite3.Error:
            return  # the table refuses that by itself


def _made(folder: Path) -> Path:
    """A journal with parts, left out rows and notes, closed."""
    journal = Journal(folder)
    journal.begin([{"from": 1}, {"from": 5}], plan={"a": [1, None]}, made=True, load={})
    journal.acknowledge(0, 3, 10, 400, {"bad": "why", 7: "why"}, within="eu")
    journal.close()
    return journal.path


def test_no_damage_of_a_journal_is_a_bare_error(tmp_path: Path) -> None:
    path = _made(tmp_path / "journal")
    spare = tmp_path / "spare"
    shutil.copytree(path.parent, spare)
    tried = noticed = 0
    for told, damage in list(_damages(path)):
        if path.parent.is_dir():
            shutil.rmtree(path.parent)
        else:
            path.parent.unlink()
        shutil.copytree(spare, path.parent)
        damage()
        tried += 1
        try:
            journal = Journal(path.parent)
            try:
                for key in ("plan", "made", "load", "nothing"):
                    journal.get(key)
                journal.left_out()
                for each in journal.stands():
                    journal.acknowledge(journal.stand(each.no).no, 9, 1, 1)
                journal.stand(1)
                journal.put(made=True)
            finally:
                journal.close()
        except QadaptError as error:
            noticed += 1
            assert str(path) in str(error), told
            assert "rm -r" in str(error), told
        except Exception as error:
            raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error
    assert tried > 130
    assert noticed > 60


def test_a_journal_of_a_newer_qadapt(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin([{}])
    journal.put(format=2, qadapt="9.3")
    journal.close()
    with pytest.raises(IntegrityError, match=r"written by qadapt 9\.3 in format 2") as caught:
        Journal(tmp_path)
    assert "upgrade" in str(caught.value.hint)


def test_another_migration_is_not_barred(tmp_path: Path, state_folder: Path) -> None:
    pytest.importorskip("qdrant_edge")
    with qa.open(f"edge:{tmp_path / 'a'}") as db, qa.open(f"edge:{tmp_path / 'b'}") as other:
        for name in ("docs", "books"):
            db.create(name, dim=4).write(Batch([1, 2], {"": [[1, 2, 3, 4], [4, 3, 2, 1]]}))
        qa.migrate((db, "docs"), (other, "docs"), probe=False, check="off")
        (folder,) = (state_folder / "migrations").iterdir()
        with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as file:
            file.execute("UPDATE meta SET value = '{' WHERE key = 'plan'")
        with pytest.raises(IntegrityError, match="journal"):
            qa.migrate((db, "docs"), (other, "docs"), probe=False, check="off")
        done = qa.migrate((db, "books"), (other, "books"), probe=False, check="off")
        assert done.state == "done"
