"""Temporary copies of rows, on which settings are measured. They are always removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from qadapt.errors import AddressError, StoreError
from qadapt.local import scratch
from qadapt.local.scratch import EVAL as PREFIX
from qadapt.model import Batch, Quantization, Vector
from qadapt.stores.base import OnProgress, Progress, Store

BLOCK = 1_000  # rows per write
# Bytes on disk per byte of vectors, and in addition: a copy with its log while it is rebuilt.
# A copy of 61 MB of vectors took 203 MB (qdrant-edge-py 0.9.0).
DISK_FACTOR, DISK_SPARE = 3, 64 << 20


def check_disk(store: Store, rows: int, dim: int) -> None:
    """Reject a copy that does not fit on the disk of an embedded database.

    The disk of a server is not visible to this process and is not checked.

    Raises:
        StoreError: names the folder, the required bytes, and how many rows fit.
    """
    try:
        folder = store.address.path
    except AddressError:
        return
    while not folder.is_dir():
        folder = folder.parent
    each = DISK_FACTOR * 4 * dim
    needed, free = rows * each + DISK_SPARE, shutil.disk_usage(folder).free
    if needed <= free:
        return
    fits = (free - DISK_SPARE) // each
    fewer = f", or copy fewer rows: --copy-rows {fits} (copy_rows={fits})" if fits > 0 else ""
    raise StoreError(
        f"not enough disk space for a copy of {rows:,} rows: about {needed:,} bytes are required "
        f"in {folder}, {free:,} are free",
        hint=f"free space on that disk{fewer}",
    )


@contextmanager
def scratch_copy(
    store: Store,
    vectors: Mapping[str, Vector],
    batches: Sequence[Batch],
    progress: OnProgress,
    *,
    quantization: Mapping[str, Quantization] | None = None,
    of: str = "",
) -> Iterator[str]:
    """Create a temporary collection with these rows; yields its name.

    Args:
        of: the source collection, recorded so that a leftover copy can be identified.
    """
    with scratch.scratch_collection(store, PREFIX, of) as name:
        store.create(name, vectors, quantization or {})
        total, done = sum(len(batch) for batch in batches), 0
        for batch in batches:
            for start in range(0, len(batch), BLOCK):
                part = batch.rows(start, min(start + BLOCK, len(batch)))
                store.write(name, part)
                done += len(part)
                progress(Progress("copying a sample", done, total))
        yield name
