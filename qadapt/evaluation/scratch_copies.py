"""Temporary copies of rows, on which settings are measured. They are always removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from qadapt.local import scratch
from qadapt.local.scratch import EVAL as PREFIX
from qadapt.model import Batch, Quantization, Vector
from qadapt.stores.base import OnProgress, Progress, Store

BLOCK = 1_000  # rows per write


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
