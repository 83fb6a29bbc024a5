"""Reproducible corruptions of the files of a state folder."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from qadapt.local.journal_file import NAME, _encoded

Damage = tuple[str, Callable[[], None]]

# Replacements of a value.
WRONG: tuple[Any, ...] = (
    None, True, -1, 10**30, 1e308, "", "x", [], {}, [None], {"a": {"b": [None]}}, "\ud800",
    "1970-99-99T99:99:99", float("nan"),
)  # fmt: skip
SQL_VALUES = ("'x'", "NULL", "-1", "x'00ff'", "1e300", "'{'")
NESTED = b'{"a":' * 30_000


def of_file(path: Path, seed: int = 0) -> Iterator[Damage]:
    """Corruptions of any file; each is applied to the intact file."""
    rng = random.Random(seed)
    good = path.read_bytes()

    def put(content: bytes) -> Callable[[], None]:
        return lambda: _write(path, content)

    yield "gone", path.unlink
    yield "empty", put(b"")
    yield "a folder", lambda: _as_folder(path)
    yield "binary", put(bytes(rng.randrange(256) for _ in range(300)))
    yield "zeros", put(b"\0" * len(good))
    yield "nested", put(NESTED + b"\n")
    for text in (b"null", b"[]", b"0", b'""', b"{}", b"1e999", b"9" * 5000, b"\xff\xfe"):
        yield f"holds {text[:10]!r}", put(text + b"\n")
    for _ in range(12):
        end = rng.randrange(len(good))
        yield f"cut at {end}", put(good[:end])
    for _ in range(25):
        at, bit = rng.randrange(len(good)), 1 << rng.randrange(8)
        yield f"bit {bit} of byte {at}", put(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
    for _ in range(6):
        at = rng.randrange(len(good))
        yield f"a byte more at {at}", put(good[:at] + b"}" + good[at:])


def of_json(path: Path, seed: int = 0) -> Iterator[Damage]:
    """Missing keys, values of other types, and unknown keys in a JSON document."""
    document = json.loads(path.read_bytes())
    for name, changed in _changed(document, seed):
        text = json.dumps(changed).encode()
        yield name, lambda text=text: _write(path, text)  # type: ignore[misc]


def of_journal(folder: Path, seed: int = 0) -> Iterator[Damage]:
    """Damages of the records in a journal file, with and without their checksums."""
    for (kind, key), value in _records(folder).items():
        label = f"{kind} {key}"
        place = f"kind = '{kind}' AND key = '{key}'"
        for column in ("kind", "key", "value", "sum"):
            for wrong in SQL_VALUES:
                yield (
                    f"{label}: {column} is {wrong}",
                    _executing(
                        folder, f"UPDATE OR REPLACE records SET {column} = {wrong} WHERE {place}"
                    ),
                )
        yield f"{label} lost", _executing(folder, f"DELETE FROM records WHERE {place}")
        for wrong in WRONG:
            yield f"{label} is {wrong!r:.30}", _putting(folder, kind, key, wrong)
        for name, changed in _changed(value, seed, few=kind == "event"):
            yield f"{label}: {name}", _putting(folder, kind, key, changed)
    for column in ("kind", "key", "value", "sum"):
        yield f"no column {column}", _executing(folder, f"ALTER TABLE records DROP {column}")
    for statement in (
        "DELETE FROM records",
        "DROP TABLE records",
        "ALTER TABLE records RENAME TO others",
        "DELETE FROM records WHERE kind = 'event'",
        "DELETE FROM records WHERE kind = 'value'",
        "DELETE FROM records WHERE kind = 'count'",
        "UPDATE records SET key = CAST(1 - key AS TEXT) WHERE kind = 'event' AND key < '2'",
    ):
        yield statement, _executing(folder, statement)


def execute(folder: Path, statement: str) -> None:
    """Run a statement on a journal file; one that a constraint refuses is left out."""
    with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        with suppress(sqlite3.Error):
            db.execute(statement)


def put(folder: Path, kind: str, key: str, value: Any) -> None:
    """Write a record with a valid checksum, as another version of qadapt could."""
    statement = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)"
    with closing(sqlite3.connect(folder / NAME, isolation_level=None)) as db:
        db.execute(statement, _encoded(kind, key, value))


def _executing(folder: Path, statement: str) -> Callable[[], None]:
    return lambda: execute(folder, statement)


def _putting(folder: Path, kind: str, key: str, value: Any) -> Callable[[], None]:
    return lambda: put(folder, kind, key, value)


def _records(folder: Path) -> dict[tuple[str, str], Any]:
    with closing(sqlite3.connect(folder / NAME)) as db:
        rows = db.execute("SELECT kind, key, value FROM records").fetchall()
    return {(kind, key): json.loads(text) for kind, key, text in rows}


def _changed(document: Any, seed: int, *, few: bool = False) -> Iterator[tuple[str, Any]]:
    rng = random.Random(seed)
    for place in list(_places(document)):
        label = ".".join(map(str, place))
        if not few or rng.random() < 0.5:
            yield f"{label} gone", _with(document, place, None, gone=True)
        for value in rng.sample(WRONG, 1 if few else 2):
            yield f"{label} is {value!r:.30}", _with(document, place, value)
    if isinstance(document, dict):
        yield "a key nobody knows", {**document, "new": 1}
        yield "a newer format", {**document, "format": 99, "qadapt": "99.1"}


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*at, key)
        yield from _places(inner, (*at, key))


def _with(document: Any, place: tuple[Any, ...], value: Any, *, gone: bool = False) -> Any:
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    if gone:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
