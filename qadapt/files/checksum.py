"""Checksum of a complete Parquet file, stored in the file.

Checksums of pages cover neither the page headers nor the footer with the schema and the metadata.
So qadapt stores another one between the last page and the footer, which readers skip: 8 bytes as a
marker, and BLAKE2b of all bytes before and after it. A program that rewrites the file omits it.

    pages | QADAPT01 | 32 bytes | footer | length of the footer, 4 bytes | PAR1
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from qadapt.errors import IntegrityError

MARK = b"QADAPT01"
_DIGEST = 32
_SIZE = len(MARK) + _DIGEST
_TAIL = 8  # length of the footer, and PAR1
_BLOCK = 1 << 20
_MARK_ERRORS = 8  # flipped bits of a marker that is still recognized


def seal(path: Path) -> None:
    """Insert the checksum into a Parquet file."""
    with path.open("r+b") as file:
        start, end = _footer(file)
        file.seek(start)
        footer = file.read(end - start)
        digest = _digest(file, start, footer)
        file.seek(start)
        file.write(MARK + digest + footer)


def check(path: Path) -> None:
    """Compare a Parquet file with its checksum, if it has one.

    Raises:
        IntegrityError: the file is damaged.
    """
    with path.open("rb") as file:
        try:
            start, end = _footer(file)
        except ValueError:
            return  # truncated, which the reader reports
        file.seek(max(0, start - _SIZE))
        head = file.read(_SIZE)
        if start < _SIZE or not _is_mark(head[: len(MARK)]):
            return
        footer = file.read(end - start)
        digest = _digest(file, start - _SIZE, footer)
        if head != MARK + digest:
            raise IntegrityError(
                f"{path} is damaged: the checksum of its content differs",
                hint="export the collection again, or restore the file from a backup",
            )


def _is_mark(found: bytes) -> bool:
    """Whether bytes are the marker, possibly damaged; 3e-10 of all other bytes are this close."""
    differs = int.from_bytes(found, "little") ^ int.from_bytes(MARK, "little")
    return bin(differs).count("1") <= _MARK_ERRORS


def _footer(file: BinaryIO) -> tuple[int, int]:
    """Offsets of the footer and of the end of the file.

    Raises:
        ValueError: there is no footer.
    """
    end = file.seek(0, os.SEEK_END)
    if end < 2 * _TAIL:
        raise ValueError("too short")
    file.seek(end - _TAIL)
    tail = file.read(_TAIL)
    start = end - _TAIL - int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or start < 4:
        raise ValueError("no footer")
    return start, end


def _digest(file: BinaryIO, stop: int, footer: bytes) -> bytes:
    """Checksum of the first ``stop`` bytes and the footer."""
    made = blake2b(digest_size=_DIGEST)
    file.seek(0)
    left = stop
    while left:
        block = file.read(min(_BLOCK, left))
        if not block:
            break
        made.update(block)
        left -= len(block)
    made.update(footer)
    return made.digest()
