"""In-memory contents of an open index."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qadapt.code_index.bit_blocks import BitBlocks
from qadapt.code_index.estimate_codes import MIN_CALIBRATION_ROWS, estimate_codes
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.int8_rows import Int8Rows
from qadapt.code_index.range_watch import RangeWatch
from qadapt.code_index.row_map import RowMap
from qadapt.code_index.rows import Id
from qadapt.code_index.segment_file import SegmentFile
from qadapt.code_index.settings import Settings
from qadapt.code_index.storage import FileRecord, Segment, file_name
from qadapt.code_index.vector_blocks import prepared_blocks
from qadapt.codecs import Calibration, Codebook, pack_bits, quantize
from qadapt.engines.registry import prefers_columns
from qadapt.errors import CalibrationError, InputError
from qadapt.model.arrays import Floats, Vectors
from qadapt.model.embedding_kinds import Packed

if TYPE_CHECKING:
    from qadapt.code_index.background_merge import BackgroundMerge


class Contents:
    """Ids, codes and calibration of an index.

    Attributes:
        settings: settings of the index.
        calibration: ranges of the int8 codes, or None if there are none yet.
        estimates: rotational or scalar codes, with what they learned; None for other codes.
        rows: ids by row number.
        bits: sign bits, rotational or scalar codes in memory, or None.
        int8: int8 codes on disk, or None.
        generation: highest number of a data file.
        watch: counts values that the calibration cuts off; None without a calibration.
        segments: saved segments of the first rows.
        files: their files.
        current: number of the first segments whose delete marks have valid row numbers; later
            segments must be written again by the next save.
        saved_calibration: file of the calibration; None if it is not saved yet.
        saved_learned: file of what was learned; None if it is not saved yet.
    """

    def __init__(
        self,
        settings: Settings,
        calibration: Calibration | None,
        *,
        codebook: Codebook | None = None,
        generation: int = 0,
    ) -> None:
        self.settings = settings
        self.calibration = calibration
        self.watch = None if calibration is None else RangeWatch(calibration)
        self.generation = generation
        self.saved_calibration: FileRecord | None = None
        self.estimates = estimate_codes(settings)
        if self.estimates is not None and codebook is not None:
            self.estimates.learned = codebook.levels
        self.saved_learned: FileRecord | None = None
        self.segments: tuple[Segment, ...] = ()
        self.rows = RowMap()
        self.files: list[SegmentFile] = []
        self._current: int | None = None
        self._marks: list[npt.NDArray[np.int64]] = []  # delete marks of each saved segment
        self._new_marks: list[npt.NDArray[np.int64]] = []
        self.bits: BitBlocks | None = None
        self.int8: Int8Rows | None = None
        if settings.codes == "binary":
            # Float queries read rows as bytes; the other scans prefer what their engine does.
            by_columns = settings.query_bits in (4, 8) or (
                settings.query_bits == 1 and prefers_columns()
            )
            self.bits = BitBlocks(settings.dim, columns=by_columns)
        if self.estimates is not None:
            self.bits = BitBlocks(8 * settings.row_bytes()["bits"], columns=False)
        if "int8" in (settings.codes, settings.rescore_codes):
            self.int8 = Int8Rows(settings.dim)

    def next_generation(self) -> int:
        """Next number for a data file."""
        self.generation += 1
        return self.generation

    def append(
        self, folder: Path, names: IdColumn, vectors: Vectors, *, replace: bool = False
    ) -> None:
        """Encode vectors and append them; after an error, none are added.

        Args:
            folder: folder for the file of int8 codes.
            names: unique ids.
            vectors: checked vectors, (n, dim).
            replace: whether existing ids are allowed; their old rows are deleted.

        Raises:
            CalibrationError: there is no calibration, learned rotation or codebook, and too few
                vectors for it.
            OSError: the disk is full or unavailable.
        """
        if not len(names):
            return
        calibration = self.calibration
        learned = None if self.estimates is None else self.estimates.learn(vectors)
        if self.int8 is not None:
            calibration = calibration or self._fitted(vectors)
            self.watch = self.watch or RangeWatch(calibration)
            if self.int8.growing is None:
                self.int8.begin(folder / file_name("rows", self.next_generation()))
            self.int8.mark()
        blocks = prepared_blocks(vectors, self.settings.metric)
        try:
            for block in blocks if self.watch is None else self.watch.watched(blocks):
                if self.int8 is not None:
                    self.int8.append(quantize(block, "int8", calibration=calibration))
                if self.bits is not None:
                    self.bits.append(self.bit_codes(block, learned))
        except BaseException:
            if self.bits is not None:
                self.bits.cut(self.rows.total)
            if self.int8 is not None:
                self.int8.rewind()
            raise
        self.calibration = calibration
        if self.estimates is not None:
            self.estimates.learned = learned
        if replace:
            self.delete(names)
        self.rows.append(names)

    @property
    def learned(self) -> Floats | None:
        """What the codes in memory learned; None if there is nothing, or nothing yet."""
        return None if self.estimates is None else self.estimates.learned

    def bit_codes(self, vectors: Floats, learned: Floats | None = None) -> Packed:
        """Codes in memory of prepared vectors (n, dim).

        Args:
            vectors: float32 (n, dim).
            learned: what the codes learned, if it is not stored yet.

        Returns:
            uint8 (n, width).
        """
        if self.estimates is not None:
            return self.estimates.encode(vectors, learned)
        return pack_bits(vectors)

    def append_bits(self, names: IdColumn, packed: Packed, *, replace: bool = False) -> None:
        """Append sign bits without vectors; see :meth:`append`.

        Args:
            packed: uint8 (n, ceil(dim / 8)).
        """
        assert self.bits is not None
        assert self.int8 is None
        try:
            self.bits.append(packed)
        except BaseException:
            self.bits.cut(self.rows.total)
            raise
        if replace:
            self.delete(names)
        self.rows.append(names)

    @property
    def current(self) -> int:
        """See the class."""
        return len(self.segments) if self._current is None else self._current

    def replace_int8(self, codes: Int8Rows, calibration: Calibration) -> None:
        """Replace all int8 codes by those of the live rows, which are not saved yet."""
        assert self.int8 is not None
        self.int8.close()
        self.int8, self.calibration = codes, calibration
        self.watch, self.saved_calibration = RangeWatch(calibration), None
        self.remove_dead(0)
        self.segments, self._current = (), None
        self.files, self._marks, self._new_marks = [], [], []

    def delete(self, names: IdColumn) -> int:
        """Mark the rows of these ids as deleted; returns the number of rows."""
        rows = self.rows.remove(names)
        if len(rows):
            self._new_marks.append(rows)
        return len(rows)

    # -- saved segments ------------------------------------------------------------------------

    def attach(
        self, segment: Segment, file: SegmentFile, ids: IdColumn, marks: npt.NDArray[np.int64]
    ) -> None:
        """Add the rows of a saved segment, whose sign bits were added before."""
        self.rows.append(ids)
        self.segments = (*self.segments, segment)
        self.files.append(file)
        self._marks.append(marks)
        if self.int8 is not None:
            self.int8.attach(file)

    def marks_since(self, start: int, *, below: int | None = None) -> npt.NDArray[np.int64]:
        """Delete marks of the segments from ``start``, and those that are not saved yet.

        Args:
            start: number of a segment.
            below: only marks of rows below this number; None for all.
        """
        marks = np.concatenate([np.empty(0, np.int64), *self._marks[start:], *self._new_marks])
        return marks if below is None else marks[marks < below]

    def remove_dead(self, first: int) -> None:
        """Remove deleted rows from row ``first``."""
        alive = self.rows.live_mask()
        if alive is not None:
            self._keep(alive.copy(), first)

    def _keep(self, kept: npt.NDArray[np.bool_], first: int) -> None:
        """Remove rows from row ``first`` for which ``kept`` (all rows,) is False."""
        if self.bits is not None:
            self.bits.keep(kept, first=first)
        ids = self.rows.column(first, deleted=True).take(np.flatnonzero(kept[first:]))
        alive = self.rows.live_mask()
        dead = np.flatnonzero(~alive[kept]) if alive is not None else np.empty(0, np.int64)
        self.rows.cut(first)
        self.rows.append(ids)
        self.rows.remove_rows(dead[dead >= first])

    def adopt(self, merge: BackgroundMerge) -> None:
        """Replace segments by the one that a merge has written; see ``BackgroundMerge``."""
        new = () if merge.segment is None else (merge.segment,)
        files = [] if merge.file is None else [merge.file]
        later = len(self.segments) > merge.stop
        marks = [merge.marks] if new else []
        self._marks[merge.start : merge.stop] = marks
        self.files[merge.start : merge.stop] = files
        self.segments = (*self.segments[: merge.start], *new, *self.segments[merge.stop :])
        if self.int8 is not None:
            self.int8.replace(merge.start, merge.stop, merge.file)
        if merge.alive is None or merge.alive.all():
            return
        kept = np.ones(self.rows.total, dtype=np.bool_)
        kept[merge.first : merge.first + len(merge.alive)] = merge.alive
        removed = np.cumsum(~kept)
        self._keep(kept, merge.first)
        self._marks = [each - removed[each] for each in self._marks]
        self._new_marks = [each - removed[each] for each in self._new_marks]
        if later:
            self._current = merge.start + len(new)

    def settle(
        self,
        segments: tuple[Segment, ...],
        file: SegmentFile | None,
        marks: npt.NDArray[np.int64],
    ) -> None:
        """Replace the last segments, and unsaved rows, by a saved segment.

        Args:
            segments: all segments now.
            file: file of the last one if it is new; else None.
            marks: its delete marks.
        """
        self.segments, self._current = segments, None
        start = len(segments) - (file is not None)
        self.files[start:] = [] if file is None else [file]
        self._marks[start:] = [] if file is None else [marks]
        self._new_marks = []
        if self.int8 is not None:
            self.int8.settle(start, file)

    def verify(self) -> None:
        """Verify the checksums of all saved segments.

        Raises:
            IntegrityError: a file is damaged.
        """
        for file in self.files:
            file.verify_all()

    def _fitted(self, vectors: Vectors) -> Calibration:
        if len(vectors) < MIN_CALIBRATION_ROWS:
            raise CalibrationError(
                f"the index has no calibration, and {len(vectors)} are too few for "
                f"it (at least {MIN_CALIBRATION_ROWS})",
                hint="create it with calibration=Calibration.fit(sample), or add more rows first",
            )
        blocks = prepared_blocks(vectors, self.settings.metric)
        return Calibration.from_stream(blocks, source="first added vectors")

    def allowed(
        self,
        mask: npt.ArrayLike | None,
        ids: Iterable[Id] | None,
        exclude: Iterable[Id] = (),
    ) -> npt.NDArray[np.bool_] | None:
        """Mask of the rows (including deleted ones) that a search may return; None for all.

        Args:
            mask: bool (live rows,).
            ids: ids that may be returned.
            exclude: ids that must not be returned.

        Raises:
            InputError: both are given, or the mask is not bool or has the wrong length.
        """
        chosen = self._chosen(mask, ids)
        if type(exclude) is tuple and not exclude:
            return chosen
        out = self.rows.rows_of(IdColumn.of(exclude))
        if not len(out):
            return chosen
        left = np.ones(self.rows.total, dtype=np.bool_) if chosen is None else chosen.copy()
        left[out] = False
        return left

    def _chosen(
        self, mask: npt.ArrayLike | None, ids: Iterable[Id] | None
    ) -> npt.NDArray[np.bool_] | None:
        live = self.rows.live_mask()
        if mask is None and ids is None:
            return live
        if mask is not None and ids is not None:
            raise InputError("both mask and ids were given", hint="pass one of them")
        chosen = np.zeros(self.rows.total, dtype=np.bool_)
        if ids is not None:
            chosen[self.rows.rows_of(IdColumn.of(ids))] = True
            return chosen
        given: npt.NDArray[Any] = np.asarray(mask)
        if given.dtype != np.bool_ or given.shape != (self.rows.live,):
            raise InputError(
                f"the mask must be bool ({self.rows.live},); got {given.dtype} {given.shape}",
                hint="pass one value per id, in the order of index.ids",
            )
        chosen[slice(None) if live is None else live] = given
        return chosen

    def close(self) -> None:
        """Close all files."""
        if self.int8 is not None:
            self.int8.close()
