"""``.npy`` and ``.fvecs``: the floats of one vector, and nothing else.

Ids and payloads have no place in them: ids go beside, one JSON value a line, in ``FILE.ids``.
Without that file, ids are the numbers of the rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError
from qadapt.model import Batch, Id
from qadapt.model.npy import open_npy

_IDS = "the file of ids holds one JSON value a line, a line a row; delete it to number the rows"

Floats = npt.NDArray[np.float32]


def ids_of(path: Path) -> Path:
    """Where the ids of a file lie."""
    return path.with_name(path.name + ".ids")


class Writer:
    """Floats row by row, ids beside; a context manager.

    Args:
        rows: how many there will be, which the head of a ``.npy`` says first.
        fvecs: each row behind its dimensions as int32, as ANN benchmarks have it.
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
                f"{self._rows:,} rows were counted and {self._seen:,} read",
                hint="the collection is written to: export it as Parquet, or stop the writers",
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


def open_rows(path: Path) -> Floats:
    """The rows of a file, mapped and not read: float32 ``(n, d)``.

    Raises:
        InputError: no such file, or not of numbers.
    """
    try:
        if path.suffix == ".fvecs":
            return _fvecs(path)
        array = open_npy(path)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path}: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InputError(f"{path} must hold numbers (n, d); it has {array.dtype} {array.shape}")
    return array


def _fvecs(path: Path) -> Floats:
    raw = np.memmap(path, dtype="<i4", mode="r")
    dim = int(raw[0]) if len(raw) else 0
    if dim < 1 or len(raw) % (dim + 1):
        raise InputError(f"{path} is no .fvecs file: {len(raw) * 4:,} bytes in rows of {dim}")
    table = raw.reshape(-1, dim + 1)
    if not (table[:, 0] == dim).all():
        raise InputError(f"{path} is no .fvecs file: its rows have several dimensions")
    return table[:, 1:].view("<f4")


def pages(path: Path, page: int) -> Iterator[Batch]:
    """The rows of a file, in pages, with their ids."""
    rows = open_rows(path)
    beside = ids_of(path)
    if not beside.exists():
        for start in range(0, len(rows), page):
            stop = min(start + page, len(rows))
            yield Batch(range(start, stop), {"": np.asarray(rows[start:stop])})
        return
    with _opened_ids(beside) as lines:
        for start in range(0, len(rows), page):
            stop = min(start + page, len(rows))
            yield Batch(_next_ids(beside, lines, start, stop), {"": np.asarray(rows[start:stop])})
        if any(line.strip() for line in lines):
            raise InputError(
                f"{beside} has more ids than the {len(rows):,} rows of {path.name}",
                hint="it belongs to another file: put it right, or delete it to number the rows",
            )


def _opened_ids(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot read the ids {path}: {error.strerror or error}",
            hint=_IDS,
        ) from error


def _next_ids(path: Path, lines: TextIO, start: int, stop: int) -> list[Id]:
    """The ids of the rows from ``start`` up to ``stop``."""
    keys: list[Id] = []
    for row in range(start, stop):
        try:
            line = next(lines, None)
            if line is None:
                raise InputError(f"{path} ends after {row:,} ids, before the rows do", hint=_IDS)
            keys.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}, line {row + 1}: {error}", hint=_IDS) from error
    return keys
