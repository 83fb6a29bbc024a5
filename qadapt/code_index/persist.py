"""Saving and loading the contents of an index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.code_index.contents import Contents
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.merging import Load, is_sparse, merge_start
from qadapt.code_index.rows import shown
from qadapt.code_index.segment_file import SegmentFile, SegmentWriter, file_bytes, raw
from qadapt.code_index.settings import Settings
from qadapt.code_index.storage import (
    HEADER_NAME,
    RESTORE,
    FileRecord,
    Header,
    Segment,
    file_name,
    read_header,
    read_record,
    remove_unlisted,
    write_file,
    write_header,
)
from qadapt.code_index.vector_blocks import BLOCK_BYTES
from qadapt.codecs import Calibration
from qadapt.errors import IntegrityError, QadaptError

_OPEN_TRIES = 5
_BIT_ROWS = 1 << 16  # rows of sign bits that are loaded at a time


def begin(folder: Path, inside: Contents) -> Header:
    """Write the header of an empty index."""
    header = _header(folder, inside, ())
    write_header(folder, header)
    return header


def save(
    folder: Path, inside: Contents, *, compact: bool = False, merging: Path | None = None
) -> Header:
    """Make the contents durable.

    New rows and delete marks are written, and segments whose delete marks have other row numbers
    since a merge.

    Args:
        folder: folder of the index.
        inside: contents to save; deleted rows of segments that are written again are removed from
            it.
        compact: merge all segments.
        merging: file of a running merge, which stays.

    Returns:
        The new header.

    Raises:
        OSError: writing failed. Contents and folder are unchanged.
    """
    start = 0 if compact else inside.current
    rewrite = compact or start < len(inside.segments) or is_sparse(_loads(inside)[-1])
    saved = _write(folder, inside, start, rewrite=rewrite)
    remove_unlisted(folder, saved, keep=merging)
    return saved


def merge_plan(inside: Contents) -> int | None:
    """First segment to merge with all later ones after a save; None for no merge."""
    loads = _loads(inside)[:-1]
    if not loads:
        return None
    start = merge_start(loads[:-1], loads[-1])
    return start if start < len(loads) - 1 or is_sparse(loads[-1]) else None


def _loads(inside: Contents) -> list[Load]:
    """Rows of each segment, and of those that are not saved yet."""
    width = max(1, sum(inside.settings.row_bytes().values()))
    alive = inside.rows.live_mask()
    loads, first = [], 0
    for segment in inside.segments:
        live = segment.count
        if alive is not None:
            live = int(np.count_nonzero(alive[first : first + segment.count]))
        loads.append(Load(live + segment.marks * 8 // width, segment.count - live))
        first += segment.count
    count = inside.rows.total - first
    live = count if alive is None else int(np.count_nonzero(alive[first:]))
    return [*loads, Load(live, count - live)]


def _write(
    folder: Path,
    inside: Contents,
    start: int,
    *,
    rewrite: bool,
) -> Header:
    """Write the rows after the first ``start`` segments to one new segment."""
    first = sum(segment.count for segment in inside.segments[:start])
    marks = inside.marks_since(start, below=first if rewrite else None)
    ids = inside.rows.column(first, deleted=not rewrite)
    writer = _writer(folder, inside, first, rewrite=rewrite)
    kept, file = inside.segments[:start], None
    failed: BaseException | None = None
    try:
        if len(ids) or len(marks):
            segment = _finish(writer, inside, first, ids, marks, rewrite=rewrite)
            file = SegmentFile(writer.path, segment, inside.settings.row_bytes())
            kept = (*kept, segment)
        saved = _header(folder, inside, kept)
        write_header(folder, saved)
    except BaseException as error:
        if not _is_listed(folder, writer.path.name):
            _undo(inside, writer)
            raise
        failed = error  # of flushing the new header: the files that it lists must stay
    if rewrite:
        inside.remove_dead(first)
    inside.settle(kept, file, marks)
    inside.saved_calibration, inside.saved_learned = saved.calibration, saved.learned
    writer.close()
    if file is None:
        writer.discard()
    if failed is not None:
        raise failed
    return saved


def _writer(folder: Path, inside: Contents, first: int, *, rewrite: bool) -> SegmentWriter:
    """File that contains the int8 codes of the rows to write."""
    growing = None if inside.int8 is None else inside.int8.growing
    if growing is not None and not rewrite:
        growing.mark()
        return growing
    writer = SegmentWriter(folder / file_name("rows", inside.next_generation()))
    if inside.int8 is None or not rewrite:
        return writer
    try:
        rows = max(1, BLOCK_BYTES // inside.settings.dim)
        for block in _living(inside.int8.blocks(rows, first=first), inside, first):
            writer.write(raw(block))
    except BaseException:
        writer.discard()
        raise
    return writer


def _finish(
    writer: SegmentWriter,
    inside: Contents,
    first: int,
    ids: IdColumn,
    marks: npt.NDArray[np.int64],
    *,
    rewrite: bool,
) -> Segment:
    """Append codes in memory, ids and delete marks, and flush the file to disk."""
    if inside.bits is not None:
        rows = max(1, BLOCK_BYTES // inside.settings.row_bytes()["bits"])
        blocks: Iterator[npt.NDArray[Any]] = inside.bits.as_bytes(rows, first=first)
        for block in _living(blocks, inside, first) if rewrite else blocks:
            writer.write(raw(block))
    return finish_segment(writer, ids, marks)


def finish_segment(writer: SegmentWriter, ids: IdColumn, marks: npt.NDArray[np.int64]) -> Segment:
    """Append ids and delete marks, and flush the file to disk."""
    if ids.ends is not None:
        writer.write(raw(ids.lengths.astype("<u4")))
    writer.write(raw(ids.values.astype("<i8") if ids.kind == "int" else ids.values))
    writer.write(raw(marks.astype("<i8")))
    number = int(writer.path.name.split(".")[1])
    return Segment(number, len(ids), ids.kind, ids.values.nbytes, len(marks), writer.finish())


def _living(
    blocks: Iterator[npt.NDArray[Any]], inside: Contents, first: int
) -> Iterator[npt.NDArray[Any]]:
    """Live rows of blocks from row ``first``."""
    alive = inside.rows.live_mask()
    for block in blocks:
        yield block if alive is None else block[alive[first : first + len(block)]]
        first += len(block)


def _is_listed(folder: Path, name: str) -> bool:
    """Whether the header on disk lists a file."""
    try:
        return name in read_header(folder).names
    except (IntegrityError, OSError):
        return False


def _undo(inside: Contents, writer: SegmentWriter) -> None:
    """Remove what was written; the int8 codes of unsaved rows stay."""
    if inside.int8 is not None and inside.int8.growing is writer:
        inside.int8.rewind()
    else:
        writer.discard()


def _header(folder: Path, inside: Contents, segments: tuple[Segment, ...]) -> Header:
    settings = inside.settings
    return Header(
        dim=settings.dim,
        metric=settings.metric.value,
        codes=settings.codes,
        query_bits=settings.query_bits,
        rescore_codes=settings.rescore_codes,
        generation=inside.next_generation(),
        segments=segments,
        calibration=_calibration_record(folder, inside),
        bits=settings.bits,
        rotation=settings.rotation,
        learned=_learned_record(folder, inside),
    )


def _calibration_record(folder: Path, inside: Contents) -> FileRecord | None:
    """File of the ranges, which is written once."""
    if inside.calibration is None or inside.saved_calibration is not None:
        return inside.saved_calibration
    path = folder / file_name("calibration", inside.next_generation())
    return write_file(path, [inside.calibration.to_json().encode()])


def _learned_record(folder: Path, inside: Contents) -> FileRecord | None:
    """File of what the codes learned, which is written once."""
    if inside.learned is None or inside.saved_learned is not None:
        return inside.saved_learned
    path = folder / file_name("learned", inside.next_generation())
    return write_file(path, [raw(inside.learned.astype("<f4"))])


def disk_bytes(header: Header) -> int:
    """Size of all data files."""
    width = header.row_bytes()
    whole = sum(record.bytes for record in (header.calibration, header.learned) if record)
    return whole + sum(file_bytes(segment, width) for segment in header.segments)


# -- loading -------------------------------------------------------------------------------------


def load_newest(folder: Path, *, content: bool) -> tuple[Header, Contents]:
    """Load an index that a writer may be saving, with its header.

    Args:
        content: verify all checksums first.

    Raises:
        IntegrityError: not an index, or a file is missing or damaged.
    """
    for attempt in range(_OPEN_TRIES):
        header = read_header(folder)
        try:
            return header, load(folder, header, content=content)
        except (IntegrityError, FileNotFoundError):
            # A writer may have replaced the files in the meantime.
            newer = read_header(folder).generation != header.generation
            if not newer or attempt == _OPEN_TRIES - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def load(folder: Path, header: Header, *, content: bool) -> Contents:
    """Load an index. int8 codes are verified when they are first used, all else at once.

    Args:
        folder: folder of the index.
        header: its header.
        content: verify all checksums first.

    Raises:
        IntegrityError: a file is missing or damaged, or files are inconsistent.
        FileNotFoundError: a file was removed while reading.
    """
    inside = _empty(folder, header)
    width = header.row_bytes()
    for segment in header.segments:
        file = SegmentFile(folder / segment.name, segment, width)
        if content:
            file.verify_all()
        if inside.bits is not None:
            packed = file.read("bits").reshape(-1, width["bits"])
            for start in range(0, len(packed), _BIT_ROWS):
                inside.bits.append(packed[start : start + _BIT_ROWS])
        marks = file.read("marks").view("<i8").astype(np.int64)
        inside.attach(segment, file, _ids(file, segment), marks)
    _apply_marks(folder, inside)
    if content:
        refuse_repeated(folder, inside)
    if inside.rows.total and inside.int8 is not None and inside.calibration is None:
        raise IntegrityError(f"{folder}: int8 codes without a calibration", hint=RESTORE)
    estimates = inside.estimates
    if inside.rows.total and estimates and estimates.learned_shape and estimates.learned is None:
        raise IntegrityError(f"{folder}: codes without what they learned", hint=RESTORE)
    return inside


def _empty(folder: Path, header: Header) -> Contents:
    try:
        settings = Settings.checked(
            header.dim, header.metric, header.codes, header.query_bits, header.rescore_codes,
            bits=header.bits, rotation=header.rotation,
        )  # fmt: skip
        calibration = None
        if header.calibration is not None:
            text = read_record(folder, header.calibration).decode()
            calibration = Calibration.from_json(text)
            settings.fits(calibration)
    except (IntegrityError, FileNotFoundError):
        raise
    except (QadaptError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{folder / HEADER_NAME} is damaged: {error}", hint=RESTORE) from error
    inside = Contents(settings, calibration, generation=header.generation)
    inside.saved_calibration, inside.saved_learned = header.calibration, header.learned
    if header.learned is not None and inside.estimates is not None:
        shape = inside.estimates.learned_shape
        inside.estimates.learned = _learned(folder, header.learned, shape or (0, 0))
    return inside


def _learned(folder: Path, record: FileRecord, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Learned rotation or codebook."""
    values = np.frombuffer(read_record(folder, record), dtype=np.uint8)
    if len(values) != 4 * shape[0] * shape[1]:
        raise IntegrityError(
            f"{folder / record.name} does not have the size {shape[0]} x {shape[1]}", hint=RESTORE
        )
    return values.view("<f4").astype(np.float32).reshape(shape)


