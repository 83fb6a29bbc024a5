"""int8 codes in memory-mapped files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from qadapt.index.storage import FileRecord, create_file

Codes = npt.NDArray[np.int8]


class _Growing:
    """Temporary file that rows are appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = create_file(path, buffering=0)
        self._sha = hashlib.sha256()
        self.size = 0
        self._mark = (0, self._sha.copy())

    def write(self, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += self._file.write(data[done:])
        self._sha.update(data)
        self.size += len(data)

    def mark(self) -> None:
        self._mark = (self.size, self._sha.copy())

    def rewind(self) -> None:
        """Truncate to the last mark."""
        self.size, self._sha = self._mark[0], self._mark[1].copy()
        self._file.truncate(self.size)
        self._file.seek(self.size)

    def record(self) -> FileRecord:
        """Fsync the file and describe it for the header."""
        os.fsync(self._file.fileno())
        return FileRecord(self.path.name, self.size, self._sha.hexdigest())

    def close(self) -> None:
        self._file.close()


class Int8Rows:
    """int8 rows (n, dim) in several memory-mapped files; the last one may be growing.

    Args:
        dim: bytes per row.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._parts: list[Codes] = []
        self._growing: _Growing | None = None
        self._grown = 0  # rows in the growing file
        self._view: Codes | None = None  # map of the growing file; None if it has grown since

    def __len__(self) -> int:
        return sum(map(len, self._parts)) + self._grown

    @property
    def grown_bytes(self) -> int:
        """Size in bytes of the rows that are not saved yet."""
        return self._grown * self._dim

    def attach(self, path: Path, rows: int) -> None:
        """Map a saved file as the next rows."""
        self._parts.append(self._mapped(path, rows))

    def _mapped(self, path: Path, rows: int) -> Codes:
        return np.memmap(path, dtype=np.int8, mode="r", shape=(rows, self._dim))

    @property
    def growing(self) -> bool:
        """Whether there is an unsaved file."""
        return self._growing is not None

    def begin(self, path: Path) -> None:
        """Create the file that :meth:`append` writes to."""
        self._growing = _Growing(path)

    def append(self, codes: Codes) -> None:
        """Append rows, int8 (n, dim), to the growing file.

        Raises:
            OSError: the disk is full or unavailable; :meth:`rewind` repairs the file.
        """
        assert self._growing is not None
        if len(codes):
            self._growing.write(np.ascontiguousarray(codes).data.cast("B"))
            self._grown += len(codes)
            self._view = None

    def mark(self) -> None:
        """Remember this state of the growing file."""
        assert self._growing is not None
        self._growing.mark()

    def rewind(self) -> None:
        """Truncate the growing file to the last :meth:`mark`."""
        assert self._growing is not None
        self._view = None
        self._growing.rewind()
        self._grown = self._growing.size // self._dim

    def record(self) -> FileRecord:
        """Flush the growing file to disk and describe it."""
        assert self._growing is not None
        return self._growing.record()

    def settle(self) -> None:
        """Treat the growing file as saved."""
        assert self._growing is not None
        self._growing.close()
        self.attach(self._growing.path, self._grown)
        self._growing, self._grown, self._view = None, 0, None

    def close(self) -> None:
        """Close all files; an unsaved one is deleted."""
        self._parts, self._view, self._grown = [], None, 0
        if self._growing is not None:
            self._growing.close()
            self._growing.path.unlink(missing_ok=True)
            self._growing = None

    def _all(self) -> list[Codes]:
        if self._growing is None or self._grown == 0:
            return self._parts
        if self._view is None:
            self._view = self._mapped(self._growing.path, self._grown)
        return [*self._parts, self._view]

    def blocks(self, rows: int) -> Iterator[Codes]:
        """Iterate over all rows in order, as views int8 (up to ``rows``, dim)."""
        for part in self._all():
            for start in range(0, len(part), rows):
                yield np.asarray(part[start : start + rows])

    def take(self, rows: npt.NDArray[np.int64]) -> Codes:
        """The given rows (any shape) as int8 (\\*shape, dim), read in disk order."""
        wanted, back = np.unique(rows.ravel(), return_inverse=True)
        found = np.empty((len(wanted), self._dim), dtype=np.int8)
        first = 0
        for part in self._all():
            low, high = np.searchsorted(wanted, [first, first + len(part)])
            found[low:high] = part[wanted[low:high] - first]
            first += len(part)
        return found[back].reshape(*rows.shape, self._dim)
