"""First pass over a file: all rows are checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from qadapt.files.parquet_writer import Head
from qadapt.files.row_errors import RowErrors
from qadapt.migration.idset import IdSet, hash_ids
from qadapt.model import Batch, Id, Metric, Vector
from qadapt.stores.base import OnProgress, Progress

PAGE = 5_000  # rows per page


class Source(Protocol):
    """File to import.

    Attributes:
        path: the file.
        rows: number of rows.
        head: its metadata, or metadata derived from its columns.
    """

    path: Path
    rows: int
    head: Head

    def pages(self, page: int, row_errors: RowErrors, seen: IdSet | None = None) -> Iterator[Batch]:
        """Read the rows in pages; errors are collected."""

    def keys(self, page: int) -> Iterator[list[Id]]:
        """Read only the ids, in pages."""


class Zeros:
    """Rows with zero vectors, by vector; invalid for cosine."""

    def __init__(self) -> None:
        self._faults: dict[str, RowErrors] = {}

    def add(self, batch: Batch, start: int) -> None:
        """Check a page that begins with the row ``start``."""
        for name, array in batch.vectors.items():
            zero = ~array.any(axis=1)
            if name in batch.missing:
                zero &= ~batch.missing[name]
            if zero.any():
                label = f"vector {name!r}" if name else "the vector"
                row_errors = self._faults.setdefault(name, RowErrors())
                row_errors.add(
                    f"zero vectors under cosine in {label}", np.flatnonzero(zero) + start
                )

    def refuse(self, path: Path, vectors: Mapping[str, Vector]) -> None:
        """Reject zero vectors if the metric of the target is cosine.

        Raises:
            InputError
        """
        for name, row_errors in self._faults.items():
            if name in vectors and vectors[name].metric is Metric.COSINE:
                row_errors.refuse(path)


def file_state(file: Path) -> tuple[int, int]:
    """Signature that detects changes of a file."""
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def survey(source: Source, progress: OnProgress) -> Zeros:
    """Check a whole file.

    Raises:
        InputError: rows that cannot be imported, and null or duplicate ids, with row numbers.
        IntegrityError: the file is damaged.
    """
    row_errors, zeros, start = RowErrors(), Zeros(), 0
    with IdSet() as ids:
        for batch in source.pages(PAGE, row_errors, ids):
            if not row_errors:
                zeros.add(batch, start)
            start += len(batch)
            progress(Progress("reading the file", start, source.rows))
        twice = ids.duplicates()
    if twice:
        _name_twice(source, twice, row_errors)
    row_errors.refuse(source.path)
    return zeros


def _name_twice(source: Source, twice: set[int], row_errors: RowErrors) -> None:
    """Report rows with duplicate ids; hash collisions are excluded."""
    rows: dict[Id, list[int]] = {}
    start = 0
    for keys in source.keys(PAGE):
        for at, number in enumerate(hash_ids(keys).tolist()):
            if number in twice:
                rows.setdefault(keys[at], []).append(start + at)
        start += len(keys)
    wrong = {key: found for key, found in rows.items() if len(found) > 1}
    for key, found in list(wrong.items())[:3]:
        row_errors.add(f"duplicate id {key!r}", found)
    if len(wrong) > 3:
        others = sorted(row for found in list(wrong.values())[3:] for row in found)
        row_errors.add(f"{len(wrong) - 3:,} more duplicate ids", others)