def _ids(file: SegmentFile, segment: Segment) -> IdColumn:
    data = file.read("ids")
    if segment.id_kind == "int":
        return IdColumn("int", data.view("<i8").astype(np.int64))
    if segment.id_kind == "uuid":
        return IdColumn("uuid", data.copy().view("S16"))
    lengths = file.read("lengths").view("<u4")
    ends = np.cumsum(lengths, dtype=np.uint64)
    if len(ends) != segment.count or not lengths.all() or int(ends[-1]) != segment.id_bytes:
        raise IntegrityError(f"{file.path} is damaged: not {segment.count} ids", hint=RESTORE)
    return IdColumn("text", data.copy(), ends.astype(np.uint32))


def _apply_marks(folder: Path, inside: Contents) -> None:
    """Mark deleted rows."""
    marks = inside.marks_since(0)
    rows = np.unique(marks)
    if len(rows) != len(marks) or (len(rows) and not 0 <= rows[0] <= rows[-1] < inside.rows.total):
        raise IntegrityError(f"{folder}: invalid delete marks", hint=RESTORE)
    inside.rows.remove_rows(rows)


def refuse_repeated(folder: Path, inside: Contents) -> None:
    """Raise an error for an id with several rows.

    Raises:
        IntegrityError
    """
    twice = inside.rows.repeated()
    if twice:
        raise IntegrityError(f"{folder}: duplicate ids: {shown(twice)}", hint=RESTORE)
