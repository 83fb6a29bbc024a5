"""State of an open index: properties, saving and closing."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qadapt.code_index import persist
from qadapt.code_index.background_merge import BackgroundMerge, begin
from qadapt.code_index.contents import Contents
from qadapt.code_index.lock import FolderLock
from qadapt.code_index.rows import Id
from qadapt.code_index.settings import Settings
from qadapt.code_index.storage import Header, read_header, read_record
from qadapt.codecs import Calibration
from qadapt.errors import BusyError, InputError

if TYPE_CHECKING:
    from typing_extensions import Self


class OpenIndex:
    """Contents of a folder that is open for reading or writing; the base of ``CodeIndex``."""

    def __init__(
        self, folder: Path, contents: Contents, header: Header, lock: FolderLock | None
    ) -> None:
        """Use ``CodeIndex.create`` or ``CodeIndex.open``."""
        self._folder = folder
        self._contents: Contents | None = contents
        self._header = header
        self._lock = lock
        self._merge: BackgroundMerge | None = None
        self._dirty = False
        self._warned = False
        self._pid = os.getpid()

    # -- properties ------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Folder of the index."""
        return self._folder

    @property
    def settings(self) -> Settings:
        """Settings: dim, metric, codes, query_bits, rescore_codes."""
        return self._open.settings

    @property
    def calibration(self) -> Calibration | None:
        """Ranges of the int8 codes; None if there are none yet."""
        return self._open.calibration

    @property
    def read_only(self) -> bool:
        """Whether the index is read-only."""
        return self._lock is None

    @property
    def generation(self) -> int:
        """Number that increases with each save with changes."""
        return self._header.generation

    @property
    def ids(self) -> list[Id]:
        """All ids in row order: the order of addition (upserted rows are last)."""
        return self._open.rows.ids()

    def sample_ids(self, count: int) -> list[Id]:
        """Up to ``count`` random ids, without a list of all."""
        rows = self._open.rows
        chosen = random.sample(range(rows.live), min(count, rows.live))
        return rows.sample(np.array(chosen, dtype=np.int64))

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes: ``ram`` (codes in memory, ids), ``ids`` (their share), ``disk`` (data files).

        Ids need 8 (ascending int), 12 (int) or 20 (UUID) bytes per row, other texts their UTF-8
        bytes and 13. Once rows were deleted, a mask needs 1 byte per row. The order in which ids
        are looked up (4 bytes, 8 for texts) is created when it is first needed.
        """
        inside = self._open
        disk = persist.disk_bytes(self._header)
        if inside.int8 is not None:
            disk += inside.int8.grown_bytes
        ids = inside.rows.nbytes
        bits = 0 if inside.bits is None else inside.bits.nbytes
        bits += 0 if inside.learned is None else inside.learned.nbytes
        return {"ram": bits + ids, "ids": ids, "disk": disk}

    def __len__(self) -> int:
        return self._open.rows.live

    def __contains__(self, one: object) -> bool:
        return one in self._open.rows

    def __repr__(self) -> str:
        if self._contents is None:
            return f"<CodeIndex {self._folder}, closed>"
        s = self.settings
        return f"<CodeIndex {self._folder}: {len(self)} x {s.dim}, {s.metric}, {s.codes}>"

    # -- persistence -----------------------------------------------------------------------

    def save(self) -> None:
        """Save all changes atomically.

        The changes are durable when it returns; until then, the folder is unchanged. Added rows and
        marks of deleted rows are written to a new segment. Ten segments of similar size are merged,
        and so are segments with one deleted row for each three live ones, so that n saves of a row
        write each row about log10(n) + 2 times. A merge runs in a thread after the save and takes
        effect with the next save, or when the index is closed, which waits for it. If it fails, a
        warning gives the reason; the segments stay as they were. :meth:`compact` removes all
        deleted rows.

        Raises:
            OSError: the disk is full or unavailable. The folder is unchanged, and the changes are
                still in memory.
        """
        inside = self._writable()
        self._adopt_merge()
        if self._dirty or inside.segments != self._header.segments:
            running = None if self._merge is None else self._merge.path
            self._header = persist.save(self._folder, inside, merging=running)
            self._dirty = False
        if self._merge is None:
            self._merge = begin(self._folder, inside)

    def _adopt_merge(self) -> None:
        """Use the segment of a merge that has ended."""
        merge = self._merge
        if merge is None or merge.running:
            return
        self._merge = None
        if merge.error is None:
            self._open.adopt(merge)
            return
        warnings.warn(
            f"segments of {self._folder} were not merged: {merge.error}. All rows are kept; the "
            "next save tries again",
            stacklevel=3,
        )

    def _drop_merge(self) -> None:
        """End a merge without using its segment."""
        if self._merge is not None:
            self._merge.discard()
            self._merge = None

    def compact(self) -> None:
        """Save all changes, and write all rows to one segment without deleted rows.

        Until then, deleted vectors remain in the files, although no search returns them.

        Raises:
            The same errors as :meth:`save`.
            IntegrityError: a page is damaged; nothing was changed.
        """
        inside = self._writable()
        self._drop_merge()
        self._header = persist.save(self._folder, inside, compact=True)
        self._dirty = False

    def verify(self) -> None:
        """Verify the checksums of the saved files, and that each id has one row.

        Raises:
            IntegrityError: a file is missing or damaged.
        """
        inside = self._open
        for record in (self._header.calibration, self._header.learned):
            if record is not None:
                read_record(self._folder, record)
        inside.verify()
        persist.refuse_repeated(self._folder, inside)

    @staticmethod
    def saved_generation(folder: str | Path) -> int:
        """:attr:`generation` of the last save, without opening the index.

        Raises:
            IntegrityError: not an index, or damaged.
        """
        return read_header(Path(folder)).generation

    def close(self) -> None:
        """Wait for a merge, close files and release the lock.

        Unsaved changes are lost, with a warning.

        Raises:
            OSError: the disk is full or unavailable, so the merge has no effect; all saved rows are
                kept.
        """
        if self._contents is None:
            return
        if self._forked:  # files and lock belong to the parent process
            self._contents = None
            return
        if self._dirty:
            warnings.warn(f"{self!r} was closed with unsaved changes", stacklevel=2)
        self._end(unsaved=self._dirty)

    def _end(self, *, unsaved: bool) -> None:
        """Close everything; a merge takes effect unless there are unsaved changes in memory."""
        inside = self._open
        try:
            if unsaved:
                self._drop_merge()
            elif self._merge is not None:
                self._merge.wait()
                self._adopt_merge()
                if inside.segments != self._header.segments:
                    self._header = persist.save(self._folder, inside)
        finally:
            inside.close()
            self._contents = None
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._dirty and not self._forked:
                self.save()
        finally:
            unsaved, self._dirty = self._dirty, False
            if self._contents is None or self._forked:
                self.close()
            else:
                self._end(unsaved=unsaved)

    @property
    def _open(self) -> Contents:
        if self._contents is None:
            raise InputError(f"{self!r} was used after close()", hint="open it again")
        return self._contents

    def _writable(self) -> Contents:
        if self._lock is None:
            raise InputError(
                f"{self._folder} was opened with read_only=True", hint="open it without read_only"
            )
        if self._forked:
            raise BusyError(
                f"{self._folder} is open for writing in the parent process {self._pid} was forked",
                hint="write in that process, or close the index before the fork",
            )
        return self._open

    @property
    def _forked(self) -> bool:
        return self._pid != os.getpid()
