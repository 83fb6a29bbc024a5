"""Merging of saved segments in a thread.

A merge reads the files of saved segments and writes another one. It changes neither the header nor
the index in memory: ``Contents.adopt`` replaces the segments when the caller saves again or closes
the index, so that row numbers never change during a search. After a crash, the header lists the
former segments, and the next writer deletes the unlisted file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qadapt.code_index.contents import Contents
from qadapt.code_index.persist import finish_segment, merge_plan
from qadapt.code_index.segment_file import SegmentFile, SegmentWriter, raw
from qadapt.code_index.storage import Segment, file_name
from qadapt.code_index.vector_blocks import BLOCK_BYTES
from qadapt.errors import QadaptError


class BackgroundMerge:
    """A running merge of the last segments of an index that has just been saved.

    Attributes:
        start, stop: numbers of the first segment and of the one after the last.
        first: number of the first row.
        alive: bool (rows,), the rows that are kept; None for all.
        marks: delete marks of rows before ``first``.
        path: file that is written.
        segment, file: the new segment; None if no row and no mark is left.
        error: why the merge failed; None once it has succeeded.
    """

    def __init__(self, folder: Path, inside: Contents, start: int) -> None:
        self.start, self.stop = start, len(inside.segments)
        self.first = sum(segment.count for segment in inside.segments[:start])
        alive = inside.rows.live_mask()
        self.alive = None if alive is None else alive[self.first :].copy()
        self.marks = inside.marks_since(start, below=self.first)
        self.path = folder / file_name("rows", inside.next_generation())
        self.segment: Segment | None = None
        self.file: SegmentFile | None = None
        self.error: Exception | None = QadaptError(
            "the thread did not end normally", hint="save the index again"
        )
        self._ids = inside.rows.column(self.first)
        self._width = inside.settings.row_bytes()
        self._files = inside.files[start:]
        self._counts = [segment.count for segment in inside.segments[start:]]
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="qadapt-merge", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def discard(self) -> None:
        """End it, and delete its file."""
        self._cancelled = True
        self.wait()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            if len(self._ids) or len(self.marks):
                self._write()
            self.error = None
        except (OSError, MemoryError, QadaptError) as error:
            # Reported by the next save. A traceback would keep the files open.
            self.error = error.with_traceback(None)

    def _write(self) -> None:
        writer = SegmentWriter(self.path)
        try:
            for kind, width in self._width.items():
                for block in self._blocks(kind, width):
                    if self._cancelled:
                        break
                    writer.write(raw(block))
            self.segment = finish_segment(writer, self._ids, self.marks)
            self.file = SegmentFile(self.path, self.segment, self._width)
        except BaseException:
            writer.discard()
            raise
        writer.close()

    def _blocks(self, kind: str, width: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Kept rows of one kind of code, verified."""
        rows = max(1, BLOCK_BYTES // width)
        at = 0
        for file, count in zip(self._files, self._counts, strict=True):
            codes = file.matrix(kind, width)
            for start in range(0, count, rows):
                stop = min(start + rows, count)
                file.verify(kind, width, range(start, stop))
                block = codes[start:stop]
                yield block if self.alive is None else block[self.alive[at : at + len(block)]]
                at += len(block)


def begin(folder: Path, inside: Contents) -> BackgroundMerge | None:
    """Start the merge that an index needs after a save; None if it needs none."""
    start = merge_plan(inside)
    return None if start is None else BackgroundMerge(folder, inside, start)
