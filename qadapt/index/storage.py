"""The folder of a code index: data files that are never changed, and a header that names them.

Saving writes new files, makes sure they are on the disk, and then puts a new header in place of
the old one in one step. Whoever opens the folder, even after a power cut in between, reads the
former header or the new one, and each names only files that were complete before it was written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qadapt.durable import sync_folder
from qadapt.errors import AlreadyExistsError, IntegrityError

FORMAT = "qadapt-code-index"
VERSION = 1
HEADER_NAME = "index.json"
HEADER_DRAFT = "index.json.new"
LOCK_NAME = "lock"

_READ_BYTES = 4 << 20

_DATA_NAME = re.compile(r"(ids\.\d+\.json|(bits|int8)\.\d+\.bin)")
RESTORE = "restore the folder from a backup, or create it anew and add the vectors again"


@dataclass(frozen=True)
class FileRecord:
    """A data file as the header knows it.

    Attributes:
        name: file name inside the folder.
        bytes: its length.
        sha256: checksum of its content, hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Segment:
    """Rows that were saved together.

    Attributes:
        count: number of rows.
        files: ``ids`` and, as the index keeps them, ``bits`` and ``int8``.
    """

    count: int
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Header:
    """What ``index.json`` says.

    Attributes:
        dim, metric, codes, query_bits, rescore_codes: see ``CodeIndex.create``.
        generation: number of the newest data files; grows with each save.
        segments: the rows, in order.
        calibration: ranges of the int8 codes as JSON text, or None while there are none.
    """

    dim: int
    metric: str
    codes: str
    query_bits: int
    rescore_codes: str | None
    generation: int
    segments: tuple[Segment, ...]
    calibration: str | None

    @property
    def count(self) -> int:
        """Rows in all segments."""
        return sum(segment.count for segment in self.segments)

    @property
    def records(self) -> list[FileRecord]:
        """All data files."""
        return [record for segment in self.segments for record in segment.files.values()]

    def row_bytes(self) -> dict[str, int]:
        """Bytes of one row in each kind of binary file that this index keeps."""
        kept = {}
        if self.codes == "binary":
            kept["bits"] = -(-self.dim // 8)
        if "int8" in (self.codes, self.rescore_codes):
            kept["int8"] = self.dim
        return kept


def file_name(kind: str, generation: int) -> str:
    """Name of a data file."""
    return f"{kind}.{generation}.{'json' if kind == 'ids' else 'bin'}"


def require_empty(folder: Path) -> None:
    """Refuse a folder that holds anything but what an interrupted ``create`` leaves.

    Raises:
        AlreadyExistsError: it holds an index.
        IntegrityError: it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise IntegrityError(f"{folder} is a file", hint="name a folder")
    if (folder / HEADER_NAME).is_file():
        raise AlreadyExistsError(f"{folder} holds an index already", hint="CodeIndex.open opens it")
    if folder.is_dir():
        others = sorted({path.name for path in folder.iterdir()} - {LOCK_NAME, HEADER_DRAFT})
        if others:
            raise IntegrityError(
                f"{folder} is not empty and not an index: it holds {', '.join(others[:5])}",
                hint="name an empty or new folder",
            )


def file_mode(folder: Path) -> int:
    """The mode of a new file: no more open than its folder, for embeddings tell much of a text."""
    return stat.S_IMODE(folder.stat().st_mode) & 0o666


def create_file(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a new data file for writing; see ``file_mode``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    handle = os.open(path, flags, file_mode(path.parent))
    return os.fdopen(handle, "wb", buffering)


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    """Write a data file and wait until it is on the disk."""
    sha = hashlib.sha256()
    size = 0
    with create_file(path) as file:
        for chunk in chunks:
            file.write(chunk)
            sha.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return FileRecord(path.name, size, sha.hexdigest())


def write_header(folder: Path, header: Header) -> None:
    """Make this the folder's header, in one step, after all it names is on the disk."""
    body: dict[str, Any] = {"format": FORMAT, "version": VERSION, "count": header.count}
    body |= asdict(header)
    body["checksum"] = _checksum(body)
    sync_folder(folder)
    draft = folder / HEADER_DRAFT
    write_file(draft, [json.dumps(body, indent=1).encode()])
    os.replace(draft, folder / HEADER_NAME)
    sync_folder(folder)


def remove_unlisted(folder: Path, header: Header) -> None:
    """Remove data files that the header does not name: former ones, and those of a crash."""
    kept = {record.name for record in header.records}
    for path in folder.iterdir():
        stale = _DATA_NAME.fullmatch(path.name) and path.name not in kept
        if stale or path.name == HEADER_DRAFT:
            # Windows refuses while a reader still has the file open; the next sweep takes it
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)


def read_header(folder: Path) -> Header:
    """Read and check the header.

    Raises:
        IntegrityError: there is none, it is not ours, of a newer version, or damaged.
    """
    path = folder / HEADER_NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise IntegrityError(
            f"{folder} has no {HEADER_NAME}: not a code index",
            hint="check the path; CodeIndex.create makes a new one in an empty folder",
        ) from error
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: not JSON ({error})", hint=RESTORE) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise IntegrityError(f"{path} was not written by qadapt's CodeIndex", hint="check the path")
    if data.get("version") != VERSION:
        raise IntegrityError(
            f"{path} has format version {data.get('version')!r}, this qadapt reads {VERSION}",
            hint="open it with the qadapt that wrote it, or a newer one",
        )
    if data.pop("checksum", None) != _checksum(data):
        raise IntegrityError(f"{path} is damaged: its checksum differs", hint=RESTORE)
    try:
        return _parsed(data)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged: {error!r}", hint=RESTORE) from error


def _parsed(data: dict[str, Any]) -> Header:
    segments = tuple(
        Segment(
            int(segment["count"]),
            {kind: FileRecord(**record) for kind, record in segment["files"].items()},
        )
        for segment in data["segments"]
    )
    names = ("dim", "metric", "codes", "query_bits", "rescore_codes", "generation", "calibration")
    header = Header(**{name: data[name] for name in names}, segments=segments)
    width = header.row_bytes()
    for segment in segments:
        if set(segment.files) != {"ids", *width}:
            raise ValueError(f"a segment holds {sorted(segment.files)}")
        for kind, record in segment.files.items():
            if not _DATA_NAME.fullmatch(record.name):
                raise ValueError(f"file name {record.name!r}")
            if kind != "ids" and record.bytes != segment.count * width[kind]:
                raise ValueError(f"{record.name}: {record.bytes} bytes for {segment.count} rows")
    return header


def _checksum(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_files(folder: Path, header: Header, *, content: bool) -> None:
    """Compare the data files with the header.

    Args:
        folder: where they are.
        header: what they should be.
        content: read them whole and compare checksums (about 1 GB a second), else only lengths.

    Raises:
        IntegrityError: one is missing, shorter or longer, or its content differs.
    """
    for record in header.records:
        path = folder / record.name
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise IntegrityError(f"{path} is missing", hint=RESTORE) from error
        if size != record.bytes:
            raise IntegrityError(
                f"{path} is torn: {size} bytes, the header says {record.bytes}", hint=RESTORE
            )
        if content and _sha256(path) != record.sha256:
            raise IntegrityError(f"{path} is damaged: its checksum differs", hint=RESTORE)


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            sha.update(chunk)
    return sha.hexdigest()
