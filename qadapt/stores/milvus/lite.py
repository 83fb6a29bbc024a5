"""Read from the files of Milvus Lite 3 which rows are indexed and which are still in memory.

::

    collections/NAME/manifest.json                  the data files of each partition
    collections/NAME/partitions/P/data/*.parquet    flushed rows, including rows replaced since
    collections/NAME/partitions/P/indexes/DATA.FIELD.TYPE.idx
    collections/NAME/wal/wal_data_N.arrow           log of rows in memory, deleted on flush
    collections/NAME/wal/wal_delta_N.arrow          keys deleted since the last flush

Rows in both logs have a sequence number (``_seq``); a key is in memory if its last insert is newer
than its last deletion.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.milvus.schema import Field, Layout
from qadapt.stores.milvus.status import Observation, Segment

logger = logging.getLogger(__name__)


def in_files(
    path: Path | None, layout: Layout, field: Field, observation: Observation
) -> Observation:
    """Add what the files show to an observation; unchanged if they cannot be read.

    Args:
        path: the folder of the database; None if it is unknown.
    """
    if path is None or field.index is None:
        return observation
    folder = path / "collections" / layout.real
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return observation
    segments, size = [], 0
    for partition, content in manifest.get("partitions", {}).items():
        place = folder / "partitions" / partition
        for name in content.get("data_files", ()):
            kind = field.index.type
            index = place / "indexes" / f"{Path(name).stem}.{field.field}.{kind.lower()}.idx"
            there = index.is_file()
            size += index.stat().st_size if there else 0
            segments.append(Segment(_rows(place / name), kind if there else None))
    memory = in_memory(folder / "wal", layout.keys.field)
    sealed = None if memory is None else max(0, observation.count - memory)
    return dataclasses.replace(observation, segments=segments, sealed=sealed, index_bytes=size)


def change_counter(path: Path | None, layout: Layout) -> ChangeCounter | None:
    """The highest sequence number of a collection; None if its files cannot be read.

    Run on milvus-lite 3.2.2: each written row takes the next number, and each deletion takes one
    number for all of its keys; flushing, reading and reopening take none.
    """
    if path is None:
        return None
    folder = path / "collections" / layout.real
    # The logs first: if they are flushed in between, the manifest has their numbers.
    logged = _last_logged(folder / "wal")
    if logged is None:
        return None
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        made = (folder / "schema.json").stat()
    except (OSError, ValueError):
        return None
    number = max(logged, int(manifest.get("current_seq", 0)))
    # The schema file differs if the collection was dropped and created again.
    value = f"{made.st_ino}/{made.st_mtime_ns}/{number}"
    return ChangeCounter("sequence number", value, number=number, deletion="call")


def _last_logged(logs: Path) -> int | None:
    """The highest sequence number of rows and deletions in memory; None without pyarrow."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    last = 0
    for log in sorted(logs.glob("wal_*.arrow")):
        for batch in _batches(pa, log):
            numbers = batch.column("_seq")
            last = max(last, numbers[len(numbers) - 1].as_py())
    return last


def _rows(file: Path) -> int | None:
    """The row count in the footer of a data file, including deleted rows; None if it is gone."""
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import read_metadata
    except ImportError:
        return None
    try:
        return int(read_metadata(file).num_rows)
    except (OSError, ArrowInvalid) as error:
        # A compaction can delete data files in between.
        logger.debug("cannot count the rows of %s: %s", file, error)
        return None


def in_memory(logs: Path, key: str) -> int | None:
    """The number of live rows that are not in a data file yet; None without pyarrow.

    Only keys and sequence numbers are read; Lite keeps the log under 256 MiB.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
    except ImportError:
        return None
    last = {}
    for kind in ("data", "delta"):
        batches = [
            batch.select([key, "_seq"])
            for log in sorted(logs.glob(f"wal_{kind}_*.arrow"))
            for batch in _batches(pa, log)
        ]
        if batches:
            table = pa.Table.from_batches(batches)
            last[kind] = table.group_by(key).aggregate([("_seq", "max")])
    if "data" not in last:
        return 0
    written = last["data"]
    if "delta" not in last:
        return int(written.num_rows)
    at = pc.index_in(written[key], value_set=last["delta"][key])
    deleted = last["delta"]["_seq_max"].take(at)
    live = pc.fill_null(pc.greater(written["_seq_max"], deleted), True)
    return int(pc.sum(live.cast("int64")).as_py() or 0)


def _batches(pa: Any, log: Path) -> Iterator[Any]:
    """Record batches of a log that may be written at the same time, so the last one may be
    incomplete."""
    try:
        with pa.memory_map(str(log)) as source:
            yield from pa.ipc.open_stream(source)
    except (OSError, pa.ArrowInvalid) as error:
        # The log was flushed in between, is empty, is being written, or its last batch was cut off
        # by a full disk. pyarrow reports the latter as an OSError.
        logger.debug("cannot read more of the log %s: %s", log, error)
