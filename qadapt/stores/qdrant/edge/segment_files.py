"""What a shard's files show: its segments, and which of them hold codes.

The engine of 1.20 (qdrant-edge-py 0.9.0) keeps ``segments/UUID/segment.json`` with each vector's
index and quantization, and in ``vector_storage`` (``vector_storage-NAME`` for a named vector)
``quantized.config.json`` beside ``quantized.data`` where the segment is indexed, or beside the
folder ``quantized_data`` where rows may still be added. The same files stand in a server's
segments. Nothing is read from them but these few JSON documents, sizes and counts.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.stores.qdrant.mapping import same_config

SEGMENTS = "segments"
# A folder that holds a file on its way to replace another one.
_UNFINISHED = ".atomicwrite"

# Where originals stand: while rows may be added, and afterwards. The second of each is that of
# the turbo datatypes.
_GROWING = ("vectors", "tq_vectors")
_FIXED = ("matrix.dat", "tq_vectors.dat")

Json = dict[str, Any]


@dataclass(frozen=True)
class SegmentVector:
    """One vector in one segment, as its files show it.

    Attributes:
        segment: the segment's folder.
        indexed: whether it has an HNSW index; else rows may still be added to it.
        index: the index's type and options.
        datatype: what the segment keeps of the floats.
        rows: places for this vector in the segment, with those of rows deleted since; None where
            it can't be told. The engine compares their size with its thresholds.
        live: those whose row is neither deleted nor replaced. A segment that still grows shows no
            such count; ``inspection`` gives it a bound. None where it can't be told.
        config: the quantization that the segment says it has.
        code_config: the quantization that its codes say they have; None for no codes.
        unmeasured: whether codes of more than one bit were set up while there were no rows to
            measure; the engine then compares later rows by one bit (seen on 0.9.0: recall of
            two_bits .56 in place of .65).
        code_bytes, float_bytes: bytes that the codes and the originals hold on disk.
    """

    segment: str
    indexed: bool
    index: Json
    datatype: str
    rows: int | None
    config: Json | None
    code_config: Json | None
    code_bytes: int
    float_bytes: int
    unmeasured: bool = False
    live: int | None = None

    @property
    def empty(self) -> bool:
        """No rows, which the engine keeps for rows to come, or none that a search may find."""
        return self.rows == 0 or self.live == 0

    @property
    def present(self) -> int:
        """Rows that a search may find, at most."""
        return self.rows or 0 if self.live is None else self.live

    def obeys(self, target: Mapping[str, Any] | None) -> bool:
        """Whether the segment says, and its codes show, just this quantization."""
        if not target:
            return self.config is None and self.code_config is None
        return (
            same_config(self.config, target)
            and same_config(self.code_config, target)
            and (self.code_bytes > 0 or self.empty)
        )


def remove_unfinished(folder: Path) -> None:
    """Remove files that a killed process was just writing.

    The engine replaces its files through ``.atomicwriteXXXXXX`` beside them, the configuration each
    time it opens the shard, and never removes those of a process that was killed.

    Args:
        folder: a shard that this process alone has open.
    """
    for left in sorted(folder.rglob(f"{_UNFINISHED}*")):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def read(folder: Path) -> dict[str, list[SegmentVector]]:
    """All vectors of all segments, by the vector's name.

    The folder may be at work: what vanishes while it is read is left out.
    """
    found: dict[str, list[SegmentVector]] = {}
    for segment in _segments(folder):
        try:
            described = json.loads((segment / "segment.json").read_text(encoding="utf-8"))
            for name, params in described["config"]["vector_data"].items():
                found.setdefault(name, []).append(_read_vector(segment, name, params))
        except (FileNotFoundError, json.JSONDecodeError):
            continue
    return found


def populated(folder: Path) -> int:
    """Segments that hold ids: those with ``id_tracker.mappings``, or the ``mutable_`` one while
    rows may still be added. The segment that the engine keeps for rows to come has neither."""
    return sum(
        any(path.stat().st_size for path in segment.glob("*id_tracker.mappings"))
        for segment in _segments(folder)
    )


def _segments(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder / SEGMENTS))
    except FileNotFoundError:
        return
    for name in names:
        # A segment on its way out is renamed to `UUID.deleted` before it is removed.
        if not name.startswith(".") and not name.endswith(".deleted"):
            yield folder / SEGMENTS / name


def _read_vector(segment: Path, name: str, params: Json) -> SegmentVector:
    storage = segment / ("vector_storage" + (f"-{name}" if name else ""))
    codes = _read_codes(storage)
    index = params.get("index") or {"type": "plain"}
    indexed = index.get("type") == "hnsw"
    rows = _count(codes) if indexed and codes else _appended_rows(storage)
    return SegmentVector(
        segment=segment.name,
        indexed=indexed,
        index={"type": index.get("type"), **(index.get("options") or {})},
        datatype=params.get("datatype") or "float32",
        rows=rows,
        config=params.get("quantization_config"),
        code_config=None if codes is None else codes.get("quantization_config"),
        code_bytes=_held(storage, codes=True),
        float_bytes=_held(storage, codes=False),
        unmeasured=codes is not None and not indexed and _unmeasured(storage),
        live=_live(segment, storage, rows) if indexed else None,
    )


def _read_codes(storage: Path) -> Json | None:
    try:
        text = (storage / "quantized.config.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found: Json = json.loads(text)
    return found


def _unmeasured(storage: Path) -> bool:
    """Whether the ranges that wider binary codes are told by are those of no rows."""
    try:
        meta = json.loads((storage / "quantized.meta.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    ranges = (meta.get("vector_stats") or {}).get("elements_stats") or []
    return any(item["min"] > item["max"] for item in ranges[:1])


def _count(codes: Json) -> int | None:
    found = (codes.get("vector_parameters") or {}).get("count")
    return None if found is None else int(found)


def _appended_rows(storage: Path) -> int | None:
    """Rows of a segment that still grows: its length, less the vectors marked as missing.

    ``vectors/status.dat`` (``tq_vectors`` for the turbo datatypes) is the length as a
    little-endian u64; ``deleted/status.dat`` two of them, length and which of ``flags_a.dat`` and
    ``flags_b.dat`` holds one bit for each row.
    """
    grown = next((storage / name for name in _GROWING if (storage / name).is_dir()), storage)
    try:
        (length,) = struct.unpack("<Q", (grown / "status.dat").read_bytes()[:8])
        _, which = struct.unpack("<QQ", (storage / "deleted" / "status.dat").read_bytes()[:16])
        flags = np.fromfile(
            storage / "deleted" / ("flags_b.dat" if which else "flags_a.dat"),
            dtype=np.uint8,
            count=-(-length // 8),
        )
    except (FileNotFoundError, struct.error):
        return None
    return int(length) - int(np.unpackbits(flags).sum())


def _live(segment: Path, storage: Path, rows: int | None) -> int | None:
    """Rows of a segment with an index that are neither deleted nor replaced, and have the vector.

    ``id_tracker.deleted`` has one bit for each row that is gone; ``vector_storage/deleted.dat``,
    after a head of 8 bytes, one for each that lacks the vector.
    """
    try:
        gone = np.fromfile(segment / "id_tracker.deleted", dtype=np.uint8)
        lacking = np.fromfile(storage / "deleted.dat", dtype=np.uint8, offset=8)
    except FileNotFoundError:
        return None
    if rows is None:
        return None
    size = -(-rows // 8)
    if min(len(gone), len(lacking)) < size:
        return None
    bits = np.unpackbits(gone[:size] | lacking[:size], count=rows, bitorder="little")
    return rows - int(bits.sum())


def _held(storage: Path, *, codes: bool) -> int:
    """Bytes on disk of the codes, or of the originals.

    Files that rows may be added to are allocated far beyond their content, so what is counted
    there are the blocks in use; the files of an indexed segment are of their very size.
    """
    total = 0
    for path in sorted(storage.rglob("*")):
        top = path.relative_to(storage).parts[0]
        if codes and top == "quantized.data":
            total += path.stat().st_size
        elif top in (("quantized_data",) if codes else _GROWING):
            total += _blocks(path) if path.name.startswith("chunk") else 0
        elif not codes and top in _FIXED:
            total += path.stat().st_size
    return total


def _blocks(path: Path) -> int:
    found = path.stat()
    return int(getattr(found, "st_blocks", found.st_size // 512) * 512)
