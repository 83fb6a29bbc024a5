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
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from qadapt.codecs import codebook, rotational
from qadapt.durable import sync_folder
from qadapt.errors import AlreadyExistsError, IntegrityError

FORMAT = "qadapt-code-index"
VERSION = 2
ESTIMATE_VERSION = 3
"""Version of an index of rotational or scalar codes, which older releases cannot read."""
HEADER_NAME = "index.json"
HEADER_DRAFT = "index.json.new"
LOCK_NAME = "lock"

_DATA_NAME = re.compile(r"((rows|learned)\.\d+\.bin|calibration\.\d+\.json)")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_ID_KINDS = ("int", "uuid", "text")
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
    """Rows that were saved together, in one file; see ``segment_file``.

    Attributes:
        number: number of the file.
        count: number of rows.
        id_kind: ``int``, ``uuid`` or ``text``.
        id_bytes: bytes of the ids.
        marks: number of delete marks: rows of this segment or of earlier ones.
        sums: digest of the checksums of the pages, hexadecimal.
    """

    number: int
    count: int
    id_kind: str
    id_bytes: int
    marks: int
    sums: str

    @property
    def name(self) -> str:
        """File name."""
        return file_name("rows", self.number)


@dataclass(frozen=True)
class Header:
    """Contents of ``index.json``.

    Attributes:
        dim, metric, codes, bits, rotation, query_bits, rescore_codes: see ``CodeIndex.create``.
        generation: number of the newest data files; increases with each save.
        segments: segments in row order.
        calibration: file of the ranges of the int8 codes, or None if there are none.
        learned: file of the learned rotation or the codebook, or None if there is none.
    """

    dim: int
    metric: str
    codes: str
    query_bits: int
    rescore_codes: str | None
    generation: int
    segments: tuple[Segment, ...]
    calibration: FileRecord | None
    bits: int = 1
    rotation: str | None = None
    learned: FileRecord | None = None

    @property
    def count(self) -> int:
        """Number of rows in all segments, including deleted ones."""
        return sum(segment.count for segment in self.segments)

    @property
    def names(self) -> set[str]:
        """Names of all data files."""
        kept = {segment.name for segment in self.segments}
        return kept | {record.name for record in (self.calibration, self.learned) if record}

    def row_bytes(self) -> dict[str, int]:
        """Bytes per row of each kind of code of this index, in the order of the file."""
        return row_bytes(self.dim, self.codes, self.rescore_codes, self.bits)


def row_bytes(dim: int, codes: str, rescore_codes: str | None, bits: int = 1) -> dict[str, int]:
    """Bytes per row of each kind of code, in the order of the file."""
    kept = {}
    if "int8" in (codes, rescore_codes):
        kept["int8"] = dim
    if codes == "binary":
        kept["bits"] = -(-dim // 8)
    if codes == "rotational":
        kept["bits"] = rotational.code_bytes(dim, bits)
    if codes == "scalar":
        kept["bits"] = codebook.code_bytes(dim)
    return kept


def file_name(kind: str, generation: int) -> str:
    """Name of a data file."""
    return f"{kind}.{generation}.{'json' if kind == 'calibration' else 'bin'}"


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
    body: dict[str, Any] = {"format": FORMAT, "version": _version(header.codes)}
    body |= asdict(header)
    body["segments"] = [list(astuple(segment)) for segment in header.segments]
    body["checksum"] = _checksum(body)
    sync_folder(folder)
    draft = folder / HEADER_DRAFT
    write_file(draft, [json.dumps(body, separators=(",", ":")).encode()])
    os.replace(draft, folder / HEADER_NAME)
    sync_folder(folder)


def remove_unlisted(folder: Path, header: Header, *, keep: Path | None = None) -> None:
    """Remove data files that are not in the header: old ones, and those of a crash.

    Args:
        keep: file of a running merge, which stays.
    """
    kept = header.names | ({keep.name} if keep else set())
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
    if data.get("version") != _version(data.get("codes")):
        raise _other_version(path, data.get("version"), _version(data.get("codes")))
    if data.pop("checksum", None) != _checksum(data):
        raise IntegrityError(f"{path} is damaged: the checksum differs", hint=RESTORE)
    try:
        return _parsed(data)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged: {error!r}", hint=RESTORE) from error


def _version(codes: Any) -> int:
    return ESTIMATE_VERSION if codes in ("rotational", "scalar") else VERSION


def _other_version(path: Path, version: Any, supported: int) -> IntegrityError:
    older = type(version) is int and version < supported
    return IntegrityError(
        f"{path} has format version {version!r}; this qadapt supports {supported}",
        hint="this qadapt does not read the older format: delete the folder and add the vectors "
        "again (for client-side codes of a database, `qadapt apply` does so)"
        if older
        else "open it with the version of qadapt that wrote it, or a newer one",
    )


def _parsed(data: dict[str, Any]) -> Header:
    segments = tuple(_segment(each) for each in data["segments"])
    names = ("dim", "metric", "codes", "query_bits", "rescore_codes", "generation")
    header = Header(
        **{name: data[name] for name in names},
        segments=segments,
        calibration=_record(data["calibration"]),
        bits=data.get("bits", 1),  # not in indexes of older releases
        rotation=data.get("rotation"),
        learned=_record(data.get("learned")),
    )
    header.row_bytes()
    return header


def _record(values: Any) -> FileRecord | None:
    if values is None:
        return None
    record = FileRecord(**values)
    if not _DATA_NAME.fullmatch(record.name):
        raise ValueError(f"file name {record.name!r}")
    return record


def _segment(values: list[Any]) -> Segment:
    segment = Segment(*values)
    sizes = (segment.number, segment.count, segment.id_bytes, segment.marks)
    known = segment.id_kind in _ID_KINDS and _DIGEST.fullmatch(segment.sums) is not None
    per_row = {"int": 8, "uuid": 16}.get(segment.id_kind)
    fits = per_row is None or segment.id_bytes == per_row * segment.count
    if not known or not fits or any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError(f"segment {values}")
    return segment


def _checksum(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(folder: Path, record: FileRecord) -> bytes:
    """Read a file and verify it.

    Raises:
        IntegrityError: missing, or of another size or content.
    """
    path = folder / record.name
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing", hint=RESTORE) from error
    if len(content) != record.bytes:
        raise IntegrityError(
            f"{path} has {len(content)} bytes instead of {record.bytes}", hint=RESTORE
        )
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise IntegrityError(f"{path} is damaged: the checksum differs", hint=RESTORE)
    return content
