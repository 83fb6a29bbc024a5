"""The files of a shard: its segments, and which of them hold codes.

The engine of 1.20 (qdrant-edge-py 0.9.0) stores ``segments/UUID/segment.json`` with each vector's
index and quantization. In ``vector_storage`` (``vector_storage-NAME`` for a named vector) it stores
``quantized.config.json`` with ``quantized.data`` for an indexed segment, or with the folder
``quantized_data`` for a segment that still accepts rows. A server's segments have the same files.
Only these small JSON documents, file sizes and counts are read.
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
# A folder for a file that will replace another one.
_UNFINISHED = ".atomicwrite"

# The locations of original vectors in growing and in indexed segments. The second of each is that
# of the turbo datatypes.
_GROWING = ("vectors", "tq_vectors")
_FIXED = ("matrix.dat", "tq_vectors.dat")
_GROWING_CODES = ("quantized_data",)
_FIXED_CODES = ("quantized.data",)

Json = dict[str, Any]


@dataclass(frozen=True)
class SegmentVector:
    """One vector in one segment, according to its files.

    Attributes:
        segment: the segment's folder.
        indexed: whether it has an HNSW index; otherwise it still accepts rows.
        index: the index's type and options.
        datatype: the datatype that the segment stores.
        rows: vectors in the segment, including those of deleted rows; None if unknown. The engine
            compares their size with its thresholds.
        live: vectors whose row is neither deleted nor replaced. A growing segment has no
            count; the snapshot computes a bound. None if unknown.
        config: the quantization according to the segment.
        code_config: the quantization according to its codes; None without codes.
        unmeasured: whether codes of more than 1 bit were created before there were rows to measure;
            the engine then compares later rows by 1 bit (observed on 0.9.0: recall with two_bits
            0.56 instead of 0.65).
        code_bytes, float_bytes: bytes of the codes and of the original vectors on disk.
        graph_bytes: bytes of the graph, which the engine maps into memory.
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
    graph_bytes: int = 0

    @property
    def empty(self) -> bool:
        """Whether it has no rows: the engine's segment for future rows, or one without live
        rows."""
        return self.rows == 0 or self.live == 0

    @property
    def present(self) -> int:
        """An upper bound for the rows that a search can find."""
        return self.rows or 0 if self.live is None else self.live

    def matches(self, target: Mapping[str, Any] | None) -> bool:
        """Whether both the segment and its codes have exactly this quantization."""
        if not target:
            return self.config is None and self.code_config is None
        return (
            same_config(self.config, target)
            and same_config(self.code_config, target)
            and (self.code_bytes > 0 or self.empty)
        )


def remove_unfinished(folder: Path) -> None:
    """Remove files that a killed process was writing.

    The engine replaces its files through ``.atomicwriteXXXXXX`` files in the same folder (the
    configuration each time it opens the shard), and never removes those of a killed process.

    Args:
        folder: a shard that only this process has open.
    """
    for left in sorted(folder.rglob(f"{_UNFINISHED}*")):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def read(folder: Path) -> dict[str, list[SegmentVector]]:
    """All vectors of all segments, by the vector's name.

    The shard may be in use: files that disappear during the read are ignored.
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
    """The segments with ids: those with ``id_tracker.mappings``, or with ``mutable_`` files while
    they accept rows. The engine's segment for future rows has neither.
    """
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
        # A segment is renamed to `UUID.deleted` before it is removed.
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
        graph_bytes=_graph(segment / ("vector_index" + (f"-{name}" if name else ""))),
    )


def _graph(index: Path) -> int:
    """Bytes of the links and of the graph's header; 0 without an index."""
    return sum(path.stat().st_size for path in sorted(index.glob("*.bin")))


def _read_codes(storage: Path) -> Json | None:
    try:
        text = (storage / "quantized.config.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    found: Json = json.loads(text)
    return found


def _unmeasured(storage: Path) -> bool:
    """Whether the statistics for wider binary codes are those of no rows."""
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
    """The rows of a growing segment: its length, minus the vectors marked as missing.

    ``vectors/status.dat`` (``tq_vectors`` for the turbo datatypes) is the length as a little-endian
    u64; ``deleted/status.dat`` has two of them: the length, and which of ``flags_a.dat`` and
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
    """The rows of an indexed segment that have the vector and are neither deleted nor replaced.

    ``id_tracker.deleted`` has one bit for each deleted row; ``vector_storage/deleted.dat`` has,
    after a header of 8 bytes, one for each row without the vector.
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
    """Bytes of the codes or of the original vectors on disk.

    Files of growing segments are allocated far beyond their content, so their used blocks are
    counted; files of an indexed segment have their exact size.
    """
    growing, fixed = (_GROWING_CODES, _FIXED_CODES) if codes else (_GROWING, _FIXED)
    chunks = [path for name in growing for path in (storage / name).glob("chunk*")]
    files = [path for name in fixed if (path := storage / name).is_file()]
    return sum(map(_blocks, chunks)) + sum(path.stat().st_size for path in files)


def _blocks(path: Path) -> int:
    found = path.stat()
    return int(getattr(found, "st_blocks", found.st_size // 512) * 512)
