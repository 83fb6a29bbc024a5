"""Saving and loading the contents of an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.codecs import Calibration
from qadapt.errors import IntegrityError, QadaptError
from qadapt.index.contents import Contents, Settings
from qadapt.index.int8_rows import Int8Rows
from qadapt.index.rows import Id, RowMap
from qadapt.index.storage import (
    RESTORE,
    FileRecord,
    Header,
    Segment,
    check_files,
    file_name,
    read_header,
    remove_unlisted,
    write_file,
    write_header,
)
from qadapt.index.vector_blocks import BLOCK_BYTES

MAX_SEGMENTS = 16
"""Number of segments after which a save writes all rows to one segment."""
_OPEN_TRIES = 5


def begin(folder: Path, inside: Contents) -> Header:
    """Write the header of an empty index."""
    header = _header(inside, ())
    write_header(folder, header)
    return header


def save(folder: Path, inside: Contents, header: Header) -> Header:
    """Make the contents durable.

    Args:
        folder: folder of the index.
        inside: contents to save; deleted rows are removed from it.
        header: current header.

    Returns:
        The new header.

    Raises:
        OSError: writing failed. Contents and folder are unchanged.
    """
    if inside.rows.deleted or len(header.segments) >= MAX_SEGMENTS:
        saved = _rewrite(folder, inside)
    else:
        saved = _extend(folder, inside, header)
    remove_unlisted(folder, saved)
    return saved


def _extend(folder: Path, inside: Contents, header: Header) -> Header:
    """Write the rows that were added since the last save."""
    first = header.count
    count = inside.rows.total - first
    number = inside.next_generation()
    files = {"ids": _write_ids(folder, number, inside.rows.ids(first))}
    if inside.bits is not None:
        rows = _block_rows(inside.settings.dim // 8)
        blocks = inside.bits.as_bytes(rows, first=first)
        files["bits"] = write_file(folder / file_name("bits", number), _raw(blocks))
    if inside.int8 is not None:
        files["int8"] = inside.int8.record()
    saved = _header(inside, (*header.segments, Segment(count, files)))
    write_header(folder, saved)
    if inside.int8 is not None:
        inside.int8.settle()
    return saved


def _rewrite(folder: Path, inside: Contents) -> Header:
    """Write all live rows as one segment."""
    number = inside.next_generation()
    live = inside.rows.live_mask()
    rows = inside.rows.compacted()
    files = {}
    if rows.total:
        files["ids"] = _write_ids(folder, number, rows.ids())
        if inside.bits is not None:
            packed = inside.bits.as_bytes(_block_rows(inside.settings.dim // 8))
            path = folder / file_name("bits", number)
            files["bits"] = write_file(path, _raw(_living(packed, live)))
        if inside.int8 is not None:
            codes = inside.int8.blocks(_block_rows(inside.settings.dim))
            path = folder / file_name("int8", number)
            files["int8"] = write_file(path, _raw(_living(codes, live)))
    # everything that can fail is done before the header is written
    bits = inside.bits if inside.bits is None or live is None else inside.bits.compacted(live)
    int8 = None if inside.int8 is None else Int8Rows(inside.settings.dim)
    if int8 is not None and files:
        int8.attach(folder / files["int8"].name, rows.total)
    saved = _header(inside, (Segment(rows.total, files),) if files else ())
    write_header(folder, saved)

    if inside.int8 is not None:
        inside.int8.close()
    inside.rows, inside.bits, inside.int8 = rows, bits, int8
    return saved


def _header(inside: Contents, segments: tuple[Segment, ...]) -> Header:
    settings, calibration = inside.settings, inside.calibration
    return Header(
        dim=settings.dim,
        metric=settings.metric.value,
        codes=settings.codes,
        query_bits=settings.query_bits,
        rescore_codes=settings.rescore_codes,
        generation=inside.next_generation(),
        segments=segments,
        calibration=None if calibration is None else calibration.to_json(),
    )


def _write_ids(folder: Path, number: int, ids: list[Id]) -> FileRecord:
    text = json.dumps(ids, separators=(",", ":")).encode()
    return write_file(folder / file_name("ids", number), [text])


def _block_rows(width: int) -> int:
    return max(1, BLOCK_BYTES // max(1, width))


def _living(
    blocks: Iterator[npt.NDArray[Any]], live: npt.NDArray[np.bool_] | None
) -> Iterator[npt.NDArray[Any]]:
    first = 0
    for block in blocks:
        yield block if live is None else block[live[first : first + len(block)]]
        first += len(block)


def _raw(blocks: Iterator[npt.NDArray[Any]]) -> Iterator[memoryview]:
    """Iterate over the bytes of nonempty blocks."""
    for block in blocks:
        if block.size:
            yield np.ascontiguousarray(block).data.cast("B")


def load_newest(folder: Path, *, content: bool) -> tuple[Header, Contents]:
    """Load an index that a writer may be saving, with its header.

    Args:
        content: verify checksums first.

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
    """Load an index.

    Args:
        folder: folder of the index.
        header: its header.
        content: verify checksums first.

    Raises:
        IntegrityError: a file is missing or damaged, or files are inconsistent.
        FileNotFoundError: a file was removed while reading.
    """
    check_files(folder, header, content=content)
    try:
        settings = Settings.checked(
            header.dim, header.metric, header.codes, header.query_bits, header.rescore_codes
        )
        calibration = None
        if header.calibration is not None:
            calibration = Calibration.from_json(header.calibration)
            settings.fits(calibration)
    except IntegrityError:
        raise
    except QadaptError as error:
        raise IntegrityError(f"{folder}: the header is damaged: {error}", hint=RESTORE) from error
    inside = Contents(settings, calibration, generation=header.generation)
    ids: list[Id] = []
    for segment in header.segments:
        ids += _read_ids(folder / segment.files["ids"].name, segment.count)
        if inside.bits is not None:
            path = folder / segment.files["bits"].name
            for block in _read_rows(path, -(-settings.dim // 8)):
                inside.bits.append(block)
        if inside.int8 is not None:
            inside.int8.attach(folder / segment.files["int8"].name, segment.count)
    inside.rows = RowMap(ids)
    if inside.rows.live != len(ids):
        raise IntegrityError(f"{folder}: duplicate ids", hint=RESTORE)
    if ids and inside.int8 is not None and calibration is None:
        raise IntegrityError(f"{folder}: int8 codes without a calibration", hint=RESTORE)
    return inside


def _read_ids(path: Path, count: int) -> list[Id]:
    try:
        ids = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: {error}", hint=RESTORE) from error
    if not isinstance(ids, list) or len(ids) != count or not set(map(type, ids)) <= {int, str}:
        raise IntegrityError(f"{path} is damaged: not {count} ids", hint=RESTORE)
    return ids


def _read_rows(path: Path, width: int) -> Iterator[npt.NDArray[np.uint8]]:
    size = _block_rows(width) * width
    with path.open("rb") as file:
        while data := file.read(size):
            yield np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
