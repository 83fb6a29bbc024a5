"""The engine: one SQLite file a collection, a column a vector, a column for its codes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.engines.exact import unit
from qadapt.errors import BusyError, IntegrityError, NotFoundError
from qadapt.stores.error_table import ErrorRule, translated

from qadapt_fifth.codes import Scale

ERRORS = (
    ErrorRule(sqlite3.OperationalError, BusyError, "locked", "try again"),
    ErrorRule(sqlite3.DatabaseError, IntegrityError, hint="restore the file from a backup"),
)
ROWS = 5_000  # encoded at once


@contextmanager
def opened(file: Path, doing: str) -> Iterator[sqlite3.Connection]:
    """A collection's file, in one transaction."""
    if not file.exists():
        known = sorted(each.stem for each in file.parent.glob("*.db"))
        raise NotFoundError.missing("collection", file.stem, known)
    with translated(ERRORS, f"{doing} {file.stem!r}"), closing(sqlite3.connect(file)) as db, db:
        yield db


def create(file: Path, vectors: list[dict[str, Any]]) -> None:
    """Make the file; ``vectors`` are its schema, in order."""
    columns = "".join(f", v{at} BLOB, c{at} BLOB" for at in range(len(vectors)))
    with translated(ERRORS, f"create {file.stem!r}"), closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE meta (vectors TEXT)")
        db.execute(f"CREATE TABLE rows (id PRIMARY KEY, payload TEXT{columns}) WITHOUT ROWID")
        db.execute("INSERT INTO meta VALUES (?)", [json.dumps(vectors)])


def schema(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Name, dim, metric, step of the codes (None without codes) and clipped rows of each vector."""
    found: list[dict[str, Any]] = json.loads(db.execute("SELECT vectors FROM meta").fetchone()[0])
    return found


def keep_schema(db: sqlite3.Connection, vectors: list[dict[str, Any]]) -> None:
    """Write the schema back."""
    db.execute("UPDATE meta SET vectors = ?", [json.dumps(vectors)])


def write(
    db: sqlite3.Connection,
    ids: Sequence[int | str],
    payloads: Sequence[str],
    arrays: dict[str, np.ndarray],
    missing: dict[str, np.ndarray],
) -> None:
    """Upsert rows, encoded where a vector has codes; a vector that is left out is empty."""
    vectors = schema(db)
    columns: list[Sequence[Any]] = [ids, payloads]
    for each in vectors:
        rows = arrays.get(each["name"])
        absent = missing.get(each["name"], np.zeros(len(ids), dtype=bool))
        if rows is None:
            columns += [[None] * len(ids)] * 2
            continue
        columns.append(blobs(rows, absent))
        if each["step"] is None:
            columns.append([None] * len(ids))
            continue
        columns.append(blobs(encoded(each, rows), absent))
    keep_schema(db, vectors)
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT OR REPLACE INTO rows VALUES ({marks})", zip(*columns, strict=True))


def encoded(vector: dict[str, Any], rows: np.ndarray) -> np.ndarray:
    """The codes of rows; clipped rows are counted in the schema."""
    scale, shown = Scale(vector["step"]), comparable(vector, rows)
    vector["clipped"] += scale.clipped(shown)
    return scale.encode(shown)


def comparable(vector: dict[str, Any], rows: np.ndarray) -> np.ndarray:
    """Rows as codes are made of them: of length 1 under cosine."""
    return unit(rows) if vector["metric"] == "cosine" else rows


def blobs(rows: np.ndarray, absent: np.ndarray) -> list[bytes | None]:
    """One blob a row, None where a row has none."""
    wide, flat = rows.shape[1] * rows.itemsize, np.ascontiguousarray(rows).tobytes()
    starts = range(0, len(flat), wide)
    return [None if gone else flat[at : at + wide] for at, gone in zip(starts, absent, strict=True)]


def array(cells: Sequence[bytes | None], dim: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Blobs as an array ``(n, dim)``, zeros where there is none, and where that is."""
    absent = np.asarray([cell is None for cell in cells], dtype=bool)
    empty = bytes(dim * np.dtype(dtype).itemsize)
    joined = b"".join(cell if cell is not None else empty for cell in cells)
    return np.frombuffer(joined, dtype=dtype).reshape(len(cells), dim), absent


def quantize(db: sqlite3.Connection, name: str, on: bool) -> None:
    """Give a vector int8 codes of all its rows, or none; twice is the same as once."""
    vectors = schema(db)
    at = next(at for at, each in enumerate(vectors) if each["name"] == name)
    vector = vectors[at]
    vector["step"], vector["clipped"] = None, 0
    db.execute(f"UPDATE rows SET c{at} = NULL")
    if on:
        most = 0.0
        for _, rows in _column(db, at, vector):
            most = max(most, Scale.of(rows).step)
        vector["step"] = most or 1.0
        for ids, rows in _column(db, at, vector):
            codes = blobs(Scale(vector["step"]).encode(rows), np.zeros(len(ids), dtype=bool))
            pairs = zip(codes, ids, strict=True)
            db.executemany(f"UPDATE rows SET c{at} = ? WHERE id = ?", pairs)
    keep_schema(db, vectors)


def _column(
    db: sqlite3.Connection, at: int, vector: dict[str, Any]
) -> Iterator[tuple[list[int | str], np.ndarray]]:
    """Ids and vectors in pages, rows without it left out."""
    text = f"SELECT id, v{at} FROM rows WHERE v{at} IS NOT NULL AND id > ? ORDER BY id LIMIT {ROWS}"
    after: int | str = -1
    while page := db.execute(text, [after]).fetchall():
        ids = [row[0] for row in page]
        yield ids, comparable(vector, array([row[1] for row in page], vector["dim"], np.float32)[0])
        after = ids[-1]
