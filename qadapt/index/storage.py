"""Files of a code index: immutable data files, and a header that lists them.

Saving writes new files, fsyncs them, and then replaces the header atomically. After a crash or
power failure the folder has either the old or the new header, and both list only complete files.
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
RESTORE = "restore the folder from a backup, or recreate it and add the vectors again"


@dataclass(frozen=True)
class FileRecord:
    """Data file in the header.

    Attributes:
        name: file name.
        bytes: size.
        sha256: checksum of the content, hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Segment:
    """Rows that were saved together.

    Attributes:
        count: number of rows.
        files: ``ids`` and, depending on the index, ``bits`` and ``int8``.
    """

    count: int
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Header:
    """Contents of ``index.json``.

    Attributes:
        dim, metric, codes, query_bits, rescore_codes: see ``CodeIndex.create``.
        generation: number of the newest data files; increases with each save.
        segments: segments in row order.
        calibration: ranges of the int8 codes as JSON text, or None if there are none.
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
        """Number of rows in all segments."""
        return sum(segment.count for segment in self.segments)

    @property
    def records(self) -> list[FileRecord]:
        """All data files."""
        return [record for segment in self.segments for record in segment.files.values()]

    def row_bytes(self) -> dict[str, int]:
        """Bytes per row of each kind of binary file of this index."""
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
    """Raise an error for a folder that contains anything but the rest of an interrupted ``create``.

    Raises:
        AlreadyExistsError: it contains an index.
        IntegrityError: it is a file, or contains other files.
    """
    if folder.exists() and not folder.is_dir():
        raise IntegrityError(f"{folder} is a file", hint="pass the path of a folder")
    if (folder / HEADER_NAME).is_file():
        raise AlreadyExistsError(
            f"{folder} already contains an index", hint="open it with CodeIndex.open"
        )
    if folder.is_dir():
        others = sorted({path.name for path in folder.iterdir()} - {LOCK_NAME, HEADER_DRAFT})
        if others:
            raise IntegrityError(
                f"{folder} is not an index and not empty: it contains {', '.join(others[:5])}",
                hint="pass an empty or new folder",
            )


def file_mode(folder: Path) -> int:
    """Mode of a new file: at most as permissive as its folder, as embeddings reveal text."""
    return stat.S_IMODE(folder.stat().st_mode) & 0o666


def create_file(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a new data file for writing; see ``file_mode``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    handle = os.open(path, flags, file_mode(path.parent))
    return os.fdopen(handle, "wb", buffering)


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    """Write a data file and fsync it."""
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
    """Replace the header atomically, after all listed files are on disk."""
    body: dict[str, Any] = {"format": FORMAT, "version": VERSION, "count": header.count}
    body |= asdict(header)
    body["checksum"] = _checksum(body)
    sync_folder(folder)
    draft = folder / HEADER_DRAFT
    write_file(draft, [json.dumps(body, indent=1).encode()])
    os.replace(draft, folder / HEADER_NAME)
    sync_folder(folder)


def remove_unlisted(folder: Path, header: Header) -> None:
    """Remove data files that are not in the header: old ones, and those of a crash."""
    kept = {record.name for record in header.records}
    for path in folder.iterdir():
        stale = _DATA_NAME.fullmatch(path.name) and path.name not in kept
        if stale or path.name == HEADER_DRAFT:
            # Windows does not delete open files; the next cleanup removes it
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)


def read_header(folder: Path) -> Header:
    """Read and check the header.

    Raises:
        IntegrityError: the header is missing, of another program or version, or damaged.
    """
    path = folder / HEADER_NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise IntegrityError(
            f"{folder} is not a code index: it has no {HEADER_NAME}",
            hint="check the path, or create an index in an empty folder with CodeIndex.create",
        ) from error
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: not JSON ({error})", hint=RESTORE) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise IntegrityError(f"{path} was not written by qadapt's CodeIndex", hint="check the path")
    if data.get("version") != VERSION:
        raise IntegrityError(
            f"{path} has format version {data.get('version')!r}; this qadapt supports {VERSION}",
            hint="open it with the version of qadapt that wrote it, or a newer one",
        )
    if data.pop("checksum", None) != _checksum(data):
        raise IntegrityError(f"{path} is damaged: the checksum differs", hint=RESTORE)
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
    """Verify data files against the header.

    Args:
        folder: folder of the index.
        header: header that lists the files.
        content: verify checksums (about 1 GB per second), else only sizes.

    Raises:
        IntegrityError: a file is missing, has the wrong size, or different content.
    """
    for record in header.records:
        path = folder / record.name
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise IntegrityError(f"{path} is missing", hint=RESTORE) from error
        if size != record.bytes:
            raise IntegrityError(f"{path} has {size} bytes instead of {record.bytes}", hint=RESTORE)
        if content and _sha256(path) != record.sha256:
            raise IntegrityError(f"{path} is damaged: the checksum differs", hint=RESTORE)


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            sha.update(chunk)
    return sha.hexdigest()
