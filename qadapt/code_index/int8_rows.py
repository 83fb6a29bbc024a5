"""int8 codes in memory-mapped files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qadapt.code_index.segment_file import SegmentFile, SegmentWriter, raw

Codes = npt.NDArray[np.int8]

_KIND = "int8"


class _Part:
    """Codes of a saved segment, or of the growing file, whose pages need no verification."""

    def __init__(self, codes: Codes, file: SegmentFile | None) -> None:
        self.codes = codes
        self._file = file

    def verified(self, rows: npt.NDArray[np.int64]) -> Codes:
        """Copy of rows, after their pages were verified."""
        if self._file is not None:
            self._file.verify(_KIND, self.codes.shape[1], rows)
        return self.codes.take(rows, axis=0)

    def block(self, start: int, stop: int) -> Codes:
        """View of consecutive rows, after their pages were verified."""
        stop = min(stop, len(self.codes))
        if self._file is not None:
            self._file.verify(_KIND, self.codes.shape[1], range(start, stop))
        return np.asarray(self.codes[start:stop])


class Int8Rows:
    """int8 rows (n, dim) in several memory-mapped files; the last one may be growing.

    Rows of a saved file are verified before they are used for the first time.

    Args:
        dim: bytes per row.
    """

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._parts: list[_Part] = []
        self._growing: SegmentWriter | None = None
        self._grown = 0  # rows in the growing file
        self._view: Codes | None = None  # map of the growing file; None if it has grown since

    def __len__(self) -> int:
        return sum(len(part.codes) for part in self._parts) + self._grown

    @property
    def grown_bytes(self) -> int:
        """Size in bytes of the rows that are not saved yet."""
        return self._grown * self._dim

    def attach(self, file: SegmentFile) -> None:
        """Use the codes of a saved segment as the next rows."""
        self._parts.append(self._part(file))

    def _part(self, file: SegmentFile) -> _Part:
        return _Part(file.matrix(_KIND, self._dim).view(np.int8), file)

    @property
    def growing(self) -> SegmentWriter | None:
        """Unsaved file, whose first section are the rows that were appended."""
        return self._growing

    def begin(self, path: Path) -> None:
        """Create the file that :meth:`append` writes to."""
        self._growing = SegmentWriter(path)

    def append(self, codes: Codes) -> None:
        """Append rows, int8 (n, dim), to the growing file.

        Raises:
            OSError: the disk is full or unavailable; :meth:`rewind` repairs the file.
        """
        assert self._growing is not None
        if len(codes):
            self._growing.write(raw(codes))
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

    def settle(self, parts: int, file: SegmentFile | None) -> None:
        """Replace rows that were written to a segment.

        Args:
            parts: number of segments to keep; the rows of all others, and of the growing file,
                are in ``file``.
            file: new segment, or None if it is empty.
        """
        if self._growing is not None:
            self._growing.close()
        self._growing, self._grown, self._view = None, 0, None
        del self._parts[parts:]
        if file is not None:
            self.attach(file)

    def replace(self, start: int, stop: int, file: SegmentFile | None) -> None:
        """Replace the segments from ``start`` to ``stop`` by one, or None if it is empty."""
        new = [] if file is None else [self._part(file)]
        self._parts[start:stop] = new

    def close(self) -> None:
        """Close all files; an unsaved one is deleted."""
        self._parts, self._view, self._grown = [], None, 0
        if self._growing is not None:
            self._growing.discard()
            self._growing = None

    def _all(self) -> list[_Part]:
        if self._growing is None or self._grown == 0:
            return self._parts
        if self._view is None:
            path, shape = self._growing.path, (self._grown, self._dim)
            self._view = np.memmap(path, dtype=np.int8, mode="r", shape=shape)
        return [*self._parts, _Part(self._view, None)]

    def blocks(self, rows: int, *, first: int = 0) -> Iterator[Codes]:
        """Iterate over rows from ``first`` in order, as views int8 (up to ``rows``, dim)."""
        skipped = first
        for part in self._all():
            for start in range(min(skipped, len(part.codes)), len(part.codes), rows):
                yield part.block(start, start + rows)
            skipped = max(0, skipped - len(part.codes))

    def take(self, rows: npt.NDArray[np.int64]) -> Codes:
        """The given rows (any shape) as int8 (\\*shape, dim), read in the given order."""
        flat, parts = rows.ravel(), self._all()
        if len(parts) == 1:
            return parts[0].verified(flat).reshape(*rows.shape, self._dim)
        found = np.empty((len(flat), self._dim), dtype=np.int8)
        first = 0
        for part in parts:
            here = np.flatnonzero((flat >= first) & (flat < first + len(part.codes)))
            if len(here):
                found[here] = part.verified(flat[here] - first)
            first += len(part.codes)
        return found.reshape(*rows.shape, self._dim)
