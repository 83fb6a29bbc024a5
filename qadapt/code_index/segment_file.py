"""File of a segment: its rows, ids and delete marks, with a checksum for each page.

The sections follow one another: int8 codes, sign bits, ids, delete marks, then the CRC-32 of each
page of 8 KiB before. The header of the index has a digest of these checksums. A page is verified
when it is first read, so that opening a large index does not read it, and a damaged page is never
used.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from qadapt.code_index.storage import RESTORE, Segment, create_file
from qadapt.errors import IntegrityError

PAGE_BYTES = 8192
_DIGEST_BYTES = 16
_MARK_BYTES = 8
_LENGTH_BYTES = 4

Bytes = npt.NDArray[np.uint8]
Section = tuple[int, int]  # start and end in the file


def sections(segment: Segment, width: Mapping[str, int]) -> dict[str, Section]:
    """Start and end of each section of a segment.

    Args:
        segment: segment of the header.
        width: bytes per row of each kind of code.
    """
    sizes = {kind: segment.count * each for kind, each in width.items()}
    sizes |= {
        "lengths": segment.count * _LENGTH_BYTES if segment.id_kind == "text" else 0,
        "ids": segment.id_bytes,
        "marks": segment.marks * _MARK_BYTES,
    }
    found, start = {}, 0
    for kind, size in sizes.items():
        found[kind] = start, start + size
        start += size
    return found


def body_bytes(segment: Segment, width: Mapping[str, int]) -> int:
    """Bytes of all sections, without the checksums of the pages."""
    return max(end for _, end in sections(segment, width).values())


def file_bytes(segment: Segment, width: Mapping[str, int]) -> int:
    """Size of the file of a segment."""
    size = body_bytes(segment, width)
    return size + 4 * -(-size // PAGE_BYTES)


@dataclass(frozen=True)
class SumsState:
    """Bytes of a stream, and the checksum of its last page."""

    size: int
    last: int


class PageSums:
    """CRC-32 of the pages of a stream."""

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._size = 0

    def state(self) -> SumsState:
        """State to return to."""
        return SumsState(self._size, self._sums[-1] if self._sums else 0)

    def restore(self, state: SumsState) -> None:
        """Forget all bytes that were added after a state."""
        self._size = state.size
        del self._sums[-(-state.size // PAGE_BYTES) :]
        if self._sums:
            self._sums[-1] = state.last

    def update(self, data: memoryview) -> None:
        """Add bytes to the stream."""
        done = 0
        while done < len(data):
            room = PAGE_BYTES - self._size % PAGE_BYTES
            part = data[done : done + room]
            if room == PAGE_BYTES:
                self._sums.append(zlib.crc32(part))
            else:
                self._sums[-1] = zlib.crc32(part, self._sums[-1])
            self._size += len(part)
            done += len(part)

    def tobytes(self) -> bytes:
        """uint32, little-endian, one per page."""
        return np.array(self._sums, dtype="<u4").tobytes()


class SegmentWriter:
    """New file of a segment, to which sections are appended.

    Args:
        path: file; created or replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = create_file(path, buffering=0)
        self._sums = PageSums()
        self.size = 0
        self._mark = self._sums.state()

    def write(self, data: memoryview | bytes) -> None:
        """Append bytes.

        Raises:
            OSError: the disk is full or unavailable; :meth:`rewind` repairs the file.
        """
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += self._file.write(view[done:])
        self._sums.update(view)
        self.size += len(view)

    def mark(self) -> None:
        """Remember this state."""
        self._mark = self._sums.state()

    def rewind(self) -> None:
        """Truncate the file to the last :meth:`mark`."""
        self._sums.restore(self._mark)
        self.size = self._mark.size
        self._file.truncate(self.size)
        self._file.seek(self.size)

    def finish(self) -> str:
        """Append the checksums and fsync the file.

        Returns:
            Digest of the checksums, hexadecimal.
        """
        sums = self._sums.tobytes()
        done = 0
        while done < len(sums):
            done += self._file.write(sums[done:])
        os.fsync(self._file.fileno())
        return _digest(sums)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def discard(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _digest(sums: bytes) -> str:
    return hashlib.sha256(sums).digest()[:_DIGEST_BYTES].hex()


class SegmentFile:
    """Memory-mapped file of a saved segment.

    Args:
        path: file.
        segment: segment of the header.
        width: bytes per row of each kind of code.

    Raises:
        IntegrityError: missing, of another size, or with damaged checksums.
        FileNotFoundError: removed after its size was read.
    """

    def __init__(self, path: Path, segment: Segment, width: Mapping[str, int]) -> None:
        self.path = path
        self._sections = sections(segment, width)
        self._size = body_bytes(segment, width)
        wanted = file_bytes(segment, width)
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise IntegrityError(f"{path} is missing", hint=RESTORE) from error
        if size != wanted:
            raise IntegrityError(f"{path} has {size} bytes instead of {wanted}", hint=RESTORE)
        mapped = np.memmap(path, dtype=np.uint8, mode="r", shape=(size,))
        self._map: Bytes = mapped.view(np.ndarray)  # slices of a memmap take much longer
        sums = self._map[self._size :].tobytes()
        if _digest(sums) != segment.sums:
            raise self._damaged()
        self._sums = np.frombuffer(sums, dtype="<u4")
        self._verified = np.zeros(len(self._sums), dtype=np.bool_)

    def _damaged(self) -> IntegrityError:
        return IntegrityError(
            f"{self.path} is damaged: the checksum differs",
            hint=RESTORE,
        )

    def matrix(self, kind: str, width: int) -> Bytes:
        """Rows of a section, uint8 (n, width), not verified yet; see :meth:`verify`."""
        start, end = self._sections[kind]
        return self._map[start:end].reshape(-1, width)

    def read(self, kind: str) -> Bytes:
        """Verified bytes of a section."""
        start, end = self._sections[kind]
        self._verify_pages(np.arange(start // PAGE_BYTES, -(-end // PAGE_BYTES)))
        return self._map[start:end]

    def verify(self, kind: str, width: int, rows: npt.NDArray[np.int64] | range) -> None:
        """Verify the pages of rows of a section, unless they were verified before.

        Raises:
            IntegrityError: a page is damaged.
        """
        start = self._sections[kind][0]
        if isinstance(rows, range):
            if not rows:
                return
            first, last = start + rows[0] * width, start + (rows[-1] + 1) * width - 1
            self._verify_pages(np.arange(first // PAGE_BYTES, last // PAGE_BYTES + 1))
            return
        first_page = (start + rows * width) // PAGE_BYTES
        last_page = (start + (rows + 1) * width - 1) // PAGE_BYTES
        if width <= PAGE_BYTES:  # at most two pages
            known = self._verified
            if known[first_page].all() and known[last_page].all():
                return
        for step in range(int((last_page - first_page).max(initial=-1)) + 1):
            self._verify_pages(np.minimum(first_page + step, last_page))

    def verify_all(self) -> None:
        """Verify all pages again.

        Raises:
            IntegrityError: a page is damaged.
        """
        self._verified[:] = False
        self._verify_pages(np.arange(len(self._sums)))

    def _verify_pages(self, pages: npt.NDArray[np.int64]) -> None:
        new = pages[~self._verified[pages]]
        if not len(new):
            return
        for page in np.unique(new).tolist():
            start = page * PAGE_BYTES
            data = self._map[start : min(start + PAGE_BYTES, self._size)]
            if zlib.crc32(data.data) != self._sums[page]:
                raise self._damaged()
        self._verified[new] = True


def raw(array: npt.NDArray[Any]) -> memoryview:
    """Bytes of an array; empty for an array without values."""
    return np.ascontiguousarray(array).data.cast("B") if array.size else memoryview(b"")
