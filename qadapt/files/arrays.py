"""Import and export of ``.npy`` and ``.fvecs`` files, which contain one vector per row.

Ids are stored in ``FILE.ids``, one JSON value per line; without that file, ids are row numbers.
Payloads are not stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.files.parquet_reader import apart
from qadapt.files.parquet_writer import Head
from qadapt.files.row_errors import RowErrors
from qadapt.migration.idset import IdSet
from qadapt.model import Batch, Id, Vector
from qadapt.model.embedding_kinds import PACKED, decoded, unclear_bytes
from qadapt.model.npy import open_npy

Floats = npt.NDArray[np.float32]

_BFLOAT16 = np.dtype("V2")  # numpy.load of an array of ml_dtypes
_FVECS = "restore it from its source; each row has its dimensions as int32, then float32 values"


def ids_of(path: Path) -> Path:
    """Path of the ids of a file."""
    return path.with_name(path.name + ".ids")


class Writer:
    """Writer of vectors and of the ids file; a context manager.

    Args:
        rows: number of rows, which the header of a ``.npy`` contains.
        fvecs: write the number of dimensions as int32 before each row, as in ANN benchmarks.
    """

    def __init__(self, path: Path, ids: Path, rows: int, dim: int, *, fvecs: bool) -> None:
        self._fvecs, self._dim, self._rows, self._seen = fvecs, dim, rows, 0
        self._file: BinaryIO = path.open("wb")
        self._ids = ids.open("w", encoding="utf-8")
        if not fvecs:
            head = {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
            np.lib.format.write_array_header_1_0(self._file, head)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        self._ids.close()
        if kind is None and not self._fvecs and self._seen != self._rows:
            raise InputError(
                f"{self._rows:,} rows were expected, but {self._seen:,} were read",
                hint="rows were written during the export: stop the writers, or export to Parquet",
            )

    def write(self, keys: Sequence[Id], rows: Floats) -> None:
        """Add rows."""
        block = np.ascontiguousarray(rows, dtype="<f4")
        if self._fvecs:
            heads = np.full((len(block), 1), self._dim, dtype="<i4").view("<f4")
            block = np.hstack([heads, block])
        self._file.write(block.tobytes())
        self._ids.writelines(json.dumps(key, ensure_ascii=False) + "\n" for key in keys)
        self._seen += len(rows)


def open_rows(path: Path, kind: str | None = None) -> npt.NDArray[Any]:
    """Map the rows of a file into memory: numbers ``(n, width)``.

    Args:
        kind: form of the vectors, see ``EmbeddingKind``; None for floats.

    Raises:
        InputError: the file does not exist, does not contain numbers, or contains integers that may
            be codes and no kind is given.
    """
    try:
        if path.suffix == ".fvecs":
            return _fvecs(path)
        array = open_npy(path)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"cannot read {path}: {error}",
            hint="check that the file exists and can be read",
        ) from error
    if array.dtype == _BFLOAT16 and array.ndim == 2:
        if kind in (None, "bfloat16"):
            return array.view(np.uint16)
        kind = None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{path} must hold numbers (n, d); it has {array.dtype} {array.shape}",
            hint="numpy.save(path, array) with numbers of the shape (n, d)",
        )
    if kind is None and array.dtype.itemsize == 1:
        what = f"{path} has {array.dtype} {array.shape}"
        raise unclear_bytes(what, str(array.dtype), array.shape[1])
    return array


def _is_bfloat16(path: Path) -> bool:
    return path.suffix == ".npy" and open_npy(path).dtype == _BFLOAT16


def _fvecs(path: Path) -> Floats:
    if not path.stat().st_size:
        raise InputError(
            f"{path} has no rows, and a .fvecs file without rows has no dimension",
            hint="use .parquet or .npy for an empty collection",
        )
    raw = np.memmap(path, dtype="<i4", mode="r")
    dim = int(raw[0]) if len(raw) else 0
    if dim < 1 or len(raw) % (dim + 1):
        raise InputError(
            f"{path} is not a .fvecs file: {len(raw) * 4:,} bytes with rows of {dim}",
            hint=_FVECS,
        )
    table = raw.reshape(-1, dim + 1)
    if not (table[:, 0] == dim).all():
        raise InputError(
            f"{path} is not a .fvecs file: its rows have different dimensions",
            hint=_FVECS,
        )
    return table[:, 1:].view("<f4")


class Arrays:
    """``.npy`` or ``.fvecs`` file to import, with its ids file.

    Args:
        path: the file.
        kind: form of the vectors, see ``EmbeddingKind``; None for floats.

    Raises:
        InputError: the file or its ids file cannot be read, or needs a kind.
    """

    def __init__(self, path: Path, kind: str | None = None) -> None:
        self.path = path
        self._rows = open_rows(path, kind)
        self._kind = "bfloat16" if kind is None and _is_bfloat16(path) else kind
        self.rows = len(self._rows)
        if not self._rows.shape[1]:
            raise InputError(
                f"{path} has vectors without dimensions: {self._rows.shape}",
                hint="numpy.save(path, array) with an array of the shape (n, d), d at least 1",
            )
        width = int(self._rows.shape[1])
        packed = self._kind in PACKED
        vector = Vector(8 * width, datatype="bit") if packed else Vector(width)
        self.head = Head(path.stem, {"": vector}, "json")
        self._ids = ids_of(path)

    def pages(self, page: int, row_errors: RowErrors, seen: IdSet | None = None) -> Iterator[Batch]:
        """Read the rows in pages; see ``reading.Parquet.pages``."""
        start = 0
        for keys in self.keys(page, row_errors):
            raw = self._rows[start : start + len(keys)]
            with np.errstate(over="ignore"):
                floats = (
                    np.asarray(raw, dtype=np.float32)
                    if self._kind is None
                    else decoded(raw, self._kind, what=f"rows of {self.path}")
                )
            wrong = ~np.isfinite(floats).all(axis=1)
            row_errors.add("NaN, infinity or numbers beyond float32", np.flatnonzero(wrong) + start)
            start += len(keys)
            if seen is not None:
                seen.add(keys)
                keys = apart(keys)
            yield Batch(keys, {"": floats})

    def keys(self, page: int, row_errors: RowErrors | None = None) -> Iterator[list[Id]]:
        """Read only the ids, in pages: from the ids file, or row numbers."""
        if not self._ids.exists():
            for start in range(0, self.rows, page):
                yield list(range(start, min(start + page, self.rows)))
            return
        noted = RowErrors() if row_errors is None else row_errors
        try:
            with self._ids.open(encoding="utf-8") as lines:
                for start in range(0, self.rows, page):
                    yield self._listed(lines, range(start, min(start + page, self.rows)), noted)
                if lines.readline():
                    raise InputError(
                        f"{self._ids} has more ids than {self.path.name} has rows ({self.rows:,})",
                        hint="delete it to number the rows",
                    )
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"cannot read {self._ids}: {error}",
                hint="check that the file exists and can be read",
            ) from error

    def _listed(self, lines: TextIO, rows: range, row_errors: RowErrors) -> list[Id]:
        found: list[Id] = []
        for row in rows:
            line = lines.readline()
            if not line:
                raise InputError(
                    f"{self._ids} has {row:,} ids, but {self.path.name} has {self.rows:,} rows",
                    hint="delete it to number the rows",
                )
            try:
                key = json.loads(line)
            except (ValueError, RecursionError):
                key = None
            if type(key) is not int and type(key) is not str:
                row_errors.add(
                    f"invalid id (not a JSON number or string) in {self._ids.name}", [row]
                )
                key = row
            found.append(key)
        return found
